"""Reads of a job's items for people: one page at a time by index, and one item with all that is known of it.

Pages are found by the index at which they begin, so that the last page of a million items costs what the first does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import BinaryField, F, Func, QuerySet, TextField, Value

from datasets.excerpts import HEAD, content_text, head_of, prompt_excerpt, reply_of
from datasets.models import Item, Job
from datasets.progress import is_worth_retrying
from datasets.rows import prompt_messages
from datasets.states import ItemState
from dpl_site.lib.clock import iso_ms
from dpl_site.lib.packing import unpack

PAGE = 25
LONGEST_SHOWN = 200_000
"""How many characters of one text a page shows; the download has all of it."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items are wanted; empty means all of them. `begin` is the index of the first."""

    state: str = ""
    node_id: int | None = None
    cause: str = ""
    begin: int = 0

    @classmethod
    def asked(cls, query: Mapping[str, str]) -> Filter:
        """What a page's address asks for; what makes no sense counts as absent."""
        state, node = query.get("state", ""), _whole(query.get("node", ""))
        cause = query.get("cause", "")[:40]
        known = state if state in set(ItemState) else ""
        return cls(ItemState.FAILED if cause else known, node or None, cause, _whole(query.get("from", "")))

    def query(self, begin: int | None = None) -> dict[str, str]:
        """The same as the parameters of an address, from another index where one is given."""
        found = {"state": self.state, "node": str(self.node_id or ""), "cause": self.cause}
        start = self.begin if begin is None else begin
        return {name: value for name, value in found.items() if value} | (
            {"from": str(start)} if start else {}
        )


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some items, and the index at which the page before and the page after begin, None where there is none."""

    items: list[dict[str, Any]]
    before: int | None
    after: int | None


def items_page(job: Job, wanted: Filter) -> ItemPage:
    """A page of a job's items with the beginning of each prompt; three statements, at any size."""
    items = filtered(job, wanted)
    found = list(_with_heads(items.filter(index__gte=wanted.begin).order_by("index"))[: PAGE + 1])
    before = list(
        items.filter(index__lt=wanted.begin).order_by("-index").values_list("index", flat=True)[:PAGE]
    )
    return ItemPage(
        [_line(row) for row in found[:PAGE]],
        before[-1] if before else None,
        found[PAGE]["index"] if len(found) > PAGE else None,
    )


def filtered(job: Job, wanted: Filter) -> QuerySet[Item]:
    """The job's items that a filter wants, from the first on."""
    items = Item.objects.filter(job=job)
    if wanted.state:
        items = items.filter(state=wanted.state)
    if wanted.node_id is not None:
        items = items.filter(node_id=wanted.node_id)
    # The second condition is the index's own: with it the database may use it.
    return items.filter(cause=wanted.cause).exclude(cause="") if wanted.cause else items


def item_detail(job: Job, index: int) -> dict[str, Any] | None:
    """One item with its prompt, its output and its attempts; None when there is none (yet)."""
    item = (
        Item.objects.filter(job=job, index=index).select_related("node", "engine", "input", "output").first()
    )
    if item is None:
        return None
    raw = unpack(item.input.text, item.input.packed)
    output = getattr(item, "output", None)
    reply = unpack(output.text, output.packed) if output else ""
    said = reply_of(reply)
    return _facts(item) | {
        "messages": _messages(raw, job.options.get("system")),
        "other": _other_keys(raw),
        "output": _shown(said.text) if output else None,
        "thinking": _shown(said.thinking),
        "tools": _shown(said.tools),
        "reply": _shown(_pretty(reply)),
        "failed_attempts": _attempts(item),
        "retryable": is_worth_retrying(item.cause) if item.cause else None,
    }


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _head(column: str, kind: type[TextField[Any, Any]] | type[BinaryField[Any, Any]]) -> Func:
    return Func(F(column), Value(1), Value(HEAD), function="SUBSTR", output_field=kind())


def _with_heads(items: QuerySet[Item]) -> QuerySet[Item, dict[str, Any]]:
    found: QuerySet[Item, dict[str, Any]] = items.annotate(
        head=_head("input__text", TextField), packed_head=_head("input__packed", BinaryField)
    ).values(
        *("index", "state", "node_id", "node__name", "model", "starts", "attempts", "cause", "error"),
        *("finished_ms", "duration_ms", "completion_tokens", "head", "packed_head"),
    )
    return found


def _line(row: dict[str, Any]) -> dict[str, Any]:
    excerpt = prompt_excerpt(head_of(row.pop("head"), row.pop("packed_head")))
    return row | {
        "prompt": excerpt,
        "node": row["node__name"],
        "finished_at": iso_ms(row["finished_ms"]),
        "duration_s": _seconds(row["duration_ms"]),
    }


def _facts(item: Item) -> dict[str, Any]:
    return {
        "index": item.index,
        "state": item.state,
        "node_id": item.node_id,
        "node": item.node.name if item.node else None,
        "engine": item.engine.base_url if item.engine else None,
        "model": item.model,
        "cause": item.cause,
        "error": item.error,
        "starts": item.starts,
        "attempts": item.attempts,
        "interruptions": item.interruptions,
        "losses": item.losses,
        "finished_at": iso_ms(item.finished_ms),
        "started_at": iso_ms(item.finished_ms - item.duration_ms)
        if item.finished_ms is not None and item.duration_ms is not None
        else None,
        "duration_s": _seconds(item.duration_ms),
        "ttft_s": _seconds(item.ttft_ms),
        "prompt_tokens": item.prompt_tokens,
        "completion_tokens": item.completion_tokens,
    }


def _messages(raw: str, system: str | None) -> list[dict[str, str]]:
    return [
        {"role": str(message.get("role", "")), "text": _shown(content_text(message.get("content")))}
        for message in prompt_messages(raw, system)
    ]


def _other_keys(raw: str) -> str:
    """What a row carries besides its prompt, as JSON."""
    row = {
        key: value
        for key, value in json.loads(raw).items()
        if key not in ("instruction", "input", "messages")
    }
    return _shown(json.dumps(row, ensure_ascii=False, indent=2)) if row else ""


def _attempts(item: Item) -> list[dict[str, Any]]:
    rows = item.failed_attempts.order_by("id").values(
        "cause", "error", "model", "ended_ms", "node_id", "node__name"
    )
    return [
        row | {"node": row["node__name"], "at": iso_ms(row["ended_ms"]), "number": number}
        for number, row in enumerate(rows, 1)
    ]


def _pretty(reply: str) -> str:
    try:
        return json.dumps(json.loads(reply), ensure_ascii=False, indent=2) if reply else ""
    except ValueError:
        return reply


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
