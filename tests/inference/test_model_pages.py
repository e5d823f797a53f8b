"""The page of models as each role gets it: where each is and when it was used, loading, aliases."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.usage import Used, UsedBy, usage_add
from dpl_site.lib.clock import iso, utc_now
from dpl_site.lib.refusals import Refused
from inference import gateway
from inference.catalog import fleet_models
from inference.loading import Placed
from inference.model_list import model_views
from inference.models import Engine, EngineModel, EngineStatus, ModelAlias, RequestLog
from tests.datasets.making import an_engine

pytestmark = pytest.mark.django_db

HOSTILE = '"><script>alert(1)</script>'


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def seen(user: User, query: str = "") -> str:
    """The page as this person sees it, what waits in templates for the script aside."""
    response = browser(user).get(f"/models/{query}")
    assert response.status_code == 200
    return re.sub(r"(?s)<template.*?</template>", "", response.content.decode())


def told(response: Any) -> str:
    assert (response.status_code, response["Location"]) == (302, "/models/")
    return " ".join(str(message) for message in response.wsgi_request._messages)


def an_ollama(name: str, *models: str) -> Engine:
    """A node with an Ollama that has these models, the first of them in memory."""
    engine = an_engine(name, f"http://{name}:11434", models=models[:1])
    Engine.objects.filter(pk=engine.pk).update(kind="ollama")
    for model in models[1:]:
        EngineModel.objects.create(engine=engine, name=model)
    return engine


def logged(model: str, node_id: int, age_s: float, user_id: int = 1) -> RequestLog:
    return RequestLog.objects.create(
        **{
            "request_id": "r",
            "user_id": user_id,
            "path": "/v1/chat/completions",
            "outcome": "ok",
            "status": 200,
        },
        **{"is_streaming": False, "waited_ms": 0, "duration_ms": 1, "attempts": 1},
        at=utc_now() - timedelta(seconds=age_s),
        model=model,
        node_id=node_id,
    )


class FakeLoader:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def start(self, model: str, *, node_id: int, may_pull: bool) -> Placed:
        self.asked.append(("start", model, node_id, may_pull))
        if model == "nowhere":
            raise Refused("There is no such model.", status=404)
        return Placed(model, 1, "fast", "pulling" if may_pull else "loading")

    async def stop(self, model: str, *, node_id: int) -> list[Placed]:
        self.asked.append(("stop", model, node_id))
        return [Placed(model, 1, "fast", "unloaded")]


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> FakeLoader:
    fake = FakeLoader()
    parts = SimpleNamespace(now=lambda: SimpleNamespace(loader=fake))
    monkeypatch.setattr(gateway, "installed", lambda: parts)
    return fake


def test_it_shows_where_each_model_is_what_it_can_and_its_aliases(people: dict[str, User]) -> None:
    engine = an_ollama("fast", "llama3:8b", "nomic:latest")
    EngineModel.objects.filter(engine=engine, name="llama3:8b").update(
        size_bytes=4 * 2**30,
        context_length=8192,
        loaded_context=2048,
        abilities="completion,vision,unheard-of",
    )
    ModelAlias.objects.create(alias="gpt-4o", model="llama3:8b")
    page = seen(people["vera"])
    for text in (
        "llama3:8b",
        "4.0 GiB",
        "8,192",
        "2,048",
        "pictures",
        "unheard-of",
        "gpt-4o",
        "nomic",
        "fast",
    ):
        assert text in page, text
    assert page.index("llama3:8b") < page.index("nomic")


def test_a_model_says_when_it_was_used_by_anybody(people: dict[str, User]) -> None:
    fast, slow = an_ollama("fast", "llama3:8b"), an_ollama("slow", "llama3:8b")
    row = logged("llama3:8b", fast.node_id, 60)
    today = utc_now().date()
    day = today - timedelta(days=3)
    used = {
        UsedBy(today, 7, 0, "llama3:8b", fast.node_id, "gateway"): Used(2),
        UsedBy(day, 7, 0, "llama3:8b", slow.node_id, "datasets"): Used(40),
        UsedBy(today - timedelta(days=31), 7, 0, "llama3:8b", slow.node_id, "gateway"): Used(500),
    }
    usage_add(used=used)
    (model,) = model_views(fleet_models())
    assert (model["last_used_at"], model["last_used_on"], model["requests"]) == (
        iso(row.at),
        str(row.at.date()),
        42,
    )
    by_node = {place["name"]: place for place in model["nodes"]}
    assert by_node["slow"]["last_used_at"] is None
    assert (by_node["slow"]["last_used_on"], by_node["slow"]["requests"]) == (str(day), 40)


def test_a_job_after_the_last_request_is_known_by_its_day(people: dict[str, User]) -> None:
    fast = an_ollama("fast", "llama3:8b")
    logged("llama3:8b", fast.node_id, 3 * 86_400)
    usage_add(used={UsedBy(utc_now().date(), 7, 0, "llama3:8b", fast.node_id, "datasets"): Used(1)})
    (model,) = model_views(fleet_models())
    for one in (model, model["nodes"][0]):
        assert (one["last_used_at"], one["last_used_on"]) == (None, str(utc_now().date()))


def test_what_was_never_used_says_so_and_nothing_is_zero_that_is_unknown(people: dict[str, User]) -> None:
    an_ollama("fast", "llama3:8b")
    page = seen(people["vera"])
    assert "not in 30 days" in page
    assert '<dd data-f="size">–</dd>' in page
    assert '<dd data-f="context">–</dd>' in page


def test_the_api_tells_the_same(people: dict[str, User], api: Any) -> None:
    an_ollama("fast", "llama3:8b")
    (model,) = api("vera").get("/api/v1/models/").json()["results"]
    assert model["abilities"] == ["completion"]
    assert set(model["nodes"][0]) >= {
        "id",
        "name",
        "resident",
        "size_bytes",
        "engine",
        "can_unload",
        "last_used_on",
    }


def test_a_viewer_gets_no_button_that_loads_or_changes_an_alias(people: dict[str, User]) -> None:
    an_ollama("fast", "llama3:8b")
    ModelAlias.objects.create(alias="gpt-4o", model="llama3:8b")
    page = browser(people["vera"]).get("/models/").content.decode()
    for button in ("Warm up", "Unload", "Fetch a model", "Change…", "Add the alias"):
        assert button not in page, button
    operators = seen(people["otto"])
    assert "Warm up" in operators
    assert "Add the alias" not in operators
    assert "Add the alias" in seen(people["ada"])


def test_an_engine_that_keeps_its_model_gets_no_button_to_unload(people: dict[str, User]) -> None:
    engine = an_engine("fast", models=["llama3:8b"])
    Engine.objects.filter(pk=engine.pk).update(kind="openai")
    page = seen(people["otto"])
    assert 'data-do="stop" data-if="may-unload" hidden' in page
    assert 'id="fetch"' not in page


def test_models_are_found_by_name_alias_and_node(people: dict[str, User]) -> None:
    an_ollama("fast", "llama3:8b")
    an_ollama("slow", "qwen3:4b")
    ModelAlias.objects.create(alias="gpt-4o", model="llama3:8b")
    for words in ("LLAMA", "gpt-4", "fast"):
        page = seen(people["vera"], f"?q={words}")
        assert 'data-f="name">llama3:8b' in page
        assert 'data-f="name">qwen3:4b' not in page
    assert 'data-if="none-found" >' in seen(people["vera"], "?q=nothing")


def test_an_empty_page_says_the_next_step(people: dict[str, User]) -> None:
    assert "No LLM engine is here yet" in seen(people["otto"])
    engine = an_ollama("fast")
    assert "Fetch one below" in seen(people["otto"])
    assert "Put one on a machine" in seen(people["vera"])
    EngineStatus.objects.filter(engine=engine).update(is_online=False)
    assert "1 engine does not answer" in seen(people["otto"])


def test_names_are_text_and_never_markup(people: dict[str, User]) -> None:
    an_ollama(HOSTILE, HOSTILE)
    ModelAlias.objects.create(alias=HOSTILE + "2", model=HOSTILE)
    page = seen(people["ada"])
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 6


@pytest.mark.django_db(transaction=True)
def test_a_form_without_scripts_loads_fetches_and_unloads(
    people: dict[str, User], loader: FakeLoader
) -> None:
    client = browser(people["otto"])
    form = {"model": "llama3:8b", "node": "3"}
    assert "being loaded on fast" in told(client.post("/models/act", form | {"do": "start"}))
    assert "being fetched on fast" in told(client.post("/models/act", form | {"do": "pull", "node": ""}))
    assert "out of memory" in told(client.post("/models/act", form | {"do": "stop"}))
    assert loader.asked == [
        ("start", "llama3:8b", 3, False),
        ("start", "llama3:8b", 0, True),
        ("stop", "llama3:8b", 3),
    ]
    assert "no such model" in told(client.post("/models/act", {"model": "nowhere", "do": "start"}))
    assert "name" in told(client.post("/models/act", {"model": "", "do": "start"}))


@pytest.mark.django_db(transaction=True)
def test_a_viewer_loads_nothing_and_neither_does_a_form_from_elsewhere(
    people: dict[str, User], loader: FakeLoader
) -> None:
    form = {"model": "llama3:8b", "do": "start"}
    assert browser(people["vera"]).post("/models/act", form).status_code == 403
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["otto"])
    assert client.post("/models/act", form).status_code == 403
    assert loader.asked == []


def test_an_admin_adds_changes_and_removes_an_alias(people: dict[str, User]) -> None:
    client = browser(people["ada"])
    assert "now means llama3" in told(client.post("/models/aliases", {"alias": "gpt-4o", "model": "llama3"}))
    row = ModelAlias.objects.get()
    told(client.post("/models/aliases", {"id": row.pk, "alias": "gpt-4.1", "model": "qwen3"}))
    row.refresh_from_db()
    assert (row.alias, row.model) == ("gpt-4.1", "qwen3")
    assert "no engine has it now" in seen(people["ada"])
    told(client.post(f"/models/aliases/{row.pk}/remove"))
    assert not ModelAlias.objects.exists()


@pytest.mark.parametrize(
    ("alias", "why"), [("auto", "whatever is resident"), ("taken", "already"), ("", "required")]
)
def test_an_alias_that_makes_no_sense_is_told(people: dict[str, User], alias: str, why: str) -> None:
    ModelAlias.objects.create(alias="taken", model="m")
    response = browser(people["ada"]).post("/models/aliases", {"alias": alias, "model": "llama3"})
    assert response.status_code == 400
    assert why in response.content.decode()
    assert ModelAlias.objects.count() == 1


def test_an_alias_that_is_gone_meanwhile_is_told(people: dict[str, User]) -> None:
    response = browser(people["ada"]).post("/models/aliases", {"id": "99", "alias": "a", "model": "m"})
    assert response.status_code == 400
    assert "This alias is gone" in response.content.decode()


def test_operators_change_no_alias(people: dict[str, User]) -> None:
    row = ModelAlias.objects.create(alias="gpt-4o", model="llama3")
    client = browser(people["otto"])
    assert client.post("/models/aliases", {"alias": "a", "model": "b"}).status_code == 403
    assert client.post(f"/models/aliases/{row.pk}/remove").status_code == 403
    assert list(ModelAlias.objects.values_list("alias", flat=True)) == ["gpt-4o"]


@pytest.mark.django_db(transaction=True)
def test_whoever_is_logged_out_is_led_to_the_login_and_back_to_the_models(loader: FakeLoader) -> None:
    client = Client()
    answer = client.post("/models/act", {"model": "llama3:8b", "do": "start"})
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/models/act")
    assert loader.asked == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/models/act", "/models/aliases", "/models/aliases/1/remove"])
def test_a_login_in_between_leads_back(people: dict[str, User], path: str) -> None:
    assert browser(people["ada"]).get(path)["Location"] == "/models/"
