"""`manage.py prune`: `processes/pruning.py` does it."""

from __future__ import annotations

from typing import Any

from dpl_site.lib.commands import InstallationCommand
from dpl_site.processes.pruning import prune_all


class Command(InstallationCommand):
    """Removes what is kept for a limited time, now."""

    help = (
        "Remove events, sessions, audit and other rows that are past their time; the controller does so too."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune and say what was removed."""
        for name, removed in prune_all().items():
            self.stdout.write(f"{name}: {removed}")
