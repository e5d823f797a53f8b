"""An engine's kind is found by asking; what is no engine, or does not answer, is told in words."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest

from dpl_site.lib import http
from dpl_site.lib.addresses import AddressError
from inference import errors
from inference.detection import EngineReading, ModelSeen, NotAnEngine, detect, read_engine
from inference.llm_url import LlmUrlError
from tests.engines.scripted import Exchange, Scripted, scripted

TAGS = {
    "models": [
        {
            "name": "qwen:4b",
            "size": 100,
            "details": {"context_length": 32768},
            "capabilities": ["completion", "tools"],
        },
        {"name": "bge:latest", "size": 50, "details": {}, "capabilities": ["embedding"]},
    ]
}
PS = {"models": [{"name": "qwen:4b", "size": 120, "size_vram": 120, "context_length": 4096}]}
LOOKED_UP = (
    ModelSeen(
        "qwen:4b",
        is_resident=True,
        size_bytes=100,
        context_length=4096,
        loaded_context=4096,
        abilities=("completion", "tools"),
    ),
    ModelSeen("bge:latest", is_resident=False, size_bytes=50, can_generate=False, abilities=("embedding",)),
)
OLLAMA: dict[str, Any] = {
    "/api/version": {"version": "0.33.0"},
    "/api/tags": TAGS,
    "/api/ps": PS,
    "/v1/models": {"object": "list", "data": [{"id": "qwen:4b", "owned_by": "library"}]},
}
LLAMA: dict[str, Any] = {
    "/v1/models": {
        "models": [{"name": "tiny"}],
        "data": [
            {"id": "tiny", "owned_by": "llamacpp", "meta": {"n_ctx": 512, "n_ctx_train": 2048, "size": 9}}
        ],
    },
    "/props": {"total_slots": 4, "build_info": "b7-abc"},
}
VLLM: dict[str, Any] = {
    "/v1/models": {"data": [{"id": "org/model", "owned_by": "vllm", "max_model_len": 8192}]},
    "/version": {"version": "0.33.0"},
}
LOADING = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with http.session() as session:
        yield session


def _serving(
    answers: Mapping[str, Any],
    *,
    status: Mapping[str, int] | None = None,
    missing: int = 404,
    server: str = "box/1",
) -> AbstractAsyncContextManager[Scripted]:
    """A server that answers these paths in JSON and all others with `missing` in plain text."""

    async def answer(exchange: Exchange) -> None:
        code = (status or {}).get(exchange.path, 200 if exchange.path in answers else missing)
        if exchange.path in answers:
            await exchange.json(answers[exchange.path], code, Server=server)
        else:
            await exchange.whole(b"404 page not found", code, Server=server)

    return scripted(answer)


class TestDetecting:
    @pytest.mark.parametrize("path", ["", "/", "/api/chat", "/v1", "/v1/chat/completions"])
    async def test_it_finds_ollama_whatever_was_pasted_although_it_speaks_openai_too(
        self, client: aiohttp.ClientSession, path: str
    ) -> None:
        async with _serving(OLLAMA) as server:
            reading = await detect(client, server.url + path)
        assert reading == EngineReading("ollama", server.url, server="Ollama 0.33.0", models=LOOKED_UP)

    async def test_it_finds_an_ollama_behind_a_prefix(self, client: aiohttp.ClientSession) -> None:
        async with _serving({f"/lab{path}": said for path, said in OLLAMA.items()}) as server:
            assert (await detect(client, f"{server.url}/lab/v1")).kind == "ollama"

    async def test_it_takes_all_for_resident_where_there_is_no_ps(
        self, client: aiohttp.ClientSession
    ) -> None:
        async with _serving({"/api/tags": TAGS}) as server:
            reading = await detect(client, server.url)
        assert [model.is_resident for model in reading.models] == [True, True]
        assert reading.server == "box/1"

    @pytest.mark.parametrize("status", [500, 503])
    async def test_a_ps_that_fails_says_nothing_of_what_is_resident(
        self, client: aiohttp.ClientSession, status: int
    ) -> None:
        async with _serving(OLLAMA, status={"/api/ps": status}) as server:
            reading = await read_engine(client, base_url=server.url, kind="ollama")
        assert [model.is_resident for model in reading.models] == [None, None]

    @pytest.mark.parametrize(("status", "is_missing"), [(404, True), (400, False)])
    async def test_it_looks_for_the_chat_path_when_the_older_one_was_pasted(
        self, client: aiohttp.ClientSession, status: int, is_missing: bool
    ) -> None:
        async with _serving(OLLAMA, status={"/api/chat": status}) as server:
            reading = await detect(client, f"{server.url}/api/generate")
        assert reading.chat_path_missing is is_missing

    async def test_it_finds_llama_cpp_with_its_slots(self, client: aiohttp.ClientSession) -> None:
        async with _serving(LLAMA, server="llama.cpp") as server:
            reading = await detect(client, server.url)
        model = ModelSeen("tiny", is_resident=True, size_bytes=9, context_length=512)
        assert reading == EngineReading(
            "openai", server.url, server="llama.cpp b7-abc", slots=4, models=(model,)
        )

    async def test_it_finds_vllm(self, client: aiohttp.ClientSession) -> None:
        async with _serving(VLLM) as server:
            reading = await detect(client, f"{server.url}/v1/")
        model = ModelSeen("org/model", is_resident=True, context_length=8192)
        assert reading == EngineReading("openai", server.url, server="vLLM 0.33.0", models=(model,))

    async def test_it_takes_llama_cpps_imitation_of_ollamas_list_for_llama_cpp(
        self, client: aiohttp.ClientSession
    ) -> None:
        async with _serving(LLAMA | {"/api/tags": {"models": []}}, server="llama.cpp") as server:
            assert (await detect(client, server.url)).kind == "openai"

    async def test_it_knows_which_models_a_router_has_not_loaded(self, client: aiohttp.ClientSession) -> None:
        data = [{"id": name, "status": {"value": name}} for name in ("loaded", "unloaded")]
        async with _serving({"/v1/models": {"data": data}}) as server:
            reading = await detect(client, server.url)
        assert [(model.name, model.is_resident) for model in reading.models] == [
            ("loaded", True),
            ("unloaded", False),
        ]

    async def test_it_finds_a_llama_cpp_that_still_loads(self, client: aiohttp.ClientSession) -> None:
        paths = ("/v1/models", "/props", "/api/tags")
        async with _serving(dict.fromkeys(paths, LOADING), status=dict.fromkeys(paths, 503)) as server:
            reading = await detect(client, server.url)
        assert (reading.kind, reading.is_loading, reading.models) == ("openai", True, ())

    async def test_it_finds_an_engine_whose_list_is_broken_by_its_chat_path(
        self, client: aiohttp.ClientSession
    ) -> None:
        status = {"/v1/models": 500, "/v1/chat/completions": 405}
        async with _serving({}, status=status, server="uvicorn") as server:
            reading = await detect(client, server.url)
        assert reading == EngineReading("openai", server.url, server="uvicorn")

    async def test_it_sends_the_key(self, client: aiohttp.ClientSession) -> None:
        async with _serving(VLLM) as server:
            await detect(client, server.url, "k-1")
        assert {exchange.headers.get("authorization") for exchange in server.exchanges} == {"Bearer k-1"}


class TestWhatIsNoEngine:
    async def test_it_says_what_answered_instead(self, client: aiohttp.ClientSession) -> None:
        async def page(exchange: Exchange) -> None:
            await exchange.whole(b"<html><title>Hi</title></html>", content_type="text/html", Server="nginx")

        async with scripted(page) as server:
            with pytest.raises(NotAnEngine) as raised:
                await detect(client, server.url)
        assert raised.value.message == (
            "It answers, but like a web page (nginx, 200 OK); expected Ollama or an OpenAI-compatible server."
        )

    async def test_it_says_where_it_is_redirected_to(self, client: aiohttp.ClientSession) -> None:
        async def away(exchange: Exchange) -> None:
            await exchange.whole(b"", 301, Location="https://box/")

        async with scripted(away) as server:
            with pytest.raises(NotAnEngine, match="https://box/"):
                await detect(client, server.url)

    @pytest.mark.parametrize(
        ("status", "said", "key", "hint"),
        [
            (401, {"error": {"message": "Invalid API Key"}}, "", "asks for a key"),
            (401, {"error": {"message": "Invalid API Key"}}, "k-1", "refuses the key"),
            (403, None, "", "OLLAMA_HOST"),
        ],
    )
    async def test_it_says_that_it_is_refused(
        self, client: aiohttp.ClientSession, status: int, said: Any, key: str, hint: str
    ) -> None:
        async def refuse(exchange: Exchange) -> None:
            await (exchange.json(said, status) if said else exchange.whole(b"", status))

        async with scripted(refuse) as server:
            with pytest.raises(errors.EngineRejectsUs, match=hint):
                await detect(client, server.url, key)

    async def test_it_says_that_it_is_busy(self, client: aiohttp.ClientSession) -> None:
        async with _serving({}, missing=503) as server:
            with pytest.raises(errors.EngineBusy, match="503"):
                await detect(client, server.url)

    async def test_it_says_that_nothing_listens(self, client: aiohttp.ClientSession) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        with pytest.raises(
            errors.Unreachable, match=f"Nothing listens at 127.0.0.1:{port}; start the engine"
        ):
            await detect(client, f"http://127.0.0.1:{port}")

    async def test_it_says_that_nobody_answers(self, client: aiohttp.ClientSession) -> None:
        async def silent(exchange: Exchange) -> None:
            await exchange.left()

        async with scripted(silent) as server:
            with pytest.raises(errors.Unreachable, match="firewall"):
                await detect(client, server.url, timeout_s=0.1)

    async def test_it_asks_no_forbidden_and_no_malformed_address(self, client: aiohttp.ClientSession) -> None:
        with pytest.raises(AddressError):
            await detect(client, "http://169.254.169.254/v1")
        with pytest.raises(LlmUrlError):
            await detect(client, "http://")


class TestReadingAgain:
    async def test_it_reads_an_ollama_in_two_requests(self, client: aiohttp.ClientSession) -> None:
        async with _serving(OLLAMA) as server:
            reading = await read_engine(client, base_url=server.url, kind="ollama")
        assert reading == EngineReading("ollama", server.url, models=LOOKED_UP)
        assert sorted(server.paths) == ["/api/ps", "/api/tags"]

    async def test_it_reads_a_llama_cpp_in_two_requests_and_others_in_one(
        self, client: aiohttp.ClientSession
    ) -> None:
        async with _serving(LLAMA) as server:
            assert (await read_engine(client, base_url=server.url, kind="openai")).slots == 4
        assert server.paths == ["/v1/models", "/props"]
        async with _serving(VLLM) as server:
            assert len((await read_engine(client, base_url=server.url, kind="openai")).models) == 1
        assert server.paths == ["/v1/models"]

    async def test_it_detects_an_engine_of_unknown_kind(self, client: aiohttp.ClientSession) -> None:
        async with _serving(VLLM) as server:
            assert (await read_engine(client, base_url=server.url, kind="")).kind == "openai"

    async def test_it_reads_an_engine_without_a_list_and_one_that_loads(
        self, client: aiohttp.ClientSession
    ) -> None:
        async with _serving({}, status={"/v1/models": 500, "/v1/chat/completions": 405}) as server:
            assert (await read_engine(client, base_url=server.url, kind="openai")).models == ()
        async with _serving({"/v1/models": LOADING}, status={"/v1/models": 503}) as server:
            assert (await read_engine(client, base_url=server.url, kind="openai")).is_loading

    @pytest.mark.parametrize("kind", ["ollama", "openai"])
    @pytest.mark.parametrize(
        ("status", "fault"),
        [(401, errors.EngineRejectsUs), (503, errors.EngineBusy), (404, NotAnEngine), (500, NotAnEngine)],
    )
    async def test_it_names_what_is_wrong(
        self, client: aiohttp.ClientSession, kind: str, status: int, fault: type[errors.NodeFault]
    ) -> None:
        async with _serving({}, missing=status) as server:
            with pytest.raises(fault):
                await read_engine(client, base_url=server.url, kind=kind)

    @pytest.mark.parametrize("kind", ["ollama", "openai"])
    async def test_it_says_that_an_engine_is_gone(self, client: aiohttp.ClientSession, kind: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        with pytest.raises(errors.Unreachable, match="Nothing listens"):
            await read_engine(client, base_url=f"http://127.0.0.1:{port}", kind=kind)

    async def test_it_waits_no_longer_than_it_may(self, client: aiohttp.ClientSession) -> None:
        async def silent(exchange: Exchange) -> None:
            await exchange.left()

        async with scripted(silent) as server, asyncio.timeout(10):
            with pytest.raises(errors.Unreachable):
                await read_engine(client, base_url=server.url, kind="ollama", timeout_s=0.1)

    async def test_it_survives_lists_of_any_shape(self, client: aiohttp.ClientSession) -> None:
        odd: list[Any] = [None, 5, {}, {"name": "x" * 300}, {"name": "ok", "size": "big", "details": 3}]
        async with _serving({"/api/tags": {"models": odd}, "/api/ps": {"models": "none"}}) as server:
            reading = await read_engine(client, base_url=server.url, kind="ollama")
        assert reading.models == (ModelSeen("ok", is_resident=None),)
