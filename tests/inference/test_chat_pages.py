"""The chat page as each role gets it, what its script is given, and answers in one piece where no socket serves."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client
from django.utils.datastructures import MultiValueDict

from accounts.models import User
from dpl_site.lib.db import call
from dpl_site.processes.web import LARGEST_SOCKET_MESSAGE
from inference import gateway
from inference.chat_form import MOST_PICTURE_BYTES, ChatForm
from inference.chat_pages import MOST_QUESTION_BYTES
from inference.gateway import Gateway
from inference.models import EngineModel, ModelAlias, RequestLog, Slot
from tests.datasets.making import an_engine, an_instance
from tests.machines import dead_url, engine

pytestmark = pytest.mark.django_db(transaction=True)

Ask = Callable[..., Awaitable[Any]]
HOSTILE = '"><script>alert(1)</script>'
QUESTION = {"messages": [{"role": "user", "content": "say it again"}], "options": {"max_tokens": 50}}


def browser(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def seen(person: User) -> str:
    response = browser(person).get("/chat/")
    assert response.status_code == 200
    return response.content.decode()


def given(page: str) -> dict[str, Any]:
    """What the page gives its script."""
    found = re.search(r'<script id="chat-settings" type="application/json">(.*?)</script>', page)
    assert found
    told: dict[str, Any] = json.loads(found[1])
    return told


@pytest.fixture
def echo() -> Iterator[str]:
    """An engine that says everything again, after thinking."""
    with engine(models=("thinker",), echo=True) as url:
        an_engine("fast", url, models=["thinker"])
        yield url


@asynccontextmanager
async def asking(key: str) -> AsyncIterator[Ask]:
    """Asks with this key, before a gateway."""
    client = AsyncClient()

    async def ask(said: object = QUESTION) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        return await client.post("/chat/answer", said, content_type="application/json", headers=headers)

    async with a_gateway():
        yield ask


@asynccontextmanager
async def visiting(person: User) -> AsyncIterator[AsyncClient]:
    """A person without scripts, before a gateway."""
    client = AsyncClient()
    await client.aforce_login(person)
    async with a_gateway():
        yield client


@asynccontextmanager
async def a_gateway() -> AsyncIterator[None]:
    instance = await call(an_instance)
    made = Gateway(lambda: instance.id)
    gateway.install(made)
    try:
        yield
    finally:
        gateway.install(None)
        await made.end()


def test_a_stranger_is_led_to_the_login_and_back() -> None:
    response = Client().get("/chat/")
    assert (response.status_code, response["Location"]) == (302, "/login/?next=/chat/")


def test_a_viewer_may_not_chat_and_sees_no_way_there(people: dict[str, User]) -> None:
    client = browser(people["vera"])
    assert client.get("/chat/").status_code == 403
    assert 'href="/chat/"' not in client.get("/").content.decode()
    assert 'href="/chat/"' in browser(people["otto"]).get("/").content.decode()


def test_without_an_engine_it_says_the_next_step_to_who_can_take_it(people: dict[str, User]) -> None:
    assert "Add a machine" in seen(people["ada"])
    assert "Ask an admin to add a machine" in seen(people["otto"])


def test_an_engine_without_a_model_is_told_apart(people: dict[str, User]) -> None:
    an_engine("bare", models=[])
    page = seen(people["otto"])
    assert "No model is here yet" in page
    assert "No LLM engine" not in page


def test_it_offers_what_can_chat_loaded_first_and_by_every_name(people: dict[str, User]) -> None:
    made = an_engine("fast", models=["zephyr"], embedders=["nomic"])
    EngineModel.objects.create(engine=made, name="cold:1b", abilities="completion,vision,thinking")
    ModelAlias.objects.create(alias="gpt-4o", model="cold:1b")
    models = given(seen(people["otto"]))["models"]
    assert [(one["name"], one["resident"]) for one in models] == [
        ("zephyr", True),
        ("cold:1b", False),
        ("gpt-4o", False),
    ]
    assert [(one["pictures"], one["thinking"]) for one in models] == [
        ("unknown", "unknown"),
        ("yes", "yes"),
        ("yes", "yes"),
    ]
    assert browser(people["otto"]).get("/chat/models").json()["models"] == models


def test_a_model_that_says_what_it_can_and_not_pictures_takes_none(people: dict[str, User]) -> None:
    made = an_engine("fast", models=[])
    EngineModel.objects.create(engine=made, name="blind", abilities="completion,tools")
    assert given(seen(people["otto"]))["models"][0]["pictures"] == "no"


def test_names_are_text_and_nothing_is_inline(people: dict[str, User]) -> None:
    an_engine(HOSTILE, models=[HOSTILE])
    response = browser(people["ada"]).get("/chat/")
    page = response.content.decode()
    assert "<script>alert" not in page
    assert " style=" not in page
    assert "unsafe" not in response["Content-Security-Policy"]


def test_each_conversation_has_an_address_of_its_own(people: dict[str, User]) -> None:
    client = browser(people["otto"])
    assert client.get("/chat/0193e4a2-7c1b-4000-8000-000000000001/").status_code == 200
    assert client.get("/chat/nonsense/").status_code == 404


def test_it_speaks_chinese(people: dict[str, User]) -> None:
    page = browser(people["otto"]).get("/chat/", headers={"Accept-Language": "zh-CN"}).content.decode()
    assert "写点什么" in page


def test_a_question_fits_into_a_message_of_the_socket() -> None:
    assert MOST_QUESTION_BYTES < LARGEST_SOCKET_MESSAGE


async def test_a_question_is_answered_in_one_piece(keys: dict[str, str], echo: str) -> None:
    async with asking(keys["otto"]) as ask:
        response = await ask()
        whole = response.json()
    assert (response.status_code, whole["text"], whole["thinking"]) == (200, "say it again", "Let me think.")
    assert (whole["node"]["name"], whole["model"], whole["finish_reason"]) == ("fast", "thinker", "stop")
    assert "model resident" in whole["reasons"]
    assert whole["usage"]["completion_tokens"] > 0
    assert 0 <= whole["ttft_ms"] <= whole["duration_ms"]
    row = await call(RequestLog.objects.get)
    assert (row.path, row.outcome, row.node_name) == ("/chat/answer", "ok", "fast")
    assert not await call(Slot.objects.filter(holder__isnull=False).exists)


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ("{", 400, "invalid_json"),
        ("[]", 400, "invalid_json"),
        ('{"messages":[]}', 400, "bad_messages"),
        ('{"model":"none","messages":[{"role":"user","content":"a"}]}', 404, "model_not_found"),
        ('{"messages":[{"role":"user","content":"[[sim:500]]"}]}', 502, "engine_error"),
    ],
)
async def test_what_is_wrong_is_said(
    keys: dict[str, str], echo: str, said: str, status: int, code: str
) -> None:
    async with asking(keys["otto"]) as ask:
        response = await ask(said)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_who_may_not_chat_gets_no_answer(keys: dict[str, str], echo: str) -> None:
    async with asking(keys["vera"]) as ask:
        response = await ask()
    assert response.status_code == 403


def test_another_site_cannot_ask_in_a_readers_name(people: dict[str, User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["otto"])
    said = client.post("/chat/answer", QUESTION, content_type="application/json")
    assert (said.status_code, said.json()["error"]["code"]) == (403, "csrf_failed")
    assert client.post("/chat/ask", {"prompt": "hello"}).status_code == 403


async def test_leaving_frees_the_slot(keys: dict[str, str]) -> None:
    with engine(models=("m",), words=1000, tokens_per_second=20) as url:
        await call(an_engine, "slow", url)
        async with asking(keys["otto"]) as ask:
            asked = asyncio.ensure_future(ask())
            for _ in range(500):
                if await is_busy():
                    break
                await asyncio.sleep(0.02)
            assert await is_busy()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
    row = await call(RequestLog.objects.get)
    assert row.outcome == "cancelled"
    assert not await is_busy()


async def is_busy() -> bool:
    return await call(Slot.objects.filter(holder__isnull=False).exists)


async def test_the_form_alone_holds_a_conversation(people: dict[str, User], echo: str) -> None:
    async with visiting(people["otto"]) as client:
        first = await client.post(
            "/chat/ask", {"prompt": "one <b>", "temperature": "0.5", "model": "thinker"}
        )
        page = first.content.decode()
        assert 'dir="auto">one &lt;b&gt;</div>' in page
        assert "thinker · fast" in page
        found = re.search(r'name="history" value="([^"]*)"', page)
        assert found
        history = found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")
        second = (await client.post("/chat/ask", {"prompt": "two", "history": history})).content.decode()
    assert (
        len(re.findall(r'class="text asis" dir="auto">', re.sub(r"(?s)<template.*?</template>", "", second)))
        == 4
    )


async def test_a_form_that_fails_keeps_what_was_written(people: dict[str, User], echo: str) -> None:
    async with visiting(people["otto"]) as client:
        wrong = await client.post("/chat/ask", {"prompt": "kept", "temperature": "9"})
        assert wrong.status_code == 400
        assert ">kept</textarea>" in wrong.content.decode()
        gone = await client.post("/chat/ask", {"prompt": "kept", "model": "none"})
    assert gone.status_code == 404
    assert "Choose another one above." in gone.content.decode()
    assert ">kept</textarea>" in gone.content.decode()


async def test_a_viewers_form_is_refused_in_words(people: dict[str, User], echo: str) -> None:
    async with visiting(people["vera"]) as client:
        response = await client.post("/chat/ask", {"prompt": "hello"})
    assert response.status_code == 403
    assert not await call(RequestLog.objects.exists)


async def test_a_machine_that_is_gone_is_told_in_words(people: dict[str, User]) -> None:
    await call(an_engine, "dead", dead_url())
    async with visiting(people["otto"]) as client:
        response = await client.post("/chat/ask", {"prompt": "hello"})
    assert response.status_code == 503
    assert "The machine does not answer." in response.content.decode()


def test_the_form_makes_the_question_that_the_socket_would_get() -> None:
    history = [
        {"role": "user", "text": "a"},
        {"role": "assistant", "text": "b"},
        {"role": "system", "text": "no"},
    ]
    told = {
        "model": "m", "system": "be brief", "prompt": "c", "history": json.dumps(history),
        "temperature": "0", "seed": "7", "stop": "x\ny", "reasoning_effort": "low",
    }  # fmt: skip
    picture = SimpleUploadedFile("a.png", b"\x89PNG", content_type="image/png")
    form = ChatForm(told, MultiValueDict({"picture": [picture]}))
    assert form.is_valid()
    assert form.question() == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "c"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                ],
            },
        ],
        "options": {"temperature": 0.0, "seed": 7, "reasoning_effort": "low", "stop": ["x", "y"]},
    }


@pytest.mark.parametrize(
    ("kind", "size"), [("image/svg+xml", 10), ("text/html", 10), ("image/png", MOST_PICTURE_BYTES + 1)]
)
def test_a_picture_of_another_kind_or_size_is_refused(kind: str, size: int) -> None:
    picture = SimpleUploadedFile("a", b"x" * size, content_type=kind)
    form = ChatForm({"prompt": "a"}, MultiValueDict({"picture": [picture]}))
    assert "picture" in form.errors


@pytest.mark.parametrize("history", ["{", '"x"', "[1]", '[{"role":"tool","text":"x"}]'])
def test_a_history_that_is_none_adds_nothing(history: str) -> None:
    form = ChatForm({"prompt": "a", "history": history})
    assert not form.is_valid() or form.question()["messages"] == [{"role": "user", "content": "a"}]
