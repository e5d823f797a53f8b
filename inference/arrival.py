"""Reads a request's body within its limits of size and time.

Async.
"""

from __future__ import annotations

import asyncio

from django.conf import settings

from dpl_site.lib.answering import Receive, Scope, header
from dpl_site.lib.refusals import Refused

BODY_S = 60.0
"""How long a client may take to send its request."""


class ClientGone(Exception):
    """The client left before its answer was whole."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The request's body. Raises Refused (408, 413) and ClientGone."""
    most = settings.DPL_MAX_REQUEST_MB * 1024 * 1024
    announced = header(scope, b"content-length")
    if announced.isdigit() and int(announced) > most:
        raise _too_large()
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > most:
                    raise _too_large()
                if not message.get("more_body"):
                    return b"".join(pieces)
    except TimeoutError:
        text = f"The request was not whole after {BODY_S:g} s. Send it faster."
        raise Refused(text, code="too_slow", status=408) from None


def _too_large() -> Refused:
    text = f"The request is larger than {settings.DPL_MAX_REQUEST_MB} MiB (DPL_MAX_REQUEST_MB)."
    return Refused(text, code="too_large", status=413)
