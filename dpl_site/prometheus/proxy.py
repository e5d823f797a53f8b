"""The path itself: asks the Prometheus of PROMETHEUS_URL, within limits, or answers from our own history. Async."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from accounts.http import methods, require
from dpl_site.lib import http
from dpl_site.lib.db import call
from dpl_site.prometheus.answering import answer
from dpl_site.prometheus.errors import QueryError
from dpl_site.prometheus.ranges import Range, read_range

TIMEOUTS = http.Timeouts(connect_s=3.0, first_byte_s=30.0, idle_s=30.0, total_s=30.0)
MAX_BYTES = 32 * 1024 * 1024
MOST_AT_ONCE = 32
"""Queries that one web process has under way at the same time."""
_ITS_OWN = (200, 400, 422, 503)
"""What Prometheus itself answers with, in its own JSON."""

_under_way = 0


@methods("GET")
@require("read")
async def query_range(request: HttpRequest) -> HttpResponse:
    """Prometheus' range query in Prometheus' JSON, errors too."""
    try:
        asked = read_range({name: str(value) for name, value in request.GET.items()})
        if settings.PROMETHEUS_URL:
            status, body = await _limited(settings.PROMETHEUS_URL, asked)
            return HttpResponse(body, status=status, content_type="application/json")
        return JsonResponse(await call(answer, asked))
    except QueryError as error:
        response = JsonResponse(error.body(), status=error.status)
        # An answer that pages ask for every few seconds is no error of ours, and not worth a line of the log each.
        response.__dict__["_has_been_logged"] = True
        return response


async def _limited(base_url: str, asked: Range) -> tuple[int, bytes]:
    global _under_way
    if _under_way >= MOST_AT_ONCE:
        raise _unavailable(f"{MOST_AT_ONCE} queries are under way; try again in a moment")
    _under_way += 1
    try:
        async with asyncio.timeout(TIMEOUTS.total_s):
            return await _ask(base_url, asked)
    except TimeoutError as error:
        place, limit = _place(base_url), f"{TIMEOUTS.total_s:g} s"
        raise _unavailable(f"Prometheus at {place} did not answer within {limit}", kind="timeout") from error
    finally:
        _under_way -= 1


async def _ask(base_url: str, asked: Range) -> tuple[int, bytes]:
    """Status and body of its answer. Raises QueryError where that is not Prometheus'."""
    import httpx

    parameters: dict[str, str | float] = {
        "query": asked.query,
        "start": asked.start_s,
        "end": asked.end_s,
        "step": asked.step_s,
        "timeout": f"{TIMEOUTS.total_s:g}s",
    }
    url = f"{base_url.rstrip('/')}/api/v1/query_range"
    try:
        async with (
            http.outside_async(timeouts=TIMEOUTS) as client,
            client.stream("GET", url, params=parameters) as got,
        ):
            body = await _whole(got)
    except httpx.TimeoutException as error:
        raise TimeoutError from error
    except httpx.HTTPError as error:
        raise _unavailable(f"Prometheus at {_place(base_url)} cannot be reached: {error}") from error
    if got.status_code not in _ITS_OWN or not _is_its_own(body):
        raise _unavailable(
            f"{_place(base_url)} answers with status {got.status_code} and not as Prometheus does; "
            "see that PROMETHEUS_URL is right"
        )
    return got.status_code, body


async def _whole(response: Any) -> bytes:
    parts, size = [], 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_BYTES:
            raise QueryError(
                f"the answer is larger than {MAX_BYTES >> 20} MiB; ask for fewer series or a larger step",
                kind="execution",
                status=422,
            )
        parts.append(part)
    return b"".join(parts)


def _is_its_own(body: bytes) -> bool:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(told, dict) and told.get("status") in ("success", "error")


def _unavailable(message: str, *, kind: str = "unavailable") -> QueryError:
    return QueryError(message, kind=kind, status=503)


def _place(base_url: str) -> str:
    """Where it is, without a password."""
    return urlsplit(base_url).netloc.rpartition("@")[2]
