"""Streams whose events are recognised rather than parsed say the same as if each had been parsed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.dialects import openai_stream, repeated_text
from inference.dialects.openai import OpenAIDialect
from inference.dialects.repeated_text import RepeatedText
from inference.errors import InferenceError

DONE = b"data: [DONE]\n\n"
LEARNED = '{"choices": [{"index": 0, "delta": {"content": "one"}, "finish_reason": null}]}'
PIECES = st.text("ab, 你\n\"\\\x00{}:'", max_size=6)


def event(delta: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    choice |= {name: more.pop(name) for name in ("finish_reason", "logprobs", "index") if name in more}
    return b"data: " + orjson.dumps({"id": "a", "choices": [choice], **more}) + b"\n\n"


def written(dumped: str) -> bytes:
    return b"data: " + dumped.encode() + b"\n\n"


def collected(stream: bytes, cuts: list[int]) -> str:
    collector = OpenAIDialect().collector(10_000)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    try:
        for start, end in pairwise(places):
            collector.feed(stream[start:end])
        return collector.finish().json
    except InferenceError as error:
        return repr(error)


def parsed(stream: bytes, cuts: list[int]) -> str:
    with patch.object(repeated_text, "MOST_TRIES", 0):
        return collected(stream, cuts)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Pieces of several texts of one or two choices, with what else an engine may say between them."""
    one = st.builds(
        event,
        st.one_of(
            st.builds(lambda text: {"content": text}, PIECES),
            st.builds(lambda text: {"reasoning_content": text}, PIECES),
            st.builds(lambda text: {"role": "assistant", "content": text}, PIECES),
            st.just({}),
        ),
    )
    special = st.sampled_from(
        [
            event({"content": "x"}, index=1),
            event({"content": "x"}, logprobs={"content": [{"token": "x"}]}),
            event({"content": "x"}, usage={"completion_tokens": 7}),
            event({"content": "x"}, id='say "content":"no" to it'),
            event({"content": 7}),
            b": ping\n\n",
            written(LEARNED),
            b"data: null\n\n",
        ]
    )
    events = draw(st.lists(st.one_of(one, one, one, special), max_size=14))
    return b"".join([*events, event({}, finish_reason="stop"), DONE])


@given(streams(), st.lists(st.integers(0, 10_000), max_size=6))
def test_the_answer_is_the_same_however_it_is_cut(stream: bytes, cuts: list[int]) -> None:
    assert collected(stream, cuts) == parsed(stream, cuts)


def test_most_events_of_a_plain_stream_are_not_parsed() -> None:
    stream = b"".join(event({"content": f"word{number} "}) for number in range(200))
    seen: list[bytes] = []
    loads = orjson.loads

    class Watched:
        JSONDecodeError = orjson.JSONDecodeError
        dumps = staticmethod(orjson.dumps)

        @staticmethod
        def loads(data: bytes) -> Any:
            seen.append(data)
            return loads(data)

    with patch.object(openai_stream, "orjson", Watched):
        whole = orjson.loads(collected(stream + event({}, finish_reason="stop") + DONE, [500, 1000]))
    assert whole["choices"][0]["message"]["content"] == "".join(f"word{number} " for number in range(200))
    assert sum(map(len, seen)) < len(stream) / 10


@pytest.mark.parametrize(
    "dumped",
    [
        LEARNED.replace('"one"', r'"o\u006ee"'),
        LEARNED.replace('"index": 0', '"index": 1'),
        LEARNED.replace("null", '"stop"'),
        LEARNED.replace('{"content"', '{"role": "assistant", "content"'),
        LEARNED[:-1] + ', "usage": null}',
        LEARNED[:-1] + ', "other": {"content": "one"}}',
    ],
    ids=["escaped", "second choice", "the end", "a role", "usage", "another key of this name"],
)
def test_it_learns_only_from_an_event_that_is_a_piece_of_text(dumped: str) -> None:
    pattern = RepeatedText()
    assert pattern.learn(LEARNED.encode(), orjson.loads(LEARNED)) == "content"
    assert pattern.cut(written(LEARNED) * 2) == ("oneone", b"")
    pattern = RepeatedText()
    assert pattern.learn(dumped.encode(), orjson.loads(dumped)) == ""
    assert pattern.cut(written(dumped) * 2) is None


@pytest.mark.parametrize("piece", [rb"a\n", b'a","b":"', b"\xff", b"\x00", b"\xe4\xbd"])
def test_it_leaves_what_is_not_plain_to_the_parser(piece: bytes) -> None:
    pattern = RepeatedText()
    pattern.learn(LEARNED.encode(), orjson.loads(LEARNED))
    assert pattern.cut(written(LEARNED).replace(b"one", piece)) is None


def test_it_gives_up_on_engines_that_number_their_events() -> None:
    pattern = RepeatedText()
    for number in range(repeated_text.MOST_TRIES):
        assert pattern.is_learning
        pattern.learn(b"[%d]" % number, [number])
    assert not pattern.is_learning
