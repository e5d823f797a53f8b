"""What each request passes: its exit stack, the limit of its body, and the choice of who answers."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from dpl_site.processes import entrance
from dpl_site.processes.entrance import EXIT_STACK, LimitedBody, Message, Receive, Scope, Send, Site, Together


class Beside:
    """Counts how often it was begun and ended."""

    def __init__(self) -> None:
        self.begun = self.ended = 0

    def begin(self) -> None:
        self.begun += 1

    async def end(self) -> None:
        self.ended += 1


class Answering:
    """An application, or a door for one path, that answers with its name."""

    def __init__(self, name: str, path: str = "") -> None:
        self.name, self.path = name, path

    def owns(self, scope: Scope) -> bool:
        return bool(scope["path"] == self.path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.name.encode()})


class Talk:
    """One exchange: what the client sends, and what came back."""

    def __init__(self, *bodies: bytes) -> None:
        self.sent: list[Message] = []
        self._messages = [
            {"type": "http.request", "body": body, "more_body": place < len(bodies)}
            for place, body in enumerate(bodies, 1)
        ]

    async def receive(self) -> Message:
        return self._messages.pop(0) if self._messages else {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def http(path: str = "/", *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "path": path, "headers": list(headers)}


def site(pages: Any, *doors: Any, beside: Beside | None = None) -> Site:
    return Site(doors=doors, pages=pages, sockets=Answering("sockets"), beside=beside or Beside())


async def test_the_first_door_that_owns_the_path_answers_and_else_the_pages() -> None:
    whole = site(
        Answering("pages"), Answering("first", "/a"), Answering("second", "/a"), Answering("b", "/b")
    )
    said = {}
    for path in ("/a", "/b", "/c"):
        talk = Talk(b"")
        await whole(http(path), talk.receive, talk.send)
        said[path] = talk.body
    assert said == {"/a": b"first", "/b": b"b", "/c": b"pages"}


async def test_websockets_go_to_the_sockets_whatever_their_path() -> None:
    talk = Talk()
    whole = site(Answering("pages"), Answering("door", "/a"))
    await whole({"type": "websocket", "path": "/a", "headers": []}, talk.receive, talk.send)
    assert talk.body == b"sockets"


@pytest.mark.parametrize("ending", ["well", "error", "cancelled"])
async def test_what_a_request_acquired_is_released_however_it_ends(ending: str) -> None:
    released = []

    async def release() -> None:
        await asyncio.sleep(0.01)
        released.append(True)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        stack: AsyncExitStack = scope[EXIT_STACK]
        stack.push_async_callback(release)
        if ending == "error":
            raise ValueError("broken")
        if ending == "cancelled":
            await asyncio.Event().wait()

    talk = Talk(b"")
    task = asyncio.create_task(site(application)(http(), talk.receive, talk.send))
    await asyncio.sleep(0)
    if ending == "cancelled":
        task.cancel()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    assert (
        type(outcome)
        is {"well": type(None), "error": ValueError, "cancelled": asyncio.CancelledError}[ending]
    )
    assert released == [True]


async def test_a_release_goes_on_to_its_end_when_the_server_cancels_meanwhile() -> None:
    begun, released = asyncio.Event(), []

    async def release() -> None:
        begun.set()
        await asyncio.sleep(0.05)
        released.append(True)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scope[EXIT_STACK].push_async_callback(release)

    talk = Talk(b"")
    task = asyncio.ensure_future(site(application)(http(), talk.receive, talk.send))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert released == [True]


async def test_what_runs_beside_begins_with_the_lifespan_and_ends_with_it() -> None:
    beside = Beside()
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        return messages.pop(0)

    talk = Talk()
    await site(Answering("pages"), beside=beside)({"type": "lifespan"}, receive, talk.send)
    assert [message["type"] for message in talk.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert (beside.begun, beside.ended) == (1, 1)


async def test_what_runs_beside_begins_with_a_request_where_there_is_no_lifespan() -> None:
    beside, talk = Beside(), Talk(b"")
    await site(Answering("pages"), beside=beside)(http(), talk.receive, talk.send)
    assert beside.begun == 1


async def test_several_beside_are_looked_at_again_after_a_moment_and_at_once_after_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = Beside(), Beside()
    both = Together(one, other)
    for _ in range(3):
        both.begin()
    assert (one.begun, other.begun) == (1, 1)
    monkeypatch.setattr(entrance, "AGAIN_S", 0.0)
    await both.end()
    both.begin()
    both.begin()
    assert (one.begun, one.ended) == (3, 1)


def test_several_beside_begin_anew_in_another_event_loop() -> None:
    one = Beside()
    both = Together(one)

    async def once() -> None:
        both.begin()

    asyncio.run(once())
    asyncio.run(once())
    assert one.begun == 2


class Reading(Answering):
    """Reads the whole body before it answers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            continue
        await super().__call__(scope, receive, send)


async def test_a_body_within_the_limit_passes() -> None:
    talk = Talk(b"12345", b"67890")
    await LimitedBody(Reading("pages"), 10)(http("/", (b"content-length", b"10")), talk.receive, talk.send)
    assert (talk.status, talk.body) == (200, b"pages")


@pytest.mark.parametrize("headers", [[(b"content-length", b"11")], []])
async def test_a_longer_body_is_refused_announced_or_not(headers: list[tuple[bytes, bytes]]) -> None:
    talk = Talk(b"12345", b"67890", b"1")
    await LimitedBody(Reading("pages"), 10)(http("/x", *headers), talk.receive, talk.send)
    assert talk.status == 413
    assert json.loads(talk.body)["error"]["code"] == "too_large"
    assert (b"connection", b"close") in talk.sent[0]["headers"]


async def test_an_announced_body_that_is_too_long_never_reaches_the_application() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it was asked")

    talk = Talk(b"12345", b"678901")
    await LimitedBody(application, 10)(http("/", (b"content-length", b"11")), talk.receive, talk.send)
    assert talk.status == 413


async def test_the_rest_of_a_refused_body_is_read_for_a_while_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(entrance, "FORGET_S", 0.05)
    pieces = 0

    async def receive() -> Message:
        nonlocal pieces
        pieces += 1
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": b"1234", "more_body": True}

    talk = Talk()
    async with asyncio.timeout(10):
        await LimitedBody(Reading("pages"), 10)(http(), receive, talk.send)
    assert pieces > 5
    assert talk.sent[-1] == {"type": "http.response.body", "body": b""}


async def test_an_application_that_has_answered_already_is_not_answered_over() -> None:
    class Hasty(Reading):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await super().__call__(scope, receive, send)

    talk = Talk(b"12345", b"678901")
    await LimitedBody(Hasty("pages"), 10)(http(), talk.receive, talk.send)
    assert [message.get("status") for message in talk.sent] == [200]


async def test_a_refusal_on_openais_paths_is_in_openais_words() -> None:
    talk = Talk(b"12345678901")
    await LimitedBody(Reading("pages"), 10)(http("/v1/models"), talk.receive, talk.send)
    assert json.loads(talk.body)["error"]["type"] == "invalid_request_error"
