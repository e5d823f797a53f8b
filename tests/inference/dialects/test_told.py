"""The tokens that a whole answer tells."""

from __future__ import annotations

import json

import pytest

from inference.dialects.deltas import Usage
from inference.dialects.told import usage_in


@pytest.mark.parametrize(
    "usage",
    [
        {"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}},
        {"done": True, "prompt_eval_count": 7, "eval_count": 3, "eval_duration": 99},
    ],
)
def test_it_reads_the_usage_of_either_dialect(usage: dict[str, object]) -> None:
    body = json.dumps({"choices": [{"message": {"content": "x" * 100_000}}]} | usage).encode()
    assert usage_in(body) == Usage(7, 3)


def test_words_of_the_answer_itself_are_no_usage() -> None:
    text = '"prompt_tokens": 5, "eval_count": 6'
    body = json.dumps({"message": {"content": text}, "prompt_eval_count": 1, "eval_count": 2}).encode()
    assert usage_in(body) == Usage(1, 2)
    assert usage_in(json.dumps({"message": {"content": text}}).encode()) == Usage(None, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"prompt_tokens": 1.5e999999999999999999}'])
def test_what_tells_nothing_is_unknown(body: bytes) -> None:
    assert usage_in(body).completion_tokens is None
