"""How a host's figures are shown on the overview. `static/js/host.js` shows them alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dpl_site.templatetags.show import UNKNOWN
from inference.payloads import EngineView, GpuView, MetricsView, NodeView

register = template.Library()

UNITS = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("B", 1))
GPU_TROUBLE: dict[str, str | Promise] = {
    "absent": gettext_lazy("No GPU found"),
    "fault": gettext_lazy("No GPU figures"),
    "partial": gettext_lazy("Some GPU figures are missing"),
}
_ABSENT = ("no ", "this is no ", "there is no ")


@register.filter
def memory(told: Mapping[str, Any] | None) -> str:
    """What a machine, a GPU or the fleet has of it: `11.2 / 24.0 GiB`."""
    if not told:
        return UNKNOWN
    prefix = "memory_" if "memory_used_bytes" in told else ""
    return of(told[f"{prefix}used_bytes"], told[f"{prefix}total_bytes"])


@register.filter
def memory_share(told: Mapping[str, Any]) -> float | None:
    """How much of it is used, 0 to 100."""
    used, total = told["memory_used_bytes"], told["memory_total_bytes"]
    return 100 * used / total if used is not None and total else None


def of(used: object, total: object) -> str:
    """A part and the whole, in the unit that suits the whole."""
    known = [value for value in (total, used) if isinstance(value, int | float)]
    if not known:
        return UNKNOWN
    unit, size = next((one for one in UNITS if known[0] >= one[1]), UNITS[-1])
    return f"{_in(used, size)} / {_in(total, size)} {unit}"


@register.filter
def watts(value: object) -> str:
    """`310 W`, from ten thousand on `12.3 kW`."""
    if not isinstance(value, int | float):
        return UNKNOWN
    return f"{value / 1000:,.1f} kW" if value >= 10_000 else f"{value:,.0f} W"


@register.filter
def width(value: object) -> str:
    """How much of a gauge is full, as SVG has it."""
    return f"{min(100.0, max(0.0, value)):.0f}%" if isinstance(value, int | float) else "0%"


@register.filter
def kinds(gpus: Sequence[GpuView] | None) -> str:
    """`8 × NVIDIA GeForce RTX 4090`: which GPUs there are."""
    counted = Counter(gpu["name"] or "GPU" for gpu in gpus or ())
    return ", ".join(f"{count} × {name}" if count > 1 else name for name, count in counted.items())


@register.filter
def trouble(metrics: MetricsView | None) -> str:
    """Why there are no GPU figures, in a few words: a name in GPU_TROUBLE; the whole is `gpu_error`."""
    if not metrics or not metrics["gpu_error"]:
        return ""
    if metrics["gpus"]:
        return "partial"
    return "absent" if all(why.startswith(_ABSENT) for why in metrics["gpu_error"].split("; ")) else "fault"


@register.filter
def trouble_said(metrics: MetricsView | None) -> str:
    """The same in the reader's language."""
    return str(GPU_TROUBLE.get(trouble(metrics), ""))


@register.filter
def resident(node: NodeView | None) -> list[str]:
    """The models in memory on a host."""
    engines: list[EngineView] = node["engines"] if node else []
    return sorted({model["name"] for engine in engines for model in engine["models"] if model["resident"]})


@register.filter
def on_disk(node: NodeView | None) -> int:
    """How many further models it has."""
    return len(set(node["models"]) - set(resident(node))) if node else 0


@register.filter
def may_unlock(node: NodeView | None, me: Mapping[str, Any]) -> bool:
    """Whether this reader may free it: of his own lock, an admin of anybody's, nobody of the machine's own."""
    lock = node["lock"] if node else None
    if lock is None or lock["by"] == "agent":
        return False
    return bool(me["is_admin"]) or (lock["by"] == "person" and lock["owner"] == me["name"])


@register.simple_tag
def host_words() -> dict[str, Any]:
    """What the overview's scripts say."""
    return {
        "gpu_trouble": {name: str(label) for name, label in GPU_TROUBLE.items()},
        "none": _("without one"),
        "online_of": _("{online} of {all} online"),
        "shown_of": _("{shown} of {all} hosts"),
        "refreshed": _("Refreshed."),
        "lock": _("Lock {name}"),
        "cpu_curves": _("CPU of each host over the last five minutes"),
        "gpu_curves": _("GPU use of each host over the last five minutes"),
    }


def _in(value: object, size: int) -> str:
    if not isinstance(value, int | float):
        return UNKNOWN
    return f"{value:,.0f}" if size == 1 else f"{value / size:,.1f}"
