"""Words of messages; names from machines in them do nothing."""

from __future__ import annotations

from dataclasses import replace

from alerts.messages import MOST_NAME, Told, compose, compose_test, lasted, plain
from alerts.states import NoticeKind, Severity

HOT = Told(
    kind=NoticeKind.FIRING,
    rule_name="GPU hot",
    rule_key="gpu-temperature",
    severity=Severity.WARNING,
    node_name="box1",
    subject_name="GPU 3",
    metric="gpu_temperature_c",
    value=93.0,
    threshold=90.0,
    reason="93 °C > 90 °C for 60 s",
)
DOWN = replace(
    HOT,
    rule_name="Node offline",
    rule_key="node-offline",
    severity=Severity.CRITICAL,
    subject_name="",
    metric="node_up",
    value=0.0,
    threshold=1.0,
    reason="down for 15 s: agent: no answer",
)


def test_one_alert_is_named_in_the_title() -> None:
    message = compose([HOT], language="en")
    assert message.title == "DPL: GPU hot, box1 GPU 3"
    assert message.body == "box1: ! GPU hot GPU 3: 93 °C, threshold 90 °C"
    assert (message.severity, message.is_good_news) == (Severity.WARNING, False)


def test_it_speaks_chinese_where_that_is_the_language() -> None:
    message = compose([HOT], language="zh-hans")
    assert message.title == "DPL：GPU 过热, box1 GPU 3"
    assert "阈值 90 °C" in message.body


def test_a_rule_that_a_person_renamed_goes_by_that_name() -> None:
    assert "Ofen" in compose([replace(HOT, rule_name="Ofen")], language="zh-hans").title


def test_several_are_counted_and_grouped_by_node() -> None:
    message = compose([DOWN, HOT, replace(DOWN, node_name="box2")], language="en")
    assert message.title == "DPL: 3 alerts, on 2 nodes"
    assert message.body.splitlines() == [
        "box1: ‼ Node offline: down for 15 s: agent: no answer",
        "box1: ! GPU hot GPU 3: 93 °C, threshold 90 °C",
        "box2: ‼ Node offline: down for 15 s: agent: no answer",
    ]
    assert message.severity is Severity.CRITICAL


def test_a_message_stays_short_however_much_it_tells() -> None:
    many = [
        replace(HOT, node_name=f"box{node}", subject_name=f"GPU {gpu}")
        for node in range(200)
        for gpu in range(64)
    ]
    message = compose(many, language="en")
    assert len(message.title) < 200
    assert len(message.body) < 40_000
    assert "and 56 more" in message.body
    assert "and 170 more nodes" in message.body


def test_an_end_tells_how_long_it_lasted() -> None:
    message = compose([replace(HOT, kind=NoticeKind.RESOLVED, lasted_s=3725)], language="en")
    assert message.title == "DPL: resolved: GPU hot, box1 GPU 3"
    assert message.body == "box1: ✓ GPU hot GPU 3: resolved after 1 h 2 min"
    assert message.is_good_news
    assert [lasted(one) for one in (5, 65, 90_000)] == ["5 s", "1 min 5 s", "1 d 1 h"]


def test_a_hostile_name_stays_on_its_line() -> None:
    name = "box\r\nBcc: all@example.org\x00\x1b[31m\u202e\u2028" + "x" * 500
    message = compose([replace(HOT, node_name=name, subject_name=name, rule_name=name)], language="en")
    assert "\n" not in message.title
    assert len(message.body.splitlines()) == 1
    assert not set(message.title + message.body) & set("\r\x00\x1b\u202e\u2028")
    assert len(plain(name)) <= MOST_NAME


def test_a_test_message_names_its_channel() -> None:
    assert "ops" in compose_test("ops", language="en").body
