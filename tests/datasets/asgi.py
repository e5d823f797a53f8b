"""An ASGI client as small as can be: a request in pieces of one's choice, and what the application answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BOUNDARY = "a-boundary"


@dataclass
class Answer:
    """What came back; `is_over` when the application ended it."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_over: bool = False

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def form(file: bytes | None, filename: str = "data.json", **fields: str) -> bytes:
    """A multipart body; fields come after the file, as a page's form may send them."""
    parts = []
    if file is not None:
        head = f'Content-Disposition: form-data; name="file"; filename="{filename}"'
        parts.append(f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + file + b"\r\n")
    for name, value in fields.items():
        head = f'Content-Disposition: form-data; name="{name}"'
        parts.append(f"--{BOUNDARY}\r\n{head}\r\n\r\n{value}\r\n".encode())
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class Pieces:
    """A request's body as the server hands it over, piece by piece; `leaves` cuts it with a disconnect."""

    def __init__(self, pieces: Sequence[bytes], *, leaves: bool = False, hangs: bool = False) -> None:
        self.pieces = list(pieces)
        self.leaves, self.hangs = leaves, hangs
        self.taken = 0
        self.is_hanging = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        """The next message."""
        await asyncio.sleep(0)
        if self.taken < len(self.pieces):
            self.taken += 1
            more = self.taken < len(self.pieces) or self.leaves or self.hangs
            return {"type": "http.request", "body": self.pieces[self.taken - 1], "more_body": more}
        if self.hangs:
            self.is_hanging.set()
            await asyncio.sleep(3600)
        return {"type": "http.disconnect"}


async def post(
    application: Callable[..., Any],
    path: str,
    body: Pieces | bytes,
    *,
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
    size: int = 64,
) -> Answer:
    """Send one request, its body cut into pieces of `size` bytes; a Content-Length is sent for bytes."""
    sent = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    if isinstance(body, bytes):
        sent["content-length"] = str(len(body))
        body = Pieces([body[start : start + size] for start in range(0, len(body), size)] or [b""])
    sent |= {name.lower(): value for name, value in (headers or {}).items()}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 50000),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }
    answer = Answer()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")
            answer.is_over = not message.get("more_body", False)

    await application(scope, body.receive, send)
    return answer
