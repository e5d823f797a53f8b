"""What django-q2 workers run: entry points that never raise and return a short text. Wake-ups, nothing more."""

from __future__ import annotations

import logging
import os

from django.conf import settings
from django.db import close_old_connections

from datasets.importing import ImportLost, claim_import, import_all
from datasets.runner import Drain
from dpl_site.lib.db import retrying
from nodes.instances import Heartbeat, alive, boot_id

logger = logging.getLogger(__name__)


def drain() -> str:
    """Work through shards until none are left; at most DPL_DRAINS of these run in one cluster."""
    heartbeat = Heartbeat(kind="drain", group_pid=os.getpgrp())
    try:
        if _is_superfluous(heartbeat):
            return "enough drains are running"
        return Drain(heartbeat.start()).run()
    except Exception:
        logger.exception("a drain ended; its shards go to others", extra={"action": "drain_failed"})
        return "failed, see the log"
    finally:
        heartbeat.stop()
        close_old_connections()


def import_job(job_id: str) -> str:
    """Write a job's items and shards, unless somebody else does."""
    heartbeat = Heartbeat(kind="import", group_pid=os.getpgrp())
    try:
        job = retrying(lambda: claim_import(job_id=job_id, instance_id=heartbeat.id))
        if job is None:
            return "nothing to import"
        heartbeat.start()
        return f"imported {import_all(job=job, is_lost=lambda: heartbeat.is_lost)} rows"
    except ImportLost:
        return "somebody else imports it"
    except Exception:
        logger.exception("an import ended; it goes on in another", extra={"action": "import_failed"})
        return "failed, see the log"
    finally:
        heartbeat.stop()
        close_old_connections()


def _is_superfluous(heartbeat: Heartbeat) -> bool:
    """Whether this cluster has its drains already; of two that come at once the older instance stays."""
    drains = alive().filter(kind="drain", boot_id=boot_id(), group_pid=os.getpgrp())
    older = drains.filter(started_at__lt=heartbeat.instance.started_at).exclude(id=heartbeat.id)
    return older.count() >= settings.DPL_DRAINS
