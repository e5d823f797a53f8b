"""`manage.py unlock`: free locked machines from a terminal."""

from __future__ import annotations

from argparse import ArgumentParser
from getpass import getuser
from typing import Any

from django.core.management.base import CommandError

from dpl_site.lib.commands import InstallationCommand
from dpl_site.lib.refusals import Refused
from inference.slots import free_dead_leases
from nodes import locks
from nodes.selectors import named_node


class Command(InstallationCommand):
    """Parses flags; the services do the rest."""

    help = "Free one machine, or all, of persons' and jobs' locks. Nothing that runs is cut."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which machines."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--all", action="store_true", help="Every machine, and leases whose owner is gone."
        )
        which.add_argument("--node", metavar="NAME_OR_ID", help="One machine.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Free what was named."""
        if options["all"]:
            unlocked, leases = locks.unlock_all(actor=getuser()), free_dead_leases()
            self.stdout.write(f"{unlocked} locks and {leases} leases freed.")
            return
        try:
            node = named_node(options["node"])
            freed = locks.unlock_node(node_id=node.id, actor=getuser(), force=True)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(f"{node.name} is unlocked." if freed else f"{node.name} was not locked.")
