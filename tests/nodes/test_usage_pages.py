"""The page of usage and its CSV: what is asked for, who sees what, and energy beside tokens."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.authentication import principal_of_user
from accounts.models import ApiKey, User
from accounts.usage import Used, UsedBy, usage_add
from dpl_site.lib.clock import utc_now
from nodes import energy_view
from nodes.energy import Energy, Found
from nodes.models import Node
from nodes.usage_asked import MOST_DAYS, asked_in

pytestmark = pytest.mark.django_db

HOSTILE = "</script><script>alert(1)</script>"


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def seen(user: User, query: str = "") -> str:
    response = browser(user).get(f"/usage/{query}")
    assert response.status_code == 200
    return str(response.content.decode())


def chart(page: str, name: str = "usage") -> dict[str, Any]:
    found = re.search(rf'<script id="chart-{name}" type="application/json">(.*?)</script>', page)
    assert found
    value: dict[str, Any] = json.loads(found[1])
    return value


def lines(user: User, path: str) -> list[list[str]]:
    response = browser(user).get(path)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))


@pytest.fixture
def today() -> date:
    return utc_now().date()


@pytest.fixture
def used(people: dict[str, User], keys: dict[str, str], today: date) -> ApiKey:
    """Otto's by his key today and yesterday, stan's by a job."""
    key = ApiKey.objects.get(user=people["otto"])
    otto, stan = people["otto"].pk, people["stan"].pk
    usage_add(
        used={
            UsedBy(today, otto, key.pk, "llama3:8b", 1, "gateway", "fast"): Used(3, 1, 0, 30, 70),
            UsedBy(today - timedelta(days=1), otto, key.pk, "qwen3:4b", 1, "gateway", "fast"): Used(
                1, 0, 0, 4, 6
            ),
            UsedBy(today, stan, 0, "llama3:8b", 2, "datasets", "slow"): Used(5, 0, 0, 500, 500),
        }
    )
    return key


def test_a_person_sees_his_own_and_an_admin_all(people: dict[str, User], used: ApiKey) -> None:
    mine = chart(seen(people["otto"]))
    assert {one["label"]: sum(one["values"]) for one in mine["series"]} == {"llama3:8b": 100, "qwen3:4b": 10}
    everybodys = chart(seen(people["ada"]))
    assert everybodys["series"][0]["label"] == "llama3:8b"
    assert sum(everybodys["series"][0]["values"]) == 1100
    assert "You have used nothing" in seen(people["vera"])


def test_sums_by_person_are_for_admins(people: dict[str, User], used: ApiKey) -> None:
    labels = [one["label"] for one in chart(seen(people["ada"], "?by=user"))["series"]]
    assert labels == ["stan", "otto"]
    page = seen(people["otto"], "?by=user&user=stan")
    assert "Person" not in page
    assert sum(sum(one["values"]) for one in chart(page)["series"]) == 110


def test_each_day_of_the_range_has_its_place(people: dict[str, User], used: ApiKey, today: date) -> None:
    found = chart(seen(people["otto"], "?days=7"))
    assert len(found["times"]) == 7
    assert [one["values"][-2:] for one in found["series"]] == [[0, 100], [10, 0]]
    own = chart(seen(people["otto"], f"?from={today}&to={today}"))
    assert len(own["times"]) == 1
    assert [one["label"] for one in own["series"]] == ["llama3:8b"]


@pytest.mark.parametrize(("what", "most"), [("requests", 3), ("prompt", 30), ("completion", 70), ("?", 100)])
def test_the_measure_is_chosen(people: dict[str, User], used: ApiKey, what: str, most: int) -> None:
    assert max(chart(seen(people["otto"], f"?what={what}"))["series"][0]["values"]) == most


def test_the_largest_are_told_apart_and_the_rest_is_one(people: dict[str, User], today: date) -> None:
    otto = people["otto"].pk
    usage_add(used={UsedBy(today, otto, 0, f"m{n}", 1, "gateway"): Used(1, 0, 0, n, 0) for n in range(1, 11)})
    series = chart(seen(people["otto"]))["series"]
    assert [one["label"] for one in series] == [*(f"m{n}" for n in range(10, 3, -1)), "the others"]
    assert series[-1]["values"][-1] == 1 + 2 + 3


def test_filters_are_shown_and_lead_away_again(people: dict[str, User], used: ApiKey) -> None:
    page = seen(people["otto"], f"?key={used.pk}&model=llama3:8b")
    assert f"{used.name} ({used.prefix}…)" in page
    assert sum(sum(one["values"]) for one in chart(page)["series"]) == 100
    assert "Nothing was used in these days with these filters" in seen(people["otto"], "?node=nowhere")


def test_what_makes_no_sense_is_not_asked_for(people: dict[str, User], today: date) -> None:
    principal = principal_of_user(people["otto"])
    assert principal
    query = {"from": "x", "days": "8", "by": "colour", "what": "x", "key": "x", "source": "x", "to": ""}
    asked = asked_in(query, principal, today)
    assert (asked.by, asked.measure, asked.span, asked.filters) == ("model", "tokens", "30", {})
    far = asked_in({"from": "1999-01-01", "to": "2999-01-01"}, principal, today)
    assert (far.last, len(far.days)) == (today, MOST_DAYS)
    turned = asked_in({"from": str(today), "to": "2020-01-01"}, principal, today)
    assert turned.days == [date(2020, 1, 1)]


def test_the_csv_is_the_table_and_with_all_it_has_every_column(
    people: dict[str, User], used: ApiKey, today: date
) -> None:
    found = lines(people["otto"], "/usage/csv?by=key")
    assert found[0] == ["day", "key", "requests", "failed", "cancelled", "prompt_tokens", "completion_tokens"]
    assert found[1] == [str(today), used.name, "3", "1", "0", "30", "70"]
    whole = lines(people["ada"], "/usage/csv?all=1")
    assert whole[0][:6] == ["day", "model", "user", "key", "node", "source"]
    assert len(whole) == 4
    assert "user" not in lines(people["otto"], "/usage/csv?all=1")[0]


def test_a_name_is_no_formula_in_a_spreadsheet(people: dict[str, User], today: date) -> None:
    usage_add(used={UsedBy(today, people["otto"].pk, 0, "=1+1", 1, "gateway", "fast"): Used(1)})
    assert lines(people["otto"], "/usage/csv")[1][1] == "'=1+1"


def test_names_are_text_and_never_markup(people: dict[str, User], today: date) -> None:
    usage_add(used={UsedBy(today, people["otto"].pk, 0, HOSTILE, 1, "gateway", HOSTILE): Used(1, 0, 0, 1, 1)})
    page = seen(people["otto"])
    assert "<script>alert" not in page
    assert chart(page)["series"][0]["label"] == HOSTILE


@pytest.fixture
def powered(used: ApiKey, today: date, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node of which the power is known, the one that otto's requests went to, and one of which it is not."""
    node = Node.objects.create(id=1, name="fast")
    Node.objects.create(id=2, name="slow")
    known = {(today, 1): Energy(0.5, 10.0), (today - timedelta(days=1), 1): Energy(1.5, 24.0)}

    def found(days: list[date], *, within_s: float) -> Found:
        return Found({key: value for key, value in known.items() if key[0] in days})

    monkeypatch.setattr(energy_view, "energy_by_day", found)
    return node


def test_energy_stands_beside_the_tokens_of_the_same_days(people: dict[str, User], powered: Node) -> None:
    page = seen(people["ada"])
    assert "2.00 kWh" in page
    assert (
        '<td class="number">34.0 h</td><td class="number">110</td><td class="number">18,181.82</td>' in page
    )
    assert chart(page, "energy")["series"] == [{"label": "fast", "values": [None] * 28 + [1.5, 0.5]}]


def test_the_ratio_to_tokens_is_for_admins_since_it_tells_what_others_used(
    people: dict[str, User], powered: Node, today: date
) -> None:
    page = seen(people["otto"])
    assert "2.00 kWh" in page
    assert "Wh per 1,000 tokens" not in page
    principal = principal_of_user(people["otto"])
    assert principal
    (row,) = energy_view.energy_table(principal, asked_in({}, principal, today))["nodes"]
    assert (row["tokens"], row["wh_per_1000"]) == (None, None)
    assert lines(people["otto"], "/usage/energy")[1] == [str(today), "fast", "0.5", "10.0"]
    assert lines(people["ada"], "/usage/energy")[1] == [str(today), "fast", "0.5", "10.0", "100"]


def test_days_that_are_not_summed_up_yet_are_said(
    people: dict[str, User], powered: Node, today: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy_view, "energy_by_day", lambda days, *, within_s: Found({}, (today,)))
    assert "1 day is not summed up yet" in seen(people["otto"])
    assert browser(people["otto"]).get("/usage/energy").status_code == 302


def test_energy_that_nobody_knows_is_a_dash_and_a_hint(people: dict[str, User]) -> None:
    page = seen(people["otto"])
    assert "<dd>–</dd>" in page
    assert "No power is known" in page


def test_a_stranger_is_led_to_the_login() -> None:
    for path in ("/usage/", "/usage/csv", "/usage/energy"):
        assert Client().get(path)["Location"] == f"/login/?next={path}"
