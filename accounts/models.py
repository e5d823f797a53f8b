"""People and API keys: their tables."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _


class User(AbstractUser):
    """A person; the role (viewer, operator, admin) is the group he is in, see `roles`."""


class ApiKey(models.Model):
    """A named key of one person; only its digest is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, help_text="The first characters, to recognise it by.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the key.")
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: no limit.")
    requests_per_day = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: no limit.")
    tokens_per_minute = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: no limit.")
    tokens_per_day = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: no limit.")

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class UsageDay(models.Model):
    """What one key did with one model on one node on one day (UTC): sums, raised by processes, never edited.

    Ids stand without foreign keys: sums outlive what they name, and nodes are known to a higher room only. 0
    stands for none: no key (a page, a job), no node (nothing could take the request).
    """

    class Source(models.TextChoices):
        """Where the requests came from."""

        GATEWAY = "gateway", _("requests to the gateway")
        DATASETS = "datasets", _("items of jobs")

    day = models.DateField()
    source = models.CharField(max_length=8, choices=Source.choices)
    user_id = models.BigIntegerField()
    key_id = models.BigIntegerField(default=0)
    model = models.CharField(max_length=200, blank=True)
    node_id = models.BigIntegerField(default=0)
    node_name = models.CharField(max_length=100, blank=True)
    requests = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    cancelled = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("-day", "id")
        verbose_name = "day of usage"
        verbose_name_plural = "days of usage"
        constraints = (
            models.UniqueConstraint(
                fields=["day", "user_id", "key_id", "model", "node_id", "source"], name="one_row_of_usage"
            ),
        )

    def __str__(self) -> str:
        return f"{self.day} {self.user_id}/{self.key_id} {self.model}"


class KeyUse(models.Model):
    """What a key with limits used in one window, by all processes; `seconds` is the window's length."""

    key_id = models.BigIntegerField()
    seconds = models.PositiveIntegerField()
    start = models.BigIntegerField(help_text="Epoch seconds.")
    requests = models.BigIntegerField(default=0)
    tokens = models.BigIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["key_id", "seconds", "start"], name="one_row_per_window"),
        )

    def __str__(self) -> str:
        return f"{self.key_id} {self.seconds} s from {self.start}: {self.requests}"
