"""The pages of alerts: what stands now, what was, one alert's life, and what may be done to it. Decides who may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from accounts.http import Asked, methods, page
from alerts import changes, payloads, services
from alerts.entries import AS_A_RULE, MINUTES, HistoryForm, NoteForm, SilenceHereForm
from alerts.models import Alert, Channel, Rule
from alerts.selectors import by_rank, open_alerts, with_notes
from alerts.states import OPEN, AlertState
from dpl_site.lib.db import now_ms
from dpl_site.lib.refusals import Refused
from nodes.measures import METRICS as OF_READINGS

MOST = 200
PAGE_SIZE = 50
PART = "X-Part"
"""The header by which an alert's own page asks for what changes of it."""


@methods("GET")
@page("read")
def alerts_page(request: Asked) -> HttpResponse:
    """What fires, is pending or recovers, the worst first; live where scripts run."""
    found = by_rank(with_notes(open_alerts()))
    context = {
        "alerts": [payloads.alert_detail(one) for one in found[:MOST]],
        "standing": found.count(),
        "most": MOST,
        "rules": Rule.objects.filter(is_enabled=True).count(),
        "channels": Channel.objects.filter(is_enabled=True).count(),
    }
    return render(request, "alerts/alerts.html", context | _doing(request))


@methods("GET")
@page("read")
def history_page(request: Asked) -> HttpResponse:
    """Alerts of the past and of now, newest first, each with its life."""
    form = HistoryForm(request.GET)
    rows = Alert.objects.exclude(state=AlertState.OK).filter(**form.conditions()).order_by("-id")
    found = Paginator(rows.prefetch_related("events"), PAGE_SIZE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    rest = f"{query.urlencode()}&" if query else ""
    context = {"form": form, "page": found, "rest": rest, "is_filtered": bool(form.conditions())}
    return render(request, "alerts/history.html", context)


@methods("GET")
@page("read")
def alert_page(request: Asked, alert_id: int) -> HttpResponse:
    """One alert: what it is about, its life step by step, and its figure around it where that is kept.

    The page's own script asks for its parts alone, by the header `X-Part`.
    """
    alert = get_object_or_404(with_notes(Alert.objects.select_related("rule", "node")), pk=alert_id)
    context = {
        "alert": alert,
        "told": payloads.alert_detail(alert),
        "fire_value": alert.rule.fire_value if alert.rule else alert.threshold,
        "steps": list(alert.events.order_by("id")),
        "notices": alert.notices.select_related("channel", "delivery").order_by("id")[:PAGE_SIZE],
        "has_curve": alert.metric in OF_READINGS and alert.node_id is not None,
        "is_open": alert.state in OPEN,
        "fired_s": (now_ms() - alert.fired_ms) / 1000 if alert.fired_ms else None,
    }
    template = "alerts/_one.html" if request.headers.get(PART) else "alerts/alert.html"
    return _fresh(render(request, template, context | _doing(request)))


@methods("GET", "POST")
@page("admin")
def acknowledge(request: Asked, alert_id: int) -> HttpResponse:
    """Note that one has seen it, or (field `undo`) that one has not. A GET only leads back."""
    form, is_undone = NoteForm(request.POST), "undo" in request.POST
    if request.method == "POST":
        done = _("Nobody has acknowledged it now.") if is_undone else _("Acknowledged: no more reminders.")
        with telling(request, done):
            note = form.cleaned_data["note"] if form.is_valid() else request.POST.get("note", "")
            actor = request.principal.username
            services.alert_acknowledge(alert_id=alert_id, actor=actor, note=note, is_undone=is_undone)
    return back(request, "alerts-page")


@methods("GET", "POST")
@page("admin")
def silence_here(request: Asked, alert_id: int) -> HttpResponse:
    """Silence what this alert is about. A GET only leads back."""
    alert = get_object_or_404(Alert.objects.select_related("rule", "node"), pk=alert_id)
    form = SilenceHereForm(request.POST)
    if request.method == "POST":
        with telling(request, _("Silent from now on. It is seen here still, and nobody is told.")):
            if not form.is_valid():
                raise Refused(" ".join(str(error) for errors in form.errors.values() for error in errors))
            changes.silence_make(actor=request.principal.username, values=form.told(alert))
    return back(request, "alerts-page")


def back(request: Asked, otherwise: str) -> HttpResponse:
    """To the page that the form stood on, if that is one of ours."""
    wanted = request.POST.get("next", "")
    is_ours = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return redirect(wanted if is_ours else otherwise)


@contextmanager
def telling(request: Asked, done: str) -> Iterator[None]:
    """Say on the next page that it is done, or why not."""
    try:
        yield
    except Refused as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, done)


def _fresh(response: HttpResponse) -> HttpResponse:
    """By one address come the page and its parts: neither may be taken for the other by a browser's cache."""
    response["Vary"] = f"{response.get('Vary', 'Cookie')}, {PART}"
    response["Cache-Control"] = "no-store"
    return response


def _doing(request: Asked) -> dict[str, Any]:
    """What the buttons need."""
    return {"may_change": request.principal.may("admin"), "times": MINUTES, "usual": AS_A_RULE}
