"""The OpenAI dialect: what is asked, how a stream becomes a completion, what an error means."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from inference import errors
from inference.dialects.base import Call, Generation, Reply
from inference.dialects.openai import OpenAIDialect

DIALECT = OpenAIDialect()
HELLO = [{"role": "user", "content": "Hello"}]
HEAD = {"id": "chatcmpl-7", "created": 1795000000, "model": "tiny", "system_fingerprint": "b1"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def _chunk(*choices: dict[str, Any], **fields: Any) -> bytes:
    chunk = HEAD | {"object": "chat.completion.chunk", "choices": list(choices)} | fields
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _delta(index: int = 0, *, finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish_reason}


DONE = b"data: [DONE]\n\n"
STREAM = [
    _chunk(_delta(role="assistant", content=None)),
    _chunk(_delta(content="Hi, ")),
    _chunk(_delta(content="灯")),
    _chunk(_delta(finish_reason="stop")),
    _chunk(usage=USAGE, timings={"predicted_n": 3}),
    DONE,
]
WHOLE = HEAD | {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi, 灯"}, "finish_reason": "stop"}],
    "usage": USAGE,
    "timings": {"predicted_n": 3},
}


def _collect(*pieces: bytes, limit: int = 100_000) -> Reply:
    collector = DIALECT.collector(limit)
    for piece in pieces:
        collector.feed(piece)
    return collector.finish()


class TestWhatIsAsked:
    def test_it_asks_for_a_stream_with_usage(self) -> None:
        call = DIALECT.generation(Generation("tiny", HELLO, {"max_tokens": 5, "top_k": 3}, wants_stream=True))
        assert (call.path, call.is_streaming) == ("/v1/chat/completions", True)
        assert orjson.loads(call.body) == {
            "model": "tiny",
            "messages": HELLO,
            "max_tokens": 5,
            "top_k": 3,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def test_it_asks_for_a_plain_answer_too(self) -> None:
        call = DIALECT.generation(Generation("tiny", HELLO))
        assert orjson.loads(call.body) == {"model": "tiny", "messages": HELLO, "stream": False}

    def test_it_does_not_let_sampling_replace_the_request(self) -> None:
        sampling = {
            "model": "x",
            "messages": [],
            "stream": True,
            "stream_options": {},
            "seed": None,
            "num_predict": 4,
        }
        body = orjson.loads(DIALECT.generation(Generation("tiny", HELLO, sampling)).body)
        assert body == {"model": "tiny", "messages": HELLO, "stream": False, "max_tokens": 4}

    def test_it_has_no_older_path(self) -> None:
        assert not DIALECT.lacks_chat(404, b"", Call("/v1/chat/completions", b"", True))


class TestPlainAnswers:
    def test_it_keeps_the_engines_own_text(self) -> None:
        body = orjson.dumps(WHOLE)
        reply = DIALECT.reply(body + b"\n")
        assert reply.json == body.decode()
        assert (reply.text, reply.finish_reason) == ("Hi, 灯", "stop")
        assert (reply.prompt_tokens, reply.completion_tokens) == (9, 3)

    def test_it_collects_events_from_an_engine_that_streams_unasked(self) -> None:
        assert orjson.loads(DIALECT.reply(b"".join(STREAM)).json) == WHOLE

    def test_it_takes_an_empty_answer_for_cut(self) -> None:
        with pytest.raises(errors.StreamCut):
            DIALECT.reply(b" ")

    @pytest.mark.parametrize(
        "body",
        [
            b"<html>",
            b"[]",
            b"{}",
            b'{"choices":[]}',
            b'{"choices":[{"message":{"content":[1]}}]}',
            b'{"choices":',
        ],
    )
    def test_it_takes_another_shape_for_invalid(self, body: bytes) -> None:
        with pytest.raises(errors.InvalidReply):
            DIALECT.reply(body)


class TestStreams:
    @pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 100_000])
    def test_it_gives_the_plain_answer_wherever_the_bytes_are_cut(self, size: int) -> None:
        data = b"".join(STREAM).replace(b"\n\n", b"\r\n\r\n", 2).replace(b"data: [D", b": ping\n\ndata: [D")
        reply = _collect(*(data[start : start + size] for start in range(0, len(data), size)))
        assert orjson.loads(reply.json) == WHOLE
        assert (reply.text, reply.finish_reason, reply.completion_tokens) == ("Hi, 灯", "stop", 3)

    def test_it_tells_the_first_token_and_the_end(self) -> None:
        collector = DIALECT.collector(1000)
        assert [collector.feed(event) for event in STREAM] == [False, True, True, False, False, False]
        assert collector.is_done

    def test_it_needs_no_done_line_after_a_finish_reason(self) -> None:
        assert _collect(*STREAM[:4]).finish_reason == "stop"
        assert _collect(*STREAM[:3], STREAM[3].rstrip()).finish_reason == "stop"

    def test_it_accepts_done_without_a_finish_reason_when_there_is_content(self) -> None:
        assert _collect(*STREAM[:3], DONE).text == "Hi, 灯"

    @pytest.mark.parametrize(
        "events",
        [
            [],
            [DONE],
            STREAM[:1],
            STREAM[:3],
            [STREAM[0], DONE],
            [STREAM[4], DONE],
            [*STREAM[:2], _chunk(_delta(content=""), model="")],
            [*STREAM[:3], STREAM[3][:-20]],
        ],
    )
    def test_it_takes_a_stream_without_its_end_for_cut(self, events: list[bytes]) -> None:
        with pytest.raises(errors.StreamCut):
            _collect(*events)

    def test_it_joins_reasoning_under_the_engines_own_name(self) -> None:
        for name in ("reasoning", "reasoning_content"):
            parts = [_chunk({"index": 0, "delta": {name: text}}) for text in ("so ", "it is")]
            message = orjson.loads(_collect(*parts, *STREAM[1:]).json)["choices"][0]["message"]
            assert message == {"role": "assistant", "content": "Hi, 灯", name: "so it is"}

    def test_it_merges_tool_calls_by_index(self) -> None:
        def part(index: int, arguments: str, **more: Any) -> bytes:
            name = {"name": more.pop("name")} if "name" in more else {}
            call = {"index": index, "function": {"arguments": arguments} | name} | more
            return _chunk(_delta(tool_calls=[call]))

        reply = _collect(
            part(0, "{", id="a", type="function", name="f"),
            part(0, '"x":1}'),
            part(1, "{}", id="b", type="function", name="g"),
            _chunk(_delta(finish_reason="tool_calls")),
        )
        message = orjson.loads(reply.json)["choices"][0]["message"]
        assert message == {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        }
        assert (reply.finish_reason, reply.text) == ("tool_calls", "")

    def test_it_keeps_several_choices_and_log_probabilities_apart(self) -> None:
        def token(text: str) -> dict[str, Any]:
            return {"token": text, "logprob": -0.5}

        events = [
            _chunk(_delta(0, content="a") | {"logprobs": {"content": [token("a")]}}, _delta(1, content="b")),
            _chunk(_delta(1, content="B", finish_reason="length")),
            _chunk(_delta(0, content="A", finish_reason="stop") | {"logprobs": {"content": [token("A")]}}),
        ]
        choices = orjson.loads(_collect(*events).json)["choices"]
        assert [choice["message"]["content"] for choice in choices] == ["aA", "bB"]
        assert [choice["finish_reason"] for choice in choices] == ["stop", "length"]
        assert choices[0]["logprobs"] == {"content": [token("a"), token("A")]}
        with pytest.raises(errors.StreamCut):
            _collect(*events[:2])

    def test_it_accepts_a_json_body_although_a_stream_was_asked_for(self) -> None:
        body = orjson.dumps(WHOLE)
        assert _collect(b"\n", body[:20], body[20:]).json == body.decode()

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (
                {"message": "maximum context length is 8 tokens", "type": "BadRequestError", "code": 400},
                errors.ContextOverflow,
            ),
            ({"message": "bad grammar", "code": 400}, errors.RequestRefused),
            ({"message": "boom", "type": "server_error", "code": 500}, errors.EngineFailure),
            ("boom", errors.EngineFailure),
        ],
    )
    def test_it_raises_an_error_in_the_stream(self, error: Any, kind: type[errors.InferenceError]) -> None:
        with pytest.raises(kind) as raised:
            _collect(STREAM[0], b"data: " + orjson.dumps({"error": error}) + b"\n\n")
        assert type(raised.value) is kind

    @pytest.mark.parametrize(
        "event",
        [
            b"data: nonsense\n\n",
            b"data: []\n\n",
            b'data: {"choices":[1]}\n\n',
            b"<html>",
            b'data: {"choices":5}\n\n',
        ],
    )
    def test_it_refuses_events_of_another_shape(self, event: bytes) -> None:
        with pytest.raises(errors.InvalidReply):
            _collect(event)

    def test_it_passes_over_the_nothing_that_begins_completions_of_several_prompts(self) -> None:
        texts = [
            b'data: {"choices":[{"index":%d,"text":"x","finish_reason":"stop"}]}\n\n' % i for i in (1, 0)
        ]
        reply = _collect(b"data: null\n\n" + b"".join(texts))
        assert [choice["index"] for choice in orjson.loads(reply.json)["choices"]] == [0, 1]

    def test_it_bounds_what_it_keeps_however_it_comes(self) -> None:
        for piece in (_chunk(_delta(content="x" * 300)), b"data: " + b"x" * 300, b"{" + b" " * 300):
            with pytest.raises(errors.ReplyTooLarge):
                _collect(piece, limit=200)


class TestManyEventsAtOnce:
    def test_they_give_what_they_give_one_by_one(self) -> None:
        assert orjson.loads(_collect(b"".join(STREAM)).json) == WHOLE

    def test_the_end_in_their_middle_is_seen_and_what_is_before_it_kept(self) -> None:
        collector = DIALECT.collector(100_000)
        collector.feed(b"".join([*STREAM, _chunk(usage=USAGE)]))
        assert collector.is_done
        assert orjson.loads(collector.finish().json)["choices"] == WHOLE["choices"]

    def test_one_that_is_not_json_among_them_is_said(self) -> None:
        with pytest.raises(errors.InvalidReply, match="not JSON"):
            _collect(STREAM[0] + b"data: {oops\n\n" + STREAM[3])

    def test_one_that_only_looks_like_json_among_others_is_said(self) -> None:
        with pytest.raises(errors.InvalidReply, match="not JSON"):
            _collect(STREAM[0] + b"data: {}, {}\n\n" + STREAM[3])


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "body", "kind", "said"),
        [
            (
                400,
                {"error": {"message": "too long", "type": "exceed_context_size_error", "code": 400}},
                errors.ContextOverflow,
                "too long",
            ),
            (
                400,
                {"error": {"message": "m", "code": "context_length_exceeded"}},
                errors.ContextOverflow,
                "m",
            ),
            (
                400,
                {"object": "error", "message": "This model's maximum context length is 8."},
                errors.ContextOverflow,
                None,
            ),
            (
                400,
                {"error": {"message": "The prompt is longer than the maximum model length of 8"}},
                errors.ContextOverflow,
                None,
            ),
            (
                400,
                {"error": {"message": "'messages' is required"}},
                errors.RequestRefused,
                "'messages' is required",
            ),
            (
                404,
                {"error": {"message": "The model `x` does not exist.", "type": "NotFoundError"}},
                errors.ModelMissing,
                None,
            ),
            (404, {"error": {"message": "no", "code": "model_not_found"}}, errors.ModelMissing, "no"),
            (
                404,
                {"error": {"message": "File Not Found", "type": "not_found_error"}},
                errors.Unreachable,
                "File Not Found",
            ),
            (401, {"error": {"message": "Invalid API Key"}}, errors.EngineRejectsUs, "Invalid API Key"),
            (503, {"error": {"message": "Loading model"}}, errors.EngineBusy, "Loading model"),
            (429, {"error": {"message": "Too many requests"}}, errors.EngineBusy, None),
            (
                422,
                {"detail": "Unexpected fields: {'stream_options'}"},
                errors.RequestRefused,
                "Unexpected fields: {'stream_options'}",
            ),
            (
                422,
                {"detail": [{"loc": ["body"], "msg": "bad"}]},
                errors.RequestRefused,
                '[{"loc":["body"],"msg":"bad"}]',
            ),
            (
                500,
                {"error": {"message": "image input is not supported", "type": "server_error"}},
                errors.NotSupported,
                "image input is not supported",
            ),
            (500, {"error": "CUDA out of memory"}, errors.EngineFailure, "CUDA out of memory"),
            (504, {}, errors.EngineTimeout, None),
            (307, {}, errors.Unreachable, None),
            (204, {}, errors.InvalidReply, None),
        ],
    )
    def test_it_reads_every_shape(
        self, status: int, body: Any, kind: type[errors.InferenceError], said: str | None
    ) -> None:
        error = DIALECT.error(status, orjson.dumps(body))
        assert type(error) is kind
        if said is not None:
            assert error.engine_message == said
            assert said in error.message

    def test_it_reads_plain_text_and_web_pages(self) -> None:
        plain = DIALECT.error(500, b"Internal Server Error\n")
        assert (type(plain), plain.engine_message) == (errors.EngineFailure, "Internal Server Error")
        page = DIALECT.error(
            502, b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
        )
        assert (type(page), page.engine_message) == (errors.Unreachable, "502 Bad Gateway")

    def test_it_keeps_messages_short(self) -> None:
        assert len(DIALECT.error(500, b"x" * 100_000).message) < 700
