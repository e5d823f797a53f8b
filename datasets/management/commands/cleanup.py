"""`manage.py cleanup`: abort every unfinished job and free what jobs hold, as `POST /api/dataset/cleanup/all`."""

from __future__ import annotations

import getpass
from typing import Any

from datasets.services import cleanup_all
from dpl_site.lib.commands import InstallationCommand


class Command(InstallationCommand):
    """No flags."""

    help = "Abort every unfinished job and free what jobs hold. Results and persons' locks stay."

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and say what was freed."""
        freed = cleanup_all(actor=f"{getpass.getuser()} (terminal)")
        self.stdout.write(
            f"{freed['jobs']} jobs aborted, {freed['leases']} leases and {freed['locks']} locks of jobs freed."
        )
