"""HTTP/1.1 as bytes: how a head is read and how one is written. Pure; shared by the agent and the simulator.

The standard library's `http.server` and `http.client` bring OpenSSL and an e-mail parser along, which together
weigh more than the rest of the agent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

HEAD_END = b"\r\n\r\n"
MAX_HEAD = 32 * 1024

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class WireError(Exception):
    """What came is not HTTP as this program speaks it; `status` is the answer it deserves."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Head:
    """A request's first lines. `path` is without the query; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    keeps_alive: bool


def parse_head(raw: bytes) -> Head:
    """A request's head, given without its closing blank line; WireError when it is not one."""
    lines = raw.decode("latin-1").split("\r\n")
    method, target, version = _request_line(lines[0])
    headers = _headers(lines[1:])
    path, _, query = target.partition("?")
    connection = headers.get("connection", "").lower()
    keeps_alive = "close" not in connection if version == "HTTP/1.1" else "keep-alive" in connection
    return Head(method, path, query, headers, keeps_alive)


def body_length(headers: Mapping[str, str]) -> int:
    """How many bytes of body follow a head that is not chunked."""
    written = headers.get("content-length", "0")
    if not (written.isascii() and written.isdigit() and len(written) <= 18):
        raise WireError(400, "Content-Length must be a number")
    return int(written)


def is_chunked(headers: Mapping[str, str]) -> bool:
    """Whether the body comes in chunks."""
    return "chunked" in headers.get("transfer-encoding", "").lower()


def parse_answer(raw: bytes) -> tuple[int, bytes]:
    """The status and the body of a whole answer, read to its end; WireError when it is not one."""
    head, found, body = raw.partition(HEAD_END)
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if not found or len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise WireError(502, "the answer is not HTTP")
    headers = _headers(lines[1:])
    return int(parts[1]), join_chunks(body) if is_chunked(headers) else body


def parse_headers(raw_head: bytes) -> dict[str, str]:
    """The headers of a head, given without its closing blank line; WireError when they are none."""
    return _headers(raw_head.decode("latin-1").split("\r\n")[1:])


def join_chunks(raw: bytes) -> bytes:
    """The body that a sequence of chunks carries; WireError when it is cut short or is no such sequence."""
    parts: list[bytes] = []
    position = 0
    while True:
        end = raw.find(b"\r\n", position)
        size = chunk_size(raw[position:end]) if end >= 0 else -1
        if size < 0 or len(raw) < end + 2 + size:
            raise WireError(502, "the chunked body is cut short")
        if size == 0:
            return b"".join(parts)
        parts.append(raw[end + 2 : end + 2 + size])
        position = end + 4 + size


def chunk_size(line: bytes) -> int:
    """The size that a chunk's first line announces."""
    written = line.split(b";", 1)[0].strip()
    if not _CHUNK_SIZE.fullmatch(written):
        raise WireError(400, "a chunk has no size")
    return int(written, 16)


def status_line(status: int) -> str:
    """An answer's first line, without its end."""
    return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}"


def http_date(epoch_s: float | None = None) -> str:
    """An instant (now by default) as the Date header writes it."""
    t = time.gmtime(epoch_s)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02d} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
        f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} GMT"
    )


def _request_line(line: str) -> tuple[str, str, str]:
    parts = line.split(" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not parts[1]:
        raise WireError(400, "the request line is not HTTP")
    if parts[2] not in {"HTTP/1.1", "HTTP/1.0"}:
        raise WireError(505, "this server speaks HTTP/1.1")
    return parts[0], parts[1], parts[2]


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise WireError(400, "a header line is not HTTP")
        name, value = name.lower(), value.strip()
        if name == "content-length" and headers.get(name, value) != value:
            # Two lengths are how a request is smuggled past whoever reads the other one.
            raise WireError(400, "there are two Content-Length headers")
        headers[name] = value
    return headers
