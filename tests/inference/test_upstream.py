"""One generation over a real connection: the answer comes back with its times, and every failure has its name."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from inference import errors
from inference.dialects.base import Generation
from inference.upstream import Target, Timeouts, Upstream
from tests.engines.scripted import Exchange, Scripted, scripted

TIMEOUTS = Timeouts(connect_s=1, first_byte_s=2, idle_s=2, total_s=5)
ASKED = Generation("tiny", [{"role": "user", "content": "Hello"}], {"max_tokens": 3})
OLLAMA = {"model": "tiny", "message": {"role": "assistant", "content": "Hi"}, "done": True, "eval_count": 1}
EVENTS = (
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"H"}}]}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"i"},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream(max_reply_bytes=5000)
    yield made
    await made.close()


def _target(server: Scripted, kind: str = "ollama", **more: Any) -> Target:
    return Target(engine_id=7, node_id=1, kind=kind, base_url=server.url, **more)


async def _ollama(exchange: Exchange) -> None:
    await exchange.json(OLLAMA)


async def _openai(exchange: Exchange) -> None:
    await exchange.begin()
    for event in EVENTS:
        await exchange.chunk(event)
    await exchange.end()


class TestAnswers:
    async def test_it_asks_ollama_plainly_and_keeps_its_answer(self, upstream: Upstream) -> None:
        async with scripted(_ollama) as server:
            reply = await upstream.generate(_target(server), ASKED, TIMEOUTS)
        assert orjson.loads(reply.json) == OLLAMA
        assert (reply.text, reply.completion_tokens, reply.ttft_ms) == ("Hi", 1, None)
        assert reply.duration_ms is not None
        assert orjson.loads(server.exchanges[0].body)["stream"] is False
        assert "authorization" not in server.exchanges[0].headers

    async def test_it_asks_openai_engines_for_a_stream_and_times_the_first_token(
        self, upstream: Upstream
    ) -> None:
        async def slow(exchange: Exchange) -> None:
            await exchange.begin()
            await asyncio.sleep(0.05)
            await exchange.chunk(EVENTS[0])
            await asyncio.sleep(0.05)
            await exchange.chunk(EVENTS[1] + EVENTS[2])
            await exchange.end()

        async with scripted(slow) as server:
            reply = await upstream.generate(_target(server, "openai", api_key="k-1"), ASKED, TIMEOUTS)
        assert reply.text == "Hi"
        assert reply.ttft_ms is not None
        assert reply.duration_ms is not None
        assert 45 <= reply.ttft_ms < reply.duration_ms
        assert orjson.loads(server.exchanges[0].body)["stream"] is True
        assert server.exchanges[0].headers["authorization"] == "Bearer k-1"

    @pytest.mark.parametrize(("kind", "answer"), [("ollama", _ollama), ("openai", _openai)])
    async def test_it_keeps_connections_alive(
        self, upstream: Upstream, kind: str, answer: Callable[[Exchange], Awaitable[None]]
    ) -> None:
        async with scripted(answer) as server:
            for _ in range(5):
                await upstream.generate(_target(server, kind), ASKED, TIMEOUTS)
            assert server.connections == 1

    async def test_it_does_not_wait_for_an_end_that_never_comes_after_done(self, upstream: Upstream) -> None:
        async def dangling(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.chunk(b"".join(EVENTS))
            await exchange.left()

        async with scripted(dangling) as server:
            reply = await upstream.generate(_target(server, "openai"), ASKED, TIMEOUTS)
        assert reply.text == "Hi"
        assert reply.duration_ms is not None
        assert reply.duration_ms < 500

    async def test_it_sends_large_prompts(self, upstream: Upstream) -> None:
        large = replace(ASKED, messages=[{"role": "user", "content": "x" * 3_000_000}])
        async with scripted(_ollama) as server:
            await upstream.generate(_target(server), large, TIMEOUTS)
        assert len(server.exchanges[0].body) > 3_000_000

    async def test_it_works_with_an_address_in_any_form(self, upstream: Upstream) -> None:
        async with scripted(_ollama) as server:
            target = replace(_target(server), base_url=f"{server.url}/lab/api/chat")
            await upstream.generate(target, ASKED, TIMEOUTS)
        assert server.paths == ["/lab/api/chat"]


class TestTheOlderPath:
    async def test_it_falls_back_to_generate_and_tells(self) -> None:
        async def old(exchange: Exchange) -> None:
            if exchange.path == "/api/chat":
                await exchange.whole(b"404 page not found", 404)
            else:
                await exchange.json({"model": "tiny", "response": "Hi", "done": True, "context": [1]})

        told: list[int] = []
        upstream = Upstream(on_chat_path_missing=told.append)
        async with scripted(old) as server:
            reply = await upstream.generate(_target(server), ASKED, TIMEOUTS)
            assert orjson.loads(reply.json)["message"] == {"role": "assistant", "content": "Hi"}
            assert (told, server.paths) == ([7], ["/api/chat", "/api/generate"])
            await upstream.generate(_target(server, chat_path_missing=True), ASKED, TIMEOUTS)
            assert (told, server.paths[2:]) == ([7], ["/api/generate"])
        await upstream.close()

    async def test_it_tells_nothing_when_the_older_path_fails_too(self) -> None:
        async def nothing(exchange: Exchange) -> None:
            await exchange.whole(b"404 page not found", 404)

        told: list[int] = []
        upstream = Upstream(on_chat_path_missing=told.append)
        async with scripted(nothing) as server:
            with pytest.raises(errors.Unreachable):
                await upstream.generate(_target(server), ASKED, TIMEOUTS)
        assert told == []
        await upstream.close()

    async def test_it_does_not_ask_again_for_a_missing_model(self, upstream: Upstream) -> None:
        async def missing(exchange: Exchange) -> None:
            await exchange.json({"error": "model 'tiny' not found"}, 404)

        async with scripted(missing) as server:
            with pytest.raises(errors.ModelMissing):
                await upstream.generate(_target(server), ASKED, TIMEOUTS)
            assert server.paths == ["/api/chat"]


class TestRefusals:
    async def test_it_reads_how_long_a_busy_engine_wants_to_be_left_alone(self, upstream: Upstream) -> None:
        waits = ["3", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", None]

        async def busy(exchange: Exchange) -> None:
            wait = waits[len(server.exchanges) - 1]
            await exchange.json({"error": "busy"}, 503, **({"Retry_After": wait} if wait else {}))

        async with scripted(busy) as server:
            read = [await _failure(upstream, _target(server), errors.EngineBusy) for _ in waits]
        assert [error.retry_after_s for error in read] == [3.0, 0.0, None, None]

    async def test_it_follows_no_redirect(self, upstream: Upstream) -> None:
        async def away(exchange: Exchange) -> None:
            await exchange.whole(b"", 307, Location="/elsewhere")

        async with scripted(away) as server:
            await _failure(upstream, _target(server), errors.Unreachable)
            assert server.paths == ["/api/chat"]

    async def test_it_reads_an_endless_error_only_so_far(self, upstream: Upstream) -> None:
        async def endless(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                await exchange.chunk(b"x" * 10_000)

        async with scripted(endless) as server:
            error = await _failure(upstream, _target(server), errors.EngineFailure)
        assert len(error.message) < 700

    async def test_it_knows_the_status_of_an_error_that_breaks_off(self, upstream: Upstream) -> None:
        async def cut(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nhalf")
            exchange.hang_up()

        async with scripted(cut) as server:
            await _failure(upstream, _target(server), errors.EngineFailure)

    async def test_it_refuses_a_key_that_cannot_stand_in_a_header(self, upstream: Upstream) -> None:
        async with scripted(_ollama) as server:
            await _failure(upstream, _target(server, api_key="a\nb"), errors.EngineRejectsUs)
            assert server.exchanges == []


class TestBrokenConnections:
    async def test_it_says_that_nothing_listens(self, upstream: Upstream) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        target = Target(7, 1, "ollama", f"http://127.0.0.1:{port}")
        error = await _failure(upstream, target, errors.Unreachable)
        assert error.message == f"Nothing listens at 127.0.0.1:{port}; start the engine, or check the port."

    async def test_it_asks_no_engine_of_unknown_kind(self, upstream: Upstream) -> None:
        await _failure(upstream, Target(7, 1, "", "http://127.0.0.1:1"), errors.Unreachable)

    async def test_it_refuses_forbidden_addresses(self, upstream: Upstream) -> None:
        target = Target(7, 1, "ollama", "http://169.254.169.254:80")
        error = await _failure(upstream, target, errors.Unreachable)
        assert "metadata" in error.message

    async def test_it_takes_a_connection_that_is_never_accepted_for_unreachable(
        self, upstream: Upstream
    ) -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            target = Target(7, 1, "ollama", f"http://127.0.0.1:{full.getsockname()[1]}")
            quick = replace(TIMEOUTS, connect_s=0.2)
            error = await _failure(upstream, target, errors.Unreachable, quick)
            for filler in fillers:
                filler.close()
        assert "firewall" in error.message

    async def test_it_sends_once_more_when_a_kept_connection_was_closed_meanwhile(
        self, upstream: Upstream
    ) -> None:
        async def once_per_connection(exchange: Exchange) -> None:
            if sum(other.connection == exchange.connection for other in server.exchanges) > 1:
                exchange.reset()
            else:
                await exchange.json(OLLAMA)

        async with scripted(once_per_connection) as server:
            for _ in range(3):
                assert (await upstream.generate(_target(server), ASKED, TIMEOUTS)).text == "Hi"
            assert server.connections > 1

    @pytest.mark.parametrize("how", ["reset", "hang_up"])
    async def test_it_tries_only_twice_against_an_engine_that_always_hangs_up(
        self, upstream: Upstream, how: str
    ) -> None:
        async def rude(exchange: Exchange) -> None:
            getattr(exchange, how)()

        async with scripted(rude) as server:
            await _failure(upstream, _target(server), errors.Unreachable)
            assert len(server.exchanges) == 2

    async def test_it_calls_it_lost_when_the_engine_dies_over_the_prompt(
        self, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("inference.upstream.STALE_WITHIN_S", 0.05)

        async def dies_later(exchange: Exchange) -> None:
            await asyncio.sleep(0.1)
            exchange.reset()

        async with scripted(dies_later) as server:
            await _failure(upstream, _target(server), errors.ConnectionLost)
            assert len(server.exchanges) == 1

    async def test_it_calls_it_lost_when_the_engine_is_gone_the_moment_after(
        self, upstream: Upstream
    ) -> None:
        async def dies_at_once(exchange: Exchange) -> None:
            server.stop_listening()
            exchange.reset()

        async with scripted(dies_at_once) as server:
            await _failure(upstream, _target(server), errors.ConnectionLost)
            await _failure(upstream, _target(server), errors.Unreachable)

    @pytest.mark.parametrize("how", ["reset", "hang_up"])
    @pytest.mark.parametrize("kind", ["ollama", "openai"])
    async def test_it_calls_it_lost_when_an_answer_breaks_off(
        self, upstream: Upstream, kind: str, how: str
    ) -> None:
        async def breaks(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.chunk(EVENTS[0] if kind == "openai" else b'{"model":')
            getattr(exchange, how)()

        async with scripted(breaks) as server:
            await _failure(upstream, _target(server, kind), errors.ConnectionLost)
            assert len(server.exchanges) == 1

    async def test_it_calls_it_cut_when_an_answer_ends_without_its_end(self, upstream: Upstream) -> None:
        async def swallowed(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.chunk(EVENTS[0])
            await exchange.end()

        async with scripted(swallowed) as server:
            await _failure(upstream, _target(server, "openai"), errors.StreamCut)

    async def test_it_says_that_something_else_answers(self, upstream: Upstream) -> None:
        async def ssh(exchange: Exchange) -> None:
            await exchange.send(b"SSH-2.0-OpenSSH_9.9\r\n")
            exchange.hang_up()

        async with scripted(ssh) as server:
            assert "not in HTTP" in (await _failure(upstream, _target(server), errors.Unreachable)).message


class TestLimits:
    @pytest.mark.parametrize(
        ("kind", "timeouts", "said"),
        [
            ("ollama", Timeouts(1, 0.01, 0.01, 0.1), "was not whole after 0.1 s"),
            ("openai", Timeouts(1, 0.1, 2, 5), "Nothing came from the engine for 0.1 s"),
            ("openai", Timeouts(1, 2, 2, 0.1), "was not whole after 0.1 s"),
        ],
    )
    async def test_it_gives_up_on_a_silent_engine_and_closes(
        self, upstream: Upstream, kind: str, timeouts: Timeouts, said: str
    ) -> None:
        gone = asyncio.Event()

        async def silent(exchange: Exchange) -> None:
            await exchange.left()
            gone.set()
            exchange.hang_up()

        async with scripted(silent) as server:
            error = await _failure(upstream, _target(server, kind), errors.EngineTimeout, timeouts)
            await asyncio.wait_for(gone.wait(), 0.5)
        assert said in error.message

    async def test_it_gives_up_when_a_stream_falls_silent(self, upstream: Upstream) -> None:
        async def stalls(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.chunk(EVENTS[0])
            await exchange.left()

        async with scripted(stalls) as server:
            error = await _failure(
                upstream, _target(server, "openai"), errors.EngineTimeout, Timeouts(1, 2, 0.1, 5)
            )
        assert "fell silent" in error.message

    async def test_it_takes_pings_for_a_sign_of_life(self, upstream: Upstream) -> None:
        async def pings(exchange: Exchange) -> None:
            await exchange.begin()
            for _ in range(6):
                await exchange.chunk(b": ping\n\n")
                await asyncio.sleep(0.05)
            await exchange.chunk(b"".join(EVENTS))
            await exchange.end()

        async with scripted(pings) as server:
            reply = await upstream.generate(_target(server, "openai"), ASKED, Timeouts(1, 0.2, 0.2, 5))
        assert reply.ttft_ms is not None
        assert reply.ttft_ms >= 250

    async def test_it_bounds_the_whole_however_lively_the_stream(self, upstream: Upstream) -> None:
        async def forever(exchange: Exchange) -> None:
            await exchange.begin()
            while True:
                await exchange.chunk(b": ping\n\n")
                await asyncio.sleep(0.02)

        async with scripted(forever) as server:
            error = await _failure(
                upstream, _target(server, "openai"), errors.EngineTimeout, Timeouts(1, 1, 1, 0.2)
            )
        assert "was not whole after 0.2 s" in error.message

    @pytest.mark.parametrize("kind", ["ollama", "openai"])
    async def test_it_stops_reading_an_answer_that_is_too_large(self, upstream: Upstream, kind: str) -> None:
        async def endless(exchange: Exchange) -> None:
            await exchange.begin()
            while True:
                await exchange.chunk(EVENTS[0].replace(b"H", b"x" * 1000))

        async with scripted(endless) as server:
            await _failure(upstream, _target(server, kind), errors.ReplyTooLarge)


class TestCancelling:
    @pytest.mark.parametrize("kind", ["ollama", "openai"])
    @pytest.mark.parametrize("after_first_token", [False, True])
    async def test_it_closes_the_connection_at_once(
        self, upstream: Upstream, kind: str, after_first_token: bool
    ) -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def works(exchange: Exchange) -> None:
            if after_first_token:
                await exchange.begin()
                await exchange.chunk(EVENTS[0])
            asked.set()
            await exchange.left()
            gone.set()
            exchange.hang_up()

        async with scripted(works) as server:
            task = asyncio.create_task(upstream.generate(_target(server, kind), ASKED, TIMEOUTS))
            await asyncio.wait_for(asked.wait(), 2)
            await asyncio.sleep(0.02)
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(gone.wait(), 0.5)
            assert time.monotonic() - started < 0.5

    async def test_it_takes_a_new_connection_afterwards(self, upstream: Upstream) -> None:
        async def works(exchange: Exchange) -> None:
            if len(server.exchanges) == 1:
                await exchange.left()
                exchange.hang_up()
            else:
                await exchange.json(OLLAMA)

        async with scripted(works) as server:
            task = asyncio.create_task(upstream.generate(_target(server), ASKED, TIMEOUTS))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (await upstream.generate(_target(server), ASKED, TIMEOUTS)).text == "Hi"
            assert [exchange.connection for exchange in server.exchanges] == [1, 2]


async def _failure(
    upstream: Upstream, target: Target, kind: type[errors.InferenceError], timeouts: Timeouts = TIMEOUTS
) -> errors.InferenceError:
    with pytest.raises(kind) as raised:
        await upstream.generate(target, ASKED, timeouts)
    assert type(raised.value) is kind
    return raised.value
