"""Alerts in Django's admin."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from alerts import validation
from alerts.models import Alert, AlertAudit, Channel, Delivery, Rule, Silence
from alerts.states import ChannelKind
from tests.alerts.world import World

SCOPES = {
    "scopes-TOTAL_FORMS": "1",
    "scopes-INITIAL_FORMS": "0",
    "scopes-0-environment": "lab",
}


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    """Ada, logged in."""
    client = Client()
    client.force_login(people["ada"], backend="django.contrib.auth.backends.ModelBackend")
    return client


def fields(rule: Rule, **changes: object) -> dict[str, object]:
    """What the form of a rule sends."""
    names = ("name", "metric", "aggregation", "window_s", "operator", "fire_value", "clear_value", "for_s")
    rest = ("keep_s", "severity", "no_data", "repeat_s")
    return {**{name: getattr(rule, name) for name in (*names, *rest)}, "is_enabled": "on", **changes}


def test_a_rule_is_changed_with_its_scopes_and_the_change_is_audited(world: World, client: Client) -> None:
    rule = world.rule(name="Hot")
    answer = client.post(f"/admin/alerts/rule/{rule.pk}/change/", fields(rule, fire_value=95) | SCOPES)
    assert answer.status_code == 302, answer.content.decode()
    rule.refresh_from_db()
    assert rule.fire_value == 95
    assert [scope.environment for scope in rule.scopes.all()] == ["lab"]
    assert AlertAudit.objects.get().detail == {"fire_value": 95.0}


def test_a_rule_that_cannot_work_is_refused_in_the_form(world: World, client: Client) -> None:
    rule = world.rule(name="Hot")
    answer = client.post(
        f"/admin/alerts/rule/{rule.pk}/change/",
        fields(rule, clear_value=99) | {**SCOPES, "scopes-TOTAL_FORMS": "0"},
    )
    assert "the clear value must be at or below" in answer.content.decode()
    assert AlertAudit.objects.count() == 0


def test_rules_are_switched_off_together(world: World, client: Client) -> None:
    rule = world.rule()
    client.post("/admin/alerts/rule/", {"action": "switch_off", "_selected_action": [rule.pk]})
    assert not Rule.objects.get().is_enabled


def test_a_silence_gets_its_author(world: World, client: Client) -> None:
    ends = timezone.now() + timedelta(hours=1)
    told = {"environment": "lab", "comment": "move"}
    for name, at in (("starts_at", timezone.now()), ("ends_at", ends)):
        told |= {f"{name}_0": f"{at:%Y-%m-%d}", f"{name}_1": f"{at:%H:%M:%S}"}
    answer = client.post("/admin/alerts/silence/add/", told)
    assert answer.status_code == 302, answer.content.decode()
    assert Silence.objects.get().author == "ada"
    client.post(
        "/admin/alerts/silence/", {"action": "end_now", "_selected_action": [Silence.objects.get().pk]}
    )
    assert Silence.objects.get().ended_by == "ada"


def test_a_channels_address_goes_in_and_never_comes_out(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "channel_url", lambda text: (text, ChannelKind.WEBHOOK))
    told = {"name": "ops", "url": "json://10.0.0.5/t0ken", "is_enabled": "on", "least_severity": "info"}
    assert client.post("/admin/alerts/channel/add/", told).status_code == 302
    channel = Channel.objects.get()
    assert (channel.url, channel.kind) == ("json://10.0.0.5/t0ken", "webhook")
    path = f"/admin/alerts/channel/{channel.pk}/change/"
    assert "t0ken" not in client.get(path).content.decode()
    assert client.post(path, told | {"url": "", "name": "people"}).status_code == 302
    channel.refresh_from_db()
    assert (channel.url, channel.name) == ("json://10.0.0.5/t0ken", "people")


def test_alerts_and_messages_are_there_to_be_read(world: World, client: Client) -> None:
    box = world.node("<b>box</b>")
    world.rule(for_s=0)
    world.channel()
    world.heat(box, 93)
    world.run(40)
    alert = Alert.objects.get()
    page = client.get(f"/admin/alerts/alert/{alert.pk}/change/").content.decode()
    assert "pending" in page or "firing" in page
    for table in ("alert", "delivery", "alertaudit", "rule", "channel", "silence"):
        answer = client.get(f"/admin/alerts/{table}/")
        assert answer.status_code == 200
        assert "<b>box</b>" not in answer.content.decode()
    assert client.get("/admin/alerts/alert/add/").status_code == 403
    assert client.get(f"/admin/alerts/delivery/{Delivery.objects.get().pk}/change/").status_code == 200
    client.post("/admin/alerts/alert/", {"action": "acknowledge", "_selected_action": [alert.pk]})
    alert.refresh_from_db()
    assert alert.acknowledged_by == "ada"
