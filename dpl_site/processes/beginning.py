"""What a process makes sure of before it begins: its configuration is sound and the tables are this release's."""

from __future__ import annotations

import logging
import time

from django.core import checks
from django.db import DatabaseError, InterfaceError, connection

from dpl_site.checks import check_exposure, check_secrets, check_storage
from dpl_site.lib.parent import parent_is_lost
from dpl_site.processes.refusal import CannotStart
from dpl_site.processes.schema import require_schema

LONGEST_PAUSE_S = 5.0

logger = logging.getLogger(__name__)


def begin(*, waits_for_database: bool = True) -> None:
    """Refuse what is wrong, and wait for a database that is away (or go on without it).

    Raises CannotStart, with words.
    """
    refuse([*check_exposure(), *check_secrets(), *check_storage()])
    pause_s = 0.25
    while not parent_is_lost():
        try:
            require_schema()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the database is away: %s", str(error).strip(), extra={"action": "database_away"})
            connection.close()
            if not waits_for_database:
                return
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            time.sleep(pause_s)
        else:
            connection.close()
            return


def refuse(found: list[checks.CheckMessage]) -> None:
    """Raise CannotStart when there is an error among these; warnings are logged."""
    errors = [message for message in found if message.level >= checks.ERROR]
    if errors:
        raise CannotStart("\n".join(_said(message) for message in errors))
    for message in found:
        if message.level >= checks.WARNING:
            logger.warning("%s", _said(message), extra={"action": "check"})


def _said(message: checks.CheckMessage) -> str:
    hint = f" {message.hint}" if message.hint else ""
    name = f" ({message.id})" if message.id else ""
    return f"{message.msg}{hint}{name}"
