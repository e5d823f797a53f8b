"""The REST surface of alerts, rules, silences and channels."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from alerts import past
from alerts.models import AlertAudit, Channel, Rule, Silence
from dpl_site.lib import messenger
from dpl_site.lib.db import now_ms
from dpl_site.lib.messenger import Outcome
from nodes.answers import parse_status
from nodes.history import record_past
from tests.alerts.receivers import WebhookReceiver, running
from tests.alerts.world import World
from tests.nodes.told import STATUS

Api = Callable[[str], Client]
RULE: dict[str, Any] = {"name": "Hot", "metric": "gpu_temperature_c", "fire_value": 90, "clear_value": 85}


@pytest.fixture
def firing(world: World) -> World:
    """Three alerts: one fires, one is pending, one has ended."""
    box, other = world.node("box"), world.node("other")
    world.rule(name="Hot", for_s=0, keep_s=0, severity="critical")
    world.heat(other, 95)
    world.run(2)
    world.heat(other, 60)
    world.heat(box, 93)
    world.run(2)
    world.rule("cpu_percent")
    world.reads(other, cpu={"percent": 99})
    world.run(2)
    return world


def post(client: Client, path: str, data: dict[str, Any] | None = None) -> Any:
    return client.post(path, data or {}, content_type="application/json")


def test_seed_one_sees_what_is_open_in_the_contracts_shape(firing: World, api: Api) -> None:
    told = api("vera").get("/api/alerts").json()["alerts"]
    assert [(one["rule"], one["state"]) for one in told] == [("cpu_percent", "pending"), ("Hot", "firing")]
    assert set(told[1]) == {
        *("id", "rule", "severity", "state", "node", "subject", "metric", "value", "threshold", "since"),
        *("message", "acknowledged_by"),
    }
    assert told[1] | {"id": 0, "node": 0, "since": ""} == {
        "id": 0,
        "rule": "Hot",
        "severity": "critical",
        "state": "firing",
        "node": 0,
        "subject": "GPU 0",
        "metric": "gpu_temperature_c",
        "value": 93.0,
        "threshold": 90.0,
        "since": "",
        "message": "Hot on box GPU 0: 93 °C > 90 °C",
        "acknowledged_by": None,
    }
    assert told[1]["node"]["name"] == "box"
    assert told[1]["since"].endswith("Z")
    assert api("").get("/api/alerts").status_code == 401


def test_alerts_are_filtered_and_those_of_the_past_are_there_too(firing: World, api: Api) -> None:
    def found(query: str) -> list[str]:
        return [one["state"] for one in api("vera").get(f"/api/v1/alerts/{query}").json()["results"]]

    assert found("") == ["pending", "firing", "resolved"]
    assert found("?state=firing,pending") == ["pending", "firing"]
    assert found("?severity=warning") == ["pending"]
    box = api("vera").get("/api/v1/alerts/?state=firing").json()["results"][0]["node"]["id"]
    assert found(f"?node={box}") == ["firing"]
    assert api("vera").get("/api/v1/alerts/?state=nonsense").status_code == 400


def test_history_tells_each_step_and_how_long_it_lasted(firing: World, api: Api) -> None:
    ended = api("vera").get("/api/v1/alerts/?state=resolved").json()["results"][0]
    assert ended["duration_s"] == 2.0
    events = api("vera").get(f"/api/v1/alerts/{ended['id']}/events/").json()["results"]
    assert [(one["from"], one["to"]) for one in events] == [("firing", "resolved"), ("ok", "firing")]


def test_an_admin_acknowledges_and_a_viewer_does_not(firing: World, api: Api) -> None:
    alert = api("ada").get("/api/v1/alerts/?state=firing").json()["results"][0]
    path = f"/api/v1/alerts/{alert['id']}/acknowledge/"
    assert post(api("vera"), path).status_code == 403
    seen = post(api("ada"), path, {"note": "on it"}).json()
    assert (seen["acknowledged_by"], seen["acknowledged_note"]) == ("ada", "on it")
    assert api("vera").get(f"/api/v1/alerts/{alert['id']}/").json()["acknowledged_note"] == "on it"
    events = api("vera").get(f"/api/v1/alerts/{alert['id']}/events").json()["results"]
    assert (events[0]["action"], events[0]["actor"]) == ("acknowledged", "ada")
    assert AlertAudit.objects.get().actor == "ada"
    assert post(api("ada"), f"/api/v1/alerts/{alert['id']}/unacknowledge/").json()["acknowledged_by"] is None
    ended = api("ada").get("/api/v1/alerts/?state=resolved").json()["results"][0]
    assert post(api("ada"), f"/api/v1/alerts/{ended['id']}/acknowledge/").status_code == 409


def test_the_summary_counts_what_fires_and_names_the_worst(firing: World, api: Api) -> None:
    told = api("vera").get("/api/v1/alerts/summary/").json()
    assert (told["firing"], told["pending"], told["worst"], len(told["raised"])) == (1, 1, "critical", 1)
    assert api("").get("/api/v1/alerts/summary/").status_code == 401


def test_the_worst_come_first_when_asked_for(firing: World, api: Api) -> None:
    found = api("vera").get("/api/v1/alerts/?state=pending,firing&order=worst").json()["results"]
    assert [one["state"] for one in found] == ["firing", "pending"]
    assert api("vera").get("/api/v1/alerts/?order=best").status_code == 400


def test_a_rule_is_made_changed_and_removed(world: World, api: Api) -> None:
    box = world.node("box")
    scopes = [{"node": box.id}, {"label": "rack", "label_value": "a1"}]
    made = post(api("ada"), "/api/v1/rules/", {**RULE, "scopes": scopes})
    assert made.status_code == 201, made.json()
    rule = made.json()
    assert rule["scopes"][0] == {"node": box.id, "environment": "", "label": "", "label_value": ""}
    assert (rule["for_s"], rule["severity"], rule["enabled"]) == (60, "warning", True)
    path = f"/api/v1/rules/{rule['id']}/"
    changed = api("ada").patch(path, {"enabled": False, "for_s": 0}, content_type="application/json")
    assert (changed.json()["enabled"], changed.json()["for_s"]) == (False, 0)
    assert len(changed.json()["scopes"]) == 2, "what is not named stays"
    assert api("vera").get("/api/v1/rules/").json()["count"] == 1
    assert post(api("otto"), "/api/v1/rules/", RULE).status_code == 403
    assert api("ada").delete(path).status_code == 204
    assert [one.action for one in AlertAudit.objects.order_by("id")] == [
        "rule made",
        "rule changed",
        "rule removed",
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metric": "nonsense"}, "metric"),
        ({"clear_value": 95}, "clear_value"),
        ({"operator": "<", "clear_value": 85}, "clear_value"),
        ({"fire_value": "NaN"}, "fire_value"),
        ({"fire_value": "Infinity"}, "fire_value"),
        ({"clear_value": "-Infinity"}, "clear_value"),
        ({"metric": "cpu_percent", "fire_value": 150, "clear_value": 120}, "fire_value"),
        ({"metric": "cpu_percent", "fire_value": 100, "clear_value": 90}, "fire_value"),
        ({"metric": "cpu_percent", "operator": ">=", "fire_value": 0, "clear_value": 0}, "fire_value"),
        ({"metric": "cpu_percent", "operator": ">=", "fire_value": 50, "clear_value": 0}, "clear_value"),
        ({"metric": "node_up", "operator": "<", "fire_value": 2, "clear_value": 2}, "fire_value"),
        ({"aggregation": "avg", "window_s": 3601}, "window_s"),
        ({"aggregation": "avg", "window_s": 0}, "window_s"),
        ({"aggregation": "last", "window_s": 60}, "window_s"),
        ({"window_s": -1}, "window_s"),
        ({"for_s": 10_000_000}, "for_s"),
        ({"repeat_s": 5}, "repeat_s"),
        ({"operator": "=="}, "operator"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "Taken"}, "name"),
        ({"scopes": [{}]}, "scopes"),
        ({"scopes": [{"label_value": "x"}]}, "label"),
        ({"scopes": [{"node": 999}]}, "scopes"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_at_its_field(
    world: World, api: Api, change: dict[str, Any], field: str
) -> None:
    world.rule(name="Taken")
    answer = post(api("ada"), "/api/v1/rules/", {**RULE, **change})
    assert answer.status_code == 400, answer.json()
    assert field in answer.json()["error"]["detail"], answer.json()
    assert Rule.objects.count() == 1


def test_a_preview_says_when_a_rule_would_have_fired(world: World, api: Api) -> None:
    samples = [[second * 1000, 95 if 100 <= second < 300 else 60] for second in range(0, 600, 10)]
    asked = {**RULE, "for_s": 60, "keep_s": 60, "samples": samples}
    told = post(api("vera"), "/api/v1/rules/preview/", asked).json()
    assert told == {
        "episodes": [
            {
                "began_at": "1970-01-01T00:01:40.000Z",
                "fired_at": "1970-01-01T00:02:40.000Z",
                "ended_at": "1970-01-01T00:06:00.000Z",
                "worst": 95.0,
                "node": None,
                "subject": "",
            }
        ],
        "fired": 1,
    }
    wrong = post(api("vera"), "/api/v1/rules/preview/", asked | {"samples": [[5, 1], [4, 1]]})
    assert "samples" in wrong.json()["error"]["detail"]
    assert Rule.objects.count() == 0


def test_a_preview_reads_the_history_where_it_is_given_no_values(world: World, api: Api) -> None:
    box, other = world.node("box"), world.node("other")
    now = now_ms()
    for node, hot in ((box, 95.0), (other, 40.0)):
        status = parse_status(json.dumps(STATUS | {"cpu": {"percent": hot}}).encode())
        assert record_past(node.id, [(now - second * 1000, status) for second in range(1500, 0, -30)])
    asked = {**RULE, "metric": "cpu_percent", "fire_value": 90, "clear_value": 80, "for_s": 300, "days": 1}
    told = post(api("vera"), "/api/v1/rules/preview/", asked).json()
    assert [one["node"]["name"] for one in told["episodes"]] == ["box"]
    assert told["fired"] == 1
    drawn = post(api("vera"), "/api/v1/rules/preview/", asked | {"curves": True}).json()
    assert [(one["node"]["name"], one["fired"]) for one in drawn["curves"]] == [("box", 1), ("other", 0)]
    assert (drawn["watched"], drawn["left_out"], drawn["has_history"]) == (2, 0, True)
    assert len(drawn["t"]) == len(drawn["curves"][0]["values"])
    assert 95.0 in drawn["curves"][0]["values"]
    elsewhere = post(api("vera"), "/api/v1/rules/preview/", asked | {"scopes": [{"node": other.id}]})
    assert elsewhere.json() == {"episodes": [], "fired": 0}


def test_a_preview_of_what_has_no_history_says_so(world: World, api: Api) -> None:
    asked = {**RULE, "metric": "node_up", "operator": "<", "fire_value": 1, "clear_value": 1, "curves": True}
    told = post(api("vera"), "/api/v1/rules/preview/", asked).json()
    assert (told["has_history"], told["curves"], told["fired"]) == (False, [], 0)


def test_a_preview_judges_the_worst_where_there_are_too_many(
    world: World, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "MOST_JUDGED", 1)
    now = now_ms()
    for name, hot in (("mild", 92.0), ("worst", 99.0), ("calm", 10.0)):
        status = parse_status(json.dumps(STATUS | {"cpu": {"percent": hot}}).encode())
        record_past(world.node(name).id, [(now - second * 1000, status) for second in range(900, 0, -30)])
    asked = {**RULE, "metric": "cpu_percent", "for_s": 0, "days": 1, "curves": True}
    told = post(api("vera"), "/api/v1/rules/preview/", asked).json()
    assert [one["node"]["name"] for one in told["episodes"]] == ["worst"]
    assert (told["watched"], told["left_out"]) == (3, 1)


def in_hours(hours: float) -> str:
    return (timezone.now() + timedelta(hours=hours)).isoformat()


def test_a_silence_has_an_author_and_an_end(world: World, api: Api) -> None:
    box = world.node("box")
    made = post(api("ada"), "/api/v1/silences/", {"node": box.id, "ends_at": in_hours(2), "comment": "disk"})
    assert made.status_code == 201, made.json()
    assert (made.json()["author"], made.json()["comment"]) == ("ada", "disk")
    assert api("vera").get("/api/v1/silences/?active=true").json()["count"] == 1
    ended = api("ada").delete(f"/api/v1/silences/{made.json()['id']}/")
    assert ended.json()["ended_by"] == "ada"
    assert api("vera").get("/api/v1/silences/?active=true").json()["count"] == 0
    assert Silence.objects.count() == 1, "it stays to be seen"
    assert [one.action for one in AlertAudit.objects.order_by("id")] == ["silence made", "silence ended"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "rule"),
        ({"environment": "lab", "ends_at": in_hours(-1)}, "ends_at"),
        ({"environment": "lab", "ends_at": in_hours(24 * 400)}, "ends_at"),
        ({"environment": "lab", "ends_at": "tomorrow"}, "ends_at"),
        ({"label_value": "x"}, "label"),
        ({"node": 999}, "node"),
    ],
)
def test_a_silence_that_means_nothing_is_refused_at_its_field(
    world: World, api: Api, fields: dict[str, Any], field: str
) -> None:
    answer = post(api("ada"), "/api/v1/silences/", {"ends_at": in_hours(1), **fields})
    assert answer.status_code == 400
    assert field in answer.json()["error"]["detail"], answer.json()


def test_a_channel_is_tested_for_real_and_its_address_never_comes_out(world: World, api: Api) -> None:
    receiver = WebhookReceiver()
    with running(receiver):
        made = post(api("ada"), "/api/v1/channels/", {"name": "ops", "url": receiver.url})
        assert made.status_code == 201, made.json()
        path = f"/api/v1/channels/{made.json()['id']}/"
        assert post(api("ada"), f"{path}test/").json() == {"ok": True, "error": None}
        receiver.status = 500
        failed = post(api("ada"), f"{path}test/").json()
    assert (failed["ok"], "500" in failed["error"]) == (False, True)
    assert "ops" in receiver.taken[0][1]["message"]
    seen = api("vera").get(path)
    assert (seen.json()["kind"], seen.json()["has_url"]) == ("webhook", True)
    assert "127.0.0.1" not in seen.content.decode()
    assert seen.json()["failing_since"] is not None
    assert "127.0.0.1" not in str([one.detail for one in AlertAudit.objects.all()])
    assert post(api("otto"), f"{path}test/").status_code == 403


def test_a_wrong_address_is_refused_at_its_field(
    world: World, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messenger, "check", lambda url: Outcome(False, "ftp is no kind of address"))
    answer = post(api("ada"), "/api/v1/channels/", {"name": "ops", "url": "ftp://x"})
    assert answer.status_code == 400
    assert answer.json()["error"]["detail"] == {"url": ["ftp is no kind of address"]}
    assert Channel.objects.count() == 0


def test_a_channel_keeps_its_address_when_something_else_is_changed(world: World, api: Api) -> None:
    channel = world.channel()
    path = f"/api/v1/channels/{channel.pk}/"
    changed = api("ada").patch(path, {"least_severity": "critical"}, content_type="application/json")
    assert changed.json()["least_severity"] == "critical"
    channel.refresh_from_db()
    assert channel.url == "json://127.0.0.1/ops"
    assert api("ada").delete(path).status_code == 204
