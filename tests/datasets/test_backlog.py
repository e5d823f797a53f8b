"""The items in hand: what comes next for whom, what waits, what must run alone."""

from __future__ import annotations

from datasets.backlog import Backlog
from datasets.claims import Claim, Work
from datasets.planning import QUIET_S


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def claim(shard_id: int = 1, job_id: str = "a", count: int = 3, **special: object) -> Claim:
    work = [Work(shard_id * 100 + place, place, shard_id, "{}") for place in range(count)]
    for name, value in special.items():
        setattr(work[0], name, value)
    return Claim(shard_id, job_id, 7, work)


def suspect_of(backlog: Backlog) -> int | None:
    """The next suspect's item; a backlog that says it has one must give one."""
    said = backlog.has_suspects
    task = backlog.next_suspect()
    assert said is (task is not None)
    return task.work.item_id if task else None


def test_items_come_in_input_order_from_the_jobs_asked_for() -> None:
    backlog = Backlog(Clock())
    backlog.add(claim(1, "a"))
    backlog.add(claim(2, "b"))
    taken = [backlog.next_for(9, ["b"]), backlog.next_for(9, ["b", "a"]), backlog.next_for(9, ["a"])]
    assert [task.work.item_id for task in taken if task] == [200, 201, 100]
    assert backlog.next_for(9, ["c"]) is None


def test_an_item_put_back_waits_for_its_time_and_avoids_where_it_failed() -> None:
    clock = Clock()
    backlog = Backlog(clock)
    backlog.add(claim(count=1))
    task = backlog.next_for(9, ["a"])
    assert task is not None
    task.avoid.add(9)
    backlog.put_back(task, 5.0)
    assert backlog.ready_total == 0
    clock.now += 5.1
    assert backlog.ready_total == 1
    assert backlog.next_for(9, ["a"]) is None
    assert backlog.next_for(8, ["a"]) is task


def test_suspects_are_kept_apart_and_one_that_killed_while_alone_waits_for_a_quiet_time() -> None:
    clock = Clock()
    backlog = Backlog(clock)
    backlog.add(claim(1, count=2, is_suspect=True))
    backlog.add(claim(2, count=1, is_suspect=True, deaths_alone=1))
    assert backlog.ready_total == 1
    assert suspect_of(backlog) == 100
    assert suspect_of(backlog) is None
    clock.now += QUIET_S
    assert suspect_of(backlog) == 200


def test_a_dropped_shard_leaves_nothing_behind() -> None:
    backlog = Backlog(Clock())
    backlog.add(claim(1, "a"))
    backlog.add(claim(2, "a"))
    task = backlog.next_for(9, ["a"])
    assert task is not None
    backlog.drop(1)
    assert task.is_settled
    assert backlog.ready_count("a") == 3
    assert backlog.job_ids == ["a"]
    backlog.drop(2)
    assert backlog.job_ids == []
    assert backlog.ready_total == 0


def test_a_stopping_job_starts_nothing_more() -> None:
    backlog = Backlog(Clock())
    backlog.add(claim(1, "a", is_suspect=True))
    backlog.add(claim(2, "b"))
    backlog.hold_back("a")
    assert backlog.ready_total == 3
    assert not backlog.has_suspects


def test_items_are_grouped_by_the_engines_they_avoid() -> None:
    backlog = Backlog(Clock())
    backlog.add(claim(count=3))
    task = backlog.next_for(9, ["a"])
    assert task is not None
    task.avoid.add(9)
    backlog.put_back(task, 0.0)
    assert backlog.ready_groups("a") == {frozenset(): 2, frozenset({9}): 1}
    assert backlog.has_for(9, ["a"])
    backlog.next_for(9, ["a"])
    backlog.next_for(9, ["a"])
    assert not backlog.has_for(9, ["a"])
    assert backlog.has_for(8, ["a"])
