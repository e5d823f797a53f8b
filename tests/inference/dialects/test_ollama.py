"""The Ollama dialect: what is asked, and what an answer, a stream or an error means."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from inference import errors
from inference.dialects.base import Call, Collector, Generation
from inference.dialects.ollama import OllamaDialect

DIALECT = OllamaDialect()
HELLO = [{"role": "user", "content": "Hello"}]
STATS = {
    "total_duration": 900_000_000,
    "load_duration": 200_000_000,
    "prompt_eval_count": 11,
    "prompt_eval_duration": 34_600_000,
    "eval_count": 5,
    "eval_duration": 600_000_000,
}
REPLY = {
    "model": "qwen:4b",
    "created_at": "2026-11-21T09:00:00.5Z",
    "message": {"role": "assistant", "content": "Hi, 灯"},
    "done": True,
    "done_reason": "stop",
    **STATS,
}


def _body(
    messages: list[dict[str, Any]] | None = None, *, older: bool = False, **sampling: Any
) -> dict[str, Any]:
    call = DIALECT.generation(Generation("qwen:4b", messages or HELLO, sampling), chat_path_missing=older)
    body: dict[str, Any] = orjson.loads(call.body)
    return body


class TestWhatIsAsked:
    def test_it_asks_for_a_plain_answer_by_default(self) -> None:
        call = DIALECT.generation(Generation("qwen:4b", HELLO))
        assert (call.path, call.is_streaming) == ("/api/chat", False)
        assert orjson.loads(call.body) == {"model": "qwen:4b", "stream": False, "messages": HELLO}

    def test_it_asks_for_a_stream_when_wanted(self) -> None:
        call = DIALECT.generation(Generation("qwen:4b", HELLO, wants_stream=True))
        assert call.is_streaming
        assert orjson.loads(call.body)["stream"] is True

    def test_it_puts_sampling_into_options_under_ollamas_names(self) -> None:
        same: dict[str, Any] = {
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 20,
            "min_p": 0.1,
            "seed": 7,
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "repeat_penalty": 1.1,
            "num_ctx": 4096,
        }
        body = _body(max_tokens=64, stop="END", **same)
        assert body["options"] == same | {"num_predict": 64, "stop": ["END"]}

    def test_it_takes_nested_options_and_leaves_out_nulls(self) -> None:
        body = _body(options={"num_ctx": 2048}, temperature=None, max_completion_tokens=9)
        assert body["options"] == {"num_ctx": 2048, "num_predict": 9}

    def test_it_keeps_ollamas_own_fields_beside_options(self) -> None:
        fields: dict[str, Any] = {
            "think": True,
            "keep_alive": "5m",
            "format": "json",
            "tools": [{"type": "function"}],
        }
        body = _body(**fields)
        assert {name: body[name] for name in fields} == fields
        assert "options" not in body

    def test_it_does_not_let_sampling_replace_the_request(self) -> None:
        body = _body(model="other", messages=[], stream=True, stream_options={})
        assert (body["model"], body["messages"], body["stream"]) == ("qwen:4b", HELLO, False)
        assert "options" not in body

    @pytest.mark.parametrize(
        ("response_format", "expected"),
        [
            ({"type": "json_object"}, "json"),
            (
                {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
                {"type": "object"},
            ),
            ({"type": "text"}, None),
        ],
    )
    def test_it_says_response_format_as_format(self, response_format: Any, expected: Any) -> None:
        assert _body(response_format=response_format).get("format") == expected

    def test_it_says_reasoning_effort_as_think(self) -> None:
        assert _body(reasoning_effort="low")["think"] == "low"
        assert _body(reasoning_effort="none")["think"] is False

    def test_it_joins_text_parts_and_takes_pictures_out(self) -> None:
        parts = [
            {"type": "text", "text": "What is"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "text", "text": "this?"},
        ]
        body = _body([{"role": "user", "content": parts}])
        assert body["messages"] == [{"role": "user", "content": "What is\nthis?", "images": ["AAAA"]}]

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "image_url", "image_url": {"url": "http://elsewhere/cat.png"}},
            {"type": "input_audio", "input_audio": {}},
            "text",
        ],
    )
    def test_it_refuses_parts_that_ollama_cannot_take(self, part: Any) -> None:
        with pytest.raises(errors.RequestRefused):
            _body([{"role": "user", "content": [part]}])

    def test_it_opens_the_arguments_of_tool_calls(self) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
        body = _body([{"role": "assistant", "content": None, "tool_calls": [call]}])
        assert body["messages"][0]["content"] == ""
        assert body["messages"][0]["tool_calls"][0]["function"] == {"name": "f", "arguments": {"x": 1}}

    def test_it_refuses_what_json_cannot_hold(self) -> None:
        with pytest.raises(errors.RequestRefused):
            _body([{"role": "user", "content": "\ud800"}])


class TestTheOlderPath:
    def test_it_sends_a_single_message_as_the_prompt_as_it_stands(self) -> None:
        call = DIALECT.generation(Generation("qwen:4b", HELLO), chat_path_missing=True)
        assert call.path == "/api/generate"
        assert orjson.loads(call.body) == {"model": "qwen:4b", "stream": False, "prompt": "Hello"}

    def test_it_sends_the_system_message_apart(self) -> None:
        body = _body([{"role": "system", "content": "Be brief."}, *HELLO], older=True, max_tokens=5)
        assert (body["system"], body["prompt"], body["options"]) == ("Be brief.", "Hello", {"num_predict": 5})

    def test_it_writes_a_conversation_as_a_script(self) -> None:
        turns = [*HELLO, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Why?"}]
        assert (
            _body(turns, older=True)["prompt"] == "User: Hello\n\nAssistant: Hi\n\nUser: Why?\n\nAssistant:"
        )

    def test_it_refuses_tools_there(self) -> None:
        with pytest.raises(errors.RequestRefused):
            _body(older=True, tools=[{"type": "function"}])

    def test_it_gives_the_answer_in_the_shape_of_chat_without_the_context(self) -> None:
        said = {
            "model": "qwen:4b",
            "response": "Hi",
            "thinking": "hm",
            "done": True,
            "context": [1, 2],
            **STATS,
        }
        reply = DIALECT.reply(orjson.dumps(said))
        message = {"role": "assistant", "content": "Hi", "thinking": "hm"}
        assert orjson.loads(reply.json) == {"model": "qwen:4b", "message": message, "done": True, **STATS}
        assert (reply.text, reply.completion_tokens) == ("Hi", 5)

    @pytest.mark.parametrize(
        ("status", "body", "path", "lacks"),
        [
            (404, b"404 page not found", "/api/chat", True),
            (404, b"", "/api/chat", True),
            (405, b"405 method not allowed", "/api/chat", True),
            (501, b'{"error":"not implemented"}', "/api/chat", True),
            (404, b'{"error":"model \'qwen:4b\' not found"}', "/api/chat", False),
            (404, b"404 page not found", "/api/generate", False),
            (400, b"", "/api/chat", False),
            (500, b"", "/api/chat", False),
        ],
    )
    def test_it_knows_a_missing_chat_path_from_a_missing_model(
        self, status: int, body: bytes, path: str, lacks: bool
    ) -> None:
        assert DIALECT.lacks_chat(status, body, Call(path, b"{}", False)) is lacks


class TestPlainAnswers:
    def test_it_keeps_the_engines_own_text(self) -> None:
        body = b'{"model":"m", "message":{"role":"assistant","content":"\\u003cb\\u003e"},"done":true,"eval_count":2}'
        reply = DIALECT.reply(body + b"\n")
        assert reply.json == body.decode()
        assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("<b>", None, 2)

    def test_it_reads_usage_and_times(self) -> None:
        reply = DIALECT.reply(orjson.dumps(REPLY))
        assert (reply.text, reply.finish_reason) == ("Hi, 灯", "stop")
        assert (reply.prompt_tokens, reply.completion_tokens, reply.ttft_ms) == (11, 5, 235)

    def test_it_writes_a_reply_over_several_lines_as_one(self) -> None:
        reply = DIALECT.reply(orjson.dumps(REPLY, option=orjson.OPT_INDENT_2))
        assert "\n" not in reply.json
        assert orjson.loads(reply.json) == REPLY

    @pytest.mark.parametrize(
        ("done_reason", "tool_calls", "expected"),
        [
            ("stop", None, "stop"),
            ("length", None, "length"),
            (None, None, "stop"),
            ("stop", [{}], "tool_calls"),
        ],
    )
    def test_it_says_the_end_in_openais_words(self, done_reason: Any, tool_calls: Any, expected: str) -> None:
        message = {"role": "assistant", "content": "", "tool_calls": tool_calls}
        said = REPLY | {"message": message, "done_reason": done_reason}
        assert DIALECT.reply(orjson.dumps(said)).finish_reason == expected

    @pytest.mark.parametrize("body", [b"", b"  \n", orjson.dumps(REPLY | {"done": False}), b'{"message":{}}'])
    def test_it_takes_an_answer_without_its_end_for_cut(self, body: bytes) -> None:
        with pytest.raises(errors.StreamCut):
            DIALECT.reply(body)

    @pytest.mark.parametrize(
        "body",
        [
            *(b"<html>", b"[]", b"null", b'{"done":true}'),
            *(b'{"done":true,"message":"x"}', b'{"done":true,"message":{"content":1}}'),
        ],
    )
    def test_it_takes_another_shape_for_invalid(self, body: bytes) -> None:
        with pytest.raises(errors.InvalidReply):
            DIALECT.reply(body)

    def test_it_raises_an_error_that_hides_in_a_good_status(self) -> None:
        with pytest.raises(errors.EngineFailure, match="runner"):
            DIALECT.reply(b'{"error":"the runner is gone"}')

    def test_it_collects_lines_from_an_engine_that_streams_unasked(self) -> None:
        assert DIALECT.reply(_lines()).text == "Hi, 灯"


class TestStreams:
    def test_it_gives_the_plain_answer_wherever_the_bytes_are_cut(self) -> None:
        whole = DIALECT.reply(orjson.dumps(REPLY))
        data = _lines()
        for size in (1, 2, 3, 7, len(data)):
            reply = _collect([data[start : start + size] for start in range(0, len(data), size)])
            assert orjson.loads(reply.json) == orjson.loads(whole.json)
            assert (reply.text, reply.ttft_ms) == (whole.text, whole.ttft_ms)

    def test_it_tells_the_first_token(self) -> None:
        collector = DIALECT.collector(1000)
        held = [collector.feed(line + b"\n") for line in _lines().splitlines()]
        assert held == [True, True, False]
        assert collector.is_done

    def test_it_joins_thinking_and_tool_calls(self) -> None:
        call = {"id": "c1", "function": {"index": 0, "name": "f", "arguments": {}}}
        reply = _collect(
            [
                _line(message={"role": "assistant", "content": "", "thinking": "so "}, done=False),
                _line(message={"role": "assistant", "content": "", "thinking": "it is"}, done=False),
                _line(message={"role": "assistant", "content": "", "tool_calls": [call]}, done=False),
                _line(message={"role": "assistant", "content": ""}, done=True, done_reason="stop"),
            ]
        )
        message = orjson.loads(reply.json)["message"]
        assert (message["thinking"], message["tool_calls"], reply.finish_reason) == (
            "so it is",
            [call],
            "tool_calls",
        )

    def test_it_collects_the_older_path_too(self) -> None:
        reply = _collect(
            [
                _line(response="Hi", done=False),
                _line(response=" you", done=False),
                _line(response="", done=True, context=[1], eval_count=2),
            ]
        )
        assert orjson.loads(reply.json) == {
            "message": {"role": "assistant", "content": "Hi you"},
            "done": True,
            "eval_count": 2,
        }

    def test_it_takes_a_last_line_without_its_end(self) -> None:
        assert _collect([_lines().rstrip()]).text == "Hi, 灯"

    @pytest.mark.parametrize("keep", [0, 1, 2])
    def test_it_takes_a_stream_without_done_for_cut(self, keep: int) -> None:
        lines = _lines().splitlines(keepends=True)
        with pytest.raises(errors.StreamCut):
            _collect(lines[:keep])
        with pytest.raises(errors.StreamCut):
            _collect([*lines[:keep], lines[keep][:-3]])

    def test_it_raises_the_error_in_the_last_line(self) -> None:
        with pytest.raises(errors.EngineFailure, match="unexpected EOF"):
            _collect([_lines().splitlines(keepends=True)[0], b'{"error":"model died: unexpected EOF"}\n'])

    def test_it_refuses_lines_that_are_not_json(self) -> None:
        with pytest.raises(errors.InvalidReply):
            _collect([b"event: no\n"])

    def test_it_bounds_what_it_keeps(self) -> None:
        collector = DIALECT.collector(50)
        chunk = _line(message={"content": "x" * 20}, done=False)
        collector.feed(chunk * 2)
        with pytest.raises(errors.ReplyTooLarge):
            collector.feed(chunk)
        with pytest.raises(errors.ReplyTooLarge):
            DIALECT.collector(50).feed(b"x" * 51)


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (404, {"error": "model 'qwen:4b' not found"}, errors.ModelMissing),
            (404, {"error": 'model "qwen:4b" not found, try pulling it first'}, errors.ModelMissing),
            (
                503,
                {"error": "server busy, please try again.  maximum pending requests exceeded"},
                errors.EngineBusy,
            ),
            (429, {"error": "slow down"}, errors.EngineBusy),
            (401, {"error": "unauthorized"}, errors.EngineRejectsUs),
            (400, {"error": '"qwen:4b" does not support thinking'}, errors.RequestRefused),
            (400, {"error": "library/qwen:4b does not support tools"}, errors.RequestRefused),
            (400, {"error": '"bge" does not support chat'}, errors.RequestRefused),
            (500, {"error": 'option "temperature" must be of type float32'}, errors.RequestRefused),
            (
                500,
                {"error": "an error was encountered while running the model: unexpected EOF"},
                errors.EngineFailure,
            ),
            (500, {"error": "llama-server process has terminated: exit status 2"}, errors.EngineFailure),
            (499, {"error": "request canceled"}, errors.EngineFailure),
        ],
    )
    def test_it_knows_what_a_status_means(
        self, status: int, body: Any, kind: type[errors.InferenceError]
    ) -> None:
        error = DIALECT.error(status, orjson.dumps(body))
        assert type(error) is kind
        assert error.engine_message == body["error"]
        assert body["error"] in error.message

    @pytest.mark.parametrize(
        ("message", "word", "kind"),
        [
            ("request (900 tokens) exceeds it", "exceed_context_size_error", errors.ContextOverflow),
            ("prompt exceeds the available context size (512 tokens)", "other", errors.ContextOverflow),
            ("model does not support multimodal requests", "invalid_request_error", errors.RequestRefused),
        ],
    )
    def test_it_opens_an_error_that_is_json_within_a_text(
        self, message: str, word: str, kind: type[errors.InferenceError]
    ) -> None:
        inner = {"error": {"code": 400, "message": message, "type": word}}
        error = DIALECT.error(400, orjson.dumps({"error": orjson.dumps(inner).decode()}))
        assert type(error) is kind
        assert error.engine_message == message

    def test_it_explains_a_silent_403(self) -> None:
        error = DIALECT.error(403, b"")
        assert isinstance(error, errors.EngineRejectsUs)
        assert "OLLAMA_ORIGINS" in error.message


def _line(**fields: Any) -> bytes:
    return orjson.dumps(fields) + b"\n"


def _lines() -> bytes:
    head = {"model": "qwen:4b", "created_at": "2026-11-21T09:00:00.1Z", "done": False}
    texts = [head | {"message": {"role": "assistant", "content": text}} for text in ("Hi, ", "灯")]
    last = REPLY | {"message": {"role": "assistant", "content": ""}}
    return b"".join(orjson.dumps(chunk) + b"\n" for chunk in (*texts, last))


def _collect(pieces: list[bytes]) -> Any:
    collector: Collector = DIALECT.collector(100_000)
    for piece in pieces:
        collector.feed(piece)
    return collector.finish()
