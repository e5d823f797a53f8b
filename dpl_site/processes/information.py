"""What this installation is, for whoever looks for a fault: versions, settings, processes, counts. No secrets."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.db import connection
from django.db.models import Count, Sum

from accounts.models import ApiKey, User
from datasets.models import Job
from dpl_site.lib.clock import iso, iso_ms, utc_now
from dpl_site.lib.db import NowMs, now_ms
from dpl_site.processes.duties import LEAD
from dpl_site.processes.schema import read_schema
from dpl_site.processes.storage import connections_in_use, size_bytes
from inference.models import EngineModel, RequestLog
from inference.targets import live_engines
from nodes.instances import alive
from nodes.latest import latest
from nodes.models import Leadership, NodeLock

SET = "set"
"""What stands in place of a value that may be a secret, or hold one."""
MOST_PROCESSES = 500
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|KEY|URL|WEBHOOK|NOTIF")
_SHOWN_ANYWAY = re.compile(r"_FILE$")
_MORE_SETTINGS = ("DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "REDIS_URL", "PROMETHEUS_URL")


def debug_info() -> dict[str, Any]:
    """GET /api/debug/info."""
    nodes = latest()
    agents = Counter(one.reading["agent_version"] for one in nodes if one.reading)
    return {
        "generated_at": iso(utc_now()),
        "versions": _versions() | {"agents": dict(agents)},
        "settings": shown_settings(),
        "processes": _processes(),
        "database": _database(),
        "disk": _disk(),
        "counts": _counts()
        | {"nodes": dict(Counter(one.status.state if one.status else "unknown" for one in nodes))},
    }


def shown_settings() -> dict[str, Any]:
    """The settings by name; of one that may hold a secret only whether it is set."""
    names = [name for name in dir(settings) if name.startswith("DPL_")]
    return {name: _shown(name, getattr(settings, name, None)) for name in sorted({*names, *_MORE_SETTINGS})}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if _SECRET.search(name) and not _SHOWN_ANYWAY.search(name):
        return SET if value else ""
    if isinstance(value, list | tuple):
        return [_shown(name, one) for one in value]
    text = str(value)
    return SET if urlsplit(text).password else text


def _versions() -> dict[str, Any]:
    return {
        "dpl": str(settings.SPECTACULAR_SETTINGS["VERSION"]),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "django": django.get_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _processes() -> list[dict[str, Any]]:
    now = now_ms()
    leader = (
        Leadership.objects.filter(name=LEAD, expires_ms__gt=NowMs()).values_list("holder", flat=True).first()
    )
    return [
        {
            "id": str(one.id),
            "kind": one.kind,
            "host": one.host,
            "pid": one.pid,
            "started_at": iso(one.started_at),
            "heartbeat_at": iso_ms(one.heartbeat_ms),
            "heartbeat_age_s": round(max(0, now - one.heartbeat_ms) / 1000, 1),
            "leads": one.id == leader,
        }
        for one in alive().order_by("kind", "host", "pid")[:MOST_PROCESSES]
    ]


def _database() -> dict[str, Any]:
    began = time.perf_counter()
    now_ms()
    took_s = time.perf_counter() - began
    return {
        "vendor": connection.vendor,
        "version": ".".join(str(part) for part in connection.get_database_version()),
        "size_bytes": size_bytes(),
        "connections": connections_in_use(),
        "answer_s": round(took_s, 6),
        "schema_problem": read_schema().problem,
    }


def _disk() -> dict[str, int]:
    found = shutil.disk_usage(settings.DPL_DATA_DIR)
    return {"total_bytes": found.total, "free_bytes": found.free}


def _counts() -> dict[str, Any]:
    """What is cheap to count, whatever the size of the installation."""
    newest = RequestLog.objects.order_by("-id").values_list("id", flat=True).first() or 0
    oldest = RequestLog.objects.order_by("id").values_list("id", flat=True).first() or 1
    jobs = dict(Job.objects.order_by().values_list("state").annotate(Count("id")))
    return {
        "engines": live_engines().count(),
        "models": EngineModel.objects.values("name").distinct().count(),
        "locks": NodeLock.objects.filter(expires_ms__gt=NowMs()).count(),
        "jobs": jobs,
        "items": Job.objects.aggregate(all=Sum("total"))["all"] or 0,
        "requests_logged": max(0, newest - oldest + 1),
        "users": User.objects.count(),
        "keys": ApiKey.objects.filter(revoked_at=None).count(),
    }
