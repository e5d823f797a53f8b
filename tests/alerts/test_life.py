"""The life of alerts over a simulated clock: rows, events, restarts of the controller, nodes that are down."""

from __future__ import annotations

import pytest

from alerts.evaluation import Evaluator
from alerts.models import Alert, AlertEvent, KnownGpus, Rule, RuleScope
from nodes.models import Node
from tests.alerts.world import World


def test_an_alert_lives_from_pending_to_resolved_with_one_event_for_each_step(world: World) -> None:
    box = world.node("box")
    rule = world.rule()
    world.heat(box, 60, 93)
    world.run(64)
    world.heat(box, 60, 84)
    world.run(126)
    alert = Alert.objects.get()
    assert (alert.rule, alert.node, alert.subject, alert.subject_name) == (rule, box, "1", "GPU 1")
    events = AlertEvent.objects.order_by("id").values_list("old", "new", "value", "threshold", "duration_s")
    assert list(events) == [
        ("ok", "pending", 93, 90, 0),
        ("pending", "firing", 93, 90, 60),
        ("firing", "recovering", 84, 85, 4),
        ("recovering", "resolved", 84, 85, 120),
    ]
    assert alert.state == "resolved"
    assert alert.resolved_ms is not None
    assert alert.fired_ms is not None
    assert alert.resolved_ms - alert.fired_ms == 124_000


def test_the_next_time_is_another_alert(world: World) -> None:
    box = world.node("box")
    world.rule(for_s=0, keep_s=0)
    for celsius in (93, 60, 93):
        world.heat(box, celsius)
        world.run(2)
    assert world.states() == ["resolved", "firing"]


def test_a_peak_leaves_no_alert_and_no_second_row(world: World) -> None:
    box = world.node("box")
    world.rule()
    for celsius in (93, 60, 93, 60):
        world.heat(box, celsius)
        world.run(10)
    assert world.states() == ["ok"]


def test_flapping_is_one_alert_and_two_messages(world: World) -> None:
    box = world.node("box")
    world.rule()
    world.channel()
    for number in range(60):
        world.heat(box, 93 if number < 10 or number % 2 else 84)
        world.run(10, every_s=10)
    world.heat(box, 60)
    world.run(200, every_s=10)
    assert world.states() == ["resolved"]
    assert world.told() == ["gpu_temperature_c, box GPU 0", "resolved: gpu_temperature_c, box GPU 0"]


def test_a_gap_in_the_data_neither_ends_nor_repeats_an_alert_that_keeps(world: World) -> None:
    box = world.node("box")
    world.rule(no_data="keep")
    world.heat(box, 93)
    world.run(64)
    world.falls_silent(box)
    world.run(600, every_s=20)
    assert world.states() == ["firing"]
    world.heat(box, 93)
    world.run(64)
    assert world.states() == ["firing"]
    world.heat(box, 60)
    world.run(130)
    assert world.states() == ["resolved"]


def test_a_gpu_that_is_not_there_any_more_is_hot_no_more(world: World) -> None:
    box = world.node("box")
    world.rule(no_data="keep")
    world.heat(box, 60, 93)
    world.run(64)
    world.heat(box, 60)
    world.run(2)
    assert Alert.objects.get().state == "resolved"
    assert Alert.objects.get().reason == "what it was about is gone"


@pytest.mark.parametrize("restart_at", ["ok", "pending", "firing", "recovering", "resolved"])
def test_a_new_controller_goes_on_in_every_state(world: World, restart_at: str) -> None:
    box = world.node("box")
    world.rule()

    def run(seconds: int) -> None:
        for _ in range(seconds // 2):
            found = world.states()
            if (found[-1] if found else "ok") == restart_at:
                world.controller = Evaluator()
            world.run(2)

    world.heat(box, 60)
    run(10)
    began = world.now_ms
    world.heat(box, 93)
    run(80)
    alert = Alert.objects.get()
    assert alert.fired_ms == began + 62_000, "for how long it held is in rows"
    world.heat(box, 60)
    run(126)
    alert.refresh_from_db()
    assert alert.resolved_ms == began + 82_000 + 120_000
    assert list(AlertEvent.objects.order_by("id").values_list("new", flat=True)) == [
        *("pending", "firing", "recovering", "resolved")
    ]


def test_a_restart_with_a_window_waits_until_it_has_filled_and_loses_nothing(world: World) -> None:
    box = world.node("box")
    world.rule("cpu_percent", aggregation="avg", window_s=300, for_s=0, keep_s=0)
    world.reads(box, cpu={"percent": 99})
    world.run(310, every_s=5)
    assert world.states() == ["firing"]
    world.controller = Evaluator()
    world.reads(box, cpu={"percent": 1})
    world.run(200, every_s=5)
    assert world.states() == ["firing"], "a few values say nothing about five minutes"
    world.run(100, every_s=5)
    assert world.states() == ["resolved"]


def test_a_node_that_is_down_has_one_alert_and_holds_what_follows_from_it(world: World) -> None:
    box, other = world.node("box"), world.node("other")
    world.engine(box)
    world.down_rule()
    world.rule("engine_up", operator="<", fire_value=1, clear_value=1, for_s=0, keep_s=0)
    world.rule("agent_up", operator="<", fire_value=1, clear_value=1, for_s=0, keep_s=0)
    world.rule(no_data="alert", for_s=0, keep_s=0)
    world.heat(box, 93)
    world.heat(other, 60)
    world.run(4)
    assert Alert.objects.get().metric == "gpu_temperature_c"
    world.goes_down(box)
    world.run(60)
    found = {alert.metric: alert.state for alert in Alert.objects.all()}
    assert found == {"gpu_temperature_c": "firing", "node_up": "firing"}
    world.comes_back(box)
    world.heat(box, 60)
    world.run(60)
    assert set(world.states()) == {"resolved"}


def test_without_a_rule_about_nodes_what_follows_from_one_is_told(world: World) -> None:
    box = world.node("box")
    world.engine(box)
    world.rule("engine_up", operator="<", fire_value=1, clear_value=1, for_s=0)
    world.goes_down(box)
    world.run(4)
    assert world.states() == ["firing"]


def test_a_gpu_that_was_there_and_is_gone_is_noticed_over_restarts(world: World) -> None:
    box = world.node("box")
    world.rule("gpus_lost", operator=">=", fire_value=1, clear_value=1, for_s=0, keep_s=0)
    world.heat(box, 60, 61)
    world.run(4)
    assert set(KnownGpus.objects.get().seen) == {"GPU-0", "GPU-1"}
    world.controller = Evaluator()
    world.heat(box, 60)
    world.run(4)
    alert = Alert.objects.get()
    assert (alert.state, alert.value) == ("firing", 1)
    assert "GPU-1" in alert.reason
    world.heat(box, 60, 61)
    world.run(4)
    assert world.states() == ["resolved"]


def test_a_gpu_that_has_been_gone_for_a_week_was_taken_out(world: World) -> None:
    box = world.node("box")
    world.rule("gpus_lost", operator=">=", fire_value=1, clear_value=1, for_s=0, keep_s=0)
    world.heat(box, 60, 61)
    world.run(2)
    world.heat(box, 60)
    world.run(2)
    world.now_ms += 8 * 86_400_000
    world.run(2)
    assert world.states() == ["resolved"]


@pytest.mark.parametrize(
    ("reasons", "state"),
    [(["sw_power_cap", "gpu_idle"], []), (["hw_thermal_slowdown"], ["firing"]), ([], []), (None, [])],
)
def test_throttling_is_what_protects_the_hardware_and_not_a_limit(
    world: World, reasons: list[str] | None, state: list[str]
) -> None:
    box = world.node("box")
    world.rule("gpu_throttled", operator=">=", fire_value=1, clear_value=1, for_s=0)
    world.reads(box, gpus=[{"index": 0, "throttle_reasons": reasons}])
    world.run(2)
    assert world.states() == state


@pytest.mark.parametrize("change", ["off", "removed", "elsewhere", "other metric", "archived"])
def test_an_alert_that_is_watched_no_more_ends_and_says_why(world: World, change: str) -> None:
    box = world.node("box", environment="lab")
    rule = world.rule(for_s=0)
    world.heat(box, 93)
    world.run(2)
    if change == "off":
        Rule.objects.update(is_enabled=False)
    elif change == "removed":
        rule.delete()
    elif change == "elsewhere":
        RuleScope.objects.create(rule=rule, environment="office")
    elif change == "other metric":
        Rule.objects.update(metric="gpu_power_w")
    else:
        Node.objects.update(archived_at="2026-01-01T00:00:00Z")
    world.run(2)
    alert = Alert.objects.get()
    assert alert.state == "resolved"
    assert alert.reason.startswith(("its rule", "its node"))


def test_a_rule_looks_where_its_scopes_fit(world: World) -> None:
    here = world.node("here", labels={"rack": "a1"})
    there = world.node("there", labels={"rack": "b2"})
    rule = world.rule(for_s=0)
    RuleScope.objects.create(rule=rule, label="rack", label_value="a1")
    for node in (here, there):
        world.heat(node, 93)
    world.run(2)
    assert [alert.node for alert in Alert.objects.all()] == [here]


def test_there_are_never_more_alerts_than_there_is_room_for(
    world: World, settings: object, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DPL_ALERTS_MOST = 3  # type: ignore[attr-defined]
    box = world.node("box")
    world.rule(for_s=0, keep_s=0)
    world.heat(box, *[93] * 8)
    world.run(6)
    assert world.states() == ["firing"] * 3
    assert caplog.text.count("DPL_ALERTS_MOST") == 1
    world.heat(box, *[60] * 3, *[93] * 5)
    world.run(4)
    assert sorted(world.states()) == ["firing"] * 3 + ["resolved"] * 3


def test_a_tick_asks_as_much_of_two_hundred_nodes_as_of_two(
    world: World, django_assert_max_num_queries: object
) -> None:
    for number in range(200):
        world.node(f"box{number}")
    world.rule()
    world.down_rule()
    world.rule("gpus_lost", operator=">=", fire_value=1, clear_value=1)
    world.rule("engine_up", operator="<", fire_value=1, clear_value=1)
    world.rule("queue_waiting")
    world.rule("job_failed_share")
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        world.run(2)
