"""Models loaded and unloaded as people ask: where they fit best, under way, and why not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from django.http import StreamingHttpResponse
from django.test import AsyncClient

from dpl_site.lib.db import call
from inference import gateway, loading, model_views
from inference.gateway import Gateway
from inference.models import Engine, EngineModel, Slot
from nodes.models import Node
from tests.datasets.making import an_engine, an_instance
from tests.machines import Asked, Said, engine, serving

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def people(key: str) -> AsyncIterator[AsyncClient]:
    """A client of a process that has a gateway."""
    instance = await call(an_instance)
    made = Gateway(lambda: instance.id)
    gateway.install(made)
    try:
        yield AsyncClient(AUTHORIZATION=f"Bearer {key}")
    finally:
        gateway.install(None)
        await made.end()


def on_disk(name: str, url: str, **more: Any) -> Engine:
    """An engine whose models are not loaded."""
    row = an_engine(name, url, **more)
    EngineModel.objects.filter(engine=row).update(is_resident=False)
    return row


async def post(client: AsyncClient, path: str, **body: Any) -> tuple[int, Any]:
    answer = await client.post(f"/api/models/{path}", json.dumps(body), content_type="application/json")
    return answer.status_code, json.loads(answer.content)


async def resident() -> list[str]:
    rows = EngineModel.objects.filter(is_resident=True).values_list("engine__node__name", flat=True)
    return await call(lambda: sorted(rows))


async def test_a_model_is_loaded_and_unloaded(keys: dict[str, str]) -> None:
    with engine(models=("llama3:8b",)) as url:
        row = await call(on_disk, "fast", url, models=("llama3:8b",))
        async with people(keys["otto"]) as client:
            node = {"id": row.node_id, "name": "fast"}
            started = await post(client, "start/llama3:8b")
            assert started == (202, {"model": "llama3:8b", "node": node, "state": "resident"})
            assert await resident() == ["fast"]
            stopped = await post(client, "stop/llama3:8b")
            assert stopped == (200, {"model": "llama3:8b", "nodes": [node], "state": "unloaded"})
            assert await resident() == []
            assert (await post(client, "stop/llama3:8b"))[1]["nodes"] == []


async def test_what_takes_long_goes_on_after_the_answer(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "EARLY_S", 0.05)
    with engine(models=("m",), load_s=0.4) as url:
        await call(on_disk, "fast", url)
        async with people(keys["otto"]) as client:
            status, said = await post(client, "start/m")
            assert (status, said["state"]) == (202, "loading")
            assert await call(Slot.objects.filter(holder__isnull=False).exists), "a load is a request"
            for _ in range(1500):
                if await resident() == ["fast"]:
                    break
                await asyncio.sleep(0.02)
            assert await resident() == ["fast"]
    assert not await call(Slot.objects.filter(holder__isnull=False).exists)


async def test_it_goes_where_it_is_resident_or_to_the_node_that_was_named(keys: dict[str, str]) -> None:
    with engine(models=("m",)) as first, engine(models=("m",)) as second:
        await call(on_disk, "cold", first)
        await call(an_engine, "warm", second)
        async with people(keys["otto"]) as client:
            assert (await post(client, "start/m"))[1]["node"]["name"] == "warm"
            cold = await call(Node.objects.get, name="cold")
            assert (await post(client, "start/m", node=cold.id))[1]["node"]["name"] == "cold"
            assert await resident() == ["cold", "warm"]
            await post(client, "stop/m", node=cold.id)
            assert await resident() == ["warm"]


async def test_a_model_that_only_embeds_is_loaded_too(keys: dict[str, str]) -> None:
    with engine(models=("bge",)) as url:
        await call(on_disk, "fast", url, models=(), embedders=("bge",))
        async with people(keys["otto"]) as client:
            assert (await post(client, "start/bge"))[1]["state"] == "resident"
    assert await resident() == ["fast"]


async def test_a_load_that_fails_at_once_says_what_the_engine_said(keys: dict[str, str]) -> None:
    with serving(lambda asked: Said({"error": "model requires more system memory"}, status=500)) as ill:
        await call(on_disk, "ill", ill.url)
        async with people(keys["otto"]) as client:
            status, said = await post(client, "start/m")
    assert (status, said["error"]["message"]) == (502, "model requires more system memory")


async def test_what_is_on_no_disk_is_not_found_and_what_there_is_is_told(keys: dict[str, str]) -> None:
    with engine(models=("m",)) as url:
        await call(on_disk, "fast", url)
        async with people(keys["otto"]) as client:
            for path in ("start/other:7b", "stop/other:7b"):
                status, said = await post(client, path)
                assert (status, said["error"]["code"]) == (404, "model_not_found")
                assert "There are: m." in said["error"]["message"]


async def test_an_ollama_fetches_what_it_is_allowed_to(keys: dict[str, str]) -> None:
    def ollama(asked: Asked) -> Said:
        lines = '{"status":"pulling manifest"}\n{"status":"success"}\n'
        return Said(lines if asked.path == "/api/pull" else {"done": True, "response": ""})

    with serving(ollama) as fast, serving(lambda asked: Said({})) as other:
        await call(an_engine, "openai", other.url, kind="openai")
        row = await call(an_engine, "fast", fast.url)
        async with people(keys["otto"]) as client:
            status, said = await post(client, "start/hf.co/a/b:Q4", pull=True)
    node = {"id": row.node_id, "name": "fast"}
    assert (status, said) == (202, {"model": "hf.co/a/b:Q4", "node": node, "state": "pulling"})
    assert [(one.path, json.loads(one.body)["model"]) for one in fast.asked] == [
        ("/api/pull", "hf.co/a/b:Q4"),
        ("/api/generate", "hf.co/a/b:Q4"),
    ]


async def test_a_fetch_that_fails_at_once_says_why(keys: dict[str, str]) -> None:
    said_no = '{"status":"pulling manifest"}\n{"error":"pull model manifest: file does not exist"}\n'
    with serving(lambda asked: Said(said_no)) as fast:
        await call(an_engine, "fast", fast.url)
        async with people(keys["otto"]) as client:
            status, said = await post(client, "start/none", pull=True)
    assert (status, said["error"]["message"]) == (502, "pull model manifest: file does not exist")


@pytest.mark.parametrize(
    ("loaded", "end"),
    [
        (Said({"done": True, "response": ""}, after_s=0.4), {"state": "resident"}),
        (Said({"error": "out of memory"}, status=500, after_s=0.4), {"state": "failed"}),
    ],
)
async def test_whoever_takes_lines_is_told_how_far_a_fetch_is_and_what_became_of_it(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, loaded: Said, end: dict[str, str]
) -> None:
    monkeypatch.setattr(loading, "EARLY_S", 0.1)
    monkeypatch.setattr(model_views, "LOOK_S", 0.05)
    layers = [("a", 100, 400), ("a", 400, 400), ("b", 50, 100)]
    pulled = [
        {"status": f"pulling {name}", "digest": name, "completed": done, "total": total}
        for name, done, total in layers
    ]
    said = "".join(json.dumps(line) + "\n" for line in [*pulled, {"status": "success"}])
    with serving(lambda asked: Said(said) if asked.path == "/api/pull" else loaded) as fast:
        row = await call(an_engine, "fast", fast.url)
        async with people(keys["otto"]) as client:
            answer = await client.post(
                "/api/models/start/tiny",
                json.dumps({"pull": True}),
                content_type="application/json",
                headers={"Accept": "application/x-ndjson, application/json"},
            )
            lines = [json.loads(line) async for line in cast(StreamingHttpResponse, answer)]
    begun = {"model": "tiny", "node": {"id": row.node_id, "name": "fast"}}
    assert lines[0] == begun | {"state": "pulling"}
    assert begun | {"state": "pulling", "bytes": {"done": 450, "total": 500}} in lines
    assert lines[-1].items() >= (begun | end).items()
    assert ("error" in lines[-1]) is (end["state"] == "failed")
    assert lines[-1].get("error", {}).get("message", "") == ("out of memory" if "error" in lines[-1] else "")


async def test_openai_engines_neither_fetch_nor_unload(keys: dict[str, str]) -> None:
    with serving(lambda asked: Said({})) as other:
        await call(an_engine, "openai", other.url, kind="openai")
        async with people(keys["otto"]) as client:
            assert (await post(client, "start/none", pull=True))[1]["error"]["code"] == "cannot_pull"
            assert (await post(client, "stop/m"))[1]["error"]["code"] == "cannot_unload"
    assert other.asked == []


@pytest.mark.parametrize(
    ("body", "code"), [("{", "invalid_json"), ("[]", "invalid_json"), ('{"node":"a"}', "bad_value")]
)
async def test_what_is_wrong_in_the_request_is_said(keys: dict[str, str], body: str, code: str) -> None:
    async with people(keys["otto"]) as client:
        answer = await client.post("/api/models/start/m", body, content_type="application/json")
    assert (answer.status_code, json.loads(answer.content)["error"]["code"]) == (400, code)


async def test_viewers_load_nothing(keys: dict[str, str]) -> None:
    async with people(keys["vera"]) as client:
        assert (await post(client, "start/m"))[0] == 403
