"""A job's items page by page and one by one: filters, the page before and after, what became of one."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from datasets.browsing import PAGE, Filter, item_detail, items_page
from datasets.models import FailedAttempt, Item, ItemOutput, Job
from dpl_site.lib.packing import pack
from tests.datasets.making import a_job, an_engine

pytestmark = pytest.mark.django_db


def indexes(job: Job, **query: str) -> list[int]:
    return [item["index"] for item in items_page(job, Filter.asked(query)).items]


def set_items(job: Job, wanted: list[int], **changes: object) -> None:
    Item.objects.filter(job=job, index__in=wanted).update(**changes)


def test_pages_follow_each_other_and_lead_back() -> None:
    job = a_job(2 * PAGE + 5)
    first = items_page(job, Filter())
    assert (first.before, first.after) == (None, PAGE)
    second = items_page(job, Filter(begin=PAGE))
    assert [item["index"] for item in second.items] == list(range(PAGE, 2 * PAGE))
    assert (second.before, second.after) == (0, 2 * PAGE)
    last = items_page(job, Filter(begin=2 * PAGE))
    assert (len(last.items), last.before, last.after) == (5, PAGE, None)


def test_it_filters_by_state_node_and_cause() -> None:
    job, engine = a_job(10), an_engine("fast")
    set_items(job, [2, 5, 7], state="failed", cause="timeout")
    set_items(job, [5, 8], node_id=engine.node_id)
    set_items(job, [9], cause="timeout")
    assert indexes(job, state="failed") == [2, 5, 7]
    assert indexes(job, node=str(engine.node_id)) == [5, 8]
    assert indexes(job, cause="timeout") == [2, 5, 7], "the pending one has had trouble, it has not failed"
    assert indexes(job, cause="timeout", node=str(engine.node_id)) == [5]
    assert indexes(job, cause="other") == []


@pytest.mark.parametrize(
    "query", [{"state": "odd"}, {"node": "x"}, {"from": "-3"}, {"from": "9" * 30}, {"node": "²"}]
)
def test_what_makes_no_sense_is_passed_over(query: dict[str, str]) -> None:
    assert Filter.asked(query) == Filter()


def test_a_filter_is_its_address() -> None:
    wanted = Filter.asked({"state": "failed", "node": "3", "cause": "a&b", "from": "50"})
    assert Filter.asked(wanted.query()) == wanted
    assert wanted.query(75)["from"] == "75"
    assert Filter().query() == {}


def test_a_page_costs_three_statements_and_reads_heads_only() -> None:
    job = a_job([json.dumps({"instruction": "say " + "x" * 100_000})] * 30)
    with CaptureQueriesContext(connection) as queries:
        page = items_page(job, Filter(begin=3))
    assert len(queries) <= 3
    assert all(item["prompt"].startswith("say xxx") for item in page.items)


def test_causes_are_found_by_their_own_index() -> None:
    job = a_job(3)
    from datasets.browsing import filtered

    plan = (
        filtered(job, Filter("failed", None, "timeout", 1)).filter(index__gte=1).order_by("index").explain()
    )
    if connection.vendor == "sqlite":
        assert "items_by_cause" in plan


def test_one_item_has_its_prompt_its_output_and_its_attempts() -> None:
    job, engine = (
        a_job([json.dumps({"instruction": "a", "input": "b", "id": 7})], system="be brief"),
        an_engine("fast"),
    )
    item = Item.objects.get(job=job)
    set_items(
        job, [0], state="succeeded", node_id=engine.node_id, finished_ms=1_800_000_001_000, duration_ms=1000
    )
    text, packed = pack(json.dumps({"message": {"content": "out " * 900}}))
    ItemOutput.objects.create(item=item, text=text, packed=packed)
    FailedAttempt.objects.create(
        item=item, node_id=engine.node_id, cause="timeout", error="too slow", ended_ms=1_800_000_000_000
    )
    found = item_detail(job, 0)
    assert found is not None
    assert found["messages"] == [{"role": "system", "text": "be brief"}, {"role": "user", "text": "a\n\nb"}]
    assert json.loads(found["other"]) == {"id": 7}
    assert found["output"] == "out " * 900
    assert (found["node"], found["duration_s"]) == ("fast", 1.0)
    assert found["started_at"] < found["finished_at"]
    (attempt,) = found["failed_attempts"]
    assert (attempt["node"], attempt["cause"], attempt["error"]) == ("fast", "timeout", "too slow")


def test_an_item_that_is_not_there_is_none() -> None:
    assert item_detail(a_job(1), 1) is None
