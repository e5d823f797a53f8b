"""What rows tell of a fleet that works less well than it could: agents, engines, locks, jobs, the queue, readings."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Exists, Max, OuterRef, Q, Sum

from datasets.models import Item, Job
from datasets.states import WORKABLE, ItemState
from datasets.waiting import waiting_reason
from dpl_site.lib.clock import iso, iso_ms, utc_now
from dpl_site.lib.db import now_ms
from dpl_site.processes.findings import ERROR, WARNING, Finding
from inference.models import EngineModel, GatewayProcess, SlotWaiter
from inference.slots import INTERACTIVE
from inference.targets import live_engines
from nodes.instances import alive, owner_is_dead
from nodes.latest import is_current, latest
from nodes.models import NodeLock, NodeStatus
from nodes.selectors import live_nodes
from nodes.states import LockMirror, NodeState

STUCK_AFTER = timedelta(minutes=10)
LONG_WAIT_MS = 10_000
MOST_JOBS = 20
"""Unfinished jobs that are looked at, the oldest first; each costs a few queries."""


def agents() -> Iterator[Finding]:
    """Agents without a token, and agents of an older release."""
    ours = _version(str(settings.SPECTACULAR_SETTINGS["VERSION"]))
    open_agents = {node_id for node_id, token in live_nodes().values_list("id", "agent_token") if not token}
    for one in latest():
        node, url = one.node, one.node.monitor_base_url
        if url and not _is_loopback(url) and node.id in open_agents:
            yield Finding(
                WARNING,
                f"node {node.name}",
                "No token is known for its agent, so that anybody on its network who finds it may lock the machine.",
                "Start the agent with DPL_AGENT_TOKEN, and enter the same at the node.",
            )
        if one.reading and _version(one.reading["agent_version"]) < ours:
            yield Finding(
                WARNING,
                f"node {node.name}",
                f"Its agent is of release {one.reading['agent_version']}, older than this installation.",
                "Install this release's agent there and start it anew.",
            )


def engines() -> Iterator[Finding]:
    """Engines that do not answer on nodes that otherwise work, and those that have no model in memory."""
    resident = EngineModel.objects.filter(engine=OuterRef("pk"), is_resident=True)
    found = live_engines().filter(is_enabled=True).select_related("node", "node__status", "status")
    for engine in found.annotate(has_model=Exists(resident)).order_by("id"):
        status = getattr(engine, "status", None)
        if status is None or _state(engine.node) == NodeState.OFFLINE:
            continue
        subject = f"engine {engine.id} of {engine.node.name}"
        if not status.is_online:
            advice = f"See that it runs and can be reached at {engine.base_url}."
            yield Finding(WARNING, subject, f"It does not work: {status.reason}", advice, iso(status.since))
        elif not engine.has_model:
            yield Finding(
                WARNING,
                subject,
                "It has no model in memory, so that the first request waits until one is loaded.",
                "Load one: POST /api/models/start/{model}. An engine without any model needs one on its disk first.",
            )


def readings() -> Iterator[Finding]:
    """A controller that leads but has not heard of any agent for long."""
    with_agent = NodeStatus.objects.filter(node__archived_at__isnull=True).exclude(node__monitor_base_url="")
    silent = with_agent.filter(agent_error="")
    newest = silent.aggregate(at=Max("sampled_at"))["at"]
    if (
        newest is not None
        and not is_current(newest, utc_now())
        and alive().filter(kind="controller").exists()
    ):
        yield Finding(
            ERROR,
            "controller",
            "A controller lives, but no agent has been asked for long.",
            "See its log for what keeps it, and start it anew.",
            iso(newest),
        )


def locks() -> Iterator[Finding]:
    """Locks of ours that a node's agent does not hold."""
    loose = NodeLock.objects.filter(mirror=LockMirror.UNMIRRORED, expires_ms__gt=now_ms())
    for lock in loose.exclude(node__monitor_base_url="").select_related("node").order_by("node_id"):
        yield Finding(
            WARNING,
            f"node {lock.node.name}",
            f"The lock of {lock.owner} stands here, but its agent does not hold it: others may use the machine.",
            "The node's reason or another lock on its agent says why. It is tried again at each tick.",
            iso(lock.created_at),
        )


def jobs() -> Iterator[Finding]:
    """Jobs of which nothing has been recorded for long."""
    patience = max(STUCK_AFTER, timedelta(seconds=1.5 * settings.DPL_ITEM_TIMEOUT_S))
    then = utc_now() - patience
    old = Job.objects.filter(Q(started_at__lt=then) | Q(started_at=None, created_at__lt=then))
    since_ms = now_ms() - int(patience.total_seconds() * 1000)
    for job in old.filter(state__in=WORKABLE).select_related("owner").order_by("id")[:MOST_JOBS]:
        recorded = Item.objects.filter(job=job, state__in=[ItemState.SUCCEEDED, ItemState.FAILED])
        if not recorded.filter(finished_ms__gt=since_ms).exists():
            why = waiting_reason(job) or "No reason is known; a worker's log may say more."
            minutes = int(patience.total_seconds() // 60)
            yield Finding(
                WARNING,
                f"job {job.id}",
                f"Nothing of {job.name} ({job.owner.username}) has been recorded for {minutes} minutes. {why}",
                "See to that reason, or stop the job; what is done is kept.",
                iso_ms(recorded.aggregate(at=Max("finished_ms"))["at"])
                or iso(job.started_at or job.created_at),
            )


def waiting() -> Iterator[Finding]:
    """People who wait long for a slot, and queues that will soon turn requests away."""
    living = GatewayProcess.objects.exclude(owner_is_dead("instance"))
    total = living.aggregate(all=Sum("waiting"))["all"] or 0
    if total and total >= settings.DPL_QUEUE_MOST / 2:
        yield Finding(
            WARNING,
            "queue",
            f"{total} requests wait for a slot; each web process turns more than {settings.DPL_QUEUE_MOST} away.",
            "Add engines or slots, unlock nodes, or stop jobs.",
        )
    waiters = SlotWaiter.objects.filter(work_class=INTERACTIVE).exclude(owner_is_dead("owner"))
    first = waiters.order_by("since_ms").values_list("since_ms", flat=True).first()
    if first is not None and now_ms() - first > LONG_WAIT_MS:
        yield Finding(
            WARNING,
            "queue",
            "Requests of people have waited for a slot for more than 10 s.",
            "Add engines or slots, unlock nodes, or stop jobs.",
            iso_ms(first),
        )


def _state(node: object) -> str:
    status = getattr(node, "status", None)
    return status.state if status is not None else NodeState.UNKNOWN.value


def _version(text: str) -> tuple[int, ...]:
    """A release as numbers that can be compared; one that cannot be read is taken for a new one."""
    try:
        return tuple(int(part) for part in text.partition("+")[0].split("."))
    except ValueError:
        return (10**9,)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


FLEET_SYMPTOMS: tuple[Callable[[], Iterable[Finding]], ...] = (
    agents,
    engines,
    readings,
    locks,
    jobs,
    waiting,
)
