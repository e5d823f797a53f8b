"""The watchdog of a real django-q2 cluster, with real kills."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django_q.tasks import async_task

from nodes.instances import alive
from nodes.models import ProcessInstance
from tests.processes.site_process import SiteProcess, all_gone, lines_of, send, tree_of
from tests.processes.supervised import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Worker = Callable[[], SiteProcess]
SEEN_WITHIN_S = 1.2


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Worker]:
    """Starts `manage.py worker` processes, and leaves none of their processes behind."""
    started: list[SiteProcess] = []

    def begin() -> SiteProcess:
        started.append(SiteProcess("worker"))
        return started[-1]

    yield begin
    groups = set(ProcessInstance.objects.exclude(group_pid=0).values_list("group_pid", flat=True))
    for process in started:
        process.kill()
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    for process in started:
        process.close()


def runs_a_task(folder: Path, within_s: float = 20.0) -> bool:
    """Whether the cluster takes a wake-up and runs it. One may be lost with a cluster, so it is sent again."""
    file = folder / f"marked-{time.monotonic_ns()}"
    due = time.monotonic()
    deadline = due + within_s
    while not lines_of(file):
        assert time.monotonic() < deadline, "no wake-up was taken in time"
        if time.monotonic() >= due:
            async_task("tests.processes.tasks.mark", str(file))
            due += 1.0
        time.sleep(0.02)
    return True


def hold(folder: Path, **more: bool) -> tuple[Path, int]:
    """Make a worker busy: the file that it writes, and its pid."""
    file = folder / f"held-{time.monotonic_ns()}"
    async_task("tests.processes.tasks.hold", str(file), **more)
    wait_until(lambda: lines_of(file))
    return file, int(lines_of(file)[0])


def given_back(file: Path) -> bool:
    """Whether the held task ended in order."""
    return Path(f"{file}.given_back").exists()


@pytest.mark.slow
def test_it_restarts_after_the_loss_of_an_idle_worker_and_ends_in_order(
    worker: Worker, tmp_path: Path
) -> None:
    watchdog = worker()
    first = tree_of(watchdog.pid)
    assert runs_a_task(tmp_path)
    row = alive().get(kind="worker")
    assert (row.pid, row.group_pid) == (watchdog.pid, first.main)
    send(first.workers[0])
    second = tree_of(watchdog.pid, other_than=first)
    assert all_gone(first.pids)
    assert runs_a_task(tmp_path)
    file, _ = hold(tmp_path)
    began = time.monotonic()
    assert watchdog.stop() == 0
    assert time.monotonic() - began < 5
    assert given_back(file)
    assert all_gone(second.pids)
    assert not alive().exists()


@pytest.mark.slow
def test_the_cluster_ends_by_itself_when_its_watchdog_is_killed(worker: Worker, tmp_path: Path) -> None:
    watchdog = worker()
    tree = tree_of(watchdog.pid)
    _, pid = hold(tmp_path)
    watchdog.kill()
    wait_until(lambda: all_gone([*tree.pids, pid]), 3)


@pytest.mark.chaos
@pytest.mark.parametrize("role", ["main", "sentinel", "pusher", "monitor"])
def test_it_restarts_after_the_loss_of(role: str, worker: Worker, tmp_path: Path) -> None:
    watchdog = worker()
    first = tree_of(watchdog.pid)
    file, pid = hold(tmp_path)
    # What dies before the watchdog has seen it is replaced by the sentinel; if its queue hangs then, that is found
    # by the wake-ups that nobody takes (below).
    time.sleep(SEEN_WITHIN_S)
    victim = {"pusher": first.pushers, "monitor": first.monitors}.get(role) or [getattr(first, role)]
    send(victim[0])
    try:
        second = tree_of(watchdog.pid, other_than=first)
    except AssertionError:
        pytest.fail(f"no new cluster came. The watchdog said:\n{watchdog.output}")
    assert given_back(file), "a drain that runs is asked to give back"
    assert all_gone([*first.pids, pid])
    assert runs_a_task(tmp_path, 5)
    assert second.main != first.main


@pytest.mark.chaos
def test_a_busy_worker_is_replaced_and_its_instance_expired_at_once(worker: Worker, tmp_path: Path) -> None:
    watchdog = worker()
    tree = tree_of(watchdog.pid)
    other, _ = hold(tmp_path)
    _, pid = hold(tmp_path)
    time.sleep(SEEN_WITHIN_S)  # so that the watchdog has seen that it is busy
    send(pid)
    wait_until(lambda: alive().filter(kind="drain").count() == 1, 2)
    assert runs_a_task(tmp_path, 5)
    time.sleep(1)
    after = tree_of(watchdog.pid)
    assert (after.main, after.sentinel, after.pushers) == (tree.main, tree.sentinel, tree.pushers)
    assert not given_back(other), "the others work on"
    send(after.monitors[0])
    tree_of(watchdog.pid, other_than=tree)
    assert given_back(other), "it still watches the rest"


@pytest.mark.chaos
@pytest.mark.parametrize("role", ["pusher", "sentinel"])
def test_it_notices_a_cluster_that_hangs(role: str, worker: Worker, tmp_path: Path) -> None:
    watchdog = worker()
    first = tree_of(watchdog.pid)
    send(first.pushers[0], signal.SIGSTOP)
    if role == "sentinel":
        send(first.sentinel, signal.SIGSTOP)
    file = tmp_path / "marked"
    async_task("tests.processes.tasks.mark", str(file))
    tree_of(watchdog.pid, other_than=first)
    wait_until(lambda: lines_of(file))
    assert all_gone(first.pids)


@pytest.mark.chaos
def test_drains_that_do_not_obey_are_killed_in_time(worker: Worker, tmp_path: Path) -> None:
    watchdog = worker()
    tree_of(watchdog.pid)
    _, pid = hold(tmp_path, obeys=False)
    began = time.monotonic()
    assert watchdog.stop() == 0
    assert time.monotonic() - began < 5
    assert all_gone([pid])
    assert not alive().exists()


@pytest.mark.chaos
def test_the_next_watchdog_ends_what_a_killed_one_and_its_killed_main_left(
    worker: Worker, tmp_path: Path
) -> None:
    watchdog = worker()
    tree = tree_of(watchdog.pid)
    send(watchdog.pid, signal.SIGSTOP)
    send(tree.main)
    watchdog.kill()
    time.sleep(0.5)
    left = [pid for pid in tree.pids if not all_gone([pid])]
    assert tree.workers[0] in left, "nothing was left, so this test shows nothing"
    other = worker()
    tree_of(other.pid)
    assert all_gone(tree.pids)
    assert runs_a_task(tmp_path)


@pytest.mark.chaos
def test_it_ends_in_order_when_its_parent_ends(worker: Worker, tmp_path: Path) -> None:
    watchdog = worker()
    tree = tree_of(watchdog.pid)
    file, _ = hold(tmp_path)
    watchdog.let_go()
    assert watchdog.end() == 0
    assert given_back(file)
    assert all_gone(tree.pids)


@pytest.mark.chaos
def test_it_survives_the_loss_of_one_process_after_another(worker: Worker, tmp_path: Path) -> None:
    watchdog = worker()
    for turn in range(8):
        tree = tree_of(watchdog.pid)
        send(tree.pids[turn % len(tree.pids)])
        assert runs_a_task(tmp_path)
    assert watchdog.process.poll() is None
