"""A node's page in words: why an engine gets no requests, how the scheduler orders engines, how a request ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from inference import node_details, standing
from inference.records import CANCELLED, OK

register = template.Library()

CLOCK_SKEW_S = 5.0
"""A clock that is further off is pointed out."""
OBSTACLES = {
    standing.OFFLINE: _("It does not answer."),
    standing.LOCKED: _("The node is locked."),
    standing.BREAKER: _(
        "Requests failed there, so it is spared; one at a time may try it until one succeeds."
    ),
    standing.NO_SLOTS: _("It has no slots. Give it some in the admin."),
    standing.NO_MODEL: _("It has no model. Load one on its machine."),
    node_details.DISABLED: _("It is switched off in the admin."),
    node_details.NOT_ASKED: _("It has not been asked yet."),
}
POLICIES = {
    "expected_finish": _(
        "The engine that would be done first comes first: measured seconds per request, longer with each request "
        "in flight, and the time to load the model where it is not in memory."
    ),
    "least_load": _("The engine with the smallest share of busy slots comes first."),
    "round_robin": _("The engines take turns."),
}
OUTCOMES = {OK: pgettext_lazy("outcome", "done"), CANCELLED: pgettext_lazy("outcome", "cancelled")}


@register.filter
def hook(value: object, name: str) -> SafeString:
    """A value where the page's script finds it by this name, for within sentences."""
    return format_html('<span data-f="{}">{}</span>', name, value)


@register.filter
def obstacle(code: str | None) -> str:
    """Why an engine gets no requests; an unknown code says so itself."""
    return str(OBSTACLES.get(code or "", code or ""))


@register.filter
def policy(name: str) -> str:
    """How the scheduler orders engines."""
    return str(POLICIES.get(name, name))


@register.filter
def outcome(code: str | None) -> str:
    """How a request ended: done, cancelled, or the code of its error as it is."""
    return str(OUTCOMES.get(code or "", code or ""))


@register.filter
def is_skewed(seconds: float | None) -> bool:
    """Whether a clock is so far off that it should be put right."""
    return seconds is not None and abs(seconds) > CLOCK_SKEW_S


@register.filter
def processes(machine: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What runs on all GPUs of a machine, each with the GPU's index."""
    gpus = machine["gpus"] if machine else ()
    return [{**process, "gpu": gpu["index"]} for gpu in gpus for process in gpu["processes"]]


@register.simple_tag
def node_words() -> dict[str, Any]:
    """What the page's scripts say besides the words of every page."""
    return {
        "obstacles": {code: str(text) for code, text in OBSTACLES.items()},
        "outcomes": {code: str(text) for code, text in OUTCOMES.items()},
        "skew_limit_s": CLOCK_SKEW_S,
        "curves": {
            "cpu_percent": str(_("CPU")),
            "memory_percent": str(_("Memory")),
            "swap_percent": str(_("Swap")),
            "net_rx_mbps": str(pgettext_lazy("traffic", "in")),
            "net_tx_mbps": str(pgettext_lazy("traffic", "out")),
            "disk_read_mb_s": str(pgettext_lazy("traffic", "read")),
            "disk_write_mb_s": str(pgettext_lazy("traffic", "written")),
        },
        "no_curves": str(_("The curves could not be loaded. Trying again…")),
        "model_loading": str(_("{model} is being loaded. This may take minutes.")),
        "model_resident": str(_("{model} is in memory.")),
        "model_unloaded": str(_("{model} is unloaded.")),
        "asking": str(_("Asking…")),
    }
