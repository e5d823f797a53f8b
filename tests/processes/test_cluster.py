"""What a look at a cluster's processes tells."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from dpl_site.processes.cluster import Cluster, Member, await_end, runs, send
from dpl_site.processes.roles import Role


@pytest.fixture
def two() -> Iterator[list[psutil.Process]]:
    """Two processes, the second begun a while after the first."""
    with ExitStack() as stack:
        found = []
        for _ in range(2):
            started = subprocess.Popen(["sleep", "60"])
            stack.callback(started.wait)
            stack.callback(started.kill)
            found.append(psutil.Process(started.pid))
            time.sleep(0.25)
        yield found


def cluster_of(*members: Member) -> Cluster:
    """A cluster that has these members, without forking one."""
    made = Cluster.__new__(Cluster)
    made.members = members
    made.is_complete = True
    return made


def test_a_worker_that_is_younger_than_the_pusher_replaced_one_that_nobody_saw(
    two: list[psutil.Process],
) -> None:
    older, younger = two
    monitor = Member(older, Role.MONITOR)
    sound = cluster_of(Member(older, Role.WORKER), monitor, Member(younger, Role.PUSHER))
    replaced = cluster_of(Member(younger, Role.WORKER), monitor, Member(older, Role.PUSHER))
    assert not sound.has_replacements()
    assert replaced.has_replacements()


def test_who_is_forgotten_is_looked_for_again(two: list[psutil.Process]) -> None:
    cluster = cluster_of(*(Member(process, Role.WORKER) for process in two))
    cluster.forget([two[0].pid])
    assert [member.process for member in cluster.members] == [two[1]]
    assert not cluster.is_complete


def test_it_tells_who_runs_from_who_has_ended(two: list[psutil.Process]) -> None:
    members = [Member(process, Role.WORKER) for process in two]
    two[0].kill()
    await_end([two[0]], 5)
    assert [member.runs for member in members] == [False, True]  # the first is a zombie
    assert [runs(process) for process in two] == [False, True]
    send(two[0], 0)
