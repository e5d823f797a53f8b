"""The page of channels: how each does, what was sent, and the heartbeat. Addresses go in and never come out."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from accounts.http import Asked, methods, page
from alerts import changes, heartbeat, payloads, selectors
from alerts.forms import ChannelForm, blame
from alerts.models import Channel, Delivery
from alerts.pages import telling
from dpl_site.lib.clock import iso_ms
from dpl_site.lib.refusals import Refused

PAGE_SIZE = 30


@methods("GET", "POST")
@page("read")
def channels_page(request: Asked) -> HttpResponse:
    """GET shows them; POST makes one, which needs an admin."""
    if request.method == "POST":
        return _save(request, None)
    return _shown(request, _form())


@methods("GET", "POST")
@page("admin")
def channel_page(request: Asked, channel_id: int) -> HttpResponse:
    """One channel, to be changed."""
    channel = get_object_or_404(Channel, pk=channel_id)
    if request.method == "POST":
        return _save(request, channel)
    return _one(request, _form(channel=channel), channel)


@methods("GET", "POST")
@page("admin")
def channel_test(request: Asked, channel_id: int) -> HttpResponse:
    """Send a message now and say what came of it. A GET only leads back."""
    if request.method == "POST":
        channel = get_object_or_404(Channel, pk=channel_id)
        outcome = changes.channel_test(channel=channel)
        if outcome.is_ok:
            messages.success(request, _("%(channel)s took the message.") % {"channel": channel.name})
        else:
            said = _("%(channel)s did not take it: %(error)s")
            messages.error(request, said % {"channel": channel.name, "error": outcome.error})
    return redirect("alert-channels")


@methods("GET", "POST")
@page("admin")
def channel_remove(request: Asked, channel_id: int) -> HttpResponse:
    """Remove a channel with its messages. A GET only leads back."""
    if request.method == "POST":
        channel = get_object_or_404(Channel, pk=channel_id)
        with telling(request, _("The channel is removed.")):
            changes.channel_remove(actor=request.principal.username, channel=channel)
    return redirect("alert-channels")


@page("admin")
def _save(request: Asked, channel: Channel | None) -> HttpResponse:
    form = _form(request.POST, channel)
    if form.is_valid():
        values = {field: form.cleaned_data[field] for field in ("name", "url", *form.Meta.fields[1:])}
        if not values["url"]:
            del values["url"]
        try:
            kept = Channel.objects.get(pk=channel.pk) if channel else None
            saved = changes.channel_save(actor=request.principal.username, values=values, channel=kept)
            messages.success(request, _("%(channel)s is saved. Send it a test.") % {"channel": saved.name})
            return redirect("alert-channels")
        except Refused as refused:
            blame(form, refused)
    return _one(request, form, channel, 400) if channel else _shown(request, form, 400)


def _form(data: Any = None, channel: Channel | None = None) -> ChannelForm:
    return ChannelForm(data, instance=channel, label_suffix="")


def _one(request: Asked, form: ChannelForm, channel: Channel, status: int = 200) -> HttpResponse:
    name = Channel.objects.values_list("name", flat=True).get(pk=channel.pk)
    context = {"form": form, "channel": channel, "name": name}
    return render(request, "alerts/channel.html", context, status=status)


def _shown(request: Asked, form: ChannelForm, status: int = 200) -> HttpResponse:
    channels = Channel.objects.select_related("status").order_by("id")
    log = Paginator(selectors.deliveries(), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form if request.principal.may("admin") else None,
        "may_change": request.principal.may("admin"),
        "channels": [payloads.channel_view(one) for one in channels],
        "page": log,
        "log": [_logged(one) for one in log],
        "beat": _beat(),
    }
    return render(request, "alerts/channels.html", context, status=status)


def _logged(delivery: Delivery) -> dict[str, Any]:
    tries = [
        {"at": iso_ms(one.at_ms), "is_ok": one.is_ok, "error": one.error, "took_s": one.took_ms / 1000}
        for one in delivery.tries.all()
    ]
    return {"row": delivery, "at": iso_ms(delivery.created_ms), "tries": tries} | {
        "error": next((one["error"] for one in tries if not one["is_ok"]), ""),
        "next_at": iso_ms(delivery.next_ms) if delivery.state == "queued" else None,
    }


def _beat() -> dict[str, Any]:
    """How the heartbeat out does."""
    row = heartbeat.last_beat()
    return {
        "is_set": bool(settings.DPL_HEARTBEAT_URL),
        "ok_at": iso_ms(row.ok_ms) if row else None,
        "failing_since": iso_ms(row.failing_since_ms) if row else None,
        "error": row.error if row else "",
    }
