"""How values are shown on pages: instants, sizes, shares, durations, states. `static/js/show.js` shows them alike.

What is unknown is shown as a dash, never as 0; so is what a template leaves empty for the script to fill.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

register = template.Library()

UNKNOWN = "–"
STATES = {
    "online": pgettext_lazy("state", "online"),
    "degraded": pgettext_lazy("state", "degraded"),
    "offline": pgettext_lazy("state", "offline"),
    "unknown": pgettext_lazy("state", "unknown"),
    "importing": pgettext_lazy("state", "importing"),
    "queued": pgettext_lazy("state", "queued"),
    "running": pgettext_lazy("state", "running"),
    "stopping": pgettext_lazy("state", "stopping"),
    "stopped": pgettext_lazy("state", "stopped"),
    "completed": pgettext_lazy("state", "completed"),
    "failed": pgettext_lazy("state", "failed"),
}
_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


@register.filter
def state(value: str | None) -> str:
    """A state's name in the reader's language."""
    return str(STATES.get(value or "", value or ""))


@register.filter
def moment(value: str | None, hook: str = "") -> SafeString:
    """An instant (ISO 8601) as a `<time>` in UTC, which the page's script turns into the reader's zone."""
    known = datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%S UTC") if value else ""
    return format_html('<time data-f="{}" datetime="{}">{}</time>', hook, value or "", known)


@register.filter
def size(value: object) -> str:
    """Bytes in the unit that suits: `6.1 GiB`."""
    if not isinstance(value, int | float):
        return UNKNOWN
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{_decimals(value, 0 if unit == 'B' else 1)} {unit}"
        value /= 1024
    return f"{_decimals(value, 1)} TiB"


@register.filter
def percent(value: object) -> str:
    """0 to 100 as `42 %`."""
    return f"{_decimals(value, 0)} %" if isinstance(value, int | float) else UNKNOWN


@register.filter
def share(value: object) -> str:
    """0 to 1 as `42.0 %`."""
    return f"{_decimals(value * 100, 1)} %" if isinstance(value, int | float) else UNKNOWN


@register.filter
def heat(value: object) -> str:
    """Degrees Celsius as `61 °C`."""
    return f"{_decimals(value, 0)} °C" if isinstance(value, int | float) else UNKNOWN


@register.filter
def number(value: object, decimals: int = 0) -> str:
    """A number with separators between thousands."""
    return _decimals(value, decimals) if isinstance(value, int | float) else UNKNOWN


@register.filter
def duration(seconds: object) -> str:
    """A duration in its two largest units: `1h 05m`, `3m 20s`; short ones as `0.4s`."""
    if not isinstance(seconds, int | float):
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit_s, unit, below_s, below in _UNITS:
        if whole >= unit_s:
            return f"{whole // unit_s}{unit} {whole % unit_s // below_s:02d}{below}"
    return f"{whole}s"


@register.simple_tag
def words(**more: Any) -> SafeString:
    """What the page's scripts say, in the reader's language, as JSON in the page."""
    known = {
        "live": _("Live"),
        "connecting": _("Connecting…"),
        "polling": _("Live updates are interrupted. Asking every few seconds instead."),
        "away": _("The server does not answer. Trying again…"),
        "out": _("You are logged out. Reload the page to log in."),
        "gone": _("This is not there any more. Reload the page."),
        "time": _("Time"),
        "copied": _("Copied"),
        "not_copied": _("Copying is not possible here. It is selected: press Ctrl+C."),
        "states": {name: str(label) for name, label in STATES.items()},
    }
    return json_script(known | more, "words")


def _decimals(value: float, decimals: int) -> str:
    # English and Chinese write numbers alike.
    return f"{value:,.{decimals}f}"
