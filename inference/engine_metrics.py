"""Engines, models and slots for Prometheus; a query for each kind of row, none for a node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from dpl_site.lib.prometheus import RowsCollector, gauges
from inference.fleet import slots_by_node
from inference.models import EngineModel, SlotWaiter
from inference.slots import BATCH, INTERACTIVE
from inference.targets import live_engines
from nodes.instances import owner_is_dead


class EngineCollector(RowsCollector):
    """The rows of engines as metric families, summed by node."""

    def collect(self) -> Iterator[Metric]:
        """Every family, read now."""
        engines = list(
            live_engines().filter(is_enabled=True).values_list("id", "node__name", "status__is_online")
        )
        nodes = {name for _, name, _ in engines}
        online = Counter(name for _, name, is_online in engines if is_online)
        yield _by_node(
            "dpl_engines", "Engines that are switched on.", Counter(name for _, name, _ in engines), nodes
        )
        yield _by_node("dpl_engines_online", "Engines that answer.", online, nodes)
        name_of = {engine_id: name for engine_id, name, is_online in engines if is_online}
        resident = EngineModel.objects.filter(is_resident=True, engine_id__in=name_of)
        counted = Counter(name_of[one] for one in resident.values_list("engine_id", flat=True))
        yield _by_node("dpl_models_resident", "Models that engines have loaded.", counted, nodes)
        yield from _slots()


def _slots() -> Iterator[GaugeMetricFamily]:
    names = dict(live_engines().values_list("node_id", "node__name"))
    slots = {names[node_id]: view for node_id, view in slots_by_node().items() if node_id in names}
    yield gauges(
        *("dpl_slots", "Requests that a node's engines take at once.", ("node",)),
        [((name,), float(view["total"])) for name, view in slots.items()],
    )
    yield gauges(
        *("dpl_slots_busy", "Slots that somebody holds.", ("node",)),
        [((name,), float(view["busy"])) for name, view in slots.items()],
    )
    rows = SlotWaiter.objects.exclude(owner_is_dead("owner")).values("work_class")
    waiting = {row["work_class"]: row["count"] for row in rows.annotate(count=Count("id"))}
    yield gauges(
        *("dpl_slot_waiters", "Processes that wait for a slot.", ("work_class",)),
        [((kind,), float(waiting.get(kind, 0))) for kind in sorted({INTERACTIVE, BATCH, *waiting})],
    )


def _by_node(name: str, text: str, values: Counter[str], nodes: set[str]) -> GaugeMetricFamily:
    return gauges(name, text, ("node",), [((node,), float(values[node])) for node in sorted(nodes)])
