"""What the REST surface of alerts takes and gives. Values are checked by `validation`."""

from __future__ import annotations

import math
from typing import Any

from rest_framework import serializers

from alerts.models import Channel, Rule
from alerts.states import Aggregation, AlertState, ChannelKind, NoData, Operator, Severity
from nodes.models import Node

MOST_VALUES = 20_000


class Number(serializers.FloatField):
    """A finite number: JSON's own readers let NaN through."""

    def to_internal_value(self, data: Any) -> float:
        """The number. Raises ValidationError."""
        value = super().to_internal_value(data)
        if not math.isfinite(value):
            raise serializers.ValidationError("This must be a finite number.")
        return value


class ScopeField(serializers.Serializer[None]):
    """Where a rule looks, or what a silence means: all that is given must fit."""

    node = serializers.PrimaryKeyRelatedField(
        queryset=Node.objects.filter(archived_at__isnull=True), required=False, allow_null=True
    )
    environment = serializers.CharField(required=False, allow_blank=True, max_length=50)
    label = serializers.CharField(required=False, allow_blank=True, max_length=200)  # type: ignore[assignment]  # a field of this name
    label_value = serializers.CharField(required=False, allow_blank=True, max_length=200)


class RuleEntry(serializers.Serializer[None]):
    """A rule; what is left out of a new one is as usual."""

    name = serializers.CharField(max_length=100)
    enabled = serializers.BooleanField(required=False, source="is_enabled")
    metric = serializers.CharField(max_length=100)
    aggregation = serializers.ChoiceField(choices=Aggregation.pairs(), required=False)
    window_s = serializers.IntegerField(required=False, min_value=0, help_text="At most 3600; 0 with last.")
    operator = serializers.ChoiceField(choices=Operator.pairs(), required=False)
    fire_value = Number()
    clear_value = Number(required=False, help_text="At the fire value, or on its good side.")
    for_s = serializers.IntegerField(required=False, min_value=0)
    keep_s = serializers.IntegerField(required=False, min_value=0)
    severity = serializers.ChoiceField(choices=Severity.pairs(), required=False)
    no_data = serializers.ChoiceField(choices=NoData.pairs(), required=False)
    repeat_s = serializers.IntegerField(required=False, min_value=0)
    scopes = ScopeField(many=True, required=False)


class ScopeOut(serializers.Serializer[Any]):
    """Where a rule looks."""

    node = serializers.IntegerField(allow_null=True)
    environment = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of this name
    label_value = serializers.CharField()


class RuleOut(serializers.Serializer[Rule]):
    """A rule."""

    id = serializers.IntegerField()
    key = serializers.CharField(allow_null=True, help_text="Of a rule that came with DPL.")
    name = serializers.CharField()
    enabled = serializers.BooleanField()
    metric = serializers.CharField()
    aggregation = serializers.ChoiceField(choices=Aggregation.pairs())
    window_s = serializers.IntegerField()
    operator = serializers.ChoiceField(choices=Operator.pairs())
    fire_value = serializers.FloatField()
    clear_value = serializers.FloatField()
    for_s = serializers.IntegerField()
    keep_s = serializers.IntegerField()
    severity = serializers.ChoiceField(choices=Severity.pairs())
    no_data = serializers.ChoiceField(choices=NoData.pairs())
    repeat_s = serializers.IntegerField()
    scopes = ScopeOut(many=True)


class PreviewEntry(RuleEntry):
    """A rule, and the values to run it over: (epoch milliseconds, value or null), oldest first.

    Without values it is run over the history of the last `days`.
    """

    name = serializers.CharField(max_length=100, required=False, default="preview")
    samples = serializers.ListField(
        child=serializers.ListField(
            child=serializers.FloatField(allow_null=True), min_length=2, max_length=2
        ),
        max_length=MOST_VALUES,
        required=False,
    )
    days = serializers.IntegerField(min_value=1, max_value=30, default=7)
    curves = serializers.BooleanField(default=False, help_text="With the values that it was run over.")


class EpisodeOut(serializers.Serializer[None]):
    """One alert that there would have been."""

    began_at = serializers.DateTimeField()
    fired_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    worst = serializers.FloatField(allow_null=True)
    node = serializers.DictField(allow_null=True, help_text="Its id and name, where it was a node's history.")
    subject = serializers.CharField()


class PastCurveOut(serializers.Serializer[None]):
    """What a rule looked at: one figure of one node, at the preview's times."""

    node = serializers.DictField()
    subject = serializers.CharField()
    fired = serializers.IntegerField()
    values = serializers.ListField(child=serializers.FloatField(allow_null=True))


class PreviewOut(serializers.Serializer[None]):
    """When a rule would have fired. The rest is there when `curves` was asked for."""

    episodes = EpisodeOut(many=True)
    fired = serializers.IntegerField()
    has_history = serializers.BooleanField(required=False, help_text="Whether this metric is kept at all.")
    watched = serializers.IntegerField(required=False, help_text="How many figures it looked at.")
    left_out = serializers.IntegerField(
        required=False, help_text="Those of them that were too many to judge."
    )
    t = serializers.ListField(child=serializers.IntegerField(), required=False, help_text="Epoch ms.")
    curves = PastCurveOut(many=True, required=False, help_text="The few that it would have fired most on.")


class NodeRefOut(serializers.Serializer[None]):
    """A node by id and name."""

    id = serializers.IntegerField()
    name = serializers.CharField()


class AlertOut(serializers.Serializer[Any]):
    """An alert."""

    id = serializers.IntegerField()
    rule = serializers.CharField()
    severity = serializers.ChoiceField(choices=Severity.pairs())
    state = serializers.ChoiceField(choices=AlertState.pairs())
    node = NodeRefOut(allow_null=True)
    subject = serializers.CharField()
    metric = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField()
    since = serializers.DateTimeField()
    message = serializers.CharField()
    acknowledged_by = serializers.CharField(allow_null=True)
    rule_id = serializers.IntegerField(allow_null=True)
    state_since = serializers.DateTimeField()
    fired_at = serializers.DateTimeField(allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True)
    duration_s = serializers.FloatField(allow_null=True)
    muted_by = serializers.CharField(allow_null=True)
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledged_note = serializers.CharField(allow_null=True)


class AcknowledgeEntry(serializers.Serializer[None]):
    """What one says about an alert that one has seen."""

    note = serializers.CharField(required=False, allow_blank=True, max_length=300)


class SummaryOut(serializers.Serializer[Any]):
    """What stands, in a few numbers."""

    firing = serializers.IntegerField(help_text="Those that recover too.")
    pending = serializers.IntegerField()
    worst = serializers.ChoiceField(choices=Severity.pairs(), allow_null=True)
    raised = serializers.ListField(child=serializers.IntegerField(), help_text="Ids of the newest that fire.")
    version = serializers.IntegerField(help_text="Rises with whatever happens to an alert.")


class EventOut(serializers.Serializer[Any]):
    """One step of an alert; `from` and `to` are states."""

    id = serializers.IntegerField()
    alert = serializers.IntegerField()
    at = serializers.DateTimeField()
    action = serializers.ChoiceField(choices=["transition", "acknowledged", "unacknowledged"])
    to = serializers.CharField(allow_null=True)
    value = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField(allow_null=True)
    duration_s = serializers.FloatField(allow_null=True)
    reason = serializers.CharField()
    actor = serializers.CharField(allow_null=True)


EventOut._declared_fields["from"] = serializers.CharField(allow_null=True)  # a keyword in Python


class SilenceEntry(ScopeField):
    """What is to be silent, and until when."""

    rule = serializers.PrimaryKeyRelatedField(queryset=Rule.objects.all(), required=False, allow_null=True)
    starts_at = serializers.DateTimeField(required=False)
    ends_at = serializers.DateTimeField()
    comment = serializers.CharField(required=False, allow_blank=True, max_length=300)


class SilenceOut(ScopeOut):
    """A silence."""

    id = serializers.IntegerField()
    rule = serializers.IntegerField(allow_null=True)
    author = serializers.CharField()
    comment = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    ended_by = serializers.CharField(allow_null=True)


class ChannelEntry(serializers.Serializer[None]):
    """A channel; its address is an Apprise URL, or a chat's own webhook."""

    name = serializers.CharField(max_length=100)
    url = serializers.CharField(max_length=2000, write_only=True)
    enabled = serializers.BooleanField(required=False, source="is_enabled")
    least_severity = serializers.ChoiceField(choices=Severity.pairs(), required=False)
    tells_resolved = serializers.BooleanField(required=False)


class ChannelOut(serializers.Serializer[Channel]):
    """A channel, without its address."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=ChannelKind.pairs())
    has_url = serializers.BooleanField()
    enabled = serializers.BooleanField()
    least_severity = serializers.ChoiceField(choices=Severity.pairs())
    tells_resolved = serializers.BooleanField()
    sent_at = serializers.DateTimeField(allow_null=True)
    failing_since = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_null=True)


class TestOut(serializers.Serializer[None]):
    """What came of a test message."""

    ok = serializers.BooleanField()
    error = serializers.CharField(allow_null=True)
