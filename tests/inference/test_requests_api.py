"""`/api/v1/requests/`."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, User
from inference.accounting import write_batch
from inference.models import RequestLog
from inference.recorder import Batch, Load
from tests.inference.serving import AT, a_record, attempt

pytestmark = pytest.mark.django_db
Api = Callable[[str], Client]
PATH = "/api/v1/requests/"


@pytest.fixture
def logged(people: dict[str, User], keys: dict[str, str]) -> int:
    """Three requests of otto and one of vera; the id of otto's key."""
    key = ApiKey.objects.get(user=people["otto"])
    otto, vera = people["otto"].pk, people["vera"].pk
    records = (
        a_record(user_id=otto, key_id=key.id, request_id="r-1"),
        a_record(user_id=otto, at=AT + 86_400, outcome="timeout", status=504, attempts=(attempt("slow"),)),
        a_record(user_id=otto, attempts=(), outcome="invalid_json", status=400, ttft_ms=None),
        a_record(user_id=vera),
    )
    write_batch(batch=Batch(uuid.uuid4(), None, 1, records, Load()))
    return key.id


def ask(client: Client, query: str = "") -> Any:
    response = client.get(f"{PATH}{query}")
    assert response.status_code == 200, response.content
    return response.json()


def test_a_person_sees_his_own_newest_first_with_the_decision(
    api: Api, logged: int, people: dict[str, User]
) -> None:
    found = ask(api("otto"))
    assert [one["outcome"] for one in found["results"]] == ["invalid_json", "timeout", "ok"]
    bad, _, one = found["results"]
    assert (bad["node"], bad["engine"], bad["key"], bad["decision"], bad["ttft_ms"]) == (
        *(None, None, None),
        *([], None),
    )
    assert one["user"] == {"id": people["otto"].pk, "name": "otto"}
    assert one["key"] == {"id": logged, "name": "test"}
    assert (one["node"], one["model"], one["stream"]) == ({"id": 1, "name": "fast"}, "m", False)
    assert (one["at"], one["ttft_ms"], one["duration_ms"]) == ("2026-03-20T09:46:40.000Z", 80, 900)
    assert one["decision"][0]["node"] == {"id": 1, "name": "fast"}


def test_an_admin_sees_everybodys_and_others_are_not_there_for_the_rest(api: Api, logged: int) -> None:
    assert ask(api("ada"))["count"] == 4
    assert ask(api("ada"), "?user=vera")["count"] == 1
    assert ask(api("otto"), "?user=vera")["count"] == 0
    veras = RequestLog.objects.order_by("id").last()
    assert veras is not None
    assert api("otto").get(f"{PATH}{veras.pk}/").status_code == 404
    assert ask(api("vera"), f"{veras.pk}/")["outcome"] == "ok"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?outcome=timeout", 1),
        ("?from=2026-03-21", 1),
        ("?to=2026-03-20", 2),
        ("?from=2026-03-20T09:46:41+00:00", 1),
        ("?request_id=r-1", 1),
        ("?node=1&model=m", 2),
        ("?model=", 1),
        ("?key=99", 0),
    ],
)
def test_filters_choose_which(api: Api, logged: int, query: str, count: int) -> None:
    assert ask(api("otto"), query)["count"] == count


def test_a_filter_that_means_nothing_is_named(api: Api) -> None:
    response = api("otto").get(f"{PATH}?from=soon")
    assert response.status_code == 400
    assert "2026-11-21T10:00:00Z" in response.json()["error"]["message"]


def test_both_spellings_of_the_path_work(api: Api, logged: int) -> None:
    assert ask(api("otto"))["results"] == api("otto").get("/api/v1/requests").json()["results"]
