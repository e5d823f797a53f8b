"""What an agent says when it joins: read, bounded, and refused by field."""

from __future__ import annotations

from typing import Any

import pytest

from dpl_site.lib.refusals import Refused
from nodes.join_request import MAX_ENGINES, FoundEngine, parse_join

TOLD: dict[str, Any] = {
    "token": "dpj_1",
    "name": None,
    "hostname": "box",
    "machine_id": "8f14e45f-ceea-467f-a8f0-1b1f4b5ad0c1",
    "port": 8001,
    "agent_version": "0.1.0",
    "os": "Linux",
    "engines": [{"base_url": "http://127.0.0.1:11434", "kind": "ollama", "other": 1}],
}


def test_it_reads_the_wire() -> None:
    found = parse_join(TOLD | {"unknown": [1]})
    assert (found.name, found.hostname, found.port) == ("", "box", 8001)
    assert found.engines == (FoundEngine("http://127.0.0.1:11434", "ollama"),)


def test_engines_may_be_missing_and_are_bounded() -> None:
    assert parse_join(TOLD | {"engines": None}).engines == ()
    many = [{"base_url": f"http://127.0.0.1:{port}"} for port in range(1000, 1100)]
    assert len(parse_join(TOLD | {"engines": many}).engines) == MAX_ENGINES
    twice = [{"base_url": "http://127.0.0.1:1", "kind": "ollama"}] * 2
    assert len(parse_join(TOLD | {"engines": twice}).engines) == 1


def test_what_cannot_be_shown_is_cleaned() -> None:
    assert parse_join(TOLD | {"hostname": "a\x00\x1bb"}).hostname == "a  b"


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": None},
        {"token": 7},
        {"token": "x" * 201},
        {"hostname": ""},
        {"hostname": ["box"]},
        {"hostname": "x" * 101},
        {"machine_id": "short"},
        {"machine_id": "with spaces in it"},
        {"machine_id": None},
        {"port": 0},
        {"port": "8001"},
        {"port": True},
        {"port": 65536},
        {"name": 3},
        {"engines": "http://127.0.0.1"},
        {"engines": ["http://127.0.0.1"]},
    ],
    ids=str,
)
def test_nonsense_is_refused_by_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        parse_join(TOLD | wrong)
    assert refused.value.status == 400
    assert refused.value.detail is not None
    assert [*refused.value.detail] == [*wrong]
