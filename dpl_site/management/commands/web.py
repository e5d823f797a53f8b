"""`manage.py web`: flags only; `processes/web.py` serves."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from dpl_site.processes.beginning import begin
from dpl_site.processes.ports import port_number
from dpl_site.processes.web import serve


class Command(BaseCommand):
    """Serves pages, APIs and websockets."""

    help = "Serve the pages, the APIs and the websockets."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to listen."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
        parser.add_argument(
            "--port", type=port_number, default=settings.DPL_PORT, help="port to listen at (DPL_PORT)"
        )

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        """Serve until told to stop."""
        begin(waits_for_database=False)
        serve(host, port)
