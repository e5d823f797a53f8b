"""What is wrong, and what to do about it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.core import checks
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from alerts.heartbeat import Beat, record_beat
from alerts.models import Channel, ChannelStatus
from dpl_site.lib import secrets
from dpl_site.processes.diagnosis import diagnose
from dpl_site.processes.findings import Finding
from inference.models import Engine, EngineModel, EngineStatus
from nodes.instances import register
from nodes.leadership import campaign
from nodes.models import Node, NodeStatus

pytestmark = pytest.mark.django_db


@pytest.fixture
def well(monkeypatch: pytest.MonkeyPatch) -> Node:
    """An installation where all is well, with one node."""
    monkeypatch.setattr(checks, "run_checks", list)  # those have tests of their own
    controller = register(kind="controller")
    campaign(name="controller", instance_id=controller.id)
    register(kind="worker")
    register(kind="web")
    node = Node.objects.create(name="fast")
    NodeStatus.objects.create(node=node, state="online")
    engine = Engine.objects.create(node=node, base_url="http://127.0.0.1:11434")
    EngineStatus.objects.create(engine=engine, is_online=True)
    EngineModel.objects.create(engine=engine, name="m", is_resident=True)
    return node


def found(subject: str) -> Finding:
    """The one finding about a subject."""
    (one,) = [finding for finding in diagnose() if finding.subject == subject]
    return one


@pytest.mark.django_db(transaction=True)
def test_nothing_is_wrong_where_all_is_well(well: Node, capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose() == []
    call_command("doctor")
    assert capsys.readouterr().out == "All is well.\n"


def test_what_does_not_run_is_named_with_the_command_that_starts_it(
    well: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    from nodes.models import ProcessInstance

    ProcessInstance.objects.update(expires_ms=0)
    assert {finding.subject for finding in diagnose()} >= {"controller", "worker", "web"}
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json")
    assert ended.value.code == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert "manage.py up" in report["findings"][0]["what_to_do"]
    assert set(report["findings"][0]) == {"severity", "subject", "message", "since", "what_to_do"}


def test_an_offline_node_is_an_error_with_its_reason_and_since_when(well: Node) -> None:
    NodeStatus.objects.update(state="offline", reason="agent: nothing listens at 10.0.0.5:8001")
    finding = found("node fast")
    assert (finding.severity, finding.since is None) == ("error", False)
    assert "nothing listens at 10.0.0.5:8001" in finding.message


def test_a_node_without_an_engine_is_a_warning_that_says_what_to_do(
    well: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    Engine.objects.update(archived_at=timezone.now())
    assert "Ollama" in found("node fast").what_to_do
    call_command("doctor")
    assert "1 warnings, no errors." in capsys.readouterr().out


def test_an_engine_out_of_rotation_is_named(well: Node) -> None:
    EngineStatus.objects.update(breaker_open_ms=1, breaker_reason="refused connections")
    (finding,) = [finding for finding in diagnose() if finding.subject.startswith("engine")]
    assert "refused connections" in finding.message


def test_a_clock_that_is_off_is_named(well: Node) -> None:
    NodeStatus.objects.update(clock_skew_s=-90.0)
    assert "-90 s" in found("node fast").message


def test_wake_ups_that_nobody_takes_tell_of_a_hang(well: Node) -> None:
    OrmQ.objects.create(key="dpl", payload="", lock=timezone.now() - timedelta(seconds=30))
    assert found("queue").severity == "error"


def test_a_credential_whose_key_is_gone_must_be_entered_anew(well: Node, settings: Settings) -> None:
    Node.objects.update(agent_token="a token")
    assert not diagnose()
    settings.DPL_CREDENTIALS_KEY_FILE.write_bytes(Fernet.generate_key())
    secrets._box.cache_clear()
    assert "Enter it anew" in found(f"node {well.id}").what_to_do


def test_a_database_of_another_release_ends_the_examination(well: Node) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'nodes'")
    findings = diagnose()
    assert [finding.subject for finding in findings if finding.severity == "error"] == ["schema"]
    assert "manage.py up" in findings[0].what_to_do


def test_a_redis_that_does_not_answer_is_named(well: Node, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert "REDIS_URL" in found("redis").what_to_do


def test_the_examination_leaves_nothing_behind(well: Node) -> None:
    from nodes.models import Event

    before = Event.objects.count()
    diagnose()
    assert Event.objects.count() == before


def test_a_channel_that_takes_no_messages_is_named(well: Node) -> None:
    channel = Channel.objects.create(name="ops", kind="webhook", url="json://10.0.0.5/s3cret")
    ChannelStatus.objects.create(channel=channel, failing_since_ms=1_700_000_000_000, error="refused")
    finding = found("channel ops")
    assert finding.message == "It takes no messages: refused."
    assert finding.since == "2023-11-14T22:13:20.000Z"


def test_a_heartbeat_out_that_fails_is_named_while_it_is_wanted(well: Node, settings: Settings) -> None:
    record_beat(Beat("it answers 500"))
    assert diagnose() == []
    settings.DPL_HEARTBEAT_URL = "https://example.org/ping"
    assert "it answers 500" in found("heartbeat").message
    record_beat(Beat(""))
    assert diagnose() == []
