"""Whatever an agent answers is read as its status, with null for what is wrong, or refused in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nodes.answers import (
    MAX_CORES,
    MAX_ENGINES,
    MAX_GPUS,
    MAX_TEXT,
    NoStatus,
    clean,
    moment,
    parse_lock,
    parse_status,
)
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
    assert len(parsed(cpu={"per_core": [1] * 9999})["cpu"]["per_core"]) == MAX_CORES
    assert len(parsed(engines=[{"base_url": "http://a"}] * 99)["engines"]) == MAX_ENGINES


def test_what_one_core_tells_wrongly_is_unknown_and_the_others_keep_their_places() -> None:
    cpu = parsed(cpu={"per_core": [5, "x", 250, None, 100.5]})["cpu"]
    assert cpu["per_core"] == [5.0, None, None, None, 100.0]
    assert parsed(cpu={"per_core": "busy"})["cpu"]["per_core"] == []


def test_no_reason_to_throttle_is_told_apart_from_not_knowing() -> None:
    told = [{"throttle_reasons": []}, {"throttle_reasons": None}, {"throttle_reasons": "hot"}, {}]
    assert [gpu["throttle_reasons"] for gpu in parsed(gpus=told)["gpus"]] == [[], None, None, None]
    assert parsed(gpus=[{"throttle_reasons": [1, "hw_thermal", ""]}])["gpus"][0]["throttle_reasons"] == [
        "hw_thermal"
    ]


def test_faults_of_a_gpu_that_make_no_sense_are_unknown() -> None:
    gpu = parsed(gpus=[{"ecc_errors": {"corrected": -1, "uncorrected": "3"}, "xid": -5, "health": 7}])[
        "gpus"
    ][0]
    assert gpu["ecc_errors"] == {"corrected": None, "uncorrected": None}
    assert (gpu["xid"], gpu["health"], gpu["mig_devices"]) == (None, None, [])
    assert parsed(gpus=[{"ecc_errors": 4}])["gpus"][0]["ecc_errors"] is None


def test_an_engine_without_an_address_is_no_engine() -> None:
    assert parsed(engines=[{"kind": "ollama"}, {"base_url": "http://a:1", "kind": 5}, "x"])["engines"] == [
        {"base_url": "http://a:1", "kind": None}
    ]


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
