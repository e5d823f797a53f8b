"""`manage.py up`: `processes/up.py` does it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from dpl_site.processes.ports import port_number


class Command(BaseCommand):
    """Runs a whole installation on this machine."""

    help = "Check, migrate, then run web, controller, worker and this machine's agent; restarts what ends."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to listen."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
        parser.add_argument(
            "--port", type=port_number, default=settings.DPL_PORT, help="port to listen at (DPL_PORT)"
        )

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        """Prepare, then become the supervisor."""
        from dpl_site.processes.up import up

        up(host, port, self.stdout.write)
