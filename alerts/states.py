"""The life of an alert, and the words that a rule is made of, as data. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType

from dpl_site.lib.choices import Choices


class AlertState(Choices):
    """ok: watched; pending: over, not for long enough; recovering: clear, not for long enough; resolved: the end."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"
    RESOLVED = "resolved"


ALERT_MOVES: Mapping[AlertState, frozenset[AlertState]] = MappingProxyType(
    {
        AlertState.OK: frozenset({AlertState.PENDING, AlertState.FIRING}),
        AlertState.PENDING: frozenset({AlertState.OK, AlertState.FIRING}),
        AlertState.FIRING: frozenset({AlertState.RECOVERING, AlertState.RESOLVED}),
        AlertState.RECOVERING: frozenset({AlertState.FIRING, AlertState.RESOLVED}),
        AlertState.RESOLVED: frozenset(),
    }
)
OPEN = (AlertState.PENDING, AlertState.FIRING, AlertState.RECOVERING)
"""What `GET /api/alerts` shows."""
RAISED = (AlertState.FIRING, AlertState.RECOVERING)
"""What people are told of: a pending alert may still come to nothing."""


class Severity(Choices):
    """In rising order."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its place in the order."""
        return tuple(Severity).index(self)


class Aggregation(Choices):
    """What one value is made of those within a rule's window; `last` needs no window."""

    LAST = "last"
    AVG = "avg"
    MIN = "min"
    MAX = "max"


class Operator(Choices):
    """How a value is compared with a threshold."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="

    @property
    def looks_up(self) -> bool:
        """Whether large values are the bad ones."""
        return self in (Operator.ABOVE, Operator.AT_LEAST)

    def holds(self, value: float, threshold: float) -> bool:
        """`value > threshold`, or as the operator says."""
        return COMPARE[self](value, threshold)


COMPARE: Mapping[Operator, Callable[[float, float], bool]] = MappingProxyType(
    {
        Operator.ABOVE: operator.gt,
        Operator.AT_LEAST: operator.ge,
        Operator.BELOW: operator.lt,
        Operator.AT_MOST: operator.le,
    }
)
"""What each operator does."""


class NoData(Choices):
    """What no data means: all is well, the rule fires, or everything stays as it is."""

    OK = "ok"
    ALERT = "alert"
    KEEP = "keep"


class ChannelKind(Choices):
    """Where messages go."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    SLACK = "slack"
    DINGTALK = "dingtalk"
    FEISHU = "feishu"
    WECOM = "wecom"
    TELEGRAM = "telegram"


class DeliveryState(Choices):
    """queued: waits for its next try; sent: taken by the channel; expired: given up; dropped: its channel is gone."""

    QUEUED = "queued"
    SENT = "sent"
    EXPIRED = "expired"
    DROPPED = "dropped"


class NoticeKind(Choices):
    """What a message says of an alert."""

    FIRING = "firing"
    REPEAT = "repeat"
    RESOLVED = "resolved"
