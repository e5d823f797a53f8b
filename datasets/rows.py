"""What a row asks for and how it comes back: pure functions on the row's own JSON text."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, count
from typing import Any

# Values are only passed over here, and a float has no limit of digits.
_scan = json.JSONDecoder(parse_int=float).raw_decode
_BLANK = " \t\r\n"
RENAMED = {"model_output": "previous_model_output", "dpl": "previous_dpl"}
"""Keys of a row that an answer needs for itself, and what the row's own come back as; `…_2` and on where taken."""


def prompt_messages(raw: str, system: str | None) -> list[dict[str, Any]]:
    """The chat messages of one row: its `messages`, or `instruction`, a blank line and `input` where it is not empty.

    The system prompt comes first, unless the row has one of its own.
    """
    row = json.loads(raw)
    messages = row.get("messages")
    if messages is None:
        text = row["instruction"]
        extra = row.get("input")
        messages = [{"role": "user", "content": f"{text}\n\n{extra}" if extra else text}]
    if system and not any(message.get("role") == "system" for message in messages):
        return [{"role": "system", "content": system}, *messages]
    return list(messages)


def result_row(
    raw: str, output: str | None, error: tuple[str, str] | None, meta: Mapping[str, Any] | None
) -> str:
    """The row's text with `model_output` at its end; every other byte of it stays.

    `output` is the reply object as JSON text, `error` a message and a code; neither means: not done, null.
    `meta` is added as `dpl`.
    """
    added = {"model_output": _output(output, error)}
    if meta is not None:
        added["dpl"] = _json(meta)
    head = _renamed(raw, added.keys()).rstrip(_BLANK).removesuffix("}")
    tail = ", ".join(f'"{key}": {text}' for key, text in added.items())
    return f"{head}, {tail}}}"


def _output(output: str | None, error: tuple[str, str] | None) -> str:
    if error is not None:
        return _json({"error": error[0], "code": error[1]})
    return output if output is not None else "null"


def _json(value: Any) -> str:
    # An engine's words may hold half a character, which no file could take.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()


def _renamed(raw: str, keys: Collection[str]) -> str:
    """The row's text with those of its own top-level keys renamed that the answer needs; all else as it is."""
    # A key may be spelled with escapes; ours are ASCII, so only these matter.
    if "\\u00" not in raw and not any(key in raw for key in keys):
        return raw
    members = list(_members(raw))
    taken = {key for key, *_ in members}
    renamed = {key: _free_name(RENAMED[key], taken) for key in taken if key in keys}
    text, end = "", 0
    for key, start, key_end, value_end in members:
        spelled = f'"{renamed[key]}"' if key in renamed else raw[start:key_end]
        text += raw[end:start] + spelled + raw[key_end:value_end]
        end = value_end
    return text + raw[end:]


def _free_name(wanted: str, taken: Collection[str]) -> str:
    names = chain([wanted], (f"{wanted}_{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def _members(raw: str) -> Iterator[tuple[str, int, int, int]]:
    """Each top-level member of an object: its key, where that begins and ends, and where the value ends."""
    place = _skip(raw, raw.index("{") + 1)
    while raw[place] != "}":
        start = place
        key, key_end = _scan(raw, start)
        _, end = _scan(raw, _skip(raw, _skip(raw, key_end) + 1))
        yield key, start, key_end, end
        place = _skip(raw, end)
        if raw[place] == ",":
            place = _skip(raw, place + 1)


def _skip(raw: str, place: int) -> int:
    while raw[place] in _BLANK:
        place += 1
    return place
