"""`manage.py doctor`: `processes/diagnosis.py` does it."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dpl_site.processes.diagnosis import diagnose
from dpl_site.processes.findings import ERROR


class Command(BaseCommand):
    """Says what is wrong with this installation and how to mend it."""

    help = "Say what is wrong with this installation and how to mend it. Ends with 1 when something is."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """How to say it."""
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine, say, end with 1 when there is an error."""
        findings = diagnose()
        is_ok = not any(finding.severity == ERROR for finding in findings)
        if options["json"]:
            report = {"ok": is_ok, "findings": [finding.view() for finding in findings]}
            self.stdout.write(json.dumps(report, ensure_ascii=False))
        else:
            for finding in findings:
                style = self.style.ERROR if finding.severity == ERROR else self.style.WARNING
                self.stdout.write(style(f"{finding.severity}: {finding.subject}: {finding.message}"))
                if finding.what_to_do:
                    self.stdout.write(f"    {finding.what_to_do}")
            self.stdout.write(_summary(len(findings), is_ok))
        if not is_ok:
            sys.exit(1)


def _summary(count: int, is_ok: bool) -> str:
    if not count:
        return "All is well."
    return f"{count} warnings, no errors." if is_ok else "Something is wrong."
