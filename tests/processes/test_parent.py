"""The pipe by which a process learns that its parent has ended."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from dpl_site.lib.parent import PARENT_FD, PARENT_PIPE, Leash, parent_descriptor, parent_is_lost, watch_parent
from tests.processes.supervised import FAITHFUL, PYTHON, ROOT, is_alive, wait_until

WAIT = FAITHFUL + "print('up', flush=True)\nthreading.Event().wait()"


@pytest.fixture
def leash() -> Iterator[Leash]:
    """A leash that the test may close itself."""
    leash = Leash()
    yield leash
    for descriptor in (leash.descriptors()[0], leash._write):
        try:
            os.close(descriptor)
        except OSError:
            continue


def on_leash(leash: Leash, code: str = WAIT) -> subprocess.Popen[str]:
    """A child that holds the leash and is up."""
    env = os.environ | leash.environment() | {"PYTHONPATH": str(ROOT)}
    command = [*PYTHON, code]
    child = subprocess.Popen(
        command, env=env, pass_fds=leash.descriptors(), stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert child.stdout.readline() == "up\n"
    child.stdout.close()
    return child


def test_it_ends_every_child_when_the_parent_lets_go(leash: Leash) -> None:
    children = [on_leash(leash), on_leash(leash)]
    assert [child.poll() for child in children] == [None, None]
    leash.close()
    assert [child.wait(1) for child in children] == [3, 3]


def test_it_ends_the_child_within_a_second_of_a_kill_of_the_parent() -> None:
    code = (
        "import os, subprocess, sys, threading\n"
        "from dpl_site.lib.parent import Leash\n"
        "leash = Leash()\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', {WAIT!r}], stdout=subprocess.PIPE,\n"
        "    env=os.environ | leash.environment(), pass_fds=leash.descriptors())\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "threading.Event().wait()\n"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*PYTHON, code], env=env, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(child))


def test_it_tells_without_waiting_for_those_who_cannot_keep_a_thread(
    leash: Leash, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in leash.environment().items():
        monkeypatch.setenv(name, value)
    assert parent_is_lost() is False
    os.close(leash._write)
    assert parent_is_lost() is True


def test_it_calls_back_once(leash: Leash, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in leash.environment().items():
        monkeypatch.setenv(name, value)
    calls = queue.SimpleQueue[str]()
    watch_parent(lambda: calls.put("lost"))
    time.sleep(0.05)
    assert calls.empty()
    os.close(leash._write)
    assert calls.get(timeout=10) == "lost"
    time.sleep(0.05)
    assert calls.empty()


def test_it_watches_nothing_when_started_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARENT_FD, raising=False)
    before = threading.active_count()
    watch_parent(lambda: None)
    assert threading.active_count() == before
    assert parent_is_lost() is False


@pytest.mark.parametrize("value", ["", "x", "-1", "999999", "9" * 30])
def test_it_ignores_a_number_that_is_no_open_descriptor(value: str) -> None:
    assert parent_descriptor({PARENT_FD: value}) is None


def test_it_takes_no_other_file_for_the_parents_pipe(leash: Leash) -> None:
    with open(os.devnull) as other:
        assert parent_descriptor({PARENT_FD: str(other.fileno())}) is None
    descriptor = leash.descriptors()[0]
    assert parent_descriptor(leash.environment()) == descriptor
    assert parent_descriptor({PARENT_FD: str(descriptor)}) == descriptor
    reused = {PARENT_FD: str(descriptor), PARENT_PIPE: f"{descriptor}:1"}
    assert parent_descriptor(reused) is None


def test_a_grandchild_that_did_not_inherit_the_pipe_lives_on(leash: Leash) -> None:
    ask = "from dpl_site.lib.parent import parent_descriptor; print(parent_descriptor())"
    env = os.environ | leash.environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
