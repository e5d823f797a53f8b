"""The page of silences: those in force, those to come, those that were, and a form for a new one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from accounts.http import Asked, methods, page
from alerts import changes
from alerts.entries import SilenceForm
from alerts.forms import blame
from alerts.models import Silence
from alerts.pages import telling
from dpl_site.lib.clock import iso, utc_now
from dpl_site.lib.refusals import Refused

MOST_PAST = 50


@methods("GET", "POST")
@page("read")
def silences_page(request: Asked) -> HttpResponse:
    """GET shows them; POST makes one, which needs an admin."""
    if request.method == "POST":
        return _make(request)
    return _shown(request, SilenceForm())


@methods("GET", "POST")
@page("admin")
def silence_end(request: Asked, silence_id: int) -> HttpResponse:
    """End one now. A GET only leads back."""
    if request.method == "POST":
        silence = get_object_or_404(Silence, pk=silence_id)
        with telling(request, _("The silence has ended: people are told again.")):
            changes.silence_end(actor=request.principal.username, silence=silence)
    return redirect("alert-silences")


@page("admin")
def _make(request: Asked) -> HttpResponse:
    form = SilenceForm(request.POST)
    if form.is_valid():
        try:
            changes.silence_make(actor=request.principal.username, values=form.told())
            messages.success(request, _("The silence is made."))
            return redirect("alert-silences")
        except Refused as refused:
            blame(form, refused)
    return _shown(request, form, 400)


def _shown(request: Asked, form: SilenceForm, status: int = 200) -> HttpResponse:
    now = utc_now()
    rows = Silence.objects.select_related("rule", "node").order_by("-id")
    context = {
        "form": form if request.principal.may("admin") else None,
        "now": _views(rows.filter(starts_at__lte=now, ends_at__gt=now)),
        "coming": _views(rows.filter(starts_at__gt=now, ends_at__gt=now)),
        "past": _views(rows.filter(ends_at__lte=now)[:MOST_PAST]),
    }
    return render(request, "alerts/silences.html", context, status=status)


def _views(rows: QuerySet[Silence]) -> list[dict[str, Any]]:
    """As the page shows them."""
    return [{"row": row, "starts_at": iso(row.starts_at), "ends_at": iso(row.ends_at)} for row in rows]
