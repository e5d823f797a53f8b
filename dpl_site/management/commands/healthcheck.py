"""`manage.py healthcheck`: `dpl_site/healthcheck/` does it."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console

from dpl_site.healthcheck.rounds import check_all
from dpl_site.healthcheck.showing import showing

MOST_S = 86_400.0


def interval(text: str) -> float:
    """Seconds between two rounds. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= MOST_S:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to {MOST_S:g}")
    return seconds


class Command(BaseCommand):
    """Asks everything that the service needs, once or again and again."""

    help = "Ask database, processes, disk, Tailscale, each agent and each engine how they are. Ends with 1 on failure."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """How often, how deep, how to say it."""
        parser.add_argument("-c", "--continuous", action="store_true", help="again and again, until Ctrl+C")
        parser.add_argument(
            *("-i", "--interval"),
            type=interval,
            default=60.0,
            metavar="SECONDS",
            help="between two rounds of -c (60)",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object for each round, on one line")
        parser.add_argument(
            "--load", action="store_true", help="let an engine load a model when none is in memory"
        )
        parser.add_argument("--strict", action="store_true", help="warnings end with 1 too")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check and show; end with 1 when the last round failed."""
        show = showing(Console(), is_json=options["json"])
        code = 0
        with _ended_by_sigterm(), contextlib.suppress(KeyboardInterrupt):
            while True:
                began = time.monotonic()
                done = check_all(may_load=options["load"])
                code = done.exit_code(is_strict=options["strict"])
                show(done)
                if not options["continuous"]:
                    break
                time.sleep(max(0.0, began + options["interval"] - time.monotonic()))
        sys.exit(code)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends like Ctrl+C: with the code of the last round."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
