"""What names a request: its id, accepted or made, told to the client and written in each log line; and its trace.

A client's W3C trace context is handed on to the engine as it came, or not at all when it is malformed: DPL
takes no part in the trace.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import MappingProxyType

HEADER = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._:-]{1,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this task or thread answers, empty outside a request."""

_context: ContextVar[Mapping[str, str]] = ContextVar("trace_context", default=MappingProxyType({}))

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LATER_PARENT = re.compile(r"(?!00)" + _PARENT.pattern + r"-[!-~]{1,200}")
_STATE = re.compile(r"[ -~\t]{1,512}")
"""512 characters are what the recommendation asks everybody to hand on."""


def take_over(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Keep the trace context of a request with these headers (names in lower case) for what is asked on its behalf."""
    parents = [value for name, value in headers if name == b"traceparent"]
    states = [value for name, value in headers if name == b"tracestate"]
    _context.set(_checked(parents, states) if parents else {})


def passed_on() -> Mapping[str, str]:
    """The headers that continue the trace of the request that this task answers; none when it came without one."""
    return _context.get()


def _checked(parents: list[bytes], states: list[bytes]) -> dict[str, str]:
    parent = parents[0].decode("latin-1")
    if len(parents) != 1 or not (_PARENT.fullmatch(parent) or _LATER_PARENT.fullmatch(parent)):
        return {}
    state = b",".join(states).decode("latin-1")
    return {"traceparent": parent} | ({"tracestate": state} if _STATE.fullmatch(state) else {})


def accepted(offered: str | None) -> str:
    """The id that a client offered, when it is short and plain; else a new one.

    It guards nothing, so it is drawn without a call of the system.
    """
    return offered if offered and _SANE.fullmatch(offered) else f"{random.getrandbits(128):032x}"


class RequestIdFilter(logging.Filter):
    """Puts `request_id`, and `tag` (`" [id]"` or nothing, for text lines), on every log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; the record goes on."""
        current = request_id.get()
        record.__dict__ |= {"request_id": current, "tag": f" [{current}]" if current else ""}
        return True
