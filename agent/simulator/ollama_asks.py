"""How requests of Ollama's dialect become an Ask, and which of them Ollama refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.simulator.abilities import THOUGHTS, ToolCall, calls_of
from agent.simulator.bodies import (
    Body,
    checked_options,
    flag_field,
    go_kind,
    keep_alive_s,
    limit_of,
    list_field,
    text_field,
)
from agent.simulator.engine import Engine, Refusal
from agent.simulator.formats import go_json
from agent.simulator.generation import Ask
from agent.simulator.reply_text import last_user_text, message_text, token_count
from agent.simulator.residency import Model

_THINK = {"high", "medium", "low", "max"}
_V1_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "max_tokens")


def chat_ask(engine: Engine, body: Body) -> Ask | None:
    """What a chat request wants; None for one without messages, which only loads or unloads the model."""
    model = chat_model(engine, body, "ChatRequest")
    messages = list_field(body, "messages", "ChatRequest", "api.Message")
    texts = [message_text(message.get("content")) for message in messages if isinstance(message, dict)]
    calls = _calls(model, body, messages)
    if any(isinstance(message, dict) and message.get("images") for message in messages):
        raise Refusal(400, _no_images())
    if not messages:
        return None
    return _calling(_ask(engine, body, model, texts, last_user_text(messages)), calls)


def generate_ask(engine: Engine, body: Body) -> Ask | None:
    """What a generate request wants; None for one without a prompt, which only loads or unloads the model."""
    model = chat_model(engine, body, "GenerateRequest")
    prompt = text_field(body, "prompt", "GenerateRequest")
    if body.get("images"):
        raise Refusal(400, _no_images())
    system = text_field(body, "system", "GenerateRequest")
    texts = [prompt, *([system] if system else [])]
    return _ask(engine, body, model, texts, prompt) if prompt else None


def v1_chat_ask(engine: Engine, model: Model, body: Body, messages: Sequence[object]) -> Ask:
    """What a chat at Ollama's /v1 wants."""
    calls = _calls(model, body, messages)
    spoken = [message for message in messages if isinstance(message, dict)]
    parts = [part for message in spoken for part in _parts(message.get("content"))]
    if any(part.get("type") == "image_url" for part in parts):
        raise Refusal(400, _no_images())
    effort = body.get("reasoning_effort")
    _check_think(body, model, None if effort == "none" else effort)
    texts = [message_text(message.get("content")) for message in spoken]
    ask = v1_ask(engine, model, body, texts, last_user_text(messages))
    return _calling(ask if effort == "none" else replace(ask, thoughts=_thoughts(model)), calls, "tool_calls")


def v1_ask(engine: Engine, model: Model, body: Body, texts: Sequence[str], prompt: str) -> Ask:
    """What a request to Ollama's /v1 wants."""
    _check_numbers(body)
    limit = limit_of(body.get("max_completion_tokens")) or limit_of(body.get("max_tokens"))
    pieces, finish = engine.reply(prompt, limit)
    is_stream = flag_field(body, "stream", "ChatCompletionRequest", default=False)
    return Ask(model, prompt, _prompt_tokens(engine, body, texts), pieces, finish, is_stream)


def found_model(engine: Engine, body: Body, struct: str, not_found: str = "model '{}' not found") -> Model:
    """The model a request names; Refusal 400 without a name, 404 when there is none of that name."""
    name = text_field(body, "model", struct) or text_field(body, "name", struct)
    if not name:
        raise Refusal(400, "model is required")
    model = engine.residency.find(name)
    if model is None:
        raise Refusal(404, not_found.format(name))
    return model


def chat_model(engine: Engine, body: Body, struct: str) -> Model:
    """The model a request to generate names, if it can."""
    model = found_model(engine, body, struct)
    if model.is_embedder:
        verb = "chat" if struct.startswith("Chat") else "generate"
        raise Refusal(400, f'"{body.get("model")}" does not support {verb}')
    return model


def _ask(engine: Engine, body: Body, model: Model, texts: Sequence[str], prompt: str) -> Ask:
    _check_think(body, model, body.get("think"))
    _check_format(body)
    options = checked_options(body)
    pieces, finish = engine.reply(prompt, limit_of(options.get("num_predict")))
    return Ask(
        model=model,
        prompt=prompt,
        prompt_tokens=_prompt_tokens(engine, body, texts),
        pieces=pieces,
        finish_reason=finish,
        is_stream=flag_field(body, "stream", "ChatRequest", default=True),
        keep_alive_s=keep_alive_s(body),
        thoughts=() if body.get("think") is False else _thoughts(model),
    )


def _thoughts(model: Model) -> Sequence[str]:
    """A model that thinks does so unless it is told not to."""
    return THOUGHTS if model.thinks else ()


def _calls(model: Model, body: Body, messages: Sequence[object]) -> tuple[ToolCall, ...]:
    tools = body.get("tools")
    if tools and not model.calls_tools:
        raise Refusal(400, f"registry.ollama.ai/library/{model.name} does not support tools")
    return calls_of(tools, messages) if isinstance(tools, list) else ()


def _calling(ask: Ask, calls: tuple[ToolCall, ...], finish_reason: str = "stop") -> Ask:
    """An answer that calls tools says nothing else."""
    return replace(ask, pieces=(), finish_reason=finish_reason, calls=calls) if calls else ask


def _parts(content: object) -> list[dict[str, object]]:
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _prompt_tokens(engine: Engine, body: Body, texts: Sequence[str]) -> int:
    """How long the prompt is; one that does not fit is cut silently unless the request forbids it."""
    count, ctx = token_count(texts), engine.options.ctx
    if ctx is None or count <= ctx:
        return count
    if body.get("truncate") is False:
        message = (
            f"request ({count} tokens) exceeds the available context size ({ctx} tokens), try increasing it"
        )
        raise Refusal(400, _inner(message, "exceed_context_size_error", n_prompt_tokens=count, n_ctx=ctx))
    return ctx // 2


def _check_numbers(body: Body) -> None:
    for name in _V1_NUMBERS:
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            field = f"ChatCompletionRequest.{name}"
            raise Refusal(400, f"json: cannot unmarshal {go_kind(value)} into Go struct field {field}")


def _check_think(body: Body, model: Model, think: object) -> None:
    if isinstance(think, str) and think not in _THINK:
        allowed = '"high", "medium", "low", "max", true, or false'
        raise Refusal(400, f'invalid think value: "{think}" (must be {allowed})')
    if think and not model.thinks:
        raise Refusal(400, f'"{body.get("model")}" does not support thinking')


def _check_format(body: Body) -> None:
    wanted = body.get("format")
    if not (wanted is None or wanted in ("", "json") or isinstance(wanted, dict)):
        written = go_json(go_json(wanted))
        raise Refusal(500, f'invalid format: {written}; expected "json" or a valid JSON Schema object')


def _no_images() -> str:
    message = "Multimodal data provided, but model does not support multimodal requests."
    return _inner(message, "invalid_request_error")


def _inner(message: str, kind: str, **more: object) -> str:
    """The error of the llama.cpp inside, which Ollama passes on as a string."""
    return go_json({"error": {"code": 400, "message": message, "type": kind, **more}})
