"""The shapes of jobs in the API's schema, and the check of its query parameters. Decides nothing about jobs."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from datasets.export import FORMS, ONLY
from datasets.listing import NEWEST, SORTS
from datasets.states import ItemState, JobState, StopMode

Shape = serializers.Serializer[Any]


class ImportingSerializer(Shape):
    """How much of the file has become items."""

    imported = serializers.IntegerField()
    total = serializers.IntegerField()


class StatusSerializer(Shape):
    """How far a job is."""

    job_id = serializers.CharField()
    name = serializers.CharField()
    owner = serializers.CharField()
    model = serializers.CharField(help_text="`auto`: whatever is resident.")
    dry_run = serializers.BooleanField(help_text="A few rows tried, not a whole run.")
    status = serializers.ChoiceField(choices=JobState.pairs())
    error = serializers.CharField(allow_null=True, help_text="Why the job itself could not run.")
    total = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    done = serializers.IntegerField(help_text="succeeded + failed")
    progress = serializers.FloatField(help_text="0 to 1")
    importing = ImportingSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class TokensSerializer(Shape):
    """Tokens of all recorded items."""

    prompt = serializers.IntegerField()
    completion = serializers.IntegerField()


class NodeShareSerializer(Shape):
    """What one node did for a job; times in seconds."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    running = serializers.IntegerField()
    share = serializers.FloatField(help_text="Of all succeeded items, 0 to 1.")
    tokens_per_second = serializers.FloatField()
    p50_s = serializers.FloatField(allow_null=True)
    p95_s = serializers.FloatField(allow_null=True)
    p99_s = serializers.FloatField(allow_null=True)
    idle_s = serializers.FloatField(
        help_text="From its first item to the end or now, less its work ÷ its slots."
    )


class ErrorGroupSerializer(Shape):
    """Failed items of one cause."""

    cause = serializers.CharField()
    count = serializers.IntegerField()
    example = serializers.CharField()
    retryable = serializers.BooleanField()


class DetailedStatusSerializer(StatusSerializer):
    """How far a job is, with its speed, its nodes and its errors."""

    pending = serializers.IntegerField()
    running = serializers.IntegerField()
    waiting = serializers.CharField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    duration_s = serializers.FloatField(allow_null=True)
    rate_per_s = serializers.FloatField(help_text="Of the last minute; of the whole run once it has ended.")
    eta_s = serializers.FloatField(allow_null=True)
    tokens = TokensSerializer()
    tokens_per_second = serializers.FloatField()
    late_results_refused = serializers.IntegerField()
    restarted_after_kill = serializers.IntegerField(help_text="Tries that a dying process cut.")
    nodes = NodeShareSerializer(many=True)
    errors = ErrorGroupSerializer(many=True)  # type: ignore[assignment]  # the contract's name, not DRF's errors
    version = serializers.IntegerField()


class JobSerializer(DetailedStatusSerializer):
    """A job with the options it was made with."""

    options = serializers.JSONField()


class UploadSerializer(Shape):
    """The form of an upload."""

    file = serializers.FileField(help_text="A JSON array, or JSONL.")
    name = serializers.CharField(required=False, max_length=200)
    model = serializers.CharField(required=False, help_text="Missing or `auto`: whatever is resident.")
    limit = serializers.IntegerField(required=False, min_value=1, help_text="Only the first so many rows.")
    offset = serializers.IntegerField(required=False, min_value=0, help_text="Rows to pass over first.")
    system = serializers.CharField(required=False, help_text="A system prompt for rows that have none.")
    options = serializers.JSONField(required=False, help_text='Sampling, such as {"temperature": 0.2}.')
    attempts = serializers.IntegerField(required=False, min_value=1)
    timeout_s = serializers.FloatField(required=False, help_text="For each try of an item.")
    nodes = serializers.CharField(required=False, help_text="Only these node ids, with commas between.")
    exclusive = serializers.BooleanField(required=False, help_text="Lock nodes for this job.")
    dry_run = serializers.BooleanField(required=False, help_text="Try three rows only.")


class MadeJobSerializer(Shape):
    """The answer to an upload."""

    job_id = serializers.CharField()
    status = serializers.CharField()
    total = serializers.IntegerField()
    ignored = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Form fields that mean nothing here."
    )


class CleanedUpSerializer(Shape):
    """What a clean-up freed."""

    jobs = serializers.IntegerField()
    leases = serializers.IntegerField()
    locks = serializers.IntegerField()


class ItemNodeSerializer(Shape):
    """The node that an item ran on."""

    id = serializers.IntegerField()
    name = serializers.CharField()


class ItemSerializer(Shape):
    """One item; `input` and `output` only with `?text=1`."""

    index = serializers.IntegerField()
    state = serializers.ChoiceField(choices=ItemState.pairs())
    node = ItemNodeSerializer(allow_null=True)
    model = serializers.CharField()
    starts = serializers.IntegerField(help_text="How often it was sent to an engine.")
    attempts = serializers.IntegerField(help_text="Those that ended by its own fault.")
    interruptions = serializers.IntegerField(help_text="Those that a dying process cut.")
    cause = serializers.CharField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    ttft_ms = serializers.IntegerField(allow_null=True)
    prompt_tokens = serializers.IntegerField(allow_null=True)
    completion_tokens = serializers.IntegerField(allow_null=True)
    input = serializers.JSONField(required=False)
    output = serializers.JSONField(required=False)


class JobsQuery(Shape):
    """Which jobs are asked for."""

    state = serializers.ChoiceField(choices=JobState.pairs(), required=False, allow_blank=True)
    owner = serializers.CharField(required=False, allow_blank=True, help_text="A username.")
    search = serializers.CharField(required=False, allow_blank=True, help_text="Part of the name.")
    sort = serializers.ChoiceField(choices=list(SORTS), default=NEWEST)
    dry_runs = serializers.BooleanField(default=True, help_text="`no`: only whole runs.")


class ItemsQuery(Shape):
    """Which items are asked for."""

    state = serializers.ChoiceField(choices=ItemState.pairs(), required=False, allow_blank=True)
    node = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    cause = serializers.CharField(required=False, allow_blank=True, max_length=40)
    text = serializers.BooleanField(required=False, default=False, help_text="With input and output.")


class EstimateQuery(Shape):
    """For how many rows."""

    rows = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class PaceSerializer(Shape):
    """How fast a job was over its time."""

    step_ms = serializers.IntegerField(help_text="How long each step is.")
    t = serializers.ListField(
        child=serializers.IntegerField(), help_text="Ends of the steps, epoch milliseconds."
    )
    per_second = serializers.ListField(child=serializers.FloatField(), help_text="Recorded items per second.")


class EstimateSerializer(Shape):
    """How long rows would take on the machines that are there and free."""

    rows = serializers.IntegerField()
    seconds = serializers.FloatField(allow_null=True, help_text="null: nothing was measured yet.")
    rate_per_s = serializers.FloatField(allow_null=True)
    tokens = serializers.JSONField()
    sample = serializers.JSONField(help_text="How many items were tried, and their mean seconds.")
    nodes = serializers.ListField(
        child=serializers.JSONField(),
        help_text="basis: tried (by this job), measured (before), assumed (like the others).",
    )


class StopQuery(Shape):
    """How to stop."""

    mode = serializers.ChoiceField(
        choices=[StopMode.DRAIN.value, StopMode.ABORT.value],
        default=StopMode.DRAIN.value,
        help_text="drain: what runs may finish; abort: it is cut.",
    )


class ResultQuery(Shape):
    """Which rows are asked for, and how."""

    format = serializers.ChoiceField(choices=list(FORMS), default="json")
    only = serializers.ChoiceField(choices=[one for one in ONLY if one], default="", allow_blank=True)
    meta = serializers.BooleanField(default=False, help_text="Adds `dpl` to each row.")
