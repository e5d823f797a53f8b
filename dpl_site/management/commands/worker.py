"""`manage.py worker`: `processes/watchdog.py` does it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dpl_site.processes.beginning import begin


class Command(BaseCommand):
    """Runs datasets."""

    help = "Work through datasets: a django-q2 cluster under a watchdog."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Every process takes the flags of `up`; this one listens nowhere."""
        for flag in ("--host", "--port"):
            parser.add_argument(
                flag, help="as `up` takes it; without effect, since this process listens nowhere"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until told to stop."""
        begin()
        from dpl_site.processes.watchdog import Watchdog

        Watchdog().run()
