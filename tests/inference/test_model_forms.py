"""The forms that load a model and unload it without a script: who may, what is said, and where they lead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.test import AsyncClient, Client

from accounts.models import User
from dpl_site.lib.db import call
from inference import gateway
from inference.gateway import Gateway
from inference.models import EngineModel
from tests.datasets.making import an_engine, an_instance
from tests.machines import engine

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def browser(user: User) -> AsyncIterator[AsyncClient]:
    """A person at a process that has a gateway."""
    instance = await call(an_instance)
    made = Gateway(lambda: instance.id)
    gateway.install(made)
    client = AsyncClient()
    await client.aforce_login(user)
    try:
        yield client
    finally:
        gateway.install(None)
        await made.end()


async def press(client: AsyncClient, path: str, **form: str) -> tuple[str, str]:
    """Where the form leads, and what the page there says."""
    response: Any = await client.post(path, form)
    assert response.status_code == 302
    # What an earlier page said still waits in the cookie, since no page has shown it.
    return response["Location"], str(list(response.asgi_request._messages)[-1])


async def test_a_model_is_loaded_and_unloaded_and_the_page_says_so(people: dict[str, User]) -> None:
    with engine(models=("llama3:8b",)) as url:
        row = await call(an_engine, "fast", url, models=("llama3:8b",))
        await call(EngineModel.objects.filter(engine=row).update, is_resident=False)
        here = f"/nodes/{row.node_id}/"
        async with browser(people["otto"]) as client:
            done = await press(client, f"{here}load", model="llama3:8b", next=f"{here}?range=5m")
            assert done == (f"{here}?range=5m", "llama3:8b is in memory.")
            assert await call(EngineModel.objects.filter(engine=row, is_resident=True).exists)
            assert await press(client, f"{here}unload", model="llama3:8b") == (here, "llama3:8b is unloaded.")


async def test_what_cannot_be_loaded_is_said_on_the_page(people: dict[str, User]) -> None:
    row = await call(an_engine, "fast", "http://127.0.0.1:1", models=("m",))
    async with browser(people["otto"]) as client:
        led, said = await press(client, f"/nodes/{row.node_id}/load", model="nothing:1b")
        assert led == f"/nodes/{row.node_id}/"
        assert "nothing:1b" in said
        led, said = await press(client, f"/nodes/{row.node_id}/unload", model="", next="//evil.example")
        assert led == f"/nodes/{row.node_id}/"
        assert said


@pytest.mark.parametrize("action", ["load", "unload"])
def test_a_viewer_may_not(people: dict[str, User], action: str) -> None:
    client = Client()
    client.force_login(people["vera"])
    response = client.post(f"/nodes/1/{action}", {"model": "m"})
    assert response.status_code == 403
    assert "chat" in response.content.decode()


def test_who_is_not_logged_in_is_led_to_the_login_and_then_back_to_the_page(people: dict[str, User]) -> None:
    assert Client().post("/nodes/1/load", {"model": "m"})["Location"] == "/login/?next=/nodes/1/load"
    client = Client()
    client.force_login(people["otto"])
    assert client.get("/nodes/1/load")["Location"] == "/nodes/1/"


def test_a_form_from_elsewhere_is_refused(people: dict[str, User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["otto"])
    assert client.post("/nodes/1/load", {"model": "m"}).status_code == 403
