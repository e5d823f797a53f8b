"""Usage: sums by key, user, model, node and day; a person sees his own, an admin everybody's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, UsageDay, User
from accounts.usage import Used, UsedBy, usage_add, usage_prune
from dpl_site.lib.clock import utc_now

pytestmark = [pytest.mark.urls("tests.site.urls"), pytest.mark.django_db]

Api = Callable[[str], Client]
MONDAY, TUESDAY = date(2026, 3, 16), date(2026, 3, 17)
PATH = "/api/v1/usage/"


def by(user: User, **more: Any) -> UsedBy:
    known: dict[str, Any] = {"day": MONDAY, "key_id": 0, "model": "m", "node_id": 1, "node_name": "fast"}
    return UsedBy(user_id=user.pk, **{"source": "gateway"} | known | more)


@pytest.fixture
def used(people: dict[str, User], keys: dict[str, str]) -> dict[str, int]:
    """What otto and vera used on two days; otto's key."""
    key = ApiKey.objects.get(user=people["otto"])
    otto, vera = people["otto"], people["vera"]
    usage_add(
        used={
            by(otto, key_id=key.id): Used(3, 1, 1, 30, 60),
            by(otto, key_id=key.id, day=TUESDAY, model="n"): Used(2, 0, 0, 20, 40),
            by(otto, day=TUESDAY, source="datasets", node_id=2, node_name="slow"): Used(10, 0, 0, 100, 200),
            by(vera, node_id=0, node_name="", model=""): Used(1, 1, 0, 0, 0),
        }
    )
    return {"key": key.id, "otto": otto.pk}


def ask(client: Client, query: str = "") -> Any:
    response = client.get(f"{PATH}{query}")
    assert response.status_code == 200, response.content
    return response.json()


def test_sums_rise_and_rows_do_not_multiply(people: dict[str, User]) -> None:
    for _ in range(3):
        usage_add(used={by(people["otto"]): Used(1, 1, 0, 10, 20)})
    usage_add(used={})
    row = UsageDay.objects.get()
    assert (row.requests, row.failed, row.cancelled, row.prompt_tokens, row.completion_tokens) == (
        *(3, 3, 0),
        *(30, 60),
    )


def test_a_renamed_node_keeps_its_sums_under_the_new_name(people: dict[str, User]) -> None:
    usage_add(used={by(people["otto"]): Used(1), by(people["otto"], node_name="quick"): Used(1)})
    assert [(row.node_name, row.requests) for row in UsageDay.objects.all()] == [("quick", 2)]


def test_a_person_sees_his_own_by_everything_that_there_is(api: Api, used: dict[str, int]) -> None:
    found = ask(api("otto"))
    assert found["count"] == 3
    assert found["results"][-1] == {
        "day": "2026-03-16",
        "user": {"id": used["otto"], "name": "otto"},
        "key": {"id": used["key"], "name": "test"},
        "model": "m",
        "node": {"id": 1, "name": "fast"},
        "source": "gateway",
        "requests": 3,
        "failed": 1,
        "cancelled": 1,
        "prompt_tokens": 30,
        "completion_tokens": 60,
    }
    assert found["totals"] == {
        **{"requests": 15, "failed": 1, "cancelled": 1},
        **{"prompt_tokens": 150, "completion_tokens": 300},
    }


def test_an_admin_sees_everybodys(api: Api, used: dict[str, int]) -> None:
    rows = ask(api("ada"), "?group_by=user")["results"]
    assert {row["user"]["name"]: row["requests"] for row in rows} == {"otto": 15, "vera": 1}
    assert [row["requests"] for row in ask(api("ada"), "?group_by=user&user=vera")["results"]] == [1]
    assert ask(api("otto"), "?user=vera")["count"] == 0
    assert ask(api("stan"))["totals"]["requests"] == 0


def test_nothing_is_told_of_a_key_or_node_where_there_was_none(api: Api, used: dict[str, int]) -> None:
    (row,) = ask(api("vera"))["results"]
    assert (row["key"], row["node"], row["model"]) == (None, None, "")


@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ("?from=2026-03-17", 12),
        ("?to=2026-03-16", 3),
        ("?from=2026-03-16T05:00:00Z&to=2026-03-17", 15),
        ("?model=n", 2),
        ("?node=slow", 10),
        ("?node=1", 5),
        ("?source=datasets", 10),
        ("?key=0", 10),
        ("?user=nobody", 0),
    ],
)
def test_filters_choose_what_is_summed_up(api: Api, used: dict[str, int], query: str, requests: int) -> None:
    assert ask(api("otto"), query)["totals"]["requests"] == requests


def test_days_come_latest_first_and_in_pages(api: Api, used: dict[str, int]) -> None:
    found = ask(api("otto"), "?group_by=day&page_size=1")
    assert (found["count"], found["results"][0]["day"], found["results"][0]["requests"]) == (
        *(2, "2026-03-17"),
        12,
    )
    assert "page=2" in found["next"]
    assert set(found["results"][0]) == {"day", *found["totals"]}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?from=yesterday", "from"),
        ("?to=2026-13-01", "to"),
        ("?key=x", "key"),
        (f"?key={'9' * 30}", "key"),
        ("?group_by=day,colour", "group_by"),
        ("?source=elsewhere", "source"),
    ],
)
def test_a_filter_that_means_nothing_is_named(api: Api, query: str, field: str) -> None:
    response = api("otto").get(PATH + query)
    assert response.status_code == 400
    assert list(response.json()["error"]["detail"]) == [field]


def test_it_needs_a_key_and_the_right_to_read(api: Api) -> None:
    assert api("").get(PATH).status_code == 401
    assert api("stan").post(PATH).status_code == 405


def test_days_that_are_long_past_go(people: dict[str, User]) -> None:
    today = utc_now().date()
    for age in (11, 10, 0):
        usage_add(used={by(people["otto"], day=today - timedelta(days=age)): Used(1)})
    assert usage_prune(older_than_days=10) == 1
    assert usage_prune(older_than_days=10) == 0
    assert UsageDay.objects.count() == 2
