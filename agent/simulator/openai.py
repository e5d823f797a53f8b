"""llama.cpp's server: its paths, what answers them, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from agent.simulator.bodies import Body, limit_of
from agent.simulator.connection import Exchange
from agent.simulator.embedding import embed, vectors_of
from agent.simulator.engine import Engine, Refusal
from agent.simulator.formats import plain_json
from agent.simulator.generation import Ask, generate
from agent.simulator.openai_voice import FINGERPRINT, CompletionVoice, answer
from agent.simulator.reply_text import last_user_text, message_text, token_count
from agent.simulator.residency import Model

INVALID = "invalid_request_error"
_KINDS = {400: INVALID, 404: "not_found_error", 500: "server_error", 503: "unavailable_error"}
_DEFAULT_CTX = 4096

Answer = Callable[[Exchange, Body], Awaitable[None]]


class OpenAI:
    """Answers every path of a llama.cpp server that has loaded the first of the models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._posts: dict[str, Answer] = {
            "/v1/chat/completions": self._chat,
            "/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/v1/embeddings": self._embed,
        }
        self._gets: dict[str, Callable[[], object]] = {
            "/v1/models": self._models,
            "/models": self._models,
            "/props": self._props,
            "/slots": self._slots,
        }

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request of any path and method."""
        head = exchange.head
        try:
            if head.path in {"/health", "/v1/health"} and head.method in {"GET", "HEAD"}:
                self._check_loaded()
                exchange.write(answer(200, '{"status":"ok"}', has_body=head.method == "GET"))
                return
            self._check_key(head.headers.get("authorization", ""))
            if head.path in self._gets and head.method in {"GET", "HEAD"}:
                text = plain_json(self._gets[head.path]())
                exchange.write(answer(200, text, has_body=head.method == "GET"))
            elif head.path in self._posts and head.method == "POST":
                self._check_loaded()
                await self._posts[head.path](exchange, _body(exchange.body))
            else:
                raise Refusal(404, "File Not Found", outer=True)
        except Refusal as refusal:
            exchange.write(answer(refusal.status, _error(refusal)))
            if exchange.is_open:
                exchange.close()

    def _check_loaded(self) -> None:
        if self._engine.is_loading:
            raise Refusal(503, "Loading model", outer=True)

    def _check_key(self, authorization: str) -> None:
        key = self._engine.options.api_key
        if key is not None and authorization != f"Bearer {key}":
            raise Refusal(401, "Invalid API Key", "authentication_error", outer=True)

    async def _chat(self, exchange: Exchange, body: Body) -> None:
        messages = body.get("messages")
        if not isinstance(messages, list):
            raise Refusal(
                400, "'messages' is required" if messages is None else "'messages' must be an array"
            )
        texts = [message_text(message.get("content")) for message in messages if isinstance(message, dict)]
        ask = self._ask(body, texts, last_user_text(messages))
        await generate(self._engine, exchange, ask, self._voice(body, ask, is_chat=True))

    async def _complete(self, exchange: Exchange, body: Body) -> None:
        prompt = body.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1:
            prompt = prompt[0]
        if not isinstance(prompt, str):
            raise Refusal(400, '"prompt" is required' if prompt is None else '"prompt" must be a string')
        ask = self._ask(body, [prompt], prompt)
        await generate(self._engine, exchange, ask, self._voice(body, ask, is_chat=False))

    async def _embed(self, exchange: Exchange, body: Body) -> None:
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or any(not isinstance(text, str) for text in texts):
            raise Refusal(400, '"input" must be a string or an array of strings')
        model = self._model(body)
        count = token_count(texts)
        vectors = vectors_of(texts, limit_of(body.get("dimensions")))
        rows = [{"embedding": v, "index": i, "object": "embedding"} for i, v in enumerate(vectors)]
        usage = {"prompt_tokens": count, "total_tokens": count}
        text = plain_json({"model": self._alias(model), "object": "list", "usage": usage, "data": rows})
        await embed(self._engine, exchange, model, texts, answer(200, text))

    def _ask(self, body: Body, texts: list[str], prompt: str) -> Ask:
        count, ctx = token_count(texts), self._engine.options.ctx
        if ctx is not None and count > ctx:
            message = f"request ({count} tokens) exceeds the available context size ({ctx} tokens), try increasing it"
            raise Refusal(400, message, "exceed_context_size_error", n_prompt_tokens=count, n_ctx=ctx)
        limits = (limit_of(body.get(name)) for name in ("max_completion_tokens", "max_tokens", "n_predict"))
        pieces, finish = self._engine.reply(prompt, next((limit for limit in limits if limit), None))
        return Ask(self._model(body), prompt, count, pieces, finish, body.get("stream") is True)

    def _voice(self, body: Body, ask: Ask, *, is_chat: bool) -> CompletionVoice:
        options = body.get("stream_options")
        wants_usage = isinstance(options, dict) and options.get("include_usage") is True
        return CompletionVoice(self._alias(ask.model), is_chat=is_chat, wants_usage=wants_usage)

    def _model(self, body: Body) -> Model:
        """The model that answers: the one asked for if it is there, else the first, without a word about it."""
        name = body.get("model")
        found = self._engine.residency.find(name) if isinstance(name, str) else None
        return found or next(iter(self._engine.residency.models.values()))

    def _alias(self, model: Model) -> str:
        return model.name.removesuffix(":latest")

    def _models(self) -> object:
        created = int(self._engine.started_at)
        rows = [
            {
                "id": self._alias(model),
                "object": "model",
                "created": created,
                "owned_by": "llamacpp",
                "meta": {
                    "n_ctx_train": self._engine.options.ctx or _DEFAULT_CTX,
                    "n_embd": 64,
                    "n_params": int(model.parameters * 1e9),
                    "size": model.size,
                },
            }
            for model in self._engine.residency.models.values()
        ]
        return {"object": "list", "data": rows}

    def _props(self) -> object:
        self._check_loaded()
        model = next(iter(self._engine.residency.models.values()))
        return {
            "default_generation_settings": {"n_ctx": self._engine.options.ctx or _DEFAULT_CTX},
            "total_slots": self._engine.slots.count,
            "model_alias": self._alias(model),
            "model_path": f"{self._alias(model)}.gguf",
            "build_info": FINGERPRINT,
        }

    def _slots(self) -> object:
        self._check_loaded()
        busy = self._engine.slots.busy
        ctx = self._engine.options.ctx or _DEFAULT_CTX
        return [
            {"id": place, "n_ctx": ctx, "speculative": False, "is_processing": place in busy, "id_task": -1}
            for place in range(self._engine.slots.count)
        ]


def _body(raw: bytes) -> Body:
    try:
        body = json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        message = f"[json.exception.parse_error.101] parse error: {error}"
        raise Refusal(400, message) from None
    if not isinstance(body, dict):
        raise Refusal(400, "the request must be a JSON object")
    return body


def _error(refusal: Refusal) -> str:
    """An error; what is refused before a request is read has its members in another order."""
    detail = dict(refusal.detail)
    kind = refusal.kind or _KINDS.get(refusal.status, "server_error")
    if detail.pop("outer", False):
        return plain_json({"error": {"message": refusal.message, "type": kind, "code": refusal.status}})
    return plain_json({"error": {"code": refusal.status, "message": refusal.message, "type": kind, **detail}})
