"""The messages of the chat page's answers."""

from __future__ import annotations

import json

from inference.dialects.deltas import Delta, Usage
from inference.surfaces.base import Answering
from inference.surfaces.page import PageChat, PageWriter


def test_tokens_that_no_engine_told_are_unknown() -> None:
    writer = PageWriter("q")
    writer.piece(Delta(text="a"))
    assert json.loads(writer.end())["usage"] is None


def test_tokens_that_were_told_are_told_on() -> None:
    writer = PageWriter("q")
    writer.piece(Delta(usage=Usage(3, 4)))
    assert json.loads(writer.end())["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
    }


def test_the_node_is_named_with_its_own_name_of_the_model() -> None:
    opening = PageChat("q").opening(Answering(3, "fast", lambda: ("model resident",), "llama3:8b"))
    assert json.loads(opening) == {
        "type": "node",
        "id": "q",
        "node": {"id": 3, "name": "fast"},
        "model": "llama3:8b",
        "reasons": ["model resident"],
    }
