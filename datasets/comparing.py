"""Two jobs side by side: their items by the row of the dataset, what each answered, and whether that differs.

Outputs are read a page at a time. Those that differ are looked for over at most LOOKED_AT items and LOOKED_AT_SIZE
characters per page; where that ends, the next page goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Q, QuerySet

from accounts.authentication import Principal
from datasets.browsing import LONGEST_SHOWN
from datasets.differences import MOST, Marks, Piece, marks
from datasets.dryruns import whole_runs
from datasets.excerpts import prompt_excerpt, reply_of
from datasets.models import Item, Job
from datasets.selectors import jobs_of
from datasets.states import ItemState
from dpl_site.lib.packing import unpack

PAGE = 10
READ_AT_ONCE = 25
LOOKED_AT = 500
LOOKED_AT_SIZE = 8_000_000
OFFERED = 50
_COLUMNS = (
    *("index", "state", "node__name", "duration_ms", "completion_tokens", "cause", "error"),
    *("input__text", "input__packed", "output__text", "output__packed"),
)


@dataclass(frozen=True, slots=True)
class Side:
    """What one job made of one row; `text` None while it is not done or when it failed."""

    index: int
    state: str
    node: str
    seconds: float | None
    tokens: int | None
    text: str | None
    trouble: str
    prompt: str = ""

    @property
    def is_recorded(self) -> bool:
        """Whether it is done, well or badly."""
        return self.state in (ItemState.SUCCEEDED, ItemState.FAILED)

    @property
    def is_cut(self) -> bool:
        """Whether the page shows its beginning only."""
        return len(self.text or "") > MOST


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of the dataset in two jobs; a side is None where a job has not taken it in yet."""

    row: int
    prompt: str
    one: Side | None
    other: Side | None
    is_other_prompt: bool
    marks: Marks | None = None

    @property
    def pieces(self) -> list[tuple[Side | None, list[Piece]]]:
        """Each side with what is shown of its text, in pieces; none where it has no text."""
        known = (self.marks.one, self.marks.other) if self.marks else (_plain(self.one), _plain(self.other))
        return list(zip((self.one, self.other), known, strict=True))

    @property
    def is_same(self) -> bool:
        """Whether both have the same text."""
        return bool(self.one and self.other and self.one.text is not None and not self.differs)

    @property
    def likeness(self) -> str:
        """Where two texts differ: `late`, after what is shown; in `spaces`; in `words`; empty without two."""
        if self.marks is None:
            return ""
        if any(not piece.is_common for piece in (*self.marks.one, *self.marks.other)):
            return "words"
        is_late = any(side is not None and side.is_cut for side in (self.one, self.other))
        return "late" if is_late else "spaces"

    @property
    def differs(self) -> bool:
        """Whether both have an outcome and these are not alike: other texts, or one failed."""
        sides = (self.one, self.other)
        return all(side is not None and side.is_recorded for side in sides) and (
            _text(self.one) != _text(self.other)
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """A page of pairs, how many rows were looked at for it, and the row at which the next begins, None at the end."""

    pairs: list[Pair]
    looked_at: int
    after: int | None

    @property
    def differing(self) -> int:
        """How many of the pairs differ."""
        return sum(pair.differs for pair in self.pairs)


def compare(one: Job, other: Job, *, begin: int = 0, only_different: bool = False) -> Compared:
    """A page of two jobs' items from a row of the dataset on, of the rows that both jobs have."""
    begin = max(begin, _first_row(one), _first_row(other))
    end = min(_first_row(job) + job.total for job in (one, other))
    pairs: list[Pair] = []
    looked_at, size = 0, 0
    for pair, characters in _pairs(one, other, begin, end):
        looked_at, size = looked_at + 1, size + characters
        if pair.differs or not only_different:
            pairs.append(_marked(pair))
        if len(pairs) == PAGE or looked_at == LOOKED_AT or size > LOOKED_AT_SIZE:
            break
    after = begin + looked_at
    return Compared(pairs, looked_at, after if after < end else None)


def comparable(principal: Principal, job: Job | None) -> list[Job]:
    """Jobs to choose from, those that look like runs of the same dataset first."""
    jobs = whole_runs(jobs_of(principal))
    if job is None:
        return list(jobs[:OFFERED])
    alike = Q(total=job.total) | Q(name=job.name)
    same = list(jobs.filter(alike).exclude(id=job.id)[:OFFERED])
    rest = jobs.exclude(id__in=[job.id, *(one.id for one in same)])
    return same + list(rest[: OFFERED - len(same)])


def _first_row(job: Job) -> int:
    return int(job.options.get("offset") or 0)


def _pairs(one: Job, other: Job, begin: int, end: int) -> Iterator[tuple[Pair, int]]:
    """Each row's pair with how many characters were read for it."""
    for start in range(begin, end, READ_AT_ONCE):
        stop = min(start + READ_AT_ONCE, end)
        left, right = (_sides(job, start, stop) for job in (one, other))
        for row in range(start, stop):
            yield _pair(row, left.get(row), right.get(row))


def _sides(job: Job, start: int, stop: int) -> dict[int, tuple[Side, str, int]]:
    """Row of the dataset → side, prompt's row, characters read."""
    first = _first_row(job)
    items: QuerySet[Item, dict[str, Any]] = Item.objects.filter(
        job=job, index__gte=max(start - first, 0), index__lt=max(stop - first, 0)
    ).values(*_COLUMNS)
    return {first + item["index"]: _side(item) for item in items.iterator(chunk_size=READ_AT_ONCE)}


def _side(item: dict[str, Any]) -> tuple[Side, str, int]:
    raw = unpack(item["input__text"], item["input__packed"])
    reply = unpack(item["output__text"], item["output__packed"])
    is_done = item["state"] == ItemState.SUCCEEDED
    said = reply_of(reply) if is_done else None
    side = Side(
        item["index"],
        item["state"],
        item["node__name"] or "",
        None if item["duration_ms"] is None else item["duration_ms"] / 1000,
        item["completion_tokens"],
        (said.text or said.tools)[:LONGEST_SHOWN].strip() if said else None,
        item["cause"] if item["state"] == ItemState.FAILED else "",
        prompt_excerpt(raw),
    )
    return side, raw, len(raw) + len(reply)


def _pair(
    row: int, left: tuple[Side, str, int] | None, right: tuple[Side, str, int] | None
) -> tuple[Pair, int]:
    prompts = [found[1] for found in (left, right) if found]
    pair = Pair(
        row,
        next((found[0].prompt for found in (left, right) if found), ""),
        left[0] if left else None,
        right[0] if right else None,
        len(prompts) == 2 and prompts[0] != prompts[1],
    )
    return pair, sum(found[2] for found in (left, right) if found)


def _marked(pair: Pair) -> Pair:
    """The pair with what differs between its texts, where both have one and it does."""
    one, other = _text(pair.one), _text(pair.other)
    if not pair.differs or one is None or other is None:
        return pair
    return replace(pair, marks=marks(one, other))


def _plain(side: Side | None) -> list[Piece]:
    return [Piece(side.text[:MOST], True)] if side and side.text is not None else []


def _text(side: Side | None) -> str | None:
    return side.text if side else None
