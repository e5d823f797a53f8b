"""Bodies of requests: each within its bounds, and all of them together too."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from dpl_site.lib.refusals import Refused
from inference.arrival import ClientGone, RequestBody, Room


def body(room: Room, *pieces: bytes, leaves: bool = False) -> RequestBody:
    """A body that comes in these pieces."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": leaves or place + 1 < len(pieces)}
        for place, piece in enumerate(pieces)
    ]
    coming = iter([*messages, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return next(coming)

    return RequestBody({"headers": []}, receive, room)


async def test_a_body_that_comes_in_pieces_is_put_together() -> None:
    assert await body(Room(100), b"ab", b"", b"cd").read() == b"abcd"


async def test_one_that_leaves_halfway_is_gone() -> None:
    with pytest.raises(ClientGone):
        await body(Room(100), b"ab", leaves=True).read()


async def test_one_that_grows_over_the_limit_is_refused(settings: Settings) -> None:
    settings.DPL_MAX_REQUEST_MB = 1
    with pytest.raises(Refused) as refused:
        await body(Room(10**9), b"x" * 700_000, b"x" * 700_000).read()
    assert refused.value.status == 413


async def test_many_large_ones_at_once_wait_their_turn() -> None:
    room = Room(10)
    first = body(room, b"123456", b"78")
    assert await first.read()
    second = body(room, b"12", b"3")
    with pytest.raises(Refused) as refused:
        await second.read()
    assert (refused.value.status, refused.value.code) == (503, "busy")
    for one in (first, second, second):
        one.let_go()
    assert await body(room, b"1234567890").read() == b"1234567890"
