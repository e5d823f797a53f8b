"""Adds, changes and removes engines: the only writer of what people configure of them.

What is new is asked at once and recorded, so that the answer tells how it is. Nothing is asked within a
transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from django.db import IntegrityError, transaction

from dpl_site.lib.clock import utc_now
from dpl_site.lib.refusals import Refused
from inference import validation
from inference.looking import EngineEntry, Looked, look
from inference.models import Engine, EngineModel, EngineSpeed, EngineStatus
from inference.probe import EngineSeen, FleetReading, MachineSeen
from inference.services import record_fleet, slots_of
from inference.slots import sync_slots
from inference.targets import live_engines
from nodes.models import Node
from nodes.selectors import live_nodes
from nodes.services import NOT_ASKED, node_changed


def engine_add(
    *,
    node_id: int,
    llm_url: str,
    api_key: str = "",
    slots: int = 0,
    kind: str = "",
    is_enabled: bool = True,
    looked: Looked | None = None,
) -> Engine:
    """Another engine of a node, asked (unless `looked` holds what came of that) and recorded.

    Raises Refused as `node_add` does.
    """
    node = live_node(node_id)
    entry = engine_entry(llm_url, api_key, kind)
    count = validation.slots(slots)
    looked = looked or (look(engine=entry) if is_enabled else Looked())
    with no_duplicate(), transaction.atomic():
        engine = engine_row(node, entry, count, is_enabled)
        node_changed(node_id=node_id)
    record_look(node_id=node_id, looked=looked, engine=engine)
    return live_engine(engine.id)


def engine_update(
    *,
    engine_id: int,
    llm_url: str | None = None,
    api_key: str | None = None,
    slots: int | None = None,
    kind: str | None = None,
    is_enabled: bool | None = None,
    looked: Looked | None = None,
) -> Engine:
    """Change what is given.

    Another address or kind makes it another engine, of which nothing is known; with it, or with another key,
    the generation rises, so that answers under way to the old one count no more. It is asked at once, as is
    one that is switched on. Fewer slots retire those above when they are free.
    """
    engine = live_engine(engine_id)
    entry = EngineEntry(
        llm_url=engine.base_url if llm_url is None else llm_url,
        base_url=engine.base_url
        if llm_url is None
        else validation.engine_address(llm_url, engine_id=engine_id),
        api_key=engine.api_key if api_key is None else validation.secret(api_key, field="api_key"),
        kind=engine.kind if kind is None else validation.kind(kind),
    )
    is_on = engine.is_enabled if is_enabled is None else is_enabled
    count = engine.slots if slots is None else validation.slots(slots)
    is_asked = is_on and (_differs(engine, entry) or not engine.is_enabled)
    looked = looked or (look(engine=entry) if is_asked else Looked())
    with no_duplicate(), transaction.atomic():
        _change(engine, entry, count, is_on)
        node_changed(node_id=engine.node_id)
    record_look(node_id=engine.node_id, looked=looked, engine=live_engine(engine_id))
    return live_engine(engine_id)


def engine_remove(*, engine_id: int) -> None:
    """Take an engine out of the fleet; what runs there goes on to its end. Raises Refused (404)."""
    with transaction.atomic():
        engine = live_engine(engine_id)
        retire(engine_id)
        node_changed(node_id=engine.node_id)
    record_look(node_id=engine.node_id, looked=Looked())


def engine_entry(llm_url: str, api_key: str, kind: str = "") -> EngineEntry:
    """What was entered, checked. Raises Refused by field."""
    return EngineEntry(
        llm_url=llm_url,
        base_url=validation.engine_address(llm_url),
        api_key=validation.secret(api_key, field="api_key"),
        kind=validation.kind(kind),
    )


def engine_row(node: Node, entry: EngineEntry, slots: int, is_enabled: bool = True) -> Engine:
    """The rows of a new engine."""
    engine = Engine.objects.create(
        node=node,
        base_url=entry.base_url,
        api_key=entry.api_key,
        kind=entry.kind,
        slots=slots,
        is_enabled=is_enabled,
    )
    EngineStatus.objects.create(engine=engine, reason=NOT_ASKED)
    return engine


def record_look(*, node_id: int, looked: Looked, engine: Engine | None = None) -> None:
    """Record a look at an agent, at `engine`, at both, or at nothing: the node is judged anew in any case."""
    seen: tuple[EngineSeen, ...] = ()
    if looked.engine is not None and engine is not None:
        seen = (replace(looked.engine, engine_id=engine.id, generation=engine.generation),)
    machine = MachineSeen(node_id, looked.agent, seen)
    record_fleet(reading=FleetReading(utc_now(), (machine,)))


def live_node(node_id: int) -> Node:
    """A live node with its status. Raises Refused (404)."""
    node = live_nodes().select_related("status").filter(id=node_id).first()
    if node is None:
        raise Refused(f"There is no node {node_id}.", status=404)
    return node


def live_engine(engine_id: int) -> Engine:
    """A live engine with its node and status. Raises Refused (404)."""
    engine = live_engines().select_related("status", "node").filter(id=engine_id).first()
    if engine is None:
        raise Refused(f"There is no engine {engine_id}.", status=404)
    return engine


@contextmanager
def no_duplicate() -> Iterator[None]:
    """Somebody entered the same at the same moment: the constraints decide, and say so in words."""
    try:
        yield
    except IntegrityError as error:
        message = "A node or an engine with this name or address was added at this moment. Look at the list."
        raise Refused(message, code="duplicate", status=400) from error


def _differs(engine: Engine, entry: EngineEntry) -> bool:
    return _is_other_server(engine, entry) or entry.api_key != engine.api_key


def _is_other_server(engine: Engine, entry: EngineEntry) -> bool:
    return (entry.base_url, entry.kind) != (engine.base_url, engine.kind)


def _change(engine: Engine, entry: EngineEntry, slots: int, is_enabled: bool) -> None:
    """Write a changed engine; its slots follow, and what was known of another server goes."""
    is_other = _is_other_server(engine, entry)
    if _differs(engine, entry):
        engine.generation += 1
    engine.base_url, engine.api_key, engine.kind = entry.base_url, entry.api_key, entry.kind
    engine.slots, engine.is_enabled = slots, is_enabled
    engine.save(update_fields=["base_url", "api_key", "kind", "slots", "is_enabled", "generation"])
    status, _ = EngineStatus.objects.select_for_update().get_or_create(engine=engine)
    if is_other:
        _forget(engine.id)
    if not is_enabled:
        EngineStatus.objects.filter(engine=engine).update(is_online=False, reason="it is switched off")
    told = 0 if is_other else status.slots
    sync_slots(engine_id=engine.id, count=slots_of(slots, told) if is_enabled else 0)


def _forget(engine_id: int) -> None:
    """What was known was of another engine: residency, speeds, the breaker."""
    EngineModel.objects.filter(engine_id=engine_id).delete()
    EngineSpeed.objects.filter(engine_id=engine_id).delete()
    EngineStatus.objects.filter(engine_id=engine_id).update(
        kind="",
        is_online=False,
        reason=NOT_ASKED,
        since=utc_now(),
        probed_at=None,
        server="",
        slots=0,
        chat_path_missing=False,
        breaker_open_ms=None,
        breaker_reason="",
    )


def retire(engine_id: int) -> None:
    """Archive an engine; its slots go when they are free."""
    Engine.objects.filter(id=engine_id, archived_at__isnull=True).update(archived_at=utc_now())
    sync_slots(engine_id=engine_id, count=0)
