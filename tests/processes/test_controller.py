"""One controller leads and does the duties; others stand by."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from django.db import OperationalError, connection

from dpl_site.lib.db import call
from dpl_site.processes import controller as module
from dpl_site.processes.complaints import Complaints
from dpl_site.processes.controller import Controller
from dpl_site.processes.duties import LEAD, Duty, all_duties, perform
from inference.probe import FleetProbe
from nodes.instances import alive
from nodes.leadership import NotLeading, campaign
from nodes.models import Leadership, LockAudit, Node, NodeLock, ProcessInstance
from tests.processes.site_process import SiteProcess
from tests.processes.supervised import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def running(*duties: Duty) -> AsyncIterator[Controller]:
    """A controller at work in this process, stopped at the end."""
    controller = Controller(duties)
    task = asyncio.create_task(controller.run())
    try:
        yield controller
    finally:
        controller.stop()
        await task


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def counting(period_s: float = 0.05, **more: object) -> tuple[Duty, list[float]]:
    """A duty that notes when it is done."""
    times: list[float] = []
    return Duty("count", period_s, lambda: times.append(time.monotonic()), **more), times  # type: ignore[arg-type]  # of Duty's kinds


async def test_the_leader_does_its_duties_again_and_again() -> None:
    duty, times = counting()
    async with running(duty) as controller:
        await until(lambda: len(times) >= 3)
        assert controller.epoch == 1
        assert await call(alive().filter(kind="controller").count) == 1
    assert not await call(alive().exists)


@pytest.mark.slow
async def test_a_stand_by_does_everybodys_duties_only_and_leads_when_the_leader_resigns() -> None:
    led, led_times = counting()
    common, common_times = counting(is_everybodys=True)
    async with running() as leader:
        await until(lambda: leader.epoch)
        async with running(led, common) as second:
            await until(lambda: len(common_times) >= 3)
            assert second.epoch is None
            assert not led_times
            leader.stop()
            await until(lambda: led_times, 3)
            assert second.epoch == 2


async def test_a_duty_that_fails_is_logged_once_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[float] = []

    def fail() -> None:
        failures.append(time.monotonic())
        raise ValueError("a bug")

    duty, times = counting()
    async with running(Duty("broken", 0.05, fail), duty):
        await until(lambda: len(times) >= 3 and len(failures) >= 3)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert said == ["broken: ValueError: a bug"]


async def test_a_duty_that_hangs_stops_no_other_and_is_not_begun_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun: list[float] = []
    ended: list[float] = []
    may_end = threading.Event()

    def hang() -> None:
        begun.append(time.monotonic())
        may_end.wait(10)
        ended.append(time.monotonic())

    duty, times = counting(is_everybodys=True)
    async with running(Duty("slow", 0.05, hang, is_everybodys=True, bound_s=0.1), duty):
        await until(lambda: begun)
        before = len(times)
        await until(lambda: len(times) >= before + 10)
        assert len(begun) == 1
        may_end.set()
        await until(lambda: ended)
    assert "slow: it took longer than 0.1 s" in caplog.text


async def test_what_is_gathered_is_written_piece_by_piece() -> None:
    written: list[int] = []

    async def gather() -> AsyncIterator[int]:
        yield 1
        yield 2

    async with running(Duty("gathering", 60.0, written.append, gather=gather)):
        await until(lambda: len(written) >= 2)
    assert written == [1, 2]


async def test_a_new_leader_does_at_once_what_comes_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    may_lead = False

    def late(**arguments: object) -> int | None:
        return campaign(**arguments) if may_lead else None  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(module, "campaign", late)
    monkeypatch.setattr(module, "CAMPAIGN_EVERY_S", 0.05)
    seldom, times = counting(60.0)
    often, beats = counting(is_everybodys=True)
    async with running(replace(seldom, name="seldom"), often):
        await until(lambda: beats)
        await asyncio.sleep(1.1)  # so that its first turn has passed
        assert not times
        may_lead = True
        await until(lambda: times)


async def test_a_look_that_hangs_or_fails_stops_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOOK_WITHIN_S", 0.1)
    may_end = threading.Event()

    def fail() -> bool:
        raise ValueError("a bug")

    failing, failed = counting(is_needed=fail, is_everybodys=True)
    hanging, hung = counting(0.06, is_needed=lambda: may_end.wait(10))
    duty, times = counting()
    async with running(replace(failing, name="failing"), replace(hanging, name="hanging"), duty):
        await until(lambda: len(times) >= 10)
        assert (failed, hung) == ([], [])
        may_end.set()
        await until(lambda: hung)
        await until(lambda: "failing: ValueError: a bug" in caplog.text)
    assert "looking for work: it took longer than 0.1 s" in caplog.text


async def test_what_is_not_needed_is_not_done() -> None:
    duty, times = counting(is_needed=lambda: False)
    other, done = counting()
    async with running(duty, other):
        await until(lambda: len(done) >= 3)
    assert not times


def test_a_duty_of_a_lead_that_is_over_writes_nothing() -> None:
    Leadership.objects.create(name=LEAD, epoch=7)
    duty = Duty("late", 1.0, lambda: Node.objects.create(name="late"))
    with pytest.raises(NotLeading):
        perform(duty, 6)
    assert not Node.objects.exists()
    assert perform(duty, 7)
    assert Node.objects.exists()


def test_a_duty_that_fails_leaves_nothing_half_done() -> None:
    Leadership.objects.create(name=LEAD, epoch=1)

    def half() -> None:
        Node.objects.create(name="half")
        raise ValueError

    with suppress(ValueError):
        perform(Duty("half", 1.0, half), 1)
    assert not Node.objects.exists()


@pytest.mark.slow
async def test_it_follows_when_another_took_the_lead() -> None:
    duty, times = counting()
    async with running(duty) as controller:
        await until(lambda: times)
        await call(Leadership.objects.update, epoch=50, holder=None, expires_ms=0)
        await until(lambda: controller.epoch == 51)


async def test_a_database_that_is_away_ends_the_lead_and_its_return_brings_it_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_away = False

    def sometimes(**arguments: object) -> int | None:
        if is_away:
            raise OperationalError("the server is gone")
        return campaign(**arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(module, "campaign", sometimes)
    monkeypatch.setattr(module, "CAMPAIGN_EVERY_S", 0.05)
    async with running() as controller:
        await until(lambda: controller.epoch)
        is_away = True
        await until(lambda: controller.epoch is None)
        is_away = False
        await until(lambda: controller.epoch)
    assert caplog.text.count("the database is away") == 1
    assert "all is well again" in caplog.text


def test_complaints_are_said_once_a_minute_and_once_when_over(caplog: pytest.LogCaptureFixture) -> None:
    moments = iter((0.0, 1.0, 59.0, 61.0, 61.0))
    complaints = Complaints(lambda: next(moments))
    for _ in range(4):
        complaints.say("probing", "nothing answers")
    complaints.say("pruning", "no space")
    complaints.settled("probing")
    complaints.settled("probing")
    assert [record.getMessage() for record in caplog.records] == [
        "probing: nothing answers",
        "probing: nothing answers",
        "pruning: no space",
        "probing: all is well again",
    ]


async def test_every_duty_works_on_an_idle_installation(caplog: pytest.LogCaptureFixture) -> None:
    probe = FleetProbe()
    async with running(*all_duties(probe)) as controller:
        await until(lambda: controller.epoch)
        await asyncio.sleep(1.5)
    await probe.close()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_what_is_under_way_at_the_end_is_done_before_its_thread_and_connection_are_closed() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        connection.ensure_connection()
        begun.set()
        may_end.wait(10)

    async with running(Duty("slow", 0.05, work, is_everybodys=True)):
        await until(begun.is_set)
        asyncio.get_running_loop().call_later(0.3, may_end.set)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("duty")] == []


async def test_an_expired_lock_is_removed_within_seconds() -> None:
    def lock() -> None:
        node = Node.objects.create(name="fast")
        NodeLock.objects.create(node=node, by="person", owner="ada", expires_ms=0)

    await call(lock)
    probe = FleetProbe()
    async with running(*all_duties(probe)):
        await until_gone()
    await probe.close()
    assert await call(LockAudit.objects.filter(action="expired").count) == 1


async def until_gone() -> None:
    for _ in range(400):
        if not await call(NodeLock.objects.exists):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the lock stands")


@pytest.fixture
def controllers(transactional_db: None) -> Iterator[Callable[[], SiteProcess]]:
    """Starts `manage.py controller` processes that end with the test."""
    started: list[SiteProcess] = []

    def begin() -> SiteProcess:
        started.append(SiteProcess("controller"))
        return started[-1]

    yield begin
    for process in started:
        process.close()


def leads(process: SiteProcess) -> bool:
    """Whether that process leads."""
    holder = Leadership.objects.filter(name=LEAD, expires_ms__gt=0).values_list("holder", flat=True).first()
    connection.close()
    return holder is not None and ProcessInstance.objects.filter(id=holder, pid=process.pid).exists()


@pytest.mark.slow
def test_a_stand_by_leads_when_the_leader_is_killed_and_ends_in_order_at_once(
    controllers: Callable[[], SiteProcess],
) -> None:
    first = controllers()
    wait_until(lambda: leads(first))
    second = controllers()
    wait_until(lambda: alive().filter(kind="controller").count() == 2)
    first.kill()
    began = time.monotonic()
    wait_until(lambda: leads(second))
    assert time.monotonic() - began < 4
    began = time.monotonic()
    assert second.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < 2
    assert not alive().exists()
    assert "Traceback" not in first.output + second.output


@pytest.mark.slow
def test_a_controller_ends_when_its_parent_does(controllers: Callable[[], SiteProcess]) -> None:
    only = controllers()
    wait_until(lambda: leads(only))
    only.let_go()
    assert only.end() == 0
