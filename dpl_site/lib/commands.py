"""The base of commands that work with a running installation: what is wrong with its database is said, not traced."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.recorder import MigrationRecorder


class InstallationCommand(BaseCommand):
    """A command that needs the tables of an installation and makes none."""

    requires_system_checks = ()

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. Raises CommandError where there is no installation, or its database cannot be reached."""
        try:
            if not MigrationRecorder(connection).has_table():
                raise CommandError(_nothing_here())
            return super().execute(*args, **options)
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(f"The database does not do its part: {_one_line(error)}. {_ASK}") from error


_ASK = "To see what is wrong: python manage.py doctor"


def _nothing_here() -> str:
    where = connection.settings_dict["NAME"]
    return (
        f"No installation has been started here yet: the database {where} is empty. "
        "Start it: python manage.py up"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
