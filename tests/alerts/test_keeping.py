"""What is kept of alerts and for how long; the watch over the controller; the heartbeat out."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.utils import timezone

from alerts import fleet, heartbeat, notices, pruning
from alerts.defaults import DEFAULTS
from alerts.heartbeat import Beat, last_beat, record_beat
from alerts.models import Alert, AlertEvent, Delivery, Rule, Silence
from alerts.selectors import firing_count
from alerts.watch import ControllerWatch
from nodes.instances import register
from nodes.leadership import campaign, leading
from nodes.models import Leadership
from tests.alerts.world import World

DAY_S = 86_400


def test_what_ended_long_ago_goes_and_what_stands_stays(
    world: World, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DPL_KEEP_ALERTS_DAYS = 1
    monkeypatch.setattr(pruning, "now_ms", lambda: world.now_ms)
    box, other = world.node("box"), world.node("other")
    world.rule(for_s=0, keep_s=0)
    world.channel()
    world.heat(box, 93)
    world.heat(other, 93)
    world.run(40)
    world.heat(box, 60)
    world.run(40)
    Silence.objects.create(author="ada", environment="x", ends_at=timezone.now() - timezone.timedelta(days=2))  # type: ignore[attr-defined]
    world.now_ms += 2 * DAY_S * 1000
    assert firing_count() == 1
    while pruning.prune_alerts():
        pass
    assert world.states() == ["firing"]
    assert Silence.objects.count() == 0
    assert Delivery.objects.count() == 1, "what a standing alert was told by stays, or it would be told again"
    world.told()
    world.run(40)
    assert world.told() == []


def test_a_peak_that_came_to_nothing_is_kept_for_a_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "now_ms", lambda: world.now_ms)
    box = world.node("box")
    world.rule()
    for celsius in (93, 60):
        world.heat(box, celsius)
        world.run(2)
    pruning.prune_alerts()
    assert world.states() == ["ok"]
    world.now_ms += 2 * DAY_S * 1000
    pruning.prune_alerts()
    assert world.states() == []


def test_there_are_never_more_events_than_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DPL_KEEP_ALERT_EVENTS_MOST = 3
    monkeypatch.setattr(pruning, "now_ms", lambda: world.now_ms)
    box = world.node("box")
    world.rule()
    for number in range(8):
        world.heat(box, 93 if number % 2 else 60)
        world.run(2)
    pruning.prune_alerts()
    assert AlertEvent.objects.count() == 3


# --- The watch over the controller ------------------------------------------------------------------------


@pytest.fixture
def silent(db: None, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """An installation with the rule about the controller; ages by `world.age_s`."""
    values = next(one for one in DEFAULTS if one["key"] == "controller-silent")
    Rule.objects.create(name="Controller silent", **values)
    world.channel()
    return world


def watched(world: World, monkeypatch: pytest.MonkeyPatch, ages: list[float | None]) -> list[bool]:
    """What a watch says at each look, 5 s apart, while the controller is so old."""
    watch, instance = vars(world).setdefault("watch", (ControllerWatch(), register(kind="web")))
    found = []
    for age_s in ages:
        world.now_ms += 5000
        monkeypatch.setattr("alerts.watch.controller_age_s", lambda age=age_s: age)
        monkeypatch.setattr(fleet, "controller_age_s", lambda age=age_s: age)
        found.append(watch.look(instance.id))
        world.send()
    return found


def test_a_silent_controller_is_told_of_by_a_web_process(
    silent: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = watched(silent, monkeypatch, [1, *range(6, 100, 5)])
    alert = Alert.objects.get()
    assert (alert.state, alert.rule_key) == ("firing", "controller-silent")
    assert silent.told() == ["Controller silent"]
    assert True in looks
    watched(silent, monkeypatch, [1] * 6)
    alert.refresh_from_db()
    assert alert.state == "resolved"


def test_a_controller_that_never_ran_is_silent_too(silent: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watched(silent, monkeypatch, [None] * 12)
    assert silent.told() == ["Controller silent"]


def test_nothing_is_written_while_the_controller_works(
    silent: World, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    instance = register(kind="web")
    watch = ControllerWatch()
    monkeypatch.setattr("alerts.watch.controller_age_s", lambda: 1.0)
    with django_assert_num_queries(1):
        assert not watch.look(instance.id)
    assert not Leadership.objects.filter(name="watch").exists()


def test_one_web_process_at_a_time_watches(silent: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = register(kind="web"), register(kind="web")
    assert campaign(name="watch", instance_id=first.id) is not None
    monkeypatch.setattr("alerts.watch.controller_age_s", lambda: 99.0)
    assert ControllerWatch().look(second.id) is False
    assert Alert.objects.count() == 0


def test_the_controller_leaves_the_rules_about_itself_to_the_watch(silent: World) -> None:
    silent.run(60)
    assert Alert.objects.count() == 0


@pytest.mark.django_db
def test_the_controllers_age_is_since_it_last_led() -> None:
    assert fleet.controller_age_s() is None
    controller = register(kind="controller")
    resigned = fleet.controller_age_s()
    assert resigned is not None
    assert resigned < 5
    epoch = campaign(name="controller", instance_id=controller.id)
    assert epoch is not None
    with leading(name="controller", epoch=epoch):
        pass
    leads = fleet.controller_age_s()
    assert leads is not None
    assert leads < 5
    Leadership.objects.filter(name="controller").update(expires_ms=1)
    long_ago = fleet.controller_age_s()
    assert long_ago is not None
    assert long_ago > 1000


# --- The heartbeat out ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_heartbeat_that_fails_is_logged_once_and_kept(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000]
    monkeypatch.setattr(heartbeat, "now_ms", lambda: now[0])
    assert last_beat() is None
    with caplog.at_level(logging.WARNING):
        for error in ("", "it answers 500", "it answers 500", ""):
            record_beat(Beat(error))
            now[0] += 60_000
            row = last_beat()
            assert row is not None
            assert row.failing_since_ms == (61_000 if error else None)
    assert caplog.text.count("failed: it answers 500") == 1
    assert caplog.text.count("works again") == 1


def test_nothing_is_put_together_while_there_is_nothing_to_tell(
    world: World, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        assert notices.put_together() == 0
