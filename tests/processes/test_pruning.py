"""What is kept for a limited time goes, a few rows at a time; the rest stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axes.models import AccessLog
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.utils import timezone
from django_q.models import Task

from dpl_site.processes import pruning
from dpl_site.processes.pruning import (
    prune_all,
    prune_audit,
    prune_events,
    prune_failed_tasks,
    prune_sessions,
)
from nodes import news
from nodes.models import Event, LockAudit, Node

pytestmark = pytest.mark.django_db


def test_expired_sessions_go_and_living_ones_stay() -> None:
    now = timezone.now()
    for key, expires in (("old", now - timedelta(seconds=1)), ("new", now + timedelta(days=1))):
        Session.objects.create(session_key=key, session_data="", expire_date=expires)
    assert prune_sessions() == 1
    assert [session.session_key for session in Session.objects.all()] == ["new"]


def test_no_transaction_removes_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "MOST_AT_ONCE", 2)
    expired = timezone.now() - timedelta(days=1)
    for number in range(5):
        Session.objects.create(session_key=str(number), session_data="", expire_date=expired)
    assert prune_sessions() == 2
    assert prune_all()["sessions"] == 3


def test_failed_tasks_go_after_a_week() -> None:
    for number, age in enumerate((timedelta(days=8), timedelta(days=6))):
        moment = timezone.now() - age
        Task.objects.create(id=str(number), func="f", started=moment, stopped=moment, success=False)
    assert prune_failed_tasks() == 1


def test_the_audit_goes_after_its_days() -> None:
    node = Node.objects.create(name="fast")
    for days in (400, 1):
        row = LockAudit.objects.create(
            node=node, lock_id="0" * 32, by="person", action="locked", owner="ada", actor="ada"
        )
        LockAudit.objects.filter(id=row.id).update(at=timezone.now() - timedelta(days=days))
        log = AccessLog.objects.create(username="ada")
        AccessLog.objects.filter(id=log.id).update(attempt_time=timezone.now() - timedelta(days=days))
    assert prune_audit() == 2
    assert LockAudit.objects.count() == AccessLog.objects.count() == 1


def test_news_go_after_their_minutes() -> None:
    news.publish(topic="job", object_id=1)
    assert prune_events() == 0
    Event.objects.update(at_ms=0)
    assert prune_events() == 1


def test_the_command_says_what_it_removed(capsys: pytest.CaptureFixture[str]) -> None:
    Session.objects.create(session_key="old", session_data="", expire_date=timezone.now() - timedelta(days=1))
    call_command("prune")
    assert "sessions: 1\n" in capsys.readouterr().out
