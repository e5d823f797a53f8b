"""The installation itself for Prometheus: processes, the lead, wake-ups, the database, the disk, history."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

from django.conf import settings
from django.db import connection
from django.db.models import Count, Max, Min
from django_q.models import OrmQ
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from dpl_site.history import history
from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import now_ms
from dpl_site.lib.prometheus import RowsCollector, gauge, gauges
from dpl_site.processes.duties import LEAD
from dpl_site.processes.storage import connections_in_use, size_bytes
from nodes.instances import alive
from nodes.leadership import TTL_MS
from nodes.models import Leadership, NodeStatus

KINDS = ("web", "controller", "worker", "drain")
"""Kinds of processes that are told even when none of them lives."""


class InstallationCollector(RowsCollector):
    """What the installation is made of, as metric families."""

    def collect(self) -> Iterator[Metric]:
        """Every family, read now."""
        version = str(settings.SPECTACULAR_SETTINGS["VERSION"])
        yield gauges("dpl_build_info", "1, with the version of DPL.", ("version",), [((version,), 1.0)])
        began = time.perf_counter()
        now = now_ms()
        took_s = time.perf_counter() - began
        yield from _processes(now)
        yield from _lead(now)
        yield from _wake_ups()
        yield gauge("dpl_database_answer_seconds", "How long the database took to tell its time.", took_s)
        yield from _database()
        free = shutil.disk_usage(settings.DPL_DATA_DIR).free
        yield gauge("dpl_data_dir_free_bytes", "What is free on the disk of the data folder.", float(free))
        rows = [((tier,), float(count)) for tier, count in history().rows().items()]
        yield gauges("dpl_history_rows", "Rows of the history of figures.", ("tier",), rows)


def _processes(now: int) -> Iterator[GaugeMetricFamily]:
    found = {
        row["kind"]: row
        for row in alive().order_by().values("kind").annotate(count=Count("id"), oldest=Min("heartbeat_ms"))
    }
    yield gauges(
        *("dpl_processes", "Processes that live, by kind.", ("kind",)),
        [((kind,), float(found[kind]["count"] if kind in found else 0)) for kind in sorted({*KINDS, *found})],
    )
    yield gauges(
        *("dpl_process_heartbeat_age_seconds", "The oldest heartbeat among the living, by kind.", ("kind",)),
        [((kind,), max(0.0, (now - row["oldest"]) / 1000)) for kind, row in sorted(found.items())],
    )


def _lead(now: int) -> Iterator[GaugeMetricFamily]:
    lead = Leadership.objects.filter(name=LEAD).first()
    leads = lead is not None and lead.expires_ms > now
    yield gauge("dpl_controller_leading", "1 while a controller leads.", float(leads))
    epoch = float(lead.epoch) if lead else None
    yield gauge("dpl_controller_epoch", "Rises whenever another controller takes the lead.", epoch)
    age_s = max(0.0, (now - lead.expires_ms + TTL_MS) / 1000) if lead and lead.expires_ms else None
    yield gauge("dpl_controller_lead_age_seconds", "How long ago the lead was renewed last.", age_s)
    newest = NodeStatus.objects.aggregate(at=Max("sampled_at"))["at"]
    since_s = max(0.0, (utc_now() - newest).total_seconds()) if newest else None
    yield gauge("dpl_fleet_reading_age_seconds", "How long ago any agent told something last.", since_s)


def _wake_ups() -> Iterator[GaugeMetricFamily]:
    row = OrmQ.objects.aggregate(count=Count("id"), oldest=Min("lock"))
    age_s = max(0.0, (utc_now() - row["oldest"]).total_seconds()) if row["oldest"] else 0.0
    yield gauge("dpl_wake_ups", "Wake-ups that no worker has taken, or is done with.", float(row["count"]))
    yield gauge("dpl_wake_ups_oldest_seconds", "How long the oldest of them has been there.", age_s)


def _database() -> Iterator[GaugeMetricFamily]:
    size = float(size_bytes())
    yield gauges(
        "dpl_database_size_bytes", "How large the database is.", ("vendor",), [((connection.vendor,), size)]
    )
    yield gauge(
        "dpl_database_connections", "Connections to the database, of all its clients.", connections_in_use()
    )
