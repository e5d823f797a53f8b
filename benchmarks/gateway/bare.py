"""The yardstick: the least that an ASGI gateway in Python can do, with aiohttp to the engines. Not for use.

It checks a key, reads the body, picks the engine with the fewest requests in flight, and passes chunks on.
Engines and key come from BENCH_ENGINES (`url,url`) and BENCH_KEY.
"""

from __future__ import annotations

import json
import os
from typing import Any

import aiohttp

ENGINES = os.environ.get("BENCH_ENGINES", "").split(",")
KEY = f"Bearer {os.environ.get('BENCH_KEY', '')}".encode()
in_flight = dict.fromkeys(ENGINES, 0)
session: aiohttp.ClientSession | None = None


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer one request."""
    global session
    if scope["type"] != "http":
        return
    if session is None:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        )
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if dict(scope["headers"]).get(b"authorization") != KEY or not json.loads(body).get("model"):
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    engine = min(in_flight, key=in_flight.__getitem__)
    in_flight[engine] += 1
    try:
        await _pass_on(session, engine + scope["path"], body, send)
    finally:
        in_flight[engine] -= 1


async def _pass_on(session: aiohttp.ClientSession, url: str, body: bytes, send: Any) -> None:
    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
        headers = [
            (name.lower().encode(), value.encode())
            for name, value in response.headers.items()
            if name.lower() in ("content-type", "content-length")
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        async for data in response.content.iter_any():
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
