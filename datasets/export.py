"""A job's rows with what came of them, in input order, page by page, so that memory stays the same at any size.

N in = N out holds for jobs whose rows are all imported; rows that are still being imported are simply not
there yet. A row that is not done has `model_output` null.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any, Literal

from django.utils.http import content_disposition_header

from datasets.models import Item, Job
from datasets.rows import result_row
from datasets.states import ItemState
from dpl_site.lib.db import call, retrying
from dpl_site.lib.packing import unpack

Form = Literal["json", "jsonl"]
FORMS: dict[str, str] = {"json": "application/json", "jsonl": "application/x-ndjson"}
"""Each form and its media type."""
ONLY = {
    "": frozenset(ItemState),
    "done": frozenset({ItemState.SUCCEEDED, ItemState.FAILED}),
    "failed": frozenset({ItemState.FAILED}),
}
"""What may be left out: nothing, what is not done, what has not failed."""
PAGE_CHARACTERS = 1 << 20
READ_AT_ONCE = 16
AWAY_S = 10.0

_COLUMNS = (
    *("index", "state", "attempts", "ttft_ms", "duration_ms", "node_id", "node__name", "cause", "error"),
    *("input__text", "input__packed", "output__text", "output__packed"),
)


def export_page(
    *,
    job_id: str,
    after_index: int = -1,
    rows: int = 500,
    only: str = "",
    meta: bool = False,
    form: str = "json",
) -> tuple[bytes, int | None]:
    """The next rows after one index, and the last index among them, or None when these were the last.

    At most `rows` rows and about PAGE_CHARACTERS characters. JSON rows have commas between, JSONL rows each
    end with a newline. `meta` adds `dpl` to each row.
    """
    items = Item.objects.filter(job_id=job_id, index__gt=after_index).order_by("index")
    if only:
        items = items.filter(state__in=ONLY[only])
    texts: list[str] = []
    characters, last = 0, after_index
    with closing(items.values(*_COLUMNS)[:rows].iterator(chunk_size=READ_AT_ONCE)) as found:
        for item in found:
            # An engine's reply may be laid out on several lines; outside of strings a newline is a blank.
            texts.append(_text(item, meta).replace("\n", " ").replace("\r", " "))
            characters, last = characters + len(texts[-1]), item["index"]
            if characters > PAGE_CHARACTERS:
                break
    is_end = len(texts) < rows and characters <= PAGE_CHARACTERS
    page = ",\n".join(texts) if form == "json" else "".join(f"{text}\n" for text in texts)
    return page.encode(), None if is_end else last


class _Frame:
    """What stands around and between pages: brackets and commas for JSON, nothing for JSONL."""

    def __init__(self, form: str) -> None:
        self._is_array = form == "json"
        self._is_begun = False

    def around(self, page: bytes) -> bytes:
        """The page as it follows what came before."""
        before = b",\n" if self._is_begun else b"[\n"
        self._is_begun = True
        return before + page if self._is_array else page

    def end(self) -> bytes:
        """What ends it all."""
        if not self._is_array:
            return b""
        return b"\n]\n" if self._is_begun else b"[]\n"


async def stream(
    *, job_id: str, only: str = "", meta: bool = False, form: str = "json"
) -> AsyncIterator[bytes]:
    """All pages as one JSON array, or as JSONL.

    A database that is away is waited for; when it stays away its error goes on to the server, which cuts the
    connection: what arrived must not look complete.
    """
    frame, after = _Frame(form), -1
    while True:
        page, last = await call(_page, job_id, after, only, meta, form)
        if page:
            yield frame.around(page)
        if last is None:
            break
        after = last
    yield frame.end()


def whole(*, job_id: str, form: str = "json") -> Iterator[bytes]:
    """The same for sync callers: all rows of a job, chunk by chunk."""
    frame, after = _Frame(form), -1
    while True:
        page, last = _page(job_id, after, "", False, form)
        if page:
            yield frame.around(page)
        if last is None:
            break
        after = last
    yield frame.end()


def disposition(job: Job, form: str) -> str:
    """The header that names the file to be saved."""
    stem = job.name.rsplit(".", 1)[0] if job.name.endswith((".json", ".jsonl")) else job.name
    plain = "".join("_" if one in '/\\:*?"<>|' or not one.isprintable() else one for one in stem).strip(" .")
    return content_disposition_header(True, f"{plain or 'dataset'}.result.{form}") or "attachment"


def _page(job_id: str, after: int, only: str, meta: bool, form: str) -> tuple[bytes, int | None]:
    def read() -> tuple[bytes, int | None]:
        return export_page(job_id=job_id, after_index=after, only=only, meta=meta, form=form)

    return retrying(read, give_up_after_s=AWAY_S)


def _text(item: dict[str, Any], meta: bool) -> str:
    raw = unpack(item["input__text"], item["input__packed"])
    output, error = None, None
    if item["state"] == ItemState.SUCCEEDED:
        output = unpack(item["output__text"], item["output__packed"]) or None
    elif item["state"] == ItemState.FAILED:
        error = (item["error"] or item["cause"], item["cause"])
    return result_row(raw, output, error, _meta(item) if meta else None)


def _meta(item: dict[str, Any]) -> dict[str, Any]:
    node = {"id": item["node_id"], "name": item["node__name"]} if item["node_id"] is not None else None
    return {
        "node": node,
        "attempts": item["attempts"],
        "ttft_ms": item["ttft_ms"],
        "duration_ms": item["duration_ms"],
    }
