"""`manage.py controller`: `processes/controller.py` does it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dpl_site.processes.beginning import begin


class Command(BaseCommand):
    """Keeps the fleet as it should be."""

    help = "Probe nodes, put jobs, locks and leases right, prune; one controller leads, others stand by."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Every process takes the flags of `up`; this one listens nowhere."""
        for flag in ("--host", "--port"):
            parser.add_argument(
                flag, help="as `up` takes it; without effect, since this process listens nowhere"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        """Control until told to stop."""
        begin()
        from dpl_site.processes.controller import Controller, control
        from dpl_site.processes.duties import all_duties
        from inference.probe import FleetProbe

        probe = FleetProbe()
        control(Controller(all_duties(probe), at_end=probe.close))
