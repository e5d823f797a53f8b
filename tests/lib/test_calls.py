"""Calls over real sockets to servers that say what they please, well and badly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from dpl_site.lib.calls import Caller, headers_of
from dpl_site.lib.http import TooLarge
from dpl_site.lib.http1 import MOST_UNREAD, Broken, CannotConnect, Disconnected, NotHttp, Silent

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 5\r\n\r\nhello"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """A server that answers each call with what it was given, and remembers connections and calls."""

    def __init__(self, *answers: bytes, closes: bool = False) -> None:
        self.answers = list(answers)
        self.closes = closes
        self.connections = 0
        self.calls: list[bytes] = []
        self.called, self.gone = asyncio.Event(), asyncio.Event()
        self.port = 0

    @property
    def url(self) -> URL:
        return URL(f"http://127.0.0.1:{self.port}/v1/x?y=1")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.calls.append(head + await reader.readexactly(length))
                self.called.set()
                writer.write(self.answers.pop(0) if self.answers else b"")
                await writer.drain()
                if self.closes:
                    break
        self.gone.set()
        writer.close()


@contextlib.asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    serving: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(writer)
        await server.serve(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
    for writer in serving:
        writer.transport.abort()
    await closed()


async def closed() -> None:
    """Transports close their sockets some rounds of the loop after they are told to."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    made = Caller(connect_s=5, silence_s=20)
    yield made
    made.close()
    await closed()


async def test_a_call_is_whole_and_its_answer_too(caller: Caller) -> None:
    async with serving(Server(WHOLE)) as server:
        answer = await caller.post(server.url, headers_of({"X-Y": "z"}), b"body")
        assert (answer.status, answer.header(b"content-type")) == (200, "text/x")
        assert await answer.read_all(100) == b"hello"
        assert server.calls[0].startswith(b"POST /v1/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:")
        assert server.calls[0].endswith(b"X-Y: z\r\nContent-Length: 4\r\n\r\nbody")


async def test_a_connection_serves_one_call_after_the_other(caller: Caller) -> None:
    async with serving(Server(WHOLE, HEAD + b"3\r\nabc\r\n0\r\n\r\n", WHOLE)) as server:
        for expected in (b"hello", b"abc", b"hello"):
            answer = await caller.post(server.url, b"", b"x")
            assert await answer.read_all(100) == expected
            answer.close()
        assert server.connections == 1


async def test_a_large_body_goes_out_whole(caller: Caller) -> None:
    body = b"x" * 3_000_000
    async with serving(Server(WHOLE)) as server:
        answer = await caller.post(server.url, b"", body)
        assert await answer.read_all(100) == b"hello"
        assert server.calls[0].endswith(body)


async def test_an_answer_that_is_left_takes_its_connection_with_it(caller: Caller) -> None:
    async with serving(Server(HEAD + b"3\r\nabc\r\n", WHOLE)) as server:
        answer = await caller.post(server.url, b"", b"x")
        assert await answer.read() == b"abc"
        answer.close()
        async with asyncio.timeout(20):
            await server.gone.wait()
        other = await caller.post(server.url, b"", b"x")
        answer.close()
        assert await other.read_all(100) == b"hello"
        assert server.connections == 2


async def test_a_call_that_is_cut_before_its_answer_closes_its_connection(caller: Caller) -> None:
    async with serving(Server(b"")) as server:
        calling = asyncio.ensure_future(caller.post(server.url, b"", b"x"))
        async with asyncio.timeout(20):
            await server.called.wait()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        async with asyncio.timeout(20):
            await server.gone.wait()


async def test_an_answer_may_end_with_its_connection(caller: Caller) -> None:
    async with serving(Server(b"HTTP/1.1 200 OK\r\n\r\nall of it", closes=True)) as server:
        answer = await caller.post(server.url, b"", b"x")
        assert await answer.read_all(100) == b"all of it"


async def test_a_sign_that_the_head_will_come_is_not_the_head(caller: Caller) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nContent-Type: early\r\n\r\n"
    async with serving(Server(early + WHOLE)) as server:
        answer = await caller.post(server.url, b"", b"x")
        assert (answer.status, answer.header(b"content-type")) == (200, "text/x")
        assert await answer.read_all(100) == b"hello"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"SSH-2.0-OpenSSH\r\n", NotHttp),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, NotHttp),
        (b"", Disconnected),
        (b"HTTP/1.1 200 OK\r\nContent-", Disconnected),
    ],
)
async def test_what_is_no_answer_has_its_own_error(
    caller: Caller, said: bytes, error: type[Exception]
) -> None:
    async with serving(Server(said, closes=True)) as server:
        with pytest.raises(error):
            await caller.post(server.url, b"", b"x")


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        HEAD + b"5\r\nab",
        HEAD + b"no size\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_never_taken_for_whole(caller: Caller, said: bytes) -> None:
    async with serving(Server(said, closes=True)) as server:
        answer = await caller.post(server.url, b"", b"x")
        with pytest.raises((Broken, NotHttp)):
            await answer.read_all(1000)


async def test_a_kept_connection_that_the_server_closed_says_so(caller: Caller) -> None:
    async with serving(Server(WHOLE, closes=True)) as server:
        kept = await caller.post(server.url, b"", b"x")
        assert await kept.read_all(100) == b"hello"
        with contextlib.suppress(Disconnected):
            await caller.post(server.url, b"", b"x")
    assert server.connections >= 1


async def test_only_a_call_over_a_kept_connection_is_worth_another_try(caller: Caller) -> None:
    async with serving(Server(b"", closes=True)) as server:
        with pytest.raises(Disconnected) as raised:
            await caller.post(server.url, b"", b"x")
        assert not raised.value.was_kept
    async with serving(Server(WHOLE)) as server:
        await (await caller.post(server.url, b"", b"x")).read_all(100)
        server.closes = True
        with pytest.raises(Disconnected) as raised:
            await caller.post(server.url, b"", b"x")
        assert raised.value.was_kept
        server.answers, server.closes = [WHOLE], False
        answer = await caller.post(server.url, b"", b"x", is_fresh=True)
        assert await answer.read_all(100) == b"hello"


async def test_silence_has_an_end() -> None:
    caller = Caller(connect_s=5, silence_s=0.05)
    async with serving(Server(HEAD + b"3\r\nabc\r\n")) as server:
        answer = await caller.post(server.url, b"", b"x")
        assert await answer.read() == b"abc"
        with pytest.raises(Silent):
            await answer.read()
        async with asyncio.timeout(20):
            await server.gone.wait()
    caller.close()
    await closed()


async def test_what_is_not_read_is_not_taken_from_the_server(caller: Caller) -> None:
    endless = Endless()
    async with serving(endless) as server:
        answer = await caller.post(server.url, b"", b"x")
        await asyncio.wait_for(endless.is_held_up.wait(), 20)
        data = await answer.read()
        assert MOST_UNREAD < len(data) < 2 * MOST_UNREAD
        assert await answer.read()
        answer.close()


class Hasty(Server):
    """Answers before it is asked."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE)
        await writer.drain()


class Endless(Server):
    """Writes as long as anybody takes it; `is_held_up`: nobody has for a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.is_held_up = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                try:
                    async with asyncio.timeout(0.3):
                        await writer.drain()
                except TimeoutError:
                    self.is_held_up.set()
                    await writer.drain()


async def test_too_large_a_body_is_refused_whether_it_is_announced_or_not(caller: Caller) -> None:
    async with serving(Server(WHOLE, HEAD + b"5\r\nhello\r\n0\r\n\r\n")) as server:
        for _ in range(2):
            answer = await caller.post(server.url, b"", b"x")
            with pytest.raises(TooLarge):
                await answer.read_all(4)
            answer.close()


async def test_words_that_nobody_asked_for_close_the_connection(caller: Caller) -> None:
    async with serving(Server(WHOLE + b"HTTP/1.1 200 OK\r\n", WHOLE)) as server:
        assert await (await caller.post(server.url, b"", b"x")).read_all(100) == b"hello"
        answer = await caller.post(server.url, b"", b"x", is_fresh=True)
        assert await answer.read_all(100) == b"hello"
        assert server.connections == 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/x", "nothing listens at 127.0.0.1:1"),
        ("http://169.254.169.254/x", "metadata"),
        ("http://no-such-name.invalid/x", "the name no-such-name.invalid is not found"),
    ],
)
async def test_no_connection_has_its_reason(caller: Caller, url: str, words: str) -> None:
    with pytest.raises(CannotConnect, match=words):
        await caller.post(URL(url), b"", b"x")


async def test_a_server_without_tls_is_told_apart(caller: Caller) -> None:
    async with serving(Hasty()) as server:
        with pytest.raises(CannotConnect, match="does not answer in TLS"):
            await caller.post(server.url.with_scheme("https"), b"", b"x")


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb"])
def test_a_header_cannot_end_its_line(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        headers_of({"X-Request-ID": value})
