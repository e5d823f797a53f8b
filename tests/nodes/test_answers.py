"""Whatever an agent answers is read as its status, with null for what is wrong, or refused in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nodes.answers import MAX_GPUS, MAX_TEXT, NoStatus, clean, moment, parse_lock, parse_status
from tests.nodes.told import STATUS, lock_told


def parsed(**changes: Any) -> Any:
    return parse_status(json.dumps(STATUS | changes).encode())


def test_it_reads_a_whole_status_as_it_stands() -> None:
    assert parse_status(json.dumps(STATUS).encode()) == STATUS


@pytest.mark.parametrize("wrong", ["hot", True, -1, 1e999, [], {}, None])
def test_a_number_of_the_wrong_kind_is_unknown(wrong: Any) -> None:
    got = parsed(memory={"total_bytes": wrong, "used_bytes": 4, "percent": wrong}, uptime_s=wrong)
    assert got["memory"] == {"total_bytes": None, "used_bytes": 4, "percent": None}
    assert got["uptime_s"] is None


def test_a_percentage_stays_within_its_bounds() -> None:
    assert parsed(memory={"percent": 100.4})["memory"]["percent"] == 100.0
    assert parsed(memory={"percent": 250})["memory"]["percent"] is None


@pytest.mark.parametrize("field", ["cpu", "memory", "disk", "network", "gpus", "filesystems", "models"])
@pytest.mark.parametrize("wrong", [None, 5, "text", [1, "a", None], {"0": 1}])
def test_a_part_of_the_wrong_kind_reads_as_empty(field: str, wrong: Any) -> None:
    got = parsed(**{field: wrong})[field]
    assert isinstance(got, type(STATUS[field]))
    assert not any(got.values()) if isinstance(got, dict) else all(one == "a" for one in got)


def test_a_missing_part_reads_as_unknown() -> None:
    got = parse_status(b'{"agent_version": "1"}')
    assert got["cpu"]["percent"] is None
    assert (got["gpus"], got["models"], got["lock"], got["locked"]) == ([], [], None, False)


def test_texts_lose_what_no_database_holds_and_are_cut() -> None:
    got = parse_status(json.dumps(STATUS | {"hostname": "a\x00b\ud800c\nd", "os": "x" * 9999}).encode())
    assert got["hostname"] == "a b c d"
    assert got["os"] == "x" * MAX_TEXT


def test_lists_are_cut() -> None:
    assert len(parsed(gpus=[{}] * 1000)["gpus"]) == MAX_GPUS


@pytest.mark.parametrize(
    ("body", "looks_like"),
    [
        (b"<!doctype html><p>hello", "a web page"),
        (b"hello", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no object"),
        (b"{}", "without agent_version"),
        (b'{"agent_version": 7}', "without agent_version"),
    ],
)
def test_it_says_what_an_answer_looks_like_that_is_no_status(body: bytes, looks_like: str) -> None:
    with pytest.raises(NoStatus, match=looks_like):
        parse_status(body)


def test_it_reads_a_lock_and_an_agent_cannot_hide_one() -> None:
    assert parse_lock(lock_told(expires_at="2026-11-21T10:00:00Z"))["id"] == "l1"  # type: ignore[index]  # it is one
    assert parsed(locked=False, lock=lock_told())["locked"] is True
    nameless = parse_lock({"id": 5, "owner": None, "expires_at": "soon"})
    assert nameless == {
        "id": "",
        "owner": "the agent",
        "installation": None,
        "reason": "",
        "expires_at": None,
    }
    assert parse_lock(None) is None
    assert parse_lock("yes") is None


def test_instants_are_utc() -> None:
    assert str(moment("2026-11-21T10:00:00+02:00")) == "2026-11-21 08:00:00+00:00"
    assert str(moment("2026-11-21T10:00:00")) == "2026-11-21 10:00:00+00:00"
    assert moment("0001-01-01T00:00:00+14:00") is None
    assert moment("yesterday") is None
    assert moment(None) is None


def test_only_text_is_text() -> None:
    assert clean(5) is None
    assert clean("é") == "é"
