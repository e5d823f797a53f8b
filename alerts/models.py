"""Rules and silences as people configure them, alerts and what happened to them as processes write them: tables.

Instants that processes compare are epoch milliseconds by the database's clock. Channels and the outbox: `outbox`.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from alerts.outbox import (
    MAX_NAME,
    Channel,
    ChannelStatus,
    Delivery,
    DeliveryAttempt,
    HeartbeatOut,
    Notice,
)
from alerts.states import OPEN, Aggregation, AlertState, NoData, Operator, Severity
from nodes.models import Node

__all__ = [
    "Alert",
    "AlertAudit",
    "AlertEvent",
    "Channel",
    "ChannelStatus",
    "Delivery",
    "DeliveryAttempt",
    "HeartbeatOut",
    "KnownGpus",
    "Notice",
    "Rule",
    "RuleScope",
    "Silence",
]
MAX_SUBJECT = 300


class Rule(models.Model):
    """A threshold: when an alert begins, fires and ends, and on what."""

    key = models.CharField(
        max_length=40,
        blank=True,
        editable=False,
        help_text="Of a rule that came with DPL; empty: a person's.",
    )
    name = models.CharField(max_length=MAX_NAME, unique=True)
    is_enabled = models.BooleanField(default=True)
    metric = models.CharField(max_length=40)
    aggregation = models.CharField(
        max_length=4, choices=Aggregation.pairs(), default=Aggregation.LAST, help_text="Over the window."
    )
    window_s = models.PositiveIntegerField(default=0, help_text="Seconds; 0 with `last`.")
    operator = models.CharField(max_length=2, choices=Operator.pairs(), default=Operator.ABOVE)
    fire_value = models.FloatField(help_text="It fires at this.")
    clear_value = models.FloatField(help_text="It ends at this: the fire value, or one on its good side.")
    for_s = models.PositiveIntegerField(
        default=60, help_text="Seconds that it must hold before the alert fires."
    )
    keep_s = models.PositiveIntegerField(
        default=60, help_text="Seconds that it must be clear before the alert ends."
    )
    severity = models.CharField(max_length=8, choices=Severity.pairs(), default=Severity.WARNING)
    no_data = models.CharField(max_length=5, choices=NoData.pairs(), default=NoData.OK)
    repeat_s = models.PositiveIntegerField(default=0, help_text="Seconds between reminders; 0: none.")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name


class RuleScope(models.Model):
    """Where a rule looks: all that is given must fit, of one scope at least; without any it looks everywhere."""

    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="scopes")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    environment = models.CharField(max_length=50, blank=True)
    label = models.CharField(max_length=200, blank=True)
    label_value = models.CharField(max_length=200, blank=True, help_text="Empty: any.")

    def __str__(self) -> str:
        return f"scope {self.pk}"


class Alert(models.Model):
    """One rule on one thing: from pending to resolved, then a row of its own for the next time.

    What it names stands beside the foreign keys in words, since it outlives them.
    """

    rule = models.ForeignKey(Rule, on_delete=models.SET_NULL, null=True, related_name="alerts")
    rule_name = models.CharField(max_length=MAX_NAME)
    rule_key = models.CharField(max_length=40, blank=True)
    node = models.ForeignKey(Node, on_delete=models.SET_NULL, null=True, related_name="+")
    node_name = models.CharField(max_length=100, blank=True)
    subject = models.CharField(max_length=MAX_SUBJECT, blank=True)
    subject_name = models.CharField(max_length=MAX_SUBJECT, blank=True)
    fingerprint = models.CharField(max_length=32)
    metric = models.CharField(max_length=40)
    severity = models.CharField(max_length=8, choices=Severity.pairs())
    state = models.CharField(max_length=10, choices=AlertState.pairs(), default=AlertState.PENDING)
    state_ms = models.BigIntegerField(help_text="Since when it is in this state.")
    began_ms = models.BigIntegerField(help_text="When the condition began to hold.")
    fired_ms = models.BigIntegerField(null=True)
    resolved_ms = models.BigIntegerField(null=True)
    value = models.FloatField(null=True, help_text="At the last transition; null: no data.")
    threshold = models.FloatField()
    reason = models.CharField(max_length=300, blank=True)
    muted_by = models.CharField(max_length=200, blank=True, help_text="Why nobody is told; empty: they are.")
    is_settled = models.BooleanField(default=False, help_text="Nobody is to be told anything more of it.")
    acknowledged_by = models.CharField(max_length=150, blank=True)
    acknowledged_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["fingerprint"],
                condition=~models.Q(state=AlertState.RESOLVED.value),
                name="one_standing_alert",
            ),
        )
        indexes = (
            models.Index(
                fields=["id"],
                condition=models.Q(state__in=[state.value for state in OPEN]),
                name="alerts_open",
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(fired_ms__isnull=False, is_settled=False),
                name="alerts_to_tell",
            ),
            models.Index(fields=["state_ms"], name="alerts_by_age"),
        )

    def __str__(self) -> str:
        return f"{self.rule_name} {self.node_name} {self.subject_name}".strip()


class AlertEvent(models.Model):
    """One step of an alert: each transition, and each acknowledgement."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="events")
    at_ms = models.BigIntegerField(db_index=True)
    action = models.CharField(max_length=14, help_text="transition, acknowledged or unacknowledged.")
    old = models.CharField(max_length=10, blank=True)
    new = models.CharField(max_length=10, blank=True)
    value = models.FloatField(null=True)
    threshold = models.FloatField(null=True)
    duration_s = models.FloatField(null=True, help_text="How long the old state stood.")
    reason = models.CharField(max_length=300, blank=True)
    actor = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.alert_id}: {self.old} → {self.new or self.action}"


class Silence(models.Model):
    """Nobody is told of alerts that fit, until it ends. Never removed by people: it ends."""

    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    environment = models.CharField(max_length=50, blank=True)
    label = models.CharField(max_length=200, blank=True)
    label_value = models.CharField(max_length=200, blank=True)
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField()
    author = models.CharField(max_length=150)
    comment = models.CharField(max_length=300, blank=True)
    ended_by = models.CharField(max_length=150, blank=True, help_text="Who ended it early.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"silence {self.pk} of {self.author}"


class AlertAudit(models.Model):
    """Who changed rules, channels and silences, and who acknowledged what."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=30)
    subject = models.CharField(max_length=200)
    detail = models.JSONField(default=dict, help_text="What changed; never a secret.")

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject}"


class KnownGpus(models.Model):
    """The GPUs that a node had lately, so that one that goes missing is noticed, over restarts too."""

    node = models.OneToOneField(Node, on_delete=models.CASCADE, primary_key=True, related_name="+")
    seen = models.JSONField(default=dict, help_text="Name of a GPU → when it was last seen, epoch ms.")

    def __str__(self) -> str:
        return f"{self.node_id}: {len(self.seen)}"
