"""Two jobs row by row: what differs, rows that an offset moved, and a search that ends."""

from __future__ import annotations

import json

import pytest

from datasets import comparing
from datasets.comparing import compare
from datasets.differences import MOST
from datasets.models import Item, ItemOutput, Job
from tests.datasets.making import a_job, rows

pytestmark = pytest.mark.django_db


def answered(count: int, answer: str = "said {}", first: int = 0) -> Job:
    """A job in which each item was answered by its row's number; `first` is its offset."""
    job = a_job(rows(first + count)[first:], offset=0)
    Job.objects.filter(id=job.id).update(options=job.options | {"offset": first})
    for item in Item.objects.filter(job=job):
        said(item, answer.format(first + item.index))
    return Job.objects.get(id=job.id)


def said(item: Item, text: str) -> None:
    Item.objects.filter(id=item.id).update(state="succeeded", duration_ms=10)
    # Replies hold times and ids, so that no two of them are the same text.
    reply = json.dumps({"message": {"content": text}, "total_duration": item.id})
    ItemOutput.objects.update_or_create(item=item, defaults={"text": reply})


def test_it_sets_the_same_rows_side_by_side() -> None:
    one, other = answered(4), answered(4)
    said(Item.objects.get(job=other, index=2), "otherwise")
    found = compare(one, other)
    assert [(pair.row, pair.differs) for pair in found.pairs] == [
        (0, False),
        (1, False),
        (2, True),
        (3, False),
    ]
    assert [side.text for side in (found.pairs[2].one, found.pairs[2].other) if side] == [
        "said 2",
        "otherwise",
    ]
    assert found.after is None


def test_an_offset_is_taken_into_account() -> None:
    found = compare(answered(6), answered(3, first=2))
    assert [(pair.row, pair.differs, pair.is_other_prompt) for pair in found.pairs] == [
        (row, False, False) for row in (2, 3, 4)
    ]


def test_another_prompt_at_the_same_place_is_told() -> None:
    other = a_job(['{"instruction": "else"}'])
    assert compare(answered(1), other).pairs[0].is_other_prompt


def test_a_failed_side_differs_and_one_that_is_not_done_does_not() -> None:
    one, other = answered(2), answered(2)
    Item.objects.filter(job=other, index=0).update(state="failed", cause="timeout")
    Item.objects.filter(job=other, index=1).update(state="pending")
    assert [pair.differs for pair in compare(one, other).pairs] == [True, False]


def test_it_finds_those_that_differ_and_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "LOOKED_AT", 20)
    one, other = answered(50), answered(50)
    said(Item.objects.get(job=other, index=33), "otherwise")
    found = compare(one, other, only_different=True)
    assert (found.pairs, found.looked_at, found.after) == ([], 20, 20)
    found = compare(one, other, begin=20, only_different=True)
    assert [pair.row for pair in found.pairs] == [33]
    assert found.after == 40


def test_a_page_is_short_and_leads_to_the_next() -> None:
    found = compare(answered(25), answered(25))
    assert (len(found.pairs), found.after) == (comparing.PAGE, comparing.PAGE)


def test_jobs_without_a_row_in_common_have_no_pairs() -> None:
    found = compare(answered(2), answered(2, first=5))
    assert (found.pairs, found.after) == ([], None)


def test_what_differs_is_marked_and_what_is_the_same_is_not() -> None:
    one, other = answered(3), answered(3)
    said(Item.objects.get(job=other, index=1), "said 1 loudly")
    said(Item.objects.get(job=other, index=2), "said  2")
    found = compare(one, other)
    assert [pair.likeness for pair in found.pairs] == ["", "words", "spaces"]
    assert [pair.is_same for pair in found.pairs] == [True, False, False]
    assert found.differing == 2
    marks = found.pairs[1].marks
    assert marks
    assert [piece.text for piece in marks.other if not piece.is_common] == ["loudly"]


def test_a_difference_behind_what_is_shown_is_told() -> None:
    one, other = answered(1, "x " * MOST + "a"), answered(1, "x " * MOST + "b")
    assert compare(one, other).pairs[0].likeness == "late"
