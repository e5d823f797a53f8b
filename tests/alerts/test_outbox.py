"""What goes out: grouped messages, silences, reminders, ends, and a notifier that fails."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from alerts import notices, services
from alerts.models import Alert, Channel, ChannelStatus, Delivery, DeliveryAttempt, Notice, Rule, Silence
from dpl_site.lib.messenger import Outcome
from nodes.models import Node
from tests.alerts.world import World

FAILS = Outcome(False, "nobody is there")


@pytest.fixture
def hot(world: World) -> Node:
    """A node whose GPU is hot enough at once, and a channel that is to be told."""
    node = world.node("box")
    world.rule(for_s=0, keep_s=0, repeat_s=3600)
    world.channel()
    world.heat(node, 93)
    return node


def test_a_burst_of_fifty_hosts_down_is_one_message(world: World) -> None:
    world.down_rule()
    world.rule("engine_up", operator="<", fire_value=1, clear_value=1, for_s=0)
    world.channel()
    boxes = [world.node(f"box{number:02d}") for number in range(50)]
    for box in boxes:
        world.engine(box)
    world.run(4)
    for some in (boxes[:20], boxes[20:45], boxes[45:]):
        world.goes_down(*some)
        world.run(4)
    world.run(120)
    assert len(world.sent) == 1
    message = world.sent[0]
    assert message.title == "DPL: 50 alerts: node_up, on 50 nodes"
    assert "box00" in message.body
    assert "and 20 more nodes" in message.body
    assert Notice.objects.count() == 50
    world.sent.clear()
    world.comes_back(*boxes)
    world.run(120)
    assert world.told() == ["50 alerts resolved: node_up, on 50 nodes"]


def test_what_fires_and_ends_within_the_wait_is_never_told(world: World, hot: Node) -> None:
    world.run(10)
    world.heat(hot, 60)
    world.run(60)
    assert world.told() == []
    assert Alert.objects.get().is_settled


def test_an_end_is_told_with_how_long_it_lasted(world: World, hot: Node) -> None:
    world.run(40)
    assert world.told() == ["gpu_temperature_c, box GPU 0"]
    world.heat(hot, 60)
    world.run(40)
    assert "resolved after 40 s" in world.sent[0].body
    assert world.sent[0].kind == "success"


def test_a_channel_may_want_no_ends_and_nothing_that_is_less_severe(world: World, hot: Node) -> None:
    Channel.objects.update(tells_resolved=False)
    world.channel("boss", least_severity="critical")
    world.run(40)
    world.heat(hot, 60)
    world.run(40)
    assert world.told() == ["gpu_temperature_c, box GPU 0"]
    assert Alert.objects.get().is_settled


def test_it_reminds_until_somebody_acknowledges(world: World, hot: Node) -> None:
    world.run(3800, every_s=50)
    assert len(world.told()) == 2
    services.alert_acknowledge(alert_id=Alert.objects.get().id, actor="ada")
    world.run(7300, every_s=100)
    assert world.told() == []
    services.alert_acknowledge(alert_id=Alert.objects.get().id, actor="ada", is_undone=True)
    world.run(100, every_s=50)
    assert len(world.told()) == 1


def silence(world: World, seconds: int, **fields: object) -> None:
    now = datetime.fromtimestamp(world.now_ms / 1000, UTC)
    ends = now + timedelta(seconds=seconds)
    Silence.objects.create(author="ada", starts_at=now, ends_at=ends, **fields)


def test_nobody_is_told_during_a_silence_and_everybody_after_it(world: World, hot: Node) -> None:
    silence(world, 300, node=hot)
    world.run(280, every_s=10)
    assert world.told() == []
    assert Alert.objects.get().state == "firing", "it is seen all the same"
    assert Alert.objects.get().muted_by.endswith("of ada")
    world.run(60, every_s=10)
    assert world.told() == ["gpu_temperature_c, box GPU 0"]
    assert Alert.objects.get().muted_by == ""


def test_what_ends_during_a_silence_is_not_told(world: World, hot: Node) -> None:
    world.run(40)
    world.told()
    silence(world, 300)
    world.heat(hot, 60)
    world.run(400, every_s=10)
    assert world.told() == []


def test_a_node_that_goes_down_mutes_its_other_alerts_until_it_is_back(world: World, hot: Node) -> None:
    world.down_rule()
    world.run(10)
    world.goes_down(hot)
    world.run(100)
    assert world.told() == ["node_up, box"]
    assert Alert.objects.get(metric="gpu_temperature_c").muted_by == "its node is down"
    world.comes_back(hot)
    world.run(100)
    assert world.told() == ["gpu_temperature_c, box GPU 0", "resolved: node_up, box"]


def test_a_notifier_that_fails_for_an_hour_loses_nothing_and_floods_nobody(world: World, hot: Node) -> None:
    """What stands when it comes back is told; what began and ended meanwhile is not; tries get rarer."""
    Rule.objects.update(repeat_s=0)
    failing_until = world.now_ms + 3_600_000
    world.answer = lambda _: FAILS if world.now_ms < failing_until else Outcome(True)
    other = world.node("other")
    world.run(40, every_s=10)
    world.heat(other, 95)
    world.run(600, every_s=20)
    world.heat(other, 60)
    world.run(600, every_s=20)
    late = world.node("late")
    world.heat(late, 96)
    world.run(3600, every_s=40)
    assert DeliveryAttempt.objects.filter(is_ok=False).count() < 20
    assert Delivery.objects.count() == len(world.sent)
    assert world.told() == ["gpu_temperature_c, box GPU 0", "gpu_temperature_c, late GPU 0"]
    status = ChannelStatus.objects.get()
    assert (status.error, status.failing_since_ms) == ("", None)


def test_the_end_of_what_was_never_told_is_not_told(world: World, hot: Node, settings: object) -> None:
    settings.DPL_NOTICE_EXPIRE_HOURS = 1  # type: ignore[attr-defined]
    world.answer = lambda _: FAILS
    world.run(60)
    assert ChannelStatus.objects.get().error == "nobody is there"
    world.heat(hot, 60)
    logging.disable()
    world.run(4000, every_s=100)
    logging.disable(logging.NOTSET)
    world.answer = lambda _: Outcome(True)
    world.run(100, every_s=10)
    assert Delivery.objects.get().state == "expired"
    assert world.told() == []
    assert Alert.objects.get().is_settled


def test_an_hour_has_so_many_messages_and_the_next_one_holds_the_rest(
    world: World, hot: Node, settings: object
) -> None:
    Rule.objects.update(repeat_s=0)
    settings.DPL_NOTICES_PER_HOUR = 2  # type: ignore[attr-defined]
    settings.DPL_NOTICE_WAIT_S = 0  # type: ignore[attr-defined]
    for number in range(5):
        world.heat(hot, *[93] * (number + 1))
        world.run(20, every_s=10)
    assert len(world.told()) == 2
    world.run(3600, every_s=100)
    assert world.told() == ["3 alerts: gpu_temperature_c"]


def test_one_sender_at_a_time_has_a_message_and_a_late_one_changes_nothing(world: World, hot: Node) -> None:
    world.controller.step()
    world.now_ms += 40_000
    notices.put_together()
    first = notices.claim()
    assert len(first) == 1
    assert notices.claim() == []
    world.now_ms += notices.CLAIM_MS + 1
    second = notices.claim()
    assert [one.id for one in second] == [first[0].id], "its sender died, so it goes out again"
    assert not notices.record_outcome(claimed=first[0], outcome=Outcome(True), took_ms=1)
    assert Delivery.objects.get().state == "queued"
    assert notices.record_outcome(claimed=second[0], outcome=Outcome(True), took_ms=1)
    assert Delivery.objects.get().state == "sent"
    assert DeliveryAttempt.objects.count() == 1


def test_a_channel_that_is_switched_off_gets_nothing_any_more(world: World, hot: Node) -> None:
    world.answer = lambda _: FAILS
    world.run(40)
    Channel.objects.update(is_enabled=False)
    world.run(40)
    assert Delivery.objects.get().state == "dropped"
    assert Alert.objects.get().state == "firing"


def test_the_address_of_a_channel_is_not_to_be_read_in_the_database(world: World) -> None:
    world.channel("secret-place")
    with connection.cursor() as cursor:
        cursor.execute("SELECT url FROM alerts_channel")
        assert "secret-place" not in cursor.fetchone()[0]
    assert Channel.objects.get().url == "json://127.0.0.1/secret-place"


def test_who_acknowledged_is_kept_with_the_event_and_in_the_audit(world: World, hot: Node) -> None:
    world.run(2)
    alert = services.alert_acknowledge(alert_id=Alert.objects.get().id, actor="ada")
    services.alert_acknowledge(alert_id=alert.id, actor="otto")
    assert alert.acknowledged_by == "ada"
    event = alert.events.first()
    assert event is not None
    assert (event.action, event.actor) == ("acknowledged", "ada")
