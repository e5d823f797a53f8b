"""What rows tell of an installation that does not work as it should: processes, queue, nodes, engines, counters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django_q.models import OrmQ

from alerts.heartbeat import last_beat
from alerts.selectors import failing_channels
from datasets.reconcile import counters_that_disagree
from dpl_site.lib.clock import iso, iso_ms
from dpl_site.lib.db import now_ms
from dpl_site.processes.findings import ERROR, WARNING, Finding
from dpl_site.processes.ports import is_free
from dpl_site.processes.serving import read_readiness
from inference.targets import live_engines
from nodes.instances import alive
from nodes.selectors import live_nodes
from nodes.states import NodeState

WAITS_TOO_LONG = timedelta(seconds=10)
MOST_SKEW_S = 5.0


def processes() -> Iterator[Finding]:
    """Processes that an installation needs and that do not live."""
    readiness = read_readiness()
    for subject in ("controller", "worker"):
        part = readiness.parts[subject]
        if not part.is_ok:
            said, _, advice = part.message.partition(". ")
            yield Finding(ERROR, subject, f"{said}.", advice)
    if not alive().filter(kind="web").exists():
        in_use = (
            "" if is_free(settings.DPL_PORT) else f" Port {settings.DPL_PORT} is used by another program."
        )
        yield Finding(
            ERROR,
            "web",
            f"No web process runs.{in_use}",
            "Start `manage.py up`, with --port for another port.",
        )


def clock() -> Iterator[Finding]:
    """This machine's clock beside the database's."""
    skew_s = time.time() - now_ms() / 1000
    if abs(skew_s) > MOST_SKEW_S:
        yield Finding(
            WARNING,
            "clock",
            f"This machine's clock differs from the database's by {skew_s:+.0f} s.",
            "Synchronise the clocks of both, for instance with NTP.",
        )


def queue() -> Iterator[Finding]:
    """Wake-ups that nobody takes although a worker lives."""
    oldest = OrmQ.objects.filter(lock__lt=timezone.now() - WAITS_TOO_LONG).order_by("lock").first()
    drains = alive().filter(kind="drain").count()
    if oldest is not None and alive().filter(kind="worker").exists() and drains < settings.DPL_DRAINS:
        yield Finding(
            ERROR,
            "queue",
            "Wake-ups are not taken although a worker runs.",
            "The watchdog starts hung workers anew within seconds; if this stays, restart the worker and see its log.",
            iso(oldest.lock),
        )


def nodes() -> Iterator[Finding]:
    """Nodes that do not work, and why."""
    found = list(live_nodes().select_related("status").prefetch_related("engines"))
    if not found:
        yield Finding(
            WARNING, "nodes", "There are none.", "Add one: manage.py node add NAME --llm http://host:11434"
        )
    for node in found:
        status = getattr(node, "status", None)
        if not any(engine.archived_at is None for engine in node.engines.all()):
            yield Finding(
                WARNING,
                f"node {node.name}",
                "It has no engine, so it gets no work.",
                "Start Ollama, llama.cpp or vLLM there, and add it on the nodes page.",
            )
        elif status is not None and status.state in (NodeState.OFFLINE, NodeState.DEGRADED):
            severity = ERROR if status.state == NodeState.OFFLINE else WARNING
            advice = "See that the machine is on and its services run; the reason says which does not answer."
            yield Finding(
                severity,
                f"node {node.name}",
                f"It is {status.state}: {status.reason}.",
                advice,
                iso(status.since),
            )
        if status is not None and abs(status.clock_skew_s or 0.0) > MOST_SKEW_S:
            yield Finding(
                WARNING,
                f"node {node.name}",
                f"Its clock differs by {status.clock_skew_s:+.0f} s.",
                "Synchronise its clock, for instance with NTP.",
            )


def engines() -> Iterator[Finding]:
    """Engines that failed on live traffic and are out of rotation though they answer probes."""
    for engine in (
        live_engines().select_related("status", "node").filter(status__breaker_open_ms__isnull=False)
    ):
        yield Finding(
            WARNING,
            f"engine {engine.id} of {engine.node.name}",
            f"It gets no work after failures: {engine.status.breaker_reason}.",
            "Look at what the engine logs. It is tried again by itself, and back as soon as it answers.",
            iso_ms(engine.status.breaker_open_ms),
        )


def counters() -> Iterator[Finding]:
    """Counters of shards that differ from their rows: never, or a bug."""
    wrong = counters_that_disagree()
    if wrong:
        yield Finding(
            ERROR,
            "counters",
            f"{len(wrong)} shards count other results than they have, the first is {wrong[0]}.",
            "Please report this: it is a bug. The results themselves are right.",
        )


def alerting() -> Iterator[Finding]:
    """Channels that do not take messages, and a heartbeat out that fails: nobody is told when something breaks."""
    for channel in failing_channels():
        yield Finding(
            ERROR,
            f"channel {channel.name}",
            f"It takes no messages: {channel.status.error}.",
            "See that its service runs and that its address is right; then send a test from the admin pages.",
            iso_ms(channel.status.failing_since_ms),
        )
    beat = last_beat()
    if settings.DPL_HEARTBEAT_URL and beat is not None and beat.failing_since_ms is not None:
        yield Finding(
            ERROR,
            "heartbeat",
            f"DPL_HEARTBEAT_URL cannot be reached: {beat.error}.",
            "See that the service answers 200 from this machine. Whoever watches it believes that DPL is dead.",
            iso_ms(beat.failing_since_ms),
        )


SYMPTOMS: tuple[Callable[[], Iterable[Finding]], ...] = (processes, clock, queue, nodes, engines, alerting)
SLOW_SYMPTOMS: tuple[Callable[[], Iterable[Finding]], ...] = (counters,)
"""What takes longer the more items there are."""
