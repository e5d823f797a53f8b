"""What people may enter for rules, silences and channels: each check gives the values to keep, or refuses by field."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

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
MOST_NOTE = 300
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
        raise refusal(
            "name", _("Give it a name of 1 to %(most)d characters on one line.") % {"most": MAX_NAME}
        )
    return found


def note(text: str) -> str:
    """What somebody says about an alert. Raises Refused."""
    found = text.strip()
    if len(found) > MOST_NOTE or _CONTROL.search(found):
        raise refusal("note", _("A note has at most %(most)d characters on one line.") % {"most": MOST_NOTE})
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
            raise refusal(field, _("This must be a finite number."))
    is_wrong_side = clear > fire if operator.looks_up else clear < fire
    if is_wrong_side:
        if operator.looks_up:
            wrong = _("With %(operator)s the clear value must be at or below the fire value, %(fire)s.")
        else:
            wrong = _("With %(operator)s the clear value must be at or above the fire value, %(fire)s.")
        raise refusal("clear_value", wrong % {"operator": operator.value, "fire": f"{fire:g}"})
    metric = metrics.METRICS[values["metric"]]
    low, high = _range(metric.name, metric.unit)
    for field, value in (("fire_value", fire), ("clear_value", clear)):
        if not low <= value <= high:
            wrong = _("%(metric)s lies between %(low)s and %(high)s; %(value)s is never reached.")
            told = {"metric": metric.name, "low": f"{low:g}", "high": f"{high:g}", "value": f"{value:g}"}
            raise refusal(field, wrong % told)
    always = operator.holds(low, fire) and operator.holds(high, fire)
    never = not operator.holds(low, fire) and not operator.holds(high, fire)
    if always or never:
        wrong = _("%(test)s is always so.") if always else _("%(test)s is never so.")
        raise refusal("fire_value", wrong % {"test": f"{metric.name} {operator} {fire:g}"})
    if operator.holds(low, clear) and operator.holds(high, clear):
        raise refusal("clear_value", _("No value is clear of this, so the alert would never end."))


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
        wrong = _("A window is at most %(most)d s: that much is kept.")
        raise refusal("window_s", wrong % {"most": LONGEST_WINDOW_S})
    if is_last and window_s:
        wrong = _("The last value has no window. Choose avg, min or max, or the window 0.")
        raise refusal("window_s", wrong)
    if not is_last and window_s < 1:
        wrong = _("%(aggregation)s needs a window of 1 to %(most)d s.")
        told = {"aggregation": str(values["aggregation"]), "most": LONGEST_WINDOW_S}
        raise refusal("window_s", wrong % told)
    for field in ("for_s", "keep_s", "repeat_s"):
        if not 0 <= values[field] <= LONGEST_FOR_S:
            wrong = _("%(field)s is a number of seconds from 0 to %(most)d.")
            raise refusal(field, wrong % {"field": field, "most": LONGEST_FOR_S})
    if 0 < values["repeat_s"] < 60:
        wrong = _("Reminders come at most once a minute: 0 (none), or 60 s and more.")
        raise refusal("repeat_s", wrong)


def matcher(values: Mapping[str, Any]) -> None:
    """What a scope or a silence means. Raises Refused."""
    for field in ("environment", "label", "label_value"):
        if _CONTROL.search(values.get(field) or ""):
            raise refusal(field, _("This has characters in it that cannot be shown."))
    if values.get("label_value") and not values.get("label"):
        raise refusal("label", _("Name the label that has this value."))


def silence(values: Mapping[str, Any]) -> None:
    """A silence: it means something, and it ends. Raises Refused."""
    matcher(values)
    if not any(values.get(field) for field in ("rule", "node", "environment", "label")):
        wrong = _("Say what is to be silent: a rule, a node, an environment or a label.")
        raise refusal("rule", wrong)
    starts: datetime = values.get("starts_at") or utc_now()
    ends: datetime = values["ends_at"]
    if ends <= max(starts, utc_now()):
        raise refusal("ends_at", _("A silence ends later than it begins, and not in the past."))
    if ends - starts > LONGEST_SILENCE:
        wrong = _("A silence lasts %(days)d days at most.")
        raise refusal("ends_at", wrong % {"days": LONGEST_SILENCE.days})


def channel_url(text: str) -> tuple[str, ChannelKind]:
    """An address that messages can go to, and its kind. Asks a process of its own; calls nobody. Raises Refused."""
    url = text.strip()
    if not url or len(url) > MOST_URL or _CONTROL.search(url):
        wrong = _("Give an Apprise address of at most %(most)d characters on one line.")
        raise refusal("url", wrong % {"most": MOST_URL})
    outcome = messenger.check(url)
    if not outcome.is_ok:
        raise refusal("url", outcome.error, code="bad_address")
    return url, _KINDS[outcome.scheme]
