"""What the database tells of the installation, and whom to ask; read in a thread, as a server may be frozen."""

from __future__ import annotations

import ipaddress
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections

from dpl_site.healthcheck.machines import AgentToAsk, EngineToAsk
from dpl_site.healthcheck.results import Result, failed, ok, skipped, warning
from dpl_site.processes.schema import read_schema
from dpl_site.processes.serving import read_readiness
from inference.models import EngineModel
from inference.targets import live_engines
from inference.upstream import Target
from nodes.instances import alive
from nodes.latest import latest
from nodes.selectors import live_nodes, standing_locks

WITHIN_S = 10.0
SLOW_S = 0.5
PROCESSES = ("web", "controller", "worker")
NOT_RUNNING = "No process of this installation runs. Start it: manage.py up"
_TAILNETS = (ipaddress.ip_network("100.64.0.0/10"), ipaddress.ip_network("fd7a:115c:a1e0::/48"))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the rows told: results, whom to ask, and whether nodes have addresses of a tailnet."""

    results: Sequence[Result]
    agents: Sequence[AgentToAsk] = ()
    engines: Sequence[EngineToAsk] = ()
    has_tailnet: bool = False


def look() -> Seen:
    """Everything that the database tells, within WITHIN_S."""
    began = time.perf_counter()
    try:
        return _Within(_look, WITHIN_S).result()
    except TimeoutError:
        said = f"it did not answer within {WITHIN_S:g} s"
    except (DatabaseError, InterfaceError) as error:
        said = " ".join(str(error).split())
    unseen = [skipped(kind, "cannot be told while the database is away") for kind in PROCESSES]
    return Seen([failed("database", said, time.perf_counter() - began), *unseen, check_disk()])


def check_disk() -> Result:
    """The disk of the data folder."""
    free_mb = shutil.disk_usage(settings.DPL_DATA_DIR).free // 2**20
    said = f"{free_mb} MiB free in {settings.DPL_DATA_DIR}"
    if free_mb < settings.DPL_MIN_FREE_DISK_MB:
        return failed("disk", f"{said}, less than DPL_MIN_FREE_DISK_MB ({settings.DPL_MIN_FREE_DISK_MB})")
    if free_mb < 2 * settings.DPL_MIN_FREE_DISK_MB:
        return warning(
            "disk", f"{said}, soon less than DPL_MIN_FREE_DISK_MB ({settings.DPL_MIN_FREE_DISK_MB})"
        )
    return ok("disk", said)


def _look() -> Seen:
    began = time.perf_counter()
    problem = read_schema().problem
    took_s = time.perf_counter() - began
    if problem:
        unseen = [skipped(kind, "cannot be told by this database") for kind in PROCESSES]
        return Seen([failed("database", problem, took_s), *unseen, check_disk()])
    said = connection.vendor
    database = (
        warning("database", f"{said}, slow", took_s) if took_s > SLOW_S else ok("database", said, took_s)
    )
    agents, engines = _agents(), _engines()
    addresses = [one.url for one in agents] + [one.target.base_url for one in engines]
    results = [database, *_processes(), check_disk()]
    return Seen(results, agents, engines, any(map(_is_on_tailnet, addresses)))


def _processes() -> list[Result]:
    kinds = list(alive().values_list("kind", flat=True))
    if not set(kinds) & set(PROCESSES):
        return [failed(kind, NOT_RUNNING) for kind in PROCESSES]
    parts = read_readiness().parts
    problems = {kind: parts[kind].message for kind in ("controller", "worker")}
    problems["web"] = "" if "web" in kinds else "No web process runs. Start it: manage.py web"
    return [
        failed(kind, problems[kind]) if problems[kind] else ok(kind, f"{kinds.count(kind)} running")
        for kind in PROCESSES
    ]


def _agents() -> list[AgentToAsk]:
    tokens = dict(live_nodes().values_list("id", "agent_token"))
    return [
        AgentToAsk(
            one.node.name,
            one.node.monitor_base_url,
            tokens.get(one.node.id, ""),
            age_s=one.age_s,
            is_current=one.reading is not None,
        )
        for one in latest()
    ]


def _engines() -> list[EngineToAsk]:
    embedders: dict[int, set[str]] = {}
    for engine_id, name in EngineModel.objects.filter(can_generate=False).values_list("engine_id", "name"):
        embedders.setdefault(engine_id, set()).add(name)
    holders = {node_id: lock.owner for node_id, lock in standing_locks().items()}
    rows = live_engines().select_related("node", "status").order_by("node_id", "id")
    return [
        EngineToAsk(
            row.node.name,
            Target(
                row.id,
                row.node_id,
                row.kind or (row.status.kind if hasattr(row, "status") else ""),
                row.base_url,
                row.api_key,
                hasattr(row, "status") and row.status.chat_path_missing,
            ),
            row.is_enabled,
            holders.get(row.node_id, ""),
            frozenset(embedders.get(row.id, ())),
        )
        for row in rows
    ]


def _is_on_tailnet(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.endswith(".ts.net")
    return any(address in network for network in _TAILNETS)


class _Within(Generic[T]):
    """Runs a function in a thread that does not outlive the process, and waits only so long.

    It writes no rows; a kill -9 ends the thread with the process.
    """

    def __init__(self, function: Callable[[], T], seconds: float) -> None:
        self._function, self._seconds = function, seconds
        self._found: list[T] = []
        self._error: BaseException | None = None

    def result(self) -> T:
        """What the function gave. Raises what it raised, or TimeoutError."""
        thread = threading.Thread(target=self._run, name="healthcheck", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if self._error is not None:
            raise self._error
        if not self._found:
            raise TimeoutError
        return self._found[0]

    def _run(self) -> None:
        try:
            self._found.append(self._function())
        except BaseException as error:
            self._error = error
        finally:
            connections.close_all()
