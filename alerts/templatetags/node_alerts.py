"""The alerts of one node, for its page: what stands, then what ended lately; its script keeps them current."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.translation import pgettext_lazy

from alerts import payloads, selectors
from alerts.states import AlertState, Severity

register = template.Library()

MOST_READ = 100
"""As many alerts of a node as the page looks back on, for its list and for the shades on its curves."""
MOST_ENDED = 10
STATES = {
    AlertState.PENDING.value: pgettext_lazy("alert", "pending"),
    AlertState.FIRING.value: pgettext_lazy("alert", "firing"),
    AlertState.RECOVERING.value: pgettext_lazy("alert", "recovering"),
    AlertState.RESOLVED.value: pgettext_lazy("alert", "resolved"),
}
SEVERITIES = {
    Severity.INFO.value: pgettext_lazy("severity", "info"),
    Severity.WARNING.value: pgettext_lazy("severity", "warning"),
    Severity.CRITICAL.value: pgettext_lazy("severity", "critical"),
}


@register.inclusion_tag("alerts/_node_alerts.html")
def node_alerts(node_id: int) -> dict[str, Any]:
    """All alerts of the node that stand, and the last that ended."""
    found = [payloads.alert_detail(one) for one in selectors.alerts_of_node(node_id)[:MOST_READ]]
    ended = [one for one in found if one["state"] == AlertState.RESOLVED]
    return {
        "alerts": [*(one for one in found if one not in ended), *ended[:MOST_ENDED]],
        "source": f"/api/v1/alerts/?node={node_id}&page_size={MOST_READ}",
        "most_ended": MOST_ENDED,
    }


@register.filter
def alert_state(value: str | None) -> str:
    """An alert's state in the reader's language."""
    return str(STATES.get(value or "", value or ""))


@register.filter
def severity(value: str | None) -> str:
    """A severity in the reader's language."""
    return str(SEVERITIES.get(value or "", value or ""))


@register.simple_tag
def alert_words() -> dict[str, dict[str, str]]:
    """The states and severities in words, for the page's script."""
    return {
        "states": {name: str(label) for name, label in STATES.items()},
        "severities": {name: str(label) for name, label in SEVERITIES.items()},
    }
