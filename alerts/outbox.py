"""Channels as people configure them, and the outbox that processes send from: tables.

Instants are epoch milliseconds by the database's clock.
"""

from __future__ import annotations

from django.db import models

from alerts.states import ChannelKind, DeliveryState, NoticeKind, Severity
from dpl_site.lib.secrets import SecretField

MAX_NAME = 100


class Channel(models.Model):
    """Where people are told: an Apprise URL, which may hold secrets and is never shown again."""

    name = models.CharField(max_length=MAX_NAME, unique=True)
    kind = models.CharField(max_length=8, choices=ChannelKind.pairs(), editable=False)
    url = SecretField()
    is_enabled = models.BooleanField(default=True)
    least_severity = models.CharField(
        max_length=8, choices=Severity.pairs(), default=Severity.INFO, help_text="What is less is not told."
    )
    tells_resolved = models.BooleanField(default=True, help_text="Whether the end of an alert is told too.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name


class ChannelStatus(models.Model):
    """How a channel does, as those who send see it."""

    channel = models.OneToOneField(Channel, on_delete=models.CASCADE, primary_key=True, related_name="status")
    sent_ms = models.BigIntegerField(null=True)
    failing_since_ms = models.BigIntegerField(null=True)
    error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.channel_id}: {self.error or 'well'}"


class Delivery(models.Model):
    """One message for one channel: the outbox. Claimed by one sender at a time; the token fences a late one."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    title = models.CharField(max_length=300)
    body = models.TextField()
    severity = models.CharField(max_length=8, choices=Severity.pairs())
    is_good_news = models.BooleanField(default=False)
    state = models.CharField(max_length=7, choices=DeliveryState.pairs(), default=DeliveryState.QUEUED)
    created_ms = models.BigIntegerField()
    next_ms = models.BigIntegerField()
    expires_ms = models.BigIntegerField()
    claimed_until_ms = models.BigIntegerField(default=0)
    token = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    ended_ms = models.BigIntegerField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["channel"],
                condition=models.Q(state=DeliveryState.QUEUED.value),
                name="one_queued_delivery_per_channel",
            ),
        )

    def __str__(self) -> str:
        return self.title


class Notice(models.Model):
    """What one delivery tells of one alert."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="notices")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    alert = models.ForeignKey("alerts.Alert", on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=8, choices=NoticeKind.pairs())
    at_ms = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.kind} {self.alert_id}"


class DeliveryAttempt(models.Model):
    """One try of a delivery: the log."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    at_ms = models.BigIntegerField()
    is_ok = models.BooleanField()
    error = models.CharField(max_length=300, blank=True)
    took_ms = models.PositiveIntegerField()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.delivery_id}: {self.error or 'sent'}"


class HeartbeatOut(models.Model):
    """What came of the last call to DPL_HEARTBEAT_URL; one row."""

    at_ms = models.BigIntegerField()
    ok_ms = models.BigIntegerField(null=True)
    failing_since_ms = models.BigIntegerField(null=True)
    error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.error or "well"
