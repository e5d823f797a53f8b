"""What the REST surface takes and gives for nodes and engines. Values are checked by the services."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from inference.models import Engine
from inference.node_details import EngineDetails, MachineView, NodeDetails
from inference.payloads import EngineView, MetricsView, SlotsView
from nodes.models import Node
from nodes.selectors import LockView
from nodes.states import NodeState


class NodeEntry(serializers.Serializer[None]):
    """A new node."""

    name = serializers.CharField(max_length=100)
    llm_url = serializers.CharField(
        max_length=1000, help_text="Any form that people paste: http://host:11434, …/api/chat, …/v1."
    )
    monitor_base_url = serializers.CharField(required=False, allow_blank=True, max_length=1000)
    agent_token = serializers.CharField(required=False, allow_blank=True, max_length=1000, write_only=True)
    api_key = serializers.CharField(required=False, allow_blank=True, max_length=1000, write_only=True)
    slots = serializers.IntegerField(required=False, help_text="Requests at once; 0: what the engine says.")
    environment = serializers.CharField(required=False, allow_blank=True, max_length=50)
    labels = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)


class NodeChange(serializers.Serializer[None]):
    """What may be changed of a node; its engines have a path of their own."""

    name = serializers.CharField(required=False, max_length=100)
    monitor_base_url = serializers.CharField(required=False, allow_blank=True, max_length=1000)
    agent_token = serializers.CharField(required=False, allow_blank=True, max_length=1000, write_only=True)
    environment = serializers.CharField(required=False, allow_blank=True, max_length=50)
    labels = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)


class LockEntry(serializers.Serializer[None]):
    """A lock that is asked for."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=300, default="")
    ttl_s = serializers.FloatField(required=False, default=3600.0, help_text="Seconds, 1 to 30 days.")


class NodeOut(serializers.Serializer[Node]):
    """A node: the shape of /api/status/all, and how it is configured."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    environment = serializers.CharField()
    labels = serializers.DictField(child=serializers.CharField())
    online = serializers.BooleanField()
    state = serializers.ChoiceField(choices=NodeState.pairs())
    reason = serializers.CharField()
    since = serializers.DateTimeField()
    locked = serializers.BooleanField()
    lock = serializers.SerializerMethodField()
    slots = serializers.SerializerMethodField()
    engines = serializers.SerializerMethodField()
    models = serializers.ListField(child=serializers.CharField())
    sampled_at = serializers.DateTimeField(allow_null=True)
    clock_skew_s = serializers.FloatField(
        allow_null=True, help_text="How far its clock is ahead of ours, to half a second."
    )
    metrics = serializers.SerializerMethodField()
    monitor_base_url = serializers.CharField()
    has_agent_token = serializers.BooleanField()
    created_at = serializers.DateTimeField()

    # These four tell the schema what the values look like; the values themselves come from `fleet`.
    def get_lock(self, node: dict[str, LockView | None]) -> LockView | None:
        """The lock that stands."""
        return node["lock"]

    def get_slots(self, node: dict[str, SlotsView]) -> SlotsView:
        """Of all engines together."""
        return node["slots"]

    def get_engines(self, node: dict[str, list[EngineView]]) -> list[EngineView]:
        """The engines with their models."""
        return node["engines"]

    def get_metrics(self, node: dict[str, MetricsView | None]) -> MetricsView | None:
        """The latest measurements."""
        return node["metrics"]


class DetailsOut(serializers.Serializer[Any]):
    """What is known of one node besides its load."""

    machine = serializers.SerializerMethodField(help_text="What its agent told last; null without an agent.")
    policy = serializers.CharField(help_text="How the scheduler orders engines.")
    engines = serializers.SerializerMethodField()

    # As above: what the values look like.
    def get_machine(self, details: NodeDetails) -> MachineView | None:
        """The machine."""
        return details["machine"]

    def get_engines(self, details: NodeDetails) -> list[EngineDetails]:
        """Its engines with their models, and how they stand with the scheduler."""
        return details["engines"]


class EngineEntry(serializers.Serializer[None]):
    """A new engine of a node."""

    node = serializers.IntegerField(min_value=1)
    llm_url = serializers.CharField(max_length=1000)
    kind = serializers.ChoiceField(choices=Engine.Kind.choices, required=False, allow_blank=True)
    api_key = serializers.CharField(required=False, allow_blank=True, max_length=1000, write_only=True)
    slots = serializers.IntegerField(required=False)
    enabled = serializers.BooleanField(required=False)


class EngineChange(serializers.Serializer[None]):
    """What may be changed of an engine."""

    llm_url = serializers.CharField(required=False, max_length=1000)
    kind = serializers.ChoiceField(choices=Engine.Kind.choices, required=False, allow_blank=True)
    api_key = serializers.CharField(required=False, allow_blank=True, max_length=1000, write_only=True)
    slots = serializers.IntegerField(required=False)
    enabled = serializers.BooleanField(required=False)


class ModelOut(serializers.Serializer[None]):
    """A model that an engine has."""

    name = serializers.CharField()
    resident = serializers.BooleanField()
    size_bytes = serializers.IntegerField(allow_null=True)


class EngineOut(serializers.Serializer[Engine]):
    """An engine: the shape of /api/status/all, and how it is configured."""

    id = serializers.IntegerField()
    node = serializers.IntegerField()
    kind = serializers.CharField(help_text="As found by asking, or as chosen.")
    base_url = serializers.CharField()
    online = serializers.BooleanField()
    reason = serializers.CharField()
    enabled = serializers.BooleanField()
    breaker_open = serializers.BooleanField()
    server = serializers.CharField()
    models = ModelOut(many=True)
    slots = serializers.IntegerField(help_text="As configured; 0: what the engine says, else 1.")
    generation = serializers.IntegerField()
    has_api_key = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class UsedOut(serializers.Serializer[Any]):
    """When something was used."""

    last_used_at = serializers.DateTimeField(
        allow_null=True, help_text="Null: not lately, or by a job; see the day."
    )
    last_used_on = serializers.DateField(allow_null=True, help_text="The last day (UTC) of the last 30.")
    requests = serializers.IntegerField(help_text="In the last 30 days, items of jobs too.")


class PlaceOut(UsedOut):
    """A node that has a model."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    resident = serializers.BooleanField()
    size_bytes = serializers.IntegerField(allow_null=True)
    engine = serializers.IntegerField()
    kind = serializers.CharField()
    loaded_context = serializers.IntegerField(
        allow_null=True, help_text="The context that it was loaded with, in tokens."
    )
    can_unload = serializers.BooleanField(help_text="Its engine gives models back while it runs.")


class FleetModelOut(UsedOut):
    """A model of the fleet, as `GET /api/models` tells it, with what it can and when it was used."""

    name = serializers.CharField()
    resident = serializers.BooleanField()
    aliases = serializers.ListField(child=serializers.CharField())
    size_bytes = serializers.IntegerField(allow_null=True)
    context_length = serializers.IntegerField(allow_null=True)
    abilities = serializers.ListField(child=serializers.CharField())
    nodes = PlaceOut(many=True)
