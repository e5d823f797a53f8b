"""Ends what a killed watchdog and its killed cluster left behind, and never anything else."""

from __future__ import annotations

import logging
import os
import signal
import time

import psutil

from dpl_site.lib.db import NowMs, now_ms
from dpl_site.processes.cluster import await_end, send
from nodes.instances import TTL_MS, boot_id, expire_dead_neighbours
from nodes.models import ProcessInstance

GONE_IN_S = 1.0
SLACK_S = 2.0

logger = logging.getLogger(__name__)


def end_orphans() -> int:
    """Kill the clusters of this host's dead watchdogs; how many processes that were.

    A process is killed only when all of this holds: it is in the session that a dead watchdog of this boot
    recorded, a process of that session began while that watchdog lived, it runs this interpreter for this
    user, and it calls itself a `qcluster` process.
    """
    expire_dead_neighbours()
    dead = ProcessInstance.objects.filter(
        kind="worker", boot_id=boot_id(), group_pid__gt=0, expires_ms__lte=NowMs()
    )
    sessions = _sessions({row.group_pid for row in dead})
    killed = [process for row in dead for process in _kill(row, sessions.pop(row.group_pid, []))]
    if killed:
        logger.warning(
            "ended %d processes that a killed worker left behind",
            len(killed),
            extra={"action": "orphans_ended"},
        )
        await_end(killed, GONE_IN_S)
        expire_dead_neighbours()
    return len(killed)


def _kill(row: ProcessInstance, members: list[psutil.Process]) -> list[psutil.Process]:
    """Kill a session if it is the one that this row means, and not a later one under the same number."""
    skew_s = now_ms() / 1000 - time.time()
    last_sign = (row.heartbeat_ms + TTL_MS) / 1000 - skew_s
    if not any(row.pid_created - SLACK_S <= process.create_time() <= last_sign for process in members):
        return []
    for process in members:
        send(process, signal.SIGKILL)
    return members


def _sessions(wanted: set[int]) -> dict[int, list[psutil.Process]]:
    """The cluster processes of this user in these sessions."""
    found: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter() if wanted else ():
        session = _session_of(process)
        if session in wanted and _is_cluster(process):
            found.setdefault(session, []).append(process)
    return found


def _session_of(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return 0


def _is_cluster(process: psutil.Process) -> bool:
    try:
        is_ours = process.uids().real == os.getuid() and process.exe() == psutil.Process().exe()
        return is_ours and " ".join(process.cmdline()).startswith("qcluster ")
    except psutil.Error:
        return False
