"""What follows when a process of the cluster is gone or nobody takes wake-ups."""

from __future__ import annotations

import pytest

from dpl_site.processes.roles import (
    Loss,
    Progress,
    Role,
    is_complete,
    pause_before_restart,
    role_of,
    verdict_on,
)


@pytest.mark.parametrize(
    ("title", "role"),
    [
        ("qcluster Process-1f idle", Role.WORKER),
        ("qcluster Process-1f processing fix-hat-two 'datasets.tasks.drain'", Role.WORKER),
        ("qcluster Process-1f pusher", Role.PUSHER),
        ("qcluster Process-1f monitor", Role.MONITOR),
        ("qcluster MainProcess four-words-of-it", None),
        ("python manage.py pusher", None),
        ("", None),
    ],
)
def test_it_tells_roles_by_titles(title: str, role: Role | None) -> None:
    assert role_of(title) is role


def test_a_cluster_is_complete_with_all_workers_one_pusher_and_one_monitor() -> None:
    children = [Role.WORKER, Role.WORKER, Role.PUSHER, Role.MONITOR]
    assert is_complete(children, workers=2)
    assert not is_complete(children, workers=3)
    assert not is_complete(children[:3], workers=2)


@pytest.mark.parametrize("role", [Role.MAIN, Role.SENTINEL, Role.PUSHER, Role.MONITOR])
def test_the_loss_of_anybody_but_a_worker_ends_the_cluster(role: Role) -> None:
    assert verdict_on([Loss(Role.WORKER, 5, was_busy=True), Loss(role, 6)]).must_restart
    assert "6" in verdict_on([Loss(role, 6)]).reason


def test_an_idle_worker_may_have_taken_the_lock_with_it() -> None:
    assert verdict_on([Loss(Role.WORKER, 5)]).must_restart


def test_a_busy_worker_is_replaced_by_the_sentinel() -> None:
    assert not verdict_on([Loss(Role.WORKER, 5, was_busy=True)]).must_restart
    assert not verdict_on([]).must_restart


def test_a_message_that_nobody_takes_for_three_seconds_tells_of_a_hang() -> None:
    progress = Progress()
    seen = [progress.is_hung(oldest=7, has_room=True, now=now) for now in (0.0, 1.0, 2.9, 3.1)]
    assert seen == [False, False, False, True]


def test_taken_messages_and_full_hands_are_no_hang() -> None:
    progress = Progress()
    assert not any(progress.is_hung(oldest=now, has_room=True, now=float(now)) for now in range(20))
    assert not any(progress.is_hung(oldest=7, has_room=False, now=float(now)) for now in range(20, 40))
    assert not progress.is_hung(oldest=7, has_room=True, now=41.0)
    assert not progress.is_hung(oldest=None, has_room=True, now=99.0)


def test_it_pauses_longer_after_each_short_life_and_not_at_all_after_a_long_one() -> None:
    pause, pauses = 0.0, []
    for _ in range(7):
        pause = pause_before_restart(pause, lived_s=0.1)
        pauses.append(pause)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    assert pause_before_restart(5.0, lived_s=60.0) == 0.0
