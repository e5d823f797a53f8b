"""The id of the request that is being answered: accepted or made, told to the client, written in each log line."""

from __future__ import annotations

import logging
import re
import uuid
from contextvars import ContextVar

HEADER = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._:-]{1,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this task or thread answers, empty outside a request."""


def accepted(offered: str | None) -> str:
    """The id that a client offered, when it is short and plain; else a new one."""
    return offered if offered and _SANE.fullmatch(offered) else uuid.uuid4().hex


class RequestIdFilter(logging.Filter):
    """Puts `request_id`, and `tag` (`" [id]"` or nothing, for text lines), on every log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; the record goes on."""
        current = request_id.get()
        record.__dict__ |= {"request_id": current, "tag": f" [{current}]" if current else ""}
        return True
