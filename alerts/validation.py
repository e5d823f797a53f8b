"""What people may enter for rules, silences and channels: each check gives the values to keep, or refuses by field."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from alerts import metrics
from alerts.outbox import MAX_NAME
from alerts.states import Aggregation, ChannelKind, NoData, Operator, Severity
from dpl_site.lib import messenger
from dpl_site.lib.clock import utc_now
from dpl_site.lib.refusals import Refused

LONGEST_WINDOW_S = 3600
"""A controller keeps windows of an hour at most."""
LONGEST_FOR_S = 7 * 86_400
LONGEST_SILENCE = timedelta(days=365)
MOST_URL = 2000
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_CHOICES = {"aggregation": Aggregation, "operator": Operator, "severity": Severity, "no_data": NoData}
_PERCENT = (0.0, 100.0)
_KINDS = {
    "mailto": ChannelKind.MAIL,
    "mailtos": ChannelKind.MAIL,
    "json": ChannelKind.WEBHOOK,
    "jsons": ChannelKind.WEBHOOK,
    "slack": ChannelKind.SLACK,
    "dingtalk": ChannelKind.DINGTALK,
    "feishu": ChannelKind.FEISHU,
    "wecombot": ChannelKind.WECOM,
    "tgram": ChannelKind.TELEGRAM,
}


def refusal(field: str, message: str, *, code: str = "invalid") -> Refused:
    """A no that is about one field."""
    return Refused(message, code=code, detail={field: [message]})


def name(text: str) -> str:
    """A name that can be shown."""
    found = text.strip()
    if not 1 <= len(found) <= MAX_NAME or _CONTROL.search(found):
        raise refusal("name", f"Give it a name of 1 to {MAX_NAME} characters on one line.")
    return found


def rule(values: Mapping[str, Any]) -> dict[str, Any]:
    """A whole rule that can fire and can end. Raises Refused, which names the field."""
    found = {**values, "name": name(values["name"])}
    for field, choices in _CHOICES.items():
        if found[field] not in set(choices):
            raise refusal(field, f"{field} is one of {', '.join(choices)}.")
    if found["metric"] not in metrics.METRICS:
        known = ", ".join(sorted(metrics.METRICS))
        raise refusal("metric", f"There is no metric {str(found['metric'])[:60]!r}. There are {known}.")
    _check_thresholds(found)
    _check_times(found)
    return found


def _check_thresholds(values: Mapping[str, Any]) -> None:
    fire, clear, operator = values["fire_value"], values["clear_value"], Operator(values["operator"])
    for field, value in (("fire_value", fire), ("clear_value", clear)):
        if not math.isfinite(value):
            raise refusal(field, f"{field} must be a finite number.")
    is_wrong_side = clear > fire if operator.looks_up else clear < fire
    if is_wrong_side:
        side = "at or below" if operator.looks_up else "at or above"
        raise refusal(
            "clear_value", f"With {operator} the clear value must be {side} the fire value, {fire:g}."
        )
    metric = metrics.METRICS[values["metric"]]
    low, high = _range(metric.name, metric.unit)
    for field, value in (("fire_value", fire), ("clear_value", clear)):
        if not low <= value <= high:
            raise refusal(
                field, f"{metric.name} lies between {low:g} and {high:g}; {value:g} is never reached."
            )
    always = operator.holds(low, fire) and operator.holds(high, fire)
    never = not operator.holds(low, fire) and not operator.holds(high, fire)
    if always or never:
        raise refusal(
            "fire_value", f"{metric.name} {operator} {fire:g} is {'always' if always else 'never'} so."
        )
    if operator.holds(low, clear) and operator.holds(high, clear):
        raise refusal("clear_value", "No value is clear of this, so the alert would never end.")


def _range(metric: str, unit: str) -> tuple[float, float]:
    """The lowest and the highest value that a metric can have."""
    if metric in metrics.SWITCHES:
        return 0.0, 1.0
    if unit == "percent":
        return _PERCENT
    return (-273.15, math.inf) if unit == "celsius" else (0.0, math.inf)


def _check_times(values: Mapping[str, Any]) -> None:
    window_s, is_last = values["window_s"], values["aggregation"] == Aggregation.LAST
    if window_s > LONGEST_WINDOW_S:
        raise refusal("window_s", f"A window is at most {LONGEST_WINDOW_S} s: that much is kept.")
    if is_last and window_s:
        raise refusal("window_s", "The last value has no window. Choose avg, min or max, or the window 0.")
    if not is_last and window_s < 1:
        raise refusal("window_s", f"{values['aggregation']} needs a window of 1 to {LONGEST_WINDOW_S} s.")
    for field in ("for_s", "keep_s", "repeat_s"):
        if not 0 <= values[field] <= LONGEST_FOR_S:
            raise refusal(field, f"{field} is a number of seconds from 0 to {LONGEST_FOR_S}.")
    if 0 < values["repeat_s"] < 60:
        raise refusal("repeat_s", "Reminders come at most once a minute: 0 (none), or 60 s and more.")


def matcher(values: Mapping[str, Any]) -> None:
    """What a scope or a silence means. Raises Refused."""
    for field in ("environment", "label", "label_value"):
        if _CONTROL.search(values.get(field) or ""):
            raise refusal(field, "This has characters in it that cannot be shown.")
    if values.get("label_value") and not values.get("label"):
        raise refusal("label", "Name the label that has this value.")


def silence(values: Mapping[str, Any]) -> None:
    """A silence: it means something, and it ends. Raises Refused."""
    matcher(values)
    if not any(values.get(field) for field in ("rule", "node", "environment", "label")):
        raise refusal("rule", "Say what is to be silent: a rule, a node, an environment or a label.")
    starts: datetime = values.get("starts_at") or utc_now()
    ends: datetime = values["ends_at"]
    if ends <= max(starts, utc_now()):
        raise refusal("ends_at", "A silence ends later than it begins, and not in the past.")
    if ends - starts > LONGEST_SILENCE:
        raise refusal("ends_at", f"A silence lasts {LONGEST_SILENCE.days} days at most.")


def channel_url(text: str) -> tuple[str, ChannelKind]:
    """An address that messages can go to, and its kind. Asks a process of its own; calls nobody. Raises Refused."""
    url = text.strip()
    if not url or len(url) > MOST_URL or _CONTROL.search(url):
        raise refusal("url", f"Give an Apprise address of at most {MOST_URL} characters on one line.")
    outcome = messenger.check(url)
    if not outcome.is_ok:
        raise refusal("url", outcome.error, code="bad_address")
    return url, _KINDS[outcome.scheme]
