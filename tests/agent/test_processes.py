"""Who a process is: asked once while it lives, and never confused with one that has its number later."""

from __future__ import annotations

import os
import time

import psutil
import pytest

from agent.processes import ProcessBook, ProcessFacts
from tests.agent.test_lock import Clock


def test_it_describes_this_process() -> None:
    facts = ProcessBook().describe(os.getpid())
    me = psutil.Process()
    assert (facts.name, facts.user) == (me.name(), me.username())
    assert facts.command is not None
    assert facts.started_at is not None


@pytest.mark.parametrize("pid", [0, -5, 2**22 + 9])
def test_a_process_that_is_not_to_be_seen_is_nobody(pid: int) -> None:
    assert ProcessBook().describe(pid) == ProcessFacts() or pid == 0


def test_it_tells_how_long_a_process_has_run() -> None:
    clock = Clock(psutil.Process().create_time() + 90)
    book = ProcessBook(clock)
    facts = book.describe(os.getpid())
    assert book.elapsed_s(facts) == 90.0
    clock.now += 2
    assert book.elapsed_s(book.describe(os.getpid())) == 92.0
    clock.now -= 5000
    assert book.elapsed_s(facts) == 0.0
    assert book.elapsed_s(ProcessFacts()) is None


def test_it_asks_once_while_a_process_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    book = ProcessBook()
    known = book.describe(os.getpid())
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: ["changed"])
    assert book.describe(os.getpid()) is known


def test_a_process_that_has_only_just_begun_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    book = ProcessBook()
    with monkeypatch.context() as patched:
        patched.setattr(psutil.Process, "cmdline", lambda self: [])
        assert book.describe(os.getpid()).command is None
    assert book.describe(os.getpid()).command is not None


def test_a_number_that_is_used_again_is_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    book = ProcessBook()
    known = book.describe(os.getpid())
    later = time.time() + 100
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: later)
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: ["changed"])
    other = book.describe(os.getpid())
    assert other != known
    assert other.command == "changed"


def test_what_is_refused_is_unknown_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: psutil.Process) -> str:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "username", refuse)
    monkeypatch.setattr(psutil.Process, "cmdline", refuse)
    facts = ProcessBook().describe(os.getpid())
    assert (facts.user, facts.command) == (None, None)
    assert facts.name is not None
