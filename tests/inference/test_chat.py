"""The pages' chat socket: questions through the gateway, each answered in messages, several at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from dpl_site.lib.db import call
from inference import chat, gateway
from inference.gateway import Gateway
from inference.models import RequestLog, Slot
from tests.datasets.making import an_engine, an_instance
from tests.inference.test_consumers import bearer, closed_with, message, watching
from tests.machines import engine

pytestmark = pytest.mark.django_db(transaction=True)

HELLO = [{"role": "user", "content": "say it again"}]


@pytest.fixture
def fast() -> Iterator[str]:
    """An engine that echoes."""
    with engine(models=("m",), echo=True) as url:
        an_engine("fast", url)
        yield url


@pytest.fixture
def slow() -> Iterator[str]:
    """An engine that takes long for each word."""
    with engine(models=("m",), words=1000, tokens_per_second=20, slots=4) as url:
        an_engine("slow", url, slots=4)
        yield url


@asynccontextmanager
async def chatting(key: str) -> AsyncIterator[WebsocketCommunicator]:
    instance = await call(an_instance)
    made = Gateway(lambda: instance.id)
    gateway.install(made)
    try:
        async with watching("/ws/chat/", bearer(key)) as connection:
            yield connection
    finally:
        gateway.install(None)
        await made.end()


async def ask(connection: WebsocketCommunicator, **said: Any) -> None:
    await connection.send_to(text_data=json.dumps({"type": "start", "id": "q", "messages": HELLO} | said))


async def until(connection: WebsocketCommunicator, *kinds: str) -> list[dict[str, Any]]:
    """The messages up to the first of these kinds."""
    found = [await message(connection)]
    while found[-1]["type"] not in kinds:
        found.append(await message(connection))
    return found


async def test_a_question_is_recorded_like_any_request(keys: dict[str, str], fast: str) -> None:
    async with chatting(keys["otto"]) as connection:
        await ask(connection)
        await until(connection, "done", "error")
    row = await call(RequestLog.objects.get)
    assert (row.path, row.outcome, row.node_name, row.is_streaming) == ("/ws/chat/", "ok", "fast", True)
    assert row.user_id
    assert row.completion_tokens


async def test_a_question_is_answered_by_a_node_in_tokens(keys: dict[str, str], fast: str) -> None:
    async with chatting(keys["otto"]) as connection:
        await ask(connection, options={"max_tokens": 50})
        said = await until(connection, "done", "error")
    node, *tokens, done = said
    assert (node["type"], node["node"]["name"], node["model"]) == ("node", "fast", "m")
    assert "model resident" in node["reasons"]
    assert "".join(token["text"] for token in tokens) == "say it again"
    assert {one["id"] for one in said} == {"q"}
    assert done["usage"]["completion_tokens"] > 0
    assert done["finish_reason"] == "stop"


async def test_a_question_may_be_stopped_and_its_slot_is_free(keys: dict[str, str], slow: str) -> None:
    async with chatting(keys["otto"]) as connection:
        await ask(connection)
        await until(connection, "token")
        await connection.send_to(text_data=json.dumps({"type": "stop", "id": "q"}))
        *_, done = await until(connection, "done")
        assert done["finish_reason"] == "cancelled"
        await ask(connection)
        await until(connection, "token")
    assert not await call(Slot.objects.filter(holder__isnull=False).exists)


async def test_several_questions_at_once_and_no_more_than_may_be(keys: dict[str, str], slow: str) -> None:
    async with chatting(keys["otto"]) as connection:
        for number in range(chat.MOST_AT_ONCE):
            await ask(connection, id=number)
        await ask(connection, id="one more")
        await ask(connection, id=0)
        refused = [one for one in await until_errors(connection, 2) if one["type"] == "error"]
    assert {one["id"]: one["code"] for one in refused} == {"one more": "too_many", 0: "id_in_use"}


async def until_errors(connection: WebsocketCommunicator, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while sum(one["type"] == "error" for one in found) < count:
        found.append(await message(connection))
    return found


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("{", "invalid_json"),
        ("[]", "invalid_json"),
        ('{"type":"start"}', "bad_id"),
        ('{"type":"sing","id":1}', "bad_type"),
        ('{"type":"start","id":1,"messages":[]}', "bad_messages"),
        ('{"type":"start","id":1,"messages":[{"role":"judge"}]}', "bad_role"),
        ('{"type":"start","id":1,"messages":[{"role":"user","content":"a"}],"options":3}', "bad_value"),
        (
            '{"type":"start","id":1,"messages":[{"role":"user","content":"a"}],"model":"none"}',
            "model_not_found",
        ),
    ],
)
async def test_what_is_wrong_is_said_and_the_socket_stays(
    keys: dict[str, str], fast: str, said: str, code: str
) -> None:
    async with chatting(keys["otto"]) as connection:
        await connection.send_to(text_data=said)
        *_, error = await until(connection, "error")
        assert error["code"] == code
        await ask(connection)
        assert (await until(connection, "done", "error"))[-1]["type"] == "done"


async def test_who_may_not_chat_is_turned_away(keys: dict[str, str]) -> None:
    assert await closed_with("/ws/chat/", {}) == 4401
    assert await closed_with("/ws/chat/", bearer(keys["vera"])) == 4403


async def test_leaving_cuts_what_is_being_answered(keys: dict[str, str], slow: str) -> None:
    async with chatting(keys["otto"]) as connection:
        await ask(connection)
        await until(connection, "token")
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "chat"]
    assert not await call(Slot.objects.filter(holder__isnull=False).exists)
