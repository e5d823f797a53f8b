"""What the fleet is like at this moment, as rules see it: a few queries whatever its size, and writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any, cast

import orjson
from django.db.models import Q

from alerts import metrics
from alerts.looks import Look, Machine
from alerts.models import KnownGpus
from datasets.models import Job
from datasets.states import JobState
from datasets.statistics import recorded
from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import now_ms
from dpl_site.lib.prepared import Prepared
from inference.models import Engine, EngineModel, GatewayProcess
from inference.targets import live_engines
from nodes.instances import alive, owner_is_dead
from nodes.measures import figures
from nodes.models import Leadership, ProcessInstance
from nodes.payloads import Status
from nodes.selectors import live_nodes
from nodes.states import NodeState

LEAST_DONE = 10
"""Items of a job that must be recorded before their failures tell anything."""
FAILED_LATELY = timedelta(hours=1)
MOST_JOBS = 500
FORGOTTEN_MS = 7 * 86_400_000
"""A GPU that is gone for so long was taken out."""
LEAD_TTL_MS = 5_000
_THERMAL = ("thermal", "slowdown", "brake")
"""What a reason for throttling names when the hardware protects itself; a power limit is no trouble."""

_MACHINES = Prepared(
    lambda: live_nodes().values_list(
        *("id", "name", "environment", "labels", "status__state", "status__reason"),
        *("status__agent_error", "status__sampled_at", "status__clock_skew_s", "status__reading"),
    )
)
_ENGINES = Prepared(
    lambda: (
        live_engines()
        .filter(is_enabled=True)
        .order_by()
        .values_list("id", "node_id", "base_url", "kind", "status__kind", "status__is_online")
    )
)
_RESIDENT = Prepared(lambda: EngineModel.objects.filter(is_resident=True).order_by().values_list("engine_id"))
_WAITING = Prepared(lambda: GatewayProcess.objects.exclude(owner_is_dead("instance")).values_list("waiting"))
_WORKERS = Prepared(lambda: alive().filter(kind="worker").values_list("pid"))
_KNOWN_GPUS = Prepared(lambda: KnownGpus.objects.values_list("node_id", "seen"))


class FleetReader:
    """Looks at the fleet; remembers the figures of readings that did not change since the last look."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Any, list[tuple[str, str, float]], dict[str, int]]] = {}

    def look(self, wanted: Collection[str]) -> Look:
        """The figures of these metrics now."""
        look = Look(now_ms())
        self._machines(look, wanted)
        if metrics.GPUS_LOST in wanted:
            _lost_gpus(look)
        if metrics.ENGINE_UP in wanted or metrics.RESIDENT_MODELS in wanted:
            _engines(look, wanted)
        for metric, read in _OF_THE_SITE.items():
            if metric in wanted:
                read(look)
        return look

    def _machines(self, look: Look, wanted: Collection[str]) -> None:
        kept = self._kept
        self._kept = {}
        rows = _MACHINES.rows()
        for node_id, name, environment, labels, state, reason, error, sampled_at, skew_s, reading in rows:
            is_fresh = bool(reading) and not error
            look.machines[node_id] = Machine(node_id, name, environment, orjson.loads(labels), is_fresh)
            if state not in (None, NodeState.UNKNOWN):
                look.add(metrics.NODE_UP, float(state != NodeState.OFFLINE), node_id=node_id)
            if reason:
                look.details[metrics.NODE_UP, node_id] = reason
            if error:
                look.details[metrics.AGENT_UP, node_id] = error
            if reading or error:
                look.add(metrics.AGENT_UP, float(is_fresh), node_id=node_id)
            if not is_fresh:
                continue
            if skew_s is not None:
                look.add(metrics.CLOCK_SKEW_S, abs(skew_s), node_id=node_id)
            known = kept.get(node_id)
            if known is None or known[0] != sampled_at:
                status = orjson.loads(reading)
                known = (sampled_at, list(_told(status)), _gpus(status))
            self._kept[node_id] = known
            look.gpus[node_id] = known[2]
            for metric, subject, value in known[1]:
                if metric in wanted:
                    look.readings[metric].append((node_id, subject, value))


def controller_age_s() -> float | None:
    """Seconds since a controller last led; None when none has within the memory of the rows."""
    now = now_ms()
    lead = Leadership.objects.filter(name="controller").first()
    if lead is not None and lead.expires_ms:
        return max(0.0, (now - (lead.expires_ms - LEAD_TTL_MS)) / 1000)
    # It resigned: how long ago, its last heartbeat tells.
    newest = ProcessInstance.objects.filter(kind="controller").order_by("-heartbeat_ms").first()
    return max(0.0, (now - newest.heartbeat_ms) / 1000) if newest else None


def _told(status: Status) -> Iterator[tuple[str, str, float]]:
    """The figures of a reading: those of `nodes.measures`, and what is counted or read off here."""
    for figure, value in figures(status).items():
        yield figure.metric, figure.subject, value
    yield metrics.GPU_COUNT, "", float(len(status["gpus"]))
    for gpu in status["gpus"]:
        # Fields that older agents do not send.
        told = cast(Mapping[str, Any], gpu)
        subject = str(gpu["index"])
        reasons, ecc = told.get("throttle_reasons"), told.get("ecc_errors")
        if gpu["index"] is not None and isinstance(reasons, list):
            yield metrics.GPU_THROTTLED, subject, float(any(map(_is_thermal, reasons)))
        if gpu["index"] is not None and isinstance(ecc, dict):
            errors = ecc.get("uncorrected")
            if isinstance(errors, int):
                yield metrics.GPU_ECC_UNCORRECTED, subject, float(errors)


def _is_thermal(reason: object) -> bool:
    return isinstance(reason, str) and any(word in reason.lower() for word in _THERMAL)


def _gpus(status: Status) -> dict[str, int]:
    """What names each GPU of a reading, with its index."""
    return {
        str(gpu["uuid"] or f"{gpu['index']} {gpu['name']}")[:200]: gpu["index"] or 0 for gpu in status["gpus"]
    }


def _lost_gpus(look: Look) -> None:
    look.known_gpus = {node_id: orjson.loads(seen) for node_id, seen in _KNOWN_GPUS.rows()}
    for node_id, seen in look.known_gpus.items():
        if node_id in look.gpus:
            lately = {name for name, at_ms in seen.items() if look.at_ms - at_ms < FORGOTTEN_MS}
            lost = sorted(lately - look.gpus[node_id].keys())
            look.add(metrics.GPUS_LOST, float(len(lost)), node_id=node_id)
            if lost:
                look.details[metrics.GPUS_LOST, node_id] = ", ".join(lost)


def _engines(look: Look, wanted: Collection[str]) -> None:
    rows = _ENGINES.rows()
    for engine_id, node_id, base_url, _, _, is_online in rows:
        if is_online is not None:
            look.add(metrics.ENGINE_UP, float(is_online), node_id=node_id, subject=str(engine_id))
            look.names[node_id, str(engine_id)] = base_url
    if metrics.RESIDENT_MODELS not in wanted:
        return
    # An Ollama loads what it is asked for: having nothing resident is no trouble there.
    keepers = {
        engine_id: node_id
        for engine_id, node_id, _, kind, found, is_online in rows
        if is_online and (kind or found) != Engine.Kind.OLLAMA
    }
    counts = dict.fromkeys(keepers.values(), 0)
    for (engine_id,) in _RESIDENT.rows():
        if engine_id in keepers:
            counts[keepers[engine_id]] += 1
    for node_id, count in counts.items():
        look.add(metrics.RESIDENT_MODELS, float(count), node_id=node_id)


def _queue(look: Look) -> None:
    look.add(metrics.QUEUE_WAITING, float(sum(waiting for (waiting,) in _WAITING.rows())))


def _workers(look: Look) -> None:
    look.add(metrics.WORKERS, float(len(_WORKERS.rows())))


def _jobs(look: Look) -> None:
    """Jobs at work, and those that could not run; an ended job is no trouble any more."""
    failed = Q(state=JobState.FAILED, finished_at__gt=utc_now() - FAILED_LATELY)
    jobs = Job.objects.filter(Q(state__in=(JobState.RUNNING, JobState.STOPPING)) | failed)
    rows = list(jobs.order_by("-id").values_list("id", "name", "state")[:MOST_JOBS])
    counts = recorded([job_id for job_id, _, _ in rows]) if rows else {}
    for job_id, name, state in rows:
        succeeded, wrong = counts.get(job_id, (0, 0))
        done = succeeded + wrong
        look.names[None, job_id] = name
        if state == JobState.FAILED:
            look.add(metrics.JOB_FAILED_SHARE, 100.0, subject=job_id)
        elif done >= LEAST_DONE:
            look.add(metrics.JOB_FAILED_SHARE, 100.0 * wrong / done, subject=job_id)


def _controller(look: Look) -> None:
    age_s = controller_age_s()
    if age_s is not None:
        look.add(metrics.CONTROLLER_AGE_S, age_s)


_OF_THE_SITE = {
    metrics.QUEUE_WAITING: _queue,
    metrics.WORKERS: _workers,
    metrics.JOB_FAILED_SHARE: _jobs,
    metrics.CONTROLLER_AGE_S: _controller,
}
