"""The rules that come with DPL: their thresholds and names. Installed once each; what people make of them stays.

A migration installs them by key. One that a person changed, switched off or removed is never touched again; a
rule of a later release comes with a migration of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from alerts import metrics
from alerts.states import Aggregation, NoData, Operator, Severity

HOUR = 3600
NAMES: Mapping[str, str | Promise] = MappingProxyType(
    {
        "node-offline": _("Node offline"),
        "cpu": _("CPU busy"),
        "memory": _("Memory nearly full"),
        "disk": _("Disk nearly full"),
        "gpu-temperature": _("GPU hot"),
        "gpu-memory": _("GPU memory full"),
        "gpu-lost": _("GPU lost"),
        "gpu-throttled": _("GPU throttled"),
        "engine-down": _("Engine down"),
        "no-resident-model": _("No resident model"),
        "queue": _("Queue too long"),
        "job-failing": _("Job failing"),
        "worker-gone": _("No worker runs"),
        "controller-silent": _("Controller silent"),
    }
)
"""The rules' names in the reader's language; a rule that a person renamed goes by the person's name."""


def shown_name(key: str, name: str) -> str:
    """A rule's name in the language that is active."""
    if key not in NAMES:
        return name
    with override("en"):
        is_ours = str(NAMES[key]) == name
    return str(NAMES[key]) if is_ours else name


def _rule(
    key: str, metric: str, operator: Operator, fire: float, clear: float, **more: Any
) -> dict[str, Any]:
    return {
        "key": key,
        "metric": metric,
        "operator": operator.value,
        "fire_value": fire,
        "clear_value": clear,
        **{name: getattr(value, "value", value) for name, value in more.items()},
    }


_UP, _DOWN = Operator.ABOVE, Operator.BELOW
_CRITICAL, _WARNING = Severity.CRITICAL, Severity.WARNING
_FIVE_MINUTES: Mapping[str, Any] = MappingProxyType({"aggregation": Aggregation.AVG, "window_s": 300})

DEFAULTS: Sequence[Mapping[str, Any]] = (
    _rule("node-offline", metrics.NODE_UP, _DOWN, 1, 1, for_s=15, keep_s=30, severity=_CRITICAL,
          no_data=NoData.KEEP, repeat_s=24 * HOUR),
    _rule("cpu", "cpu_percent", _UP, 95, 85, **_FIVE_MINUTES, for_s=600, keep_s=300, no_data=NoData.KEEP),
    _rule("memory", "memory_percent", _UP, 95, 90, for_s=300, keep_s=300, no_data=NoData.KEEP),
    _rule("disk", "filesystem_percent", _UP, 90, 85, for_s=120, keep_s=120, no_data=NoData.KEEP,
          repeat_s=24 * HOUR),
    # Cards run at 87 to 88 °C on a normal day; 85 would fire every day.
    _rule("gpu-temperature", "gpu_temperature_c", _UP, 90, 85, for_s=60, keep_s=120, no_data=NoData.KEEP),
    # An engine reserves nearly all memory of its GPU by design: only what is truly full is told.
    _rule("gpu-memory", "gpu_memory_percent", _UP, 99, 97, for_s=600, keep_s=300, severity=Severity.INFO,
          no_data=NoData.KEEP),
    _rule("gpu-lost", metrics.GPUS_LOST, Operator.AT_LEAST, 1, 1, for_s=30, keep_s=30, severity=_CRITICAL,
          no_data=NoData.KEEP, repeat_s=24 * HOUR),
    _rule("gpu-throttled", metrics.GPU_THROTTLED, Operator.AT_LEAST, 1, 1, for_s=120, keep_s=300,
          no_data=NoData.KEEP),
    _rule("engine-down", metrics.ENGINE_UP, _DOWN, 1, 1, for_s=30, keep_s=30, severity=_CRITICAL,
          repeat_s=24 * HOUR),
    _rule("no-resident-model", metrics.RESIDENT_MODELS, _DOWN, 1, 1, for_s=600, keep_s=30,
          severity=Severity.INFO),
    _rule("queue", metrics.QUEUE_WAITING, _UP, 20, 10, aggregation=Aggregation.MIN, window_s=60, for_s=0,
          keep_s=60),
    _rule("job-failing", metrics.JOB_FAILED_SHARE, _UP, 20, 10, for_s=30, keep_s=60),
    _rule("worker-gone", metrics.WORKERS, _DOWN, 1, 1, for_s=30, keep_s=15, severity=_CRITICAL,
          repeat_s=24 * HOUR),
    _rule("controller-silent", metrics.CONTROLLER_AGE_S, _UP, 20, 10, for_s=10, keep_s=10,
          severity=_CRITICAL, no_data=NoData.ALERT, repeat_s=24 * HOUR),
)  # fmt: skip


def install(rule_model: Any) -> int:
    """Make those rules that were never made, by this model of a rule; how many.

    The model may be an older one, of a migration: what it has no column for is left out.
    """
    columns = {field.name for field in rule_model._meta.get_fields()}
    made = 0
    for values in DEFAULTS:
        with override("en"):
            name = str(NAMES[values["key"]])
        if not rule_model.objects.filter(key=values["key"]).exists():
            known = {field: value for field, value in values.items() if field in columns}
            rule_model.objects.get_or_create(name=name, defaults=known)
            made += 1
    return made
