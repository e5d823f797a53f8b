"""What the words of alerts are called on pages, in the reader's language: metrics, states, severities, durations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from alerts import metrics
from alerts.defaults import shown_name
from alerts.models import Rule, RuleScope, Silence
from alerts.states import Aggregation

Named = Mapping[str, str | Promise]

METRICS: Named = MappingProxyType(
    {
        "cpu_percent": gettext_lazy("CPU"),
        "cpu_temperature_c": gettext_lazy("CPU temperature"),
        "load1": gettext_lazy("Load of the last minute"),
        "memory_percent": gettext_lazy("Memory"),
        "memory_used_bytes": gettext_lazy("Memory in use"),
        "swap_percent": gettext_lazy("Swap"),
        "net_rx_mbps": gettext_lazy("Network in"),
        "net_tx_mbps": gettext_lazy("Network out"),
        "disk_read_mb_s": gettext_lazy("Disk read"),
        "disk_write_mb_s": gettext_lazy("Disk write"),
        "gpu_utilization_percent": gettext_lazy("GPU utilisation"),
        "gpu_memory_percent": gettext_lazy("GPU memory"),
        "gpu_memory_used_bytes": gettext_lazy("GPU memory in use"),
        "gpu_temperature_c": gettext_lazy("GPU temperature"),
        "gpu_power_w": gettext_lazy("GPU power"),
        "filesystem_percent": gettext_lazy("Filesystem"),
        metrics.NODE_UP: gettext_lazy("State of the node"),
        metrics.AGENT_UP: gettext_lazy("State of the agent"),
        metrics.ENGINE_UP: gettext_lazy("State of the engine"),
        metrics.RESIDENT_MODELS: gettext_lazy("Resident models"),
        metrics.GPU_COUNT: gettext_lazy("Number of GPUs"),
        metrics.GPUS_LOST: gettext_lazy("GPUs lost"),
        metrics.GPU_THROTTLED: gettext_lazy("Throttling of the GPU"),
        metrics.GPU_ECC_UNCORRECTED: gettext_lazy("Uncorrected memory errors of a GPU"),
        metrics.CLOCK_SKEW_S: gettext_lazy("Clock skew"),
        metrics.QUEUE_WAITING: gettext_lazy("Requests that wait"),
        metrics.JOB_FAILED_SHARE: gettext_lazy("Failed items of a job"),
        metrics.WORKERS: gettext_lazy("Workers"),
        metrics.CONTROLLER_AGE_S: gettext_lazy("Time since a controller led"),
    }
)
OWNERS: Named = MappingProxyType(
    {
        "node": gettext_lazy("Of a node"),
        "gpu": gettext_lazy("Of each GPU"),
        "filesystem": gettext_lazy("Of each filesystem"),
        "engine": gettext_lazy("Of each engine"),
        "job": gettext_lazy("Of each running job"),
        "site": gettext_lazy("Of the installation"),
    }
)
"""What has a metric, in the order in which it is offered."""
UNITS: Named = MappingProxyType({"percent": "%", "celsius": "°C", "watts": "W", "seconds": "s"})
SEVERITIES: Named = MappingProxyType(
    {
        "critical": pgettext_lazy("severity", "critical"),
        "warning": pgettext_lazy("severity", "warning"),
        "info": pgettext_lazy("severity", "info"),
    }
)
STATES: Named = MappingProxyType(
    {
        "ok": pgettext_lazy("alert", "came to nothing"),
        "pending": pgettext_lazy("alert", "pending"),
        "firing": pgettext_lazy("alert", "firing"),
        "recovering": pgettext_lazy("alert", "recovering"),
        "resolved": pgettext_lazy("alert", "resolved"),
        "acknowledged": pgettext_lazy("alert", "acknowledged"),
        "unacknowledged": pgettext_lazy("alert", "acknowledgement taken back"),
    }
)
"""States of an alert, and what people do to one."""
AGGREGATIONS: Named = MappingProxyType(
    {
        "last": gettext_lazy("the latest value"),
        "avg": gettext_lazy("average over the window"),
        "min": gettext_lazy("lowest of the window"),
        "max": gettext_lazy("highest of the window"),
    }
)
OPERATORS: Named = MappingProxyType(
    {
        ">": gettext_lazy("> above"),
        ">=": gettext_lazy("≥ at or above"),
        "<": gettext_lazy("< below"),
        "<=": gettext_lazy("≤ at or below"),
    }
)
NO_DATA: Named = MappingProxyType(
    {
        "ok": gettext_lazy("all is well"),
        "alert": gettext_lazy("it fires"),
        "keep": gettext_lazy("everything stays as it is"),
    }
)
KINDS: Named = MappingProxyType(
    {
        "mail": gettext_lazy("Mail"),
        "webhook": gettext_lazy("Webhook"),
        "slack": "Slack",
        "dingtalk": gettext_lazy("DingTalk"),
        "feishu": gettext_lazy("Feishu"),
        "wecom": gettext_lazy("WeCom"),
        "telegram": "Telegram",
    }
)
DELIVERIES: Named = MappingProxyType(
    {
        "queued": pgettext_lazy("message", "waits"),
        "sent": pgettext_lazy("message", "sent"),
        "expired": pgettext_lazy("message", "given up"),
        "dropped": pgettext_lazy("message", "dropped"),
    }
)
SWITCHES: Mapping[str, tuple[str | Promise, str | Promise]] = MappingProxyType(
    {
        metrics.NODE_UP: (pgettext_lazy("node", "down"), pgettext_lazy("node", "up")),
        metrics.AGENT_UP: (pgettext_lazy("agent", "silent"), pgettext_lazy("agent", "answers")),
        metrics.ENGINE_UP: (pgettext_lazy("engine", "down"), pgettext_lazy("engine", "up")),
        metrics.GPU_THROTTLED: (pgettext_lazy("GPU", "not throttled"), pgettext_lazy("GPU", "throttled")),
    }
)
"""What 0 and 1 mean for figures that have no other value."""
_SILENCE = re.compile(r"silence (\d+) of (.*)", re.S)


def called(names: Named, key: str) -> str:
    """The name of a word; one that is unknown says so itself."""
    return str(names.get(key, key))


def reading(value: float | None, metric: str) -> str:
    """A value for people: `93 °C`, `down`. `static/js/reading.js` says it alike."""
    if value is not None and metric in SWITCHES:
        return str(SWITCHES[metric][value >= 1])
    return metrics.shown(metric, value)


def muted(why: str) -> str:
    """Why nobody is told of an alert."""
    found = _SILENCE.fullmatch(why)
    if found:
        return _("silence %(id)s of %(author)s") % {"id": found[1], "author": found[2]}
    return _("its node is down") if why == "its node is down" else why


def condition(rule: Rule) -> str:
    """When a rule fires, in a line."""
    value = reading(rule.fire_value, rule.metric)
    about = called(METRICS, rule.metric)
    test = f"{about}: {value}" if rule.metric in SWITCHES else f"{about} {rule.operator} {value}"
    if rule.metric in SWITCHES and rule.operator in ("<", "<="):
        test = f"{about}: {reading(0, rule.metric)}"
    if rule.aggregation == Aggregation.LAST:
        return test
    return f"{test} ({called(AGGREGATIONS, rule.aggregation)}, {rule.window_s} s)"


def silenced(silence: Silence) -> str:
    """What a silence means: its rule, and where."""
    rule = [shown_name(silence.rule.key, silence.rule.name)] if silence.rule else []
    where = place(silence)
    return " · ".join([*rule, *([where] if where else [])])


def place(scope: RuleScope | Silence) -> str:
    """Where one scope of a rule looks, or a silence is."""
    parts = [scope.node.name] if scope.node else []
    if scope.environment:
        parts.append(_("environment %(name)s") % {"name": scope.environment})
    if scope.label:
        parts.append(f"{scope.label}={scope.label_value or '*'}")
    return " + ".join(parts)
