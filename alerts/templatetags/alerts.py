"""Alerts in pages: the bell above each, and words, values and lives of alerts as their own pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from alerts import lives, words
from alerts.defaults import shown_name
from alerts.metrics import METRICS
from alerts.models import Alert, Rule, RuleScope, Silence
from alerts.selectors import summary
from dpl_site.lib.clock import iso_ms
from dpl_site.lib.db import now_ms
from dpl_site.templatetags.show import words as words_of_the_page

register = template.Library()
register.filter("muted", words.muted)
register.filter("condition", words.condition)
register.filter("place", words.place)


@register.inclusion_tag("alerts/_bell.html")
def bell() -> Mapping[str, Any]:
    """How many alerts fire, on every page; its script keeps it up to date."""
    now = summary()
    label = _("Alerts firing: {count}")
    return {"summary": now, "label": label, "said": label.replace("{count}", str(now["firing"]))}


@register.filter
def severity(value: str) -> str:
    """A severity's name."""
    return words.called(words.SEVERITIES, value)


@register.filter
def alert_state(value: str) -> str:
    """The name of a state of an alert, or of what was done to it."""
    return words.called(words.STATES, value)


@register.filter
def delivery(value: str) -> str:
    """The name of what became of a message."""
    return words.called(words.DELIVERIES, value)


@register.filter
def kind(value: str) -> str:
    """The name of a channel's kind."""
    return words.called(words.KINDS, value)


@register.filter
def metric(value: str) -> str:
    """A metric's name."""
    return words.called(words.METRICS, value)


@register.filter
def reading(value: float | None, of: str) -> str:
    """A value of this metric."""
    return words.reading(value, of)


@register.filter
def value(alert: Mapping[str, Any] | None) -> str:
    """What an alert's figure was; nothing without an alert, for the script to fill."""
    return words.reading(alert["value"], alert["metric"]) if alert else ""


@register.filter
def threshold(alert: Mapping[str, Any] | None) -> str:
    """What an alert's figure is held against; nothing for what is either up or down."""
    if alert is None or alert["metric"] in words.SWITCHES:
        return ""
    return words.reading(alert["threshold"], alert["metric"])


@register.filter
def scopes(rule: Rule) -> list[str]:
    """Where a rule looks; nothing: everywhere."""
    found: list[RuleScope] = list(rule.scopes.all())
    return [words.place(scope) for scope in found]


@register.filter
def epoch(at_ms: int | None) -> str:
    """Epoch milliseconds as an instant that `moment` takes."""
    return iso_ms(at_ms) or ""


@register.filter
def lasted(alert: Alert) -> float:
    """How long an alert has stood or stood, in seconds, from when its condition began to hold."""
    return ((alert.resolved_ms or now_ms()) - alert.began_ms) / 1000


@register.filter
def alert_name(alert: Alert) -> str:
    """The name of an alert's rule, in the reader's language where it came with DPL."""
    return shown_name(alert.rule_key, alert.rule_name)


@register.filter
def silenced(silence: Silence) -> str:
    """What a silence means."""
    return words.silenced(silence)


@register.filter
def rule_name(rule: Rule) -> str:
    """A rule's name; one that came with DPL has it in the reader's language."""
    return shown_name(rule.key, rule.name)


@register.inclusion_tag("alerts/_life.html")
def life(alert: Any) -> Mapping[str, Any]:
    """An alert's life as a bar: how long it was in which state."""
    return {"parts": lives.parts(alert)}


@register.simple_tag
def rule_words() -> dict[str, Any]:
    """The sentences that say what a rule means: `static/js/rule_words.js` puts them together."""
    return {
        "fires": _("It fires ({severity}), {where}, once {figure} {is}{time}."),
        "everywhere": _("anywhere"),
        "window": _("{figure} ({aggregation}, {time})"),
        "is": {
            ">": _("is above"),
            ">=": _("is at or above"),
            "<": _("is below"),
            "<=": _("is at or below"),
        },
        "state": _("is: {state}"),
        "lasting": _(" for {time}"),
        "ends": _("It ends once {back}{time}."),
        "no_more": _("that is so no more"),
        "down_to": _("the value is down to {value}"),
        "up_to": _("the value is up to {value}"),
        "no_data": _("Without data: {what}."),
        "repeats": _("It reminds every {time} until somebody acknowledges."),
        "gap": pgettext("between sentences", " "),
    }


@register.simple_tag
def alert_words(**more: Any) -> SafeString:
    """What the scripts of these pages say."""
    return words_of_the_page(
        metrics={
            name: {"name": words.called(words.METRICS, name), "unit": one.unit}
            for name, one in METRICS.items()
        },
        switches={name: [str(low), str(high)] for name, (low, high) in words.SWITCHES.items()},
        severities={name: str(label) for name, label in words.SEVERITIES.items()},
        alert_states={name: str(label) for name, label in words.STATES.items()},
        muted_node=_("its node is down"),
        muted_silence=_("silence %(id)s of %(author)s"),
        **more,
    )
