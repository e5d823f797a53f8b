"""The REST surface of nodes and engines, below /api/v1/."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.authentication import Principal
from accounts.rest import principal_of
from dpl_site.lib.clock import iso
from dpl_site.lib.refusals import Refused
from inference import engines, fleet, registration
from inference.measurements import METRIC_FILTERS, WindowOut, measured
from inference.models import Engine
from inference.node_details import node_details
from inference.serializers import (
    DetailsOut,
    EngineChange,
    EngineEntry,
    EngineOut,
    LockEntry,
    NodeChange,
    NodeEntry,
    NodeOut,
)
from inference.targets import live_engines
from nodes import locks
from nodes.models import Node
from nodes.selectors import live_nodes
from nodes.states import NodeState

GONE = OpenApiResponse(description="It is out of the fleet; what runs there goes on to its end.")
LOCKED = OpenApiResponse(description="Another's lock stands; `detail.lock` is that lock.")


NODE_FILTERS = [
    OpenApiParameter("environment", str, description="In this environment."),
    OpenApiParameter("state", str, enum=[state.value for state in NodeState], description="In this state."),
    OpenApiParameter("name", str, description="With this in the name, in any case."),
]
ENGINE_FILTERS = [
    OpenApiParameter("node", int, description="On this node."),
    OpenApiParameter("kind", str, enum=["ollama", "openai"], description="Of this kind, as found by asking."),
    OpenApiParameter("online", bool, description="Online, or not."),
]


class NodeViewSet(viewsets.GenericViewSet[Node]):
    """The machines of the fleet. Whoever may read sees them; admins change them; operators lock them."""

    queryset = Node.objects.none()
    serializer_class = NodeOut
    lookup_value_regex = "[0-9]{1,18}"
    scopes: ClassVar = {"GET": "read", "*": "admin"}

    def get_queryset(self) -> QuerySet[Node]:
        """The live nodes by id."""
        return live_nodes().order_by("id")

    @extend_schema(parameters=NODE_FILTERS)
    def list(self, request: Request) -> Response:
        """All nodes with their state, lock, engines, models and load."""
        rows = _filtered(
            self.get_queryset(),
            request,
            environment="environment",
            state="status__state",
            name="name__icontains",
        )
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(_nodes(page or []))

    def retrieve(self, request: Request, pk: str) -> Response:
        """One node."""
        return Response(_node(int(pk)))

    @extend_schema(request=NodeEntry, responses={201: NodeOut})
    def create(self, request: Request) -> Response:
        """Add a node. It is asked at once; one that does not answer is kept as offline, with the reason."""
        node = registration.node_add(**_told(NodeEntry(data=request.data)))
        return Response(_node(node.id), status=status.HTTP_201_CREATED)

    @extend_schema(request=NodeChange, responses=NodeOut)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a node. Its engines are changed at their own path."""
        registration.node_update(node_id=int(pk), **_told(NodeChange(data=request.data)))
        return Response(_node(int(pk)))

    @extend_schema(responses={204: GONE})
    def destroy(self, request: Request, pk: str) -> Response:
        """Take a node and its engines out of the fleet."""
        registration.node_remove(node_id=int(pk), actor=principal_of(request).username)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(parameters=METRIC_FILTERS, responses=WindowOut)
    @action(detail=True, methods=["get"], scopes={"GET": "read"}, filter_backends=[], pagination_class=None)
    def metrics(self, request: Request, pk: str) -> Response:
        """What a node measured, as curves with gaps."""
        return Response(measured(engines.live_node(int(pk)), request.query_params))

    @extend_schema(responses=DetailsOut, filters=False)
    @action(detail=True, methods=["get"], scopes={"GET": "read"}, filter_backends=[], pagination_class=None)
    def details(self, request: Request, pk: str) -> Response:
        """What its machine is made of, and what the scheduler thinks of its engines and why."""
        return Response(node_details(engines.live_node(int(pk)).id))

    # Locking takes a machine out of service for everybody's requests. Who may generate uses up the same
    # machines, so the right to generate (operators have it, viewers have not) is the right to lock.
    @extend_schema(request=LockEntry, responses={200: NodeOut, 409: LOCKED})
    @action(detail=True, methods=["post"], scopes={"POST": "chat"})
    def lock(self, request: Request, pk: str) -> Response:
        """Take a node for oneself; a lock of one's own is renewed. 409 with the standing lock when it is another's."""
        asked = _told(LockEntry(data=request.data))
        _lock(int(pk), principal_of(request), **asked)
        return Response(_node(int(pk)))

    @extend_schema(request=None, responses={200: NodeOut, 403: LOCKED, 409: LOCKED})
    @action(detail=True, methods=["post"], scopes={"POST": "chat"})
    def unlock(self, request: Request, pk: str) -> Response:
        """Free a node of one's own lock; admins free it of anybody's. Freeing a free node changes nothing."""
        principal = principal_of(request)
        engines.live_node(int(pk))
        locks.unlock_node(node_id=int(pk), actor=principal.username, force=principal.may("admin"))
        return Response(_node(int(pk)))


class EngineViewSet(viewsets.GenericViewSet[Engine]):
    """The LLM servers on the nodes."""

    queryset = Engine.objects.none()
    serializer_class = EngineOut
    lookup_value_regex = "[0-9]{1,18}"
    scopes: ClassVar = {"GET": "read", "*": "admin"}

    def get_queryset(self) -> QuerySet[Engine]:
        """The live engines by id."""
        return live_engines().select_related("status").order_by("id")

    @extend_schema(parameters=ENGINE_FILTERS)
    def list(self, request: Request) -> Response:
        """All engines with their models."""
        rows = _filtered(
            self.get_queryset(),
            request,
            node="node_id",
            kind="status__kind",
            online="status__is_online",
        )
        page = self.paginate_queryset(rows) or []
        return self.get_paginated_response([_engine(one) for one in page])

    def retrieve(self, request: Request, pk: str) -> Response:
        """One engine."""
        return Response(_engine(engines.live_engine(int(pk))))

    @extend_schema(request=EngineEntry, responses={201: EngineOut})
    def create(self, request: Request) -> Response:
        """Add an engine to a node. It is asked at once."""
        told = _renamed(_told(EngineEntry(data=request.data)))
        engine = engines.engine_add(node_id=told.pop("node"), **told)
        return Response(_engine(engine), status=status.HTTP_201_CREATED)

    @extend_schema(request=EngineChange, responses=EngineOut)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change an engine; another address makes it another engine."""
        told = _renamed(_told(EngineChange(data=request.data)))
        return Response(_engine(engines.engine_update(engine_id=int(pk), **told)))

    @extend_schema(responses={204: GONE})
    def destroy(self, request: Request, pk: str) -> Response:
        """Take an engine out of the fleet."""
        engines.engine_remove(engine_id=int(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


R = TypeVar("R", Node, Engine)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _filtered(rows: QuerySet[R], request: Request, **columns: str) -> QuerySet[R]:
    """The rows that the query's parameters ask for; each names a column. Raises Refused for a value that fits none."""
    for name, column in columns.items():
        text = request.query_params.get(name)
        if text:
            value: Any = _BOOLEANS.get(text.lower(), text) if name == "online" else text
            _check_filter(name, text)
            try:
                rows = rows.filter(**{column: value})
            except (ValueError, ValidationError) as error:
                raise Refused(f"{name}={text} cannot be looked for.", detail={name: [str(error)]}) from error
    return rows


_CHOICES = {
    "state": tuple(value for value, _ in NodeState.pairs()),
    "kind": tuple(value for value in Engine.Kind.values if value),
}
MOST_DIGITS = 18
"""A number with more is no id: no database column holds it."""


def _check_filter(name: str, text: str) -> None:
    """Raise Refused for a value that no row can have."""
    allowed = _CHOICES.get(name)
    if allowed is not None and text not in allowed:
        message = f"{name}={text[:60]} cannot be looked for; use {', '.join(allowed)}."
        raise Refused(message, detail={name: [message]})
    if text.lstrip("-").isdigit() and len(text) > MOST_DIGITS:
        message = f"{name}: no such number is in use."
        raise Refused(message, detail={name: [message]})


def _told(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    """What the request says, by field. Raises ValidationError, and Refused for what a change cannot change."""
    if isinstance(serializer, NodeChange | EngineChange):
        _check_fields(serializer)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _check_fields(change: NodeChange | EngineChange) -> None:
    given = change.initial_data
    unknown = sorted(set(given) - set(change.fields)) if isinstance(given, dict) else []
    if unknown:
        known = ", ".join(change.fields)
        hint = f"This cannot be changed here; what can is {known}. Engines have their own path, /api/v1/engines/."
        raise Refused(hint, code="unknown_field", detail={name: [hint] for name in unknown})


def _renamed(told: dict[str, Any]) -> dict[str, Any]:
    if "enabled" in told:
        told["is_enabled"] = told.pop("enabled")
    return told


def _lock(node_id: int, principal: Principal, *, reason: str, ttl_s: float) -> None:
    name, user_id = principal.username, principal.user_id
    try:
        locks.lock_node(
            node_id=node_id,
            by=locks.PERSON,
            owner=name,
            user_id=user_id,
            reason=reason,
            ttl_s=ttl_s,
            actor=name,
        )
    except locks.AlreadyLocked as other:
        is_own = other.lock.by == locks.PERSON and other.lock.user_id == user_id
        if not is_own or not locks.renew_lock(
            node_id=node_id, lock_id=other.lock.lock_id, ttl_s=ttl_s, reason=reason, actor=name
        ):
            raise


def _node(node_id: int) -> dict[str, Any]:
    found = _nodes(list(live_nodes().filter(id=node_id)))
    if not found:
        raise Refused(f"There is no node {node_id}.", status=404)
    return found[0]


def _nodes(rows: list[Node]) -> list[dict[str, Any]]:
    """How the nodes are and how they are configured, in the order of the rows."""
    views = {view["id"]: view for view in fleet.node_views(node_ids=[row.id for row in rows])}
    return [
        {
            **views[row.id],
            "monitor_base_url": row.monitor_base_url,
            "has_agent_token": bool(row.agent_token),
            "created_at": iso(row.created_at),
        }
        for row in rows
        if row.id in views
    ]


def _engine(engine: Engine) -> dict[str, Any]:
    return {
        **fleet.engine_view(engine),
        "node": engine.node_id,
        "slots": engine.slots,
        "generation": engine.generation,
        "has_api_key": bool(engine.api_key),
        "created_at": iso(engine.created_at),
    }
