"""Engines as people configure them, what processes see of them, and the slots that requests run in."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from dpl_site.lib.secrets import SecretField
from nodes.models import Node, ProcessInstance


class Engine(models.Model):
    """An LLM server on a node, as people configure it."""

    class Kind(models.TextChoices):
        """Which dialect it speaks; empty until it was asked."""

        UNKNOWN = "", _("found by asking")
        OLLAMA = "ollama", "Ollama"
        OPENAI = "openai", "OpenAI (llama.cpp, vLLM, …)"

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="engines")
    kind = models.CharField(max_length=10, choices=Kind.choices, blank=True, default=Kind.UNKNOWN)
    base_url = models.CharField(
        max_length=500, help_text="Any form that people paste: http://host:11434, …/v1."
    )
    api_key = SecretField(blank=True, default="")
    slots = models.PositiveIntegerField(
        default=0, help_text="Requests at once; 0: what the engine says, else 1."
    )
    is_enabled = models.BooleanField(default=True)
    generation = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True, db_index=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=["base_url"],
                condition=models.Q(archived_at__isnull=True),
                name="one_live_engine_per_address",
                violation_error_message="Another engine has this address already.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind or 'engine'} {self.base_url}"


class EngineStatus(models.Model):
    """What processes know of one engine; written by probes and by live traffic."""

    engine = models.OneToOneField(Engine, on_delete=models.CASCADE, primary_key=True, related_name="status")
    kind = models.CharField(max_length=10, blank=True, help_text="The dialect that was found.")
    is_online = models.BooleanField(default=False)
    reason = models.CharField(max_length=300, blank=True)
    since = models.DateTimeField(default=timezone.now)
    probed_at = models.DateTimeField(null=True)
    server = models.CharField(max_length=100, blank=True, help_text="What it says it is, with version.")
    slots = models.PositiveIntegerField(
        default=0, help_text="How many requests at once it says it takes; 0: unsaid."
    )
    chat_path_missing = models.BooleanField(default=False, help_text="An Ollama without /api/chat.")
    breaker_open_ms = models.BigIntegerField(
        null=True, help_text="Since when the breaker is open; null: closed."
    )
    breaker_reason = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.engine_id}: {'online' if self.is_online else self.reason}"


class EngineModel(models.Model):
    """A model that an engine has: on its disk, or resident in memory."""

    engine = models.ForeignKey(Engine, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(max_length=200)
    is_resident = models.BooleanField(default=False)
    size_bytes = models.BigIntegerField(null=True)
    context_length = models.IntegerField(null=True)
    can_generate = models.BooleanField(default=True, help_text="False for models that only embed.")
    loaded_context = models.IntegerField(null=True, help_text="The context it was loaded with, in tokens.")
    abilities = models.CharField(
        max_length=200,
        default="",
        db_default="",
        blank=True,
        help_text="What its engine says that it can, with commas.",
    )

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=["engine", "name"], name="one_row_per_engine_and_model"),
        )

    def __str__(self) -> str:
        return self.name


class ModelAlias(models.Model):
    """Another name under which clients may ask for a model."""

    alias = models.CharField(max_length=200, unique=True, help_text="The name that clients use.")
    model = models.CharField(max_length=200, help_text="The model that is meant, as engines call it.")

    class Meta:
        ordering = ("alias",)
        verbose_name_plural = "model aliases"

    def __str__(self) -> str:
        return f"{self.alias} → {self.model}"


class EngineSpeed(models.Model):
    """Measured speed of one model on one engine, by every process's finished requests."""

    engine = models.ForeignKey(Engine, on_delete=models.CASCADE, related_name="speeds")
    model = models.CharField(max_length=200)
    tokens_per_second = models.FloatField()
    seconds_per_request = models.FloatField()
    samples = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["engine", "model"], name="one_speed_per_engine_and_model"),
        )

    def __str__(self) -> str:
        return f"{self.model}: {self.tokens_per_second:.1f}/s"


class Slot(models.Model):
    """The right to have one request in an engine; held by a process, freed or outlived by it."""

    engine = models.ForeignKey(Engine, on_delete=models.CASCADE, related_name="slot_rows")
    index = models.PositiveIntegerField()
    holder = models.ForeignKey(
        ProcessInstance, on_delete=models.SET_NULL, null=True, db_constraint=False, related_name="+"
    )
    token = models.BigIntegerField(default=0)
    work_class = models.CharField(max_length=12, blank=True)
    claimed_ms = models.BigIntegerField(null=True)
    is_retired = models.BooleanField(default=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["engine", "index"], name="one_row_per_slot"),)

    def __str__(self) -> str:
        return f"{self.engine_id}/{self.index}"


class SlotWaiter(models.Model):
    """Somebody waits for a slot: holders see it at the end of each request or item and give way."""

    engine = models.ForeignKey(Engine, on_delete=models.CASCADE, null=True, related_name="waiters")
    work_class = models.CharField(max_length=12)
    owner = models.ForeignKey(
        ProcessInstance, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    since_ms = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.work_class} waits for {self.engine_id}"


class RequestLog(models.Model):
    """One request through the gateway, with the decision; written in batches, pruned by age and number.

    Ids stand without foreign keys: a row outlives what it names.
    """

    request_id = models.CharField(max_length=64)
    at = models.DateTimeField(db_index=True)
    user_id = models.BigIntegerField()
    key_id = models.BigIntegerField(null=True)
    path = models.CharField(max_length=64)
    model_asked = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True, help_text="The engine's own name of it.")
    node_id = models.BigIntegerField(null=True)
    node_name = models.CharField(max_length=100, blank=True)
    engine_id = models.BigIntegerField(null=True)
    outcome = models.CharField(max_length=40, help_text="ok, cancelled, or the code of the error.")
    status = models.PositiveSmallIntegerField()
    is_streaming = models.BooleanField()
    waited_ms = models.PositiveIntegerField()
    ttft_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField()
    prompt_tokens = models.BigIntegerField(null=True)
    completion_tokens = models.BigIntegerField(null=True)
    is_estimated = models.BooleanField(default=False)
    attempts = models.PositiveSmallIntegerField()
    decision = models.TextField(blank=True, help_text="Each try with its reasons, JSON.")

    class Meta:
        ordering = ("-id",)
        verbose_name = "request"
        indexes = (models.Index(fields=["user_id", "-id"], name="requests_of_a_person"),)

    def __str__(self) -> str:
        return f"{self.request_id} {self.outcome}"


class GatewayCounter(models.Model):
    """One number of the gateway's metrics, summed over all processes since the row was made; it only rises."""

    name = models.CharField(max_length=40)
    model = models.CharField(max_length=200, blank=True)
    node = models.CharField(max_length=100, blank=True)
    label = models.CharField(max_length=40, blank=True, help_text="Outcome, kind or bucket.")
    value = models.FloatField(default=0)
    updated_ms = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["name", "model", "node", "label"], name="one_row_per_series"),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.model} {self.node} {self.label}: {self.value:g}"


class GatewayProcess(models.Model):
    """What one process of the gateway has in hand now, and the number of the last batch of records it wrote."""

    id = models.UUIDField(primary_key=True, editable=False)
    instance = models.ForeignKey(
        ProcessInstance, on_delete=models.CASCADE, null=True, db_constraint=False, related_name="+"
    )
    batch = models.BigIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)
    in_flight = models.JSONField(default=dict, help_text="Requests by engine id.")

    def __str__(self) -> str:
        return f"{self.id}: {self.waiting} wait"
