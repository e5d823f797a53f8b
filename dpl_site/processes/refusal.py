"""How a command says that it cannot start: in words, with the exit code of a wrong configuration."""

from __future__ import annotations

from django.core.management.base import CommandError

from dpl_site.processes.backoff import CONFIG_ERROR


class CannotStart(CommandError):
    """What is wrong and what to do about it, for a person; the command ends with exit code 78. Not retryable."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=CONFIG_ERROR)
