"""Wakes workers: puts disposable messages into the queue. Losing one costs a second, never work."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from nodes.instances import alive

DELIVERED_LATELY = timedelta(seconds=3)
_DRAIN = "datasets.tasks.drain"
_IMPORT = "datasets.tasks.import_job"


def wake_workers() -> int:
    """See to it that as many drains live or are called as the workers can run; how many were called now.

    The message is a row of the same database, so that it commits or rolls back with the caller's rows.
    """
    wanted: int = settings.DPL_DRAINS * max(1, alive().filter(kind="worker").count())
    called = sum(func == _DRAIN for func, _ in _under_way())
    missing = wanted - alive().filter(kind="drain").count() - called
    for _ in range(missing):
        async_task(_DRAIN)
    return max(missing, 0)


def wake_importer(*, job_id: str) -> None:
    """Call for somebody to import a job, unless one is called already.

    An importer that comes too late, when another has the job or nothing is left to do, passes it over.
    """
    if (_IMPORT, (job_id,)) not in _under_way():
        async_task(_IMPORT, job_id)


def prune_delivered() -> int:
    """Remove messages that were delivered a minute ago or longer: they did their work or were lost with it."""
    delivered_before = timezone.now() - timedelta(minutes=1) + _retry()
    deleted: int
    deleted, _ = OrmQ.objects.filter(lock__gt=timezone.now(), lock__lt=delivered_before).delete()
    return deleted


def _under_way() -> list[tuple[str, tuple[object, ...]]]:
    """What is called and with what: messages that nobody has taken, or that were taken so lately that whoever
    took them has not registered yet.
    """
    now = timezone.now()
    lately = Q(lock__gt=now - DELIVERED_LATELY + _retry())
    messages = OrmQ.objects.filter(lately | Q(lock__lte=now))
    return [(message.task.get("func", ""), tuple(message.task.get("args", ()))) for message in messages]


def _retry() -> timedelta:
    return timedelta(seconds=float(str(settings.Q_CLUSTER["retry"])))
