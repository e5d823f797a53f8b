"""The result: N in = N out, in order, each under its own input, at any time, in pages of bounded size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import OperationalError

from datasets import export
from datasets.export import disposition, export_page, stream
from datasets.models import Item, ItemOutput, Job
from datasets.states import ItemState
from dpl_site.lib.db import call
from dpl_site.lib.packing import pack
from nodes.models import Node
from tests.datasets.making import a_job, an_uploaded_job, rows

pytestmark = pytest.mark.django_db(transaction=True)

S, F = ItemState.SUCCEEDED, ItemState.FAILED


def answered(count: int, *, failed: Sequence[int] = (), undone: Sequence[int] = (), size: int = 0) -> Job:
    """A job whose items echo their index, some failed, some not done; written in no order."""
    job = a_job(count)
    node = Node.objects.create(name="fast")
    items = list(Item.objects.filter(job=job))
    outputs = []
    for item in reversed(items):
        if item.index in undone:
            continue
        item.node, item.attempts, item.duration_ms, item.ttft_ms = node, 1, 20, 5
        if item.index in failed:
            item.state, item.cause, item.error = F, "timeout", "no answer within 3 s"
            continue
        item.state = S
        reply = json.dumps({"message": {"content": f"said {item.index}" + "x" * size}})
        text, packed = pack(reply)
        outputs.append(ItemOutput(item=item, text=text, packed=packed))
    fields = ["state", "cause", "error", "node", "attempts", "duration_ms", "ttft_ms"]
    Item.objects.bulk_update(items, fields, batch_size=100)
    ItemOutput.objects.bulk_create(outputs, batch_size=100)
    return job


async def whole(job: Job, **options: Any) -> bytes:
    return b"".join([chunk async for chunk in stream(job_id=job.id, **options)])


@pytest.mark.parametrize("form", ["json", "jsonl"])
async def test_each_row_comes_back_in_its_place_with_its_own_answer(form: str) -> None:
    job = await call(answered, 603, failed=[3, 501], undone=[5, 602])
    text = (await whole(job, form=form)).decode()
    found = json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]

    assert [row["id"] for row in found] == list(range(603))
    for index, row in enumerate(found):
        assert row["instruction"] == f"say {index}"
        if index in (3, 501):
            assert row["model_output"] == {"error": "no answer within 3 s", "code": "timeout"}
        elif index in (5, 602):
            assert row["model_output"] is None
        else:
            assert row["model_output"]["message"]["content"] == f"said {index}"


@pytest.mark.parametrize(("only", "expected"), [("", [0, 1, 2, 3, 4]), ("done", [0, 1, 3]), ("failed", [1])])
async def test_it_leaves_out_what_is_not_asked_for(only: str, expected: list[int]) -> None:
    job = await call(answered, 5, failed=[1], undone=[2, 4])

    assert [row["id"] for row in json.loads(await whole(job, only=only))] == expected


async def test_it_tells_where_and_how_long_each_ran_when_asked() -> None:
    job = await call(answered, 2, undone=[1])
    first, second = json.loads(await whole(job, meta=True))

    node = await call(Node.objects.get)
    assert first["dpl"] == {
        "node": {"id": node.id, "name": "fast"},
        "attempts": 1,
        "ttft_ms": 5,
        "duration_ms": 20,
    }
    assert second["dpl"] == {"node": None, "attempts": 0, "ttft_ms": None, "duration_ms": None}


@pytest.mark.parametrize(("form", "empty"), [("json", b"[]\n"), ("jsonl", b"")])
async def test_it_gives_an_empty_list_when_there_is_nothing(form: str, empty: bytes) -> None:
    job = await call(an_uploaded_job, rows(3))

    assert await whole(job, form=form) == empty


async def test_it_gives_what_is_there_while_rows_are_still_imported() -> None:
    job = await call(a_job, 3)
    await call(Job.objects.filter(id=job.id).update, total=9, state="importing")

    assert len(json.loads(await whole(job))) == 3


def test_it_bounds_a_page_by_rows_and_by_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    job = answered(30, size=1000)

    page, last = export_page(job_id=job.id, rows=7, form="jsonl")
    assert (len(page.splitlines()), last) == (7, 6)
    monkeypatch.setattr(export, "PAGE_CHARACTERS", 2500)
    page, last = export_page(job_id=job.id, after_index=6, form="jsonl")
    assert (len(page.splitlines()), last) == (3, 9)
    assert export_page(job_id=job.id, after_index=29) == (b"", None)


async def test_pages_fit_together_whatever_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    job = await call(answered, 40, size=300)
    expected = await whole(job)
    for characters in (1, 900, 5000):
        monkeypatch.setattr(export, "PAGE_CHARACTERS", characters)

        assert await whole(job) == expected


async def test_a_reply_on_several_lines_stays_one_line_of_jsonl() -> None:
    job = await call(a_job, 1)
    item = await call(Item.objects.get)
    await call(Item.objects.update, state=S)
    await call(ItemOutput.objects.create, item=item, text='{\r\n  "response": "a\\nb"\n}')

    (line,) = (await whole(job, form="jsonl")).splitlines()
    assert json.loads(line)["model_output"] == {"response": "a\nb"}


async def test_a_database_that_goes_away_cuts_the_answer_short_of_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = await call(answered, 30, size=500)
    monkeypatch.setattr(export, "PAGE_CHARACTERS", 2000)
    monkeypatch.setattr(export, "AWAY_S", 0.1)
    real = export.export_page
    pages: list[tuple[bytes, int | None]] = []

    def away(**options: Any) -> tuple[bytes, int | None]:
        if len(pages) == 2:
            raise OperationalError("gone")
        pages.append(real(**options))
        return pages[-1]

    monkeypatch.setattr(export, "export_page", away)
    arrived: list[bytes] = []

    async def download() -> None:
        async for chunk in stream(job_id=job.id):
            arrived.append(chunk)

    with pytest.raises(OperationalError):
        await download()
    assert arrived[0].startswith(b"[\n")
    assert not arrived[-1].rstrip().endswith(b"]")


async def test_it_goes_on_when_the_database_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    job = await call(answered, 3)
    real, failures = export.export_page, [1, 2]

    def away(**options: Any) -> tuple[bytes, int | None]:
        if failures:
            failures.pop()
            raise OperationalError("gone")
        return real(**options)

    monkeypatch.setattr(export, "export_page", away)

    assert len(json.loads(await whole(job))) == 3


@pytest.mark.parametrize(
    ("name", "form", "header"),
    [
        ("poems", "json", 'attachment; filename="poems.result.json"'),
        ("poems.jsonl", "jsonl", 'attachment; filename="poems.result.jsonl"'),
        ("诗", "json", "attachment; filename*=utf-8''%E8%AF%97.result.json"),
        ("../../etc\r\nX: y", "json", 'attachment; filename="_.._etc__X_ y.result.json"'),
        ("...", "json", 'attachment; filename="dataset.result.json"'),
    ],
)
def test_it_names_the_file_after_the_job(name: str, form: str, header: str) -> None:
    assert disposition(Job(name=name), form) == header
