"""Who is alive: by the database's clock, by the process table of this host, and by a thread that beats."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from dpl_site.lib.db import now_ms
from inference.models import Engine, Slot
from nodes import instances
from nodes.instances import (
    TTL_MS,
    Heartbeat,
    alive,
    beat,
    boot_id,
    expire,
    expire_dead_neighbours,
    owner_is_dead,
    prune,
    register,
)
from nodes.models import Node, ProcessInstance

pytestmark = pytest.mark.django_db


def aged(row: ProcessInstance, ms: int) -> None:
    """As if its last heartbeat had been that long ago."""
    ProcessInstance.objects.filter(id=row.id).update(
        heartbeat_ms=now_ms() - ms, expires_ms=now_ms() - ms + TTL_MS
    )


def test_a_new_process_lives_for_its_ttl() -> None:
    row = register(kind="web")
    kept = ProcessInstance.objects.get(id=row.id)
    assert (kept.pid, kept.boot_id, kept.kind) == (os.getpid(), boot_id(), "web")
    assert abs(kept.expires_ms - now_ms() - TTL_MS) < 2_000
    assert [one.id for one in alive()] == [row.id]
    aged(row, TTL_MS + 1)
    assert not alive().exists()


def test_a_beat_renews_the_living_and_revives_nobody() -> None:
    row = register(kind="web")
    aged(row, 5_000)
    assert beat(instance_id=row.id) is True
    assert ProcessInstance.objects.get().expires_ms > now_ms() + TTL_MS - 2_000
    expire(instance_id=row.id)
    assert beat(instance_id=row.id) is False
    assert not alive().exists()


def test_an_owner_is_dead_when_unset_gone_or_expired() -> None:
    engine = Engine.objects.create(node=Node.objects.create(name="fast"), base_url="http://10.0.0.1:1")
    living, expired, gone = (register(kind="drain") for _ in range(3))
    expire(instance_id=expired.id)
    for index, holder in enumerate([living.id, expired.id, gone.id, None]):
        Slot.objects.create(engine=engine, index=index, holder_id=holder)
    ProcessInstance.objects.filter(id=gone.id)._raw_delete("default")
    dead = Slot.objects.filter(owner_is_dead("holder"))
    assert sorted(dead.values_list("index", flat=True)) == [1, 2, 3]
    assert list(Slot.objects.exclude(owner_is_dead("holder")).values_list("index", flat=True)) == [0]


class TestNeighbours:
    """Processes of this host whose end nobody needs to wait for."""

    @staticmethod
    def neighbour(pid: int, created: float, boot: str = "") -> ProcessInstance:
        row = register(kind="drain")
        ProcessInstance.objects.filter(id=row.id).update(
            pid=pid, pid_created=created, boot_id=boot or boot_id()
        )
        return row

    def test_one_that_ended_is_expired_and_the_living_are_not(self) -> None:
        own = register(kind="web")
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            row = self.neighbour(child.pid, psutil.Process(child.pid).create_time())
            assert expire_dead_neighbours() == 0
            child.kill()
        assert expire_dead_neighbours() == 1
        assert expire_dead_neighbours() == 0
        assert [one.id for one in alive()] == [own.id]
        assert beat(instance_id=row.id) is False

    def test_one_that_nobody_has_waited_for_yet_has_ended_too(self) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as child:
            process = psutil.Process(child.pid)
            self.neighbour(child.pid, process.create_time())
            deadline = time.monotonic() + 15
            while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
                time.sleep(0.01)
            assert expire_dead_neighbours() == 1

    def test_a_process_that_got_the_dead_ones_number_is_another(self) -> None:
        self.neighbour(os.getpid(), psutil.Process().create_time() - 60)
        assert expire_dead_neighbours() == 1

    def test_processes_of_another_host_boot_or_container_are_left_alone(self) -> None:
        self.neighbour(2**22 + 1, 5.0, boot="another")
        assert expire_dead_neighbours() == 0
        assert alive().count() == 1

    def test_a_process_that_may_not_be_looked_at_counts_as_living(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def hidden(pid: int) -> psutil.Process:
            raise psutil.AccessDenied(pid)

        self.neighbour(1, 5.0)
        monkeypatch.setattr("nodes.instances.psutil.Process", hidden)
        assert expire_dead_neighbours() == 0

    def test_registering_looks_on_the_way(self) -> None:
        dead = self.neighbour(os.getpid(), 5.0)
        register(kind="web")
        assert not alive().filter(id=dead.id).exists()


def test_this_hosts_name_fits_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.instances.socket.gethostname", lambda: "x" * 64)
    named = boot_id.__wrapped__()
    assert len(named) <= 64
    assert named != boot_id()


def test_rows_are_pruned_long_after_their_end() -> None:
    old, lately, living = (register(kind="web") for _ in range(3))
    aged(old, 7_200_000)
    aged(lately, 60_000)
    assert prune() == 1
    assert set(ProcessInstance.objects.values_list("id", flat=True)) == {lately.id, living.id}
    ProcessInstance.objects.filter(id=lately.id).update(heartbeat_ms=1, expires_ms=0)
    assert prune() == 1


@pytest.mark.django_db(transaction=True)
class TestHeartbeat:
    """The thread that keeps a process alive."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(instances, "BEAT_S", 0.02)

    @staticmethod
    def until(condition: Callable[[], object]) -> bool:
        deadline = time.monotonic() + 15
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        return bool(condition())

    def test_it_renews_its_row_and_ends_it(self) -> None:
        heart = Heartbeat(kind="web").start()
        aged(heart.instance, 5_000)
        assert self.until(lambda: ProcessInstance.objects.get().expires_ms > now_ms() + TTL_MS - 2_000)
        assert not heart.is_late
        heart.stop()
        assert not alive().exists()
        assert not heart.is_lost, "an end of one's own is no loss"

    def test_it_tells_when_its_row_was_expired(self) -> None:
        heart = Heartbeat(kind="web").start()
        expire(instance_id=heart.id)
        assert self.until(lambda: heart.is_lost)
        assert heart.is_late
        heart.stop()

    def test_it_tells_when_it_has_not_beaten_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        heart = Heartbeat(kind="web")
        real = time.monotonic
        for later_s, is_late, is_lost in [(4.0, False, False), (6.0, True, False), (9.0, True, True)]:
            monkeypatch.setattr("nodes.instances.time.monotonic", lambda later_s=later_s: real() + later_s)
            assert (heart.is_late, heart.is_lost) == (is_late, is_lost)

    def test_a_database_that_is_away_is_survived(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        from django.db import OperationalError

        real, failures = instances.beat, iter([True, True])

        def shaky(**named: object) -> bool:
            if next(failures, False):
                raise OperationalError("away")
            return real(**named)  # type: ignore[arg-type]  # passed on as it came

        monkeypatch.setattr(instances, "beat", shaky)
        heart = Heartbeat(kind="web").start()
        aged(heart.instance, 5_000)
        assert self.until(lambda: ProcessInstance.objects.get().expires_ms > now_ms() + TTL_MS - 2_000)
        assert "heartbeat missed: away" in caplog.text
        assert not heart.is_lost
        heart.stop()
