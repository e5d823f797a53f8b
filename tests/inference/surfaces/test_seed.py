"""Seed 1's chat: what it asks of engines, and how it names the node."""

from __future__ import annotations

import json
from typing import Any

from inference.surfaces.base import Answering
from inference.surfaces.seed import SeedChat
from tests.inference.surfaces.test_openai import HELLO

SURFACE = SeedChat()
NODE = Answering(3, "fast", lambda: ("model resident",))


def raw(**body: Any) -> bytes:
    return json.dumps({"messages": HELLO} | body).encode()


def test_it_streams_unless_it_is_told_not_to() -> None:
    for body, wants in ((raw(), True), (raw(stream=True), True), (raw(stream=False), False)):
        asked = SURFACE.read(body)
        assert asked.wants_stream is wants
        assert json.loads(SURFACE.own_call(asked, "m", wants_stream=wants).body)["stream"] is wants


def test_a_plain_answer_is_asked_for_as_openais() -> None:
    call = SURFACE.own_call(SURFACE.read(raw(stream=False)), "m", wants_stream=True)
    assert json.loads(call.body)["stream_options"] == {"include_usage": True}


def test_the_node_is_an_event_before_the_chunks() -> None:
    name, data = SURFACE.opening(NODE).decode().strip().split("\n")
    assert name == "event: node"
    assert json.loads(data.removeprefix("data: ")) == {"id": 3, "name": "fast", "reasons": ["model resident"]}


def test_and_a_field_of_a_plain_answer() -> None:
    told = json.loads(SURFACE.named(b'{"id":"c","choices":[]}', NODE))
    assert told == {"id": "c", "choices": [], "node": {"id": 3, "name": "fast"}}


def test_a_late_error_has_the_shape_of_this_paths_errors() -> None:
    data = SURFACE.late_error("It broke.", "stream_cut", 502).decode().lstrip().removeprefix("data: ")
    assert json.loads(data) == {"error": {"message": "It broke.", "code": "stream_cut"}}
