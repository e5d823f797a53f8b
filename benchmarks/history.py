"""A month of 50 nodes with 4 GPUs each, in SQLite and in PostgreSQL: size, slowest chart, pruning, rolling up.

`python -m benchmarks.history NODES` fills the database of the environment and prints what it measured as JSON.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import Row, Section
from tests.chaos.postgres import OwnPostgres
from tests.engines.simulated import ROOT

NODES = 50
QUICK_NODES = 5
GPUS = 4
AIM_MB = 1000.0
AIM_CHART_MS = 200.0
AIM_STEP_MS = 100.0
CHARTS = {"1 h": "-1h", "6 h": "-6h", "2 days": "-2d", "7 days": "-7d", "30 days": "-30d"}
REPEATS = 5


def measure(*, nodes: int = NODES) -> Section:
    """Both databases, one after the other."""
    with tempfile.TemporaryDirectory(prefix="dpl-bench-") as folder:
        rows = _rows("SQLite", _run(f"sqlite:///{folder}/dpl.sqlite3", folder, nodes), nodes)
        server = OwnPostgres()
        server.start()
        try:
            rows += _rows("PostgreSQL", _run(server.url, folder, nodes), nodes)
        finally:
            server.stop()
    note = (
        f"{nodes} nodes with {GPUS} GPUs and 3 filesystems each, every tier full, values that hardly repeat. The "
        "slowest chart is the slowest of all metrics over "
        f"{', '.join(CHARTS)}, the median of {REPEATS}."
    )
    return Section("History of a month", note, rows)


def quick() -> Section:
    """A tenth of the nodes; the size is that of a tenth, too."""
    return measure(nodes=QUICK_NODES)


def _rows(name: str, found: dict[str, Any], nodes: int) -> list[Row]:
    most_mb = AIM_MB * nodes / NODES
    slowest = max(found["charts"].values())
    charts = ", ".join(f"{span} {ms:.0f} ms" for span, ms in found["charts"].items())
    return [
        Row(f"{name}: size", f"{found['mb']:.0f} MB", f"≤ {most_mb:.0f} MB", found["mb"] <= most_mb),
        Row(
            f"{name}: the slowest chart of a node",
            f"{slowest:.0f} ms ({charts})",
            f"< {AIM_CHART_MS:.0f} ms",
            slowest < AIM_CHART_MS,
        ),
        _steps(f"{name}: steps of pruning", found["prune_ms"]),
        _steps(f"{name}: steps of rolling up", found["roll_ms"]),
    ]


def _steps(what: str, found: dict[str, float]) -> Row:
    figure = f"{found['processor']:.0f} ms of processor at most, {found['wall_p99']:.0f} ms wall (p99)"
    return Row(what, figure, f"< {AIM_STEP_MS:.0f} ms", max(found.values()) < AIM_STEP_MS)


def _run(url: str, folder: str, nodes: int) -> dict[str, Any]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DPL_")}
    env |= {"DATABASE_URL": url, "DPL_DATA_DIR": folder, "DPL_ENV_FILE": f"{folder}/none"}
    env |= {"DJANGO_SETTINGS_MODULE": "dpl_site.settings"}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=env, check=True)
    command = [sys.executable, "-m", "benchmarks.history", str(nodes)]
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# --- In the process that has the database -----------------------------------------------------------------


def _fill_and_measure(nodes: int) -> dict[str, Any]:
    from nodes.models import Node

    made = [Node.objects.create(name=f"box{number}") for number in range(nodes)]
    now = time.time_ns() // 1_000_000
    for node in made:
        _fill(node.id, now, random.Random(node.id))
    _settle()
    return {
        "mb": _size_mb(),
        "charts": _charts([node.id for node in made[:3]]),
        "roll_ms": _longest_roll(),
        "prune_ms": _longest_prune(),
    }


def _fill(node_id: int, now: int, chance: random.Random) -> None:
    """Every tier of one node, full up to now."""
    from nodes.models import HistoryBlock
    from nodes.rollups import TIERS

    rows: list[HistoryBlock] = []
    for tier in TIERS:
        start = tier.start_of(now - tier.keep_ms)
        upper_step = next((one for one in TIERS if one.step_ms > tier.step_ms), tier)
        while start < now:
            is_rolled = start + tier.block_ms <= upper_step.start_of(now) or tier is TIERS[-1]
            if tier is TIERS[0] or start + tier.block_ms <= now:
                rows.append(_block(node_id, tier, start, chance, is_rolled))
            start += tier.block_ms
    HistoryBlock.objects.bulk_create(rows, batch_size=50)


def _block(node_id: int, tier: Any, start: int, chance: random.Random, is_rolled: bool) -> Any:
    from nodes.blocks import layout_key, layout_of, layout_text, pack_points, pack_reading
    from nodes.models import HistoryBlock
    from nodes.rollups import RAW, Point

    figures = list(_figures())
    if tier is RAW:
        layout = layout_of(figures)
        data = b"".join(
            pack_reading(layout, {one: chance.uniform(0, 100) for one in layout}, offset)
            for offset in range(0, tier.block_ms, 2000)
        )
        key = layout_key(layout)
    else:
        places = range(start, start + tier.block_ms, tier.step_ms)
        layout, data = pack_points(
            tier,
            start,
            {
                one: [
                    Point(
                        at,
                        tier.step_ms // 2000,
                        50 + chance.random(),
                        50 * chance.random(),
                        99 * chance.random(),
                    )
                    for at in places
                ]
                for one in figures
            },
        )
        key = 0
    return HistoryBlock(
        node_id=node_id,
        step_s=tier.step_s,
        start_ms=start,
        layout=key,
        is_rolled=is_rolled,
        figures=layout_text(layout),
        data=data,
    )


def _figures() -> Iterator[Any]:
    from nodes.measures import GPU, METRICS, NODE, Figure

    for metric in METRICS.values():
        subjects = (
            [""]
            if metric.per == NODE
            else map(str, range(GPUS))
            if metric.per == GPU
            else ["/", "/home", "/d"]
        )
        yield from (Figure(metric.name, subject) for subject in subjects)


def _settle() -> None:
    """As the database is some time later: SQLite's log is in its file, PostgreSQL knows its tables."""
    from django.db import connection

    with connection.cursor() as cursor:
        is_sqlite = connection.vendor == "sqlite"
        cursor.execute(
            "PRAGMA wal_checkpoint(TRUNCATE)" if is_sqlite else "VACUUM ANALYZE nodes_historyblock"
        )


def _size_mb() -> float:
    from django.db import connection

    if connection.vendor == "sqlite":
        return Path(connection.settings_dict["NAME"]).stat().st_size / 1e6
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size('nodes_historyblock')")
        return float(cursor.fetchone()[0]) / 1e6


def _charts(node_ids: list[int]) -> dict[str, float]:
    """Span → milliseconds of the slowest metric."""
    from nodes.asking import parse_wanted
    from nodes.curves import curves_view
    from nodes.measures import METRICS

    def chart(metric: str, since: str, node_id: int) -> Callable[[], object]:
        now = time.time_ns() // 1_000_000
        wanted = parse_wanted(
            metrics=[metric], subjects=[], from_=since, to=None, step=None, now_ms=now, interval_s=2.0
        )
        return lambda: curves_view(node_id=node_id, wanted=wanted)

    return {
        span: max(
            sorted(_took_ms(chart(metric, since, node_ids[at % len(node_ids)])) for at in range(REPEATS))[
                REPEATS // 2
            ]
            for metric in METRICS
        )
        for span, since in CHARTS.items()
    }


def _longest_roll() -> dict[str, float]:
    """Everything that comes due within the next twelve hours, in steps."""
    from nodes import history
    from nodes.rollups import HOUR_MS

    return _longest(history, history.roll_up, 12 * HOUR_MS)


def _longest_prune() -> dict[str, float]:
    """A month later, everything goes, in steps."""
    from nodes import history
    from nodes.rollups import DAY_MS

    return _longest(history, history.prune_history, 40 * DAY_MS)


def _longest(history: Any, step: Callable[[], int], later_ms: int) -> dict[str, float]:
    """Milliseconds: the most processor time of a step, and the wall time that 99 of 100 keep within."""
    from django.db import transaction

    real = history.now_ms
    history.now_ms = lambda: real() + later_ms
    wall, processor, done = [], [], 1
    while done:
        began, began_cpu = time.perf_counter(), time.thread_time()
        with transaction.atomic():
            done = step()
        wall.append(1000 * (time.perf_counter() - began))
        processor.append(1000 * (time.thread_time() - began_cpu))
    history.now_ms = real
    return {"processor": max(processor), "wall_p99": sorted(wall)[int(0.99 * len(wall))]}


def _took_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(_fill_and_measure(int(sys.argv[1]))))
