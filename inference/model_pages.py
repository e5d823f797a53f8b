"""The page of models, and its forms for aliases. Decides who sees which button."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.http import Asked, methods, page
from dpl_site.lib.refusals import Refused
from inference import aliases
from inference.catalog import FleetModel, fleet_models
from inference.forms import AliasForm
from inference.model_list import model_views
from inference.model_names import same_model
from inference.models import Engine, ModelAlias
from inference.targets import live_engines

MOST = 500
"""Models on the page, and in one answer to its script."""


@methods("GET")
@page("read")
def models_page(request: Asked) -> HttpResponse:
    """Every model of the fleet with its places; live where scripts run."""
    return _shown(request, AliasForm())


@methods("GET", "POST")
@page("admin")
def alias_save(request: Asked) -> HttpResponse:
    """Add an alias, or change one (`id`). A GET, as after a login in between, only leads back."""
    if request.method != "POST":
        return redirect("models-page")
    told = request.POST.get("id", "")
    alias_id = int(told) if told.isascii() and told.isdigit() and len(told) <= 18 else 0
    form = AliasForm(request.POST, instance=ModelAlias.objects.filter(pk=alias_id).first())
    if form.is_valid():
        try:
            data = form.cleaned_data
            aliases.alias_put(alias=data["alias"], model=data["model"], alias_id=alias_id)
        except Refused as refused:
            form.add_error(None, refused.message)
        else:
            messages.success(request, _("“%(alias)s” now means %(model)s.") % data)
            return redirect("models-page")
    return _shown(request, form, status=400)


@methods("GET", "POST")
@page("admin")
def alias_remove(request: Asked, alias_id: int) -> HttpResponse:
    """Remove an alias. A GET only leads back."""
    if request.method == "POST":
        aliases.alias_remove(alias_id=alias_id)
        messages.success(
            request, _("The alias is removed. Clients that use it are told that there is no such model.")
        )
    return redirect("models-page")


def _shown(request: Asked, form: AliasForm, status: int = 200) -> HttpResponse:
    found = fleet_models()
    words = request.GET.get("q", "").strip()[:200]
    models = model_views([one for one in found if _has(one, words)][:MOST])
    engines = _engines()
    context = {
        "models": sorted(models, key=lambda one: (not one["resident"], one["name"])),
        "has_models": bool(found),
        "words": words,
        "engines": engines,
        "fetchers": [one for one in engines if one["can_fetch"]],
        "offline": sum(not one["online"] for one in engines),
        "may_load": request.principal.may("chat"),
        "is_admin": request.principal.may("admin"),
        "aliases": _aliases(found),
        "form": form,
        "names": [one.name for one in found],
    }
    return render(request, "inference/models.html", context, status=status)


def _has(model: FleetModel, words: str) -> bool:
    """Whether a model, one of its other names or of its nodes has these words in it."""
    names = [model.name, *model.aliases, *(place.node_name for place in model.places)]
    return any(words.lower() in name.lower() for name in names)


def _engines() -> list[dict[str, Any]]:
    """The engines that are switched on, each with its node and whether it can fetch models."""
    rows = live_engines().filter(is_enabled=True).select_related("status", "node").order_by("node__name")
    return [_engine(row) for row in rows.defer("api_key")]


def _engine(row: Engine) -> dict[str, Any]:
    status = getattr(row, "status", None)
    is_online = bool(status and status.is_online)
    is_ollama = (row.kind or (status.kind if status else "")) == Engine.Kind.OLLAMA
    return {
        "node_id": row.node_id,
        "name": row.node.name,
        "online": is_online,
        "can_fetch": is_online and is_ollama,
    }


def _aliases(models: list[FleetModel]) -> list[dict[str, Any]]:
    """All aliases, each with whether some engine has the model that is meant."""
    names = [one.name for one in models]
    return [
        {
            "id": row.pk,
            "alias": row.alias,
            "model": row.model,
            "is_there": any(same_model(row.model, name) for name in names),
        }
        for row in ModelAlias.objects.order_by("alias")
    ]
