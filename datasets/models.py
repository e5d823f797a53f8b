"""Jobs, their shards and items, and the texts that go in and come out: tables and constraints.

Texts stand beside the items, so that claiming and counting never touch them. They are JSON text, deflated
when large (`lib.packing`).
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from datasets.states import ItemState, JobState, ShardState, StopMode
from inference.models import Engine
from nodes.models import Node, ProcessInstance


class Upload(models.Model):
    """A dataset that is arriving or has arrived: its checked rows, in parts, until they are items.

    Each part is one line of JSON per row, packed. An upload whose process ended before its job was made
    is removed by the controller.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    instance = models.ForeignKey(ProcessInstance, on_delete=models.SET_NULL, null=True, db_constraint=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.id)


class UploadPart(models.Model):
    """Some hundred rows of an upload."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts")
    sequence = models.PositiveIntegerField()
    first_index = models.PositiveIntegerField()
    rows = models.PositiveIntegerField()
    packed = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["upload", "sequence"], name="one_part_per_sequence"),)

    def __str__(self) -> str:
        return f"{self.upload_id}/{self.sequence}"


class Job(models.Model):
    """One run of a dataset through the fleet. Ids are UUIDv7 strings, so they sort by creation."""

    id = models.CharField(max_length=36, primary_key=True, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="jobs")
    name = models.CharField(max_length=200)
    state = models.CharField(
        max_length=10, choices=JobState.pairs(), default=JobState.IMPORTING, db_index=True
    )
    stop_mode = models.CharField(max_length=5, choices=StopMode.pairs(), blank=True, default=StopMode.NONE)
    error = models.TextField(blank=True)
    options = models.JSONField(default=dict, help_text="`options.JobOptions` as JSON.")
    total = models.PositiveIntegerField()
    upload = models.ForeignKey(Upload, on_delete=models.SET_NULL, null=True)
    imported = models.PositiveIntegerField(default=0)
    importer = models.ForeignKey(
        ProcessInstance, on_delete=models.SET_NULL, null=True, db_constraint=False, related_name="+"
    )
    import_token = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    late_results_refused = models.PositiveIntegerField(default=0)
    version = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.name


class Shard(models.Model):
    """A run of items that one worker claims; the row is the truth, queue messages are wake-ups.

    `succeeded` and `failed` change in the same fenced transaction as the item rows.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="shards")
    index = models.PositiveIntegerField()
    first_index = models.PositiveIntegerField()
    size = models.PositiveIntegerField()
    state = models.CharField(max_length=7, choices=ShardState.pairs(), default=ShardState.QUEUED)
    owner = models.ForeignKey(
        ProcessInstance, on_delete=models.SET_NULL, null=True, db_constraint=False, related_name="+"
    )
    token = models.BigIntegerField(default=0)
    claims = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["job", "index"], name="one_shard_per_index"),)
        indexes = (models.Index(fields=["state", "job", "index"], name="shard_to_claim"),)

    def __str__(self) -> str:
        return f"{self.job_id}/{self.index}"


class Item(models.Model):
    """One prompt of a job and what became of it.

    `starts` counts every dispatch, `attempts` only those that ended by the item's own fault,
    `interruptions` those that a dying process cut, `deaths_alone` those of them in which it ran alone.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="items", db_index=False)
    shard = models.ForeignKey(Shard, on_delete=models.CASCADE, related_name="items", db_index=False)
    index = models.PositiveIntegerField()
    replica = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=9, choices=ItemState.pairs(), default=ItemState.PENDING)
    starts = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    interruptions = models.PositiveIntegerField(default=0)
    losses = models.PositiveIntegerField(default=0, help_text="Connections that broke while it ran.")
    deaths_alone = models.PositiveIntegerField(default=0)
    is_suspect = models.BooleanField(default=False)
    is_alone = models.BooleanField(default=False)
    engine = models.ForeignKey(
        Engine, on_delete=models.SET_NULL, null=True, db_constraint=False, db_index=False
    )
    node = models.ForeignKey(Node, on_delete=models.SET_NULL, null=True, db_constraint=False, db_index=False)
    model = models.CharField(max_length=200, blank=True)
    cause = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=500, blank=True)
    finished_ms = models.BigIntegerField(null=True)
    duration_ms = models.IntegerField(null=True)
    ttft_ms = models.IntegerField(null=True)
    prompt_tokens = models.IntegerField(null=True)
    completion_tokens = models.IntegerField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["job", "index", "replica"], name="one_result_per_item"),
        )
        indexes = (
            models.Index(fields=["shard", "state"], name="items_of_shard"),
            models.Index(fields=["job", "state", "index"], name="items_by_state"),
            # Few items have a cause, so the others cost it nothing.
            models.Index(
                fields=["job", "cause", "index"], condition=~models.Q(cause=""), name="items_by_cause"
            ),
            # Holds all that a job's statistics need, so that they are summed from the index alone.
            models.Index(
                fields=[
                    *("job", "node", "state", "finished_ms", "duration_ms"),
                    *("prompt_tokens", "completion_tokens", "interruptions"),
                ],
                name="items_by_node",
            ),
        )

    def __str__(self) -> str:
        return f"{self.job_id}[{self.index}]"


class FailedAttempt(models.Model):
    """One try at one item that came to nothing, and why; the first so many of each item, see `ledger`.

    What succeeds stands in the item itself, so a job without trouble writes none.
    """

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="failed_attempts")
    engine = models.ForeignKey(
        Engine, on_delete=models.SET_NULL, null=True, db_constraint=False, db_index=False
    )
    node = models.ForeignKey(Node, on_delete=models.SET_NULL, null=True, db_constraint=False, db_index=False)
    model = models.CharField(max_length=200, blank=True)
    cause = models.CharField(max_length=40)
    error = models.CharField(max_length=500, blank=True)
    ended_ms = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.item_id}: {self.cause}"


class ItemInput(models.Model):
    """The row as it was uploaded, on one line."""

    item = models.OneToOneField(Item, on_delete=models.CASCADE, primary_key=True, related_name="input")
    text = models.TextField(null=True)  # noqa: DJ001 - null means: packed
    packed = models.BinaryField(null=True)

    def __str__(self) -> str:
        return str(self.item_id)


class ItemOutput(models.Model):
    """The engine's reply object in its non-streaming shape."""

    item = models.OneToOneField(Item, on_delete=models.CASCADE, primary_key=True, related_name="output")
    text = models.TextField(null=True)  # noqa: DJ001 - null means: packed
    packed = models.BinaryField(null=True)

    def __str__(self) -> str:
        return str(self.item_id)
