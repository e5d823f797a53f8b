"""Other names of models: entered in admin, understood everywhere, listed beside the models."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from inference.catalog import fleet_model, models_there_are
from inference.models import ModelAlias
from inference.nowhere import nowhere
from inference.scheduling import EngineSnapshot, Request, choose
from inference.selectors import engine_snapshots
from tests.datasets.making import an_engine
from tests.inference.test_admin import admin

__all__ = ["admin"]

SNAPSHOT = EngineSnapshot(1, 1, "a", True, resident=("llama3:8b",), aliases={"gpt-4o": "llama3:8b"})


def test_an_alias_goes_to_its_model() -> None:
    assert choose(Request(model="gpt-4o"), [SNAPSHOT], 0).candidates[0].model == "llama3:8b"


def test_a_model_that_is_spelled_two_ways_is_told_once() -> None:
    both = [EngineSnapshot(1, 1, "a", True, resident=("m:latest", "n"))]
    both.append(EngineSnapshot(2, 2, "b", True, resident=("m",)))
    request = Request(model="none")
    refused = nowhere(request, both, choose(request, both, 0))
    assert refused.message.endswith("There are: m:latest, n.")


def test_an_alias_of_a_model_that_nobody_has_is_not_found() -> None:
    lost = EngineSnapshot(1, 1, "a", True, resident=("m",), aliases={"gpt-4o": "llama3:8b"})
    request = Request(model="gpt-4o")
    refused = nowhere(request, [lost], choose(request, [lost], 0))
    assert (refused.status, refused.code) == (404, "model_not_found")
    busy = EngineSnapshot(1, 1, "a", False, resident=("llama3:8b",), aliases={"gpt-4o": "llama3:8b"})
    assert nowhere(request, [busy], choose(request, [busy], 0)).status == 503


@pytest.mark.django_db
def test_engines_that_spell_a_model_differently_have_one_model(api: Any) -> None:
    an_engine("ollama", models=("llama3:latest", "phi"))
    an_engine("openai", kind="openai", models=("llama3",))
    [llama, phi] = api("vera").get("/api/models").json()["models"]
    assert (llama["name"], [node["name"] for node in llama["nodes"]]) == (
        "llama3:latest",
        ["openai", "ollama"],
    )
    assert phi["name"] == "phi"
    assert models_there_are() == [("llama3:latest", True), ("phi", True)]
    for name in ("llama3", "llama3:latest"):
        found = choose(Request(model=name), engine_snapshots(), 0)
        assert sorted(one.model for one in found.candidates) == ["llama3", "llama3:latest"]
        assert api("vera").get(f"/v1/models/{name}").json()["id"] == "llama3:latest"


@pytest.mark.django_db
class TestEntered:
    """In admin, and what comes of it."""

    @staticmethod
    def enter(admin: Client, **said: str) -> Any:
        return admin.post("/admin/inference/modelalias/add/", said)

    def test_it_is_listed_and_understood_as_its_model_is(self, admin: Client, api: Any) -> None:
        an_engine("fast", models=("llama3:latest",))
        assert self.enter(admin, alias="gpt-4o", model="llama3").status_code == 302
        ids = [one["id"] for one in api("vera").get("/v1/models").json()["data"]]
        tags = [one["name"] for one in api("vera").get("/api/tags").json()["models"]]
        assert ids == tags == ["gpt-4o", "llama3:latest"]
        assert api("vera").get("/v1/models/gpt-4o").json()["id"] == "gpt-4o"
        assert api("vera").get("/api/models").json()["models"][0]["aliases"] == ["gpt-4o"]
        assert engine_snapshots()[0].aliases == {"gpt-4o": "llama3"}
        found = fleet_model("gpt-4o")
        assert found
        assert found.name == "llama3:latest"

    @pytest.mark.parametrize(
        ("said", "complaint"),
        [
            ({"alias": "auto", "model": "m"}, "whatever is resident"),
            ({"alias": "gpt-4o", "model": "m"}, "already exists"),
            ({"alias": "other", "model": "gpt-4o"}, "is an alias itself"),
            ({"alias": "a\x00b", "model": "m"}, "Null characters"),
            ({"alias": "", "model": "m"}, "required"),
        ],
    )
    def test_what_would_mean_nothing_is_refused_in_words(
        self, admin: Client, said: dict[str, str], complaint: str
    ) -> None:
        ModelAlias.objects.create(alias="gpt-4o", model="m")
        answer = self.enter(admin, **said)
        assert answer.status_code == 200
        assert complaint in answer.content.decode()
