"""What an Ollama server answers under /v1: OpenAI's paths, in Ollama's own version of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from agent.simulator.bodies import Body, flag_field, go_body, limit_of, list_field, text_field
from agent.simulator.connection import Exchange, whole
from agent.simulator.embedding import embed, packed, vectors_of
from agent.simulator.engine import Engine, Refusal
from agent.simulator.formats import go_json
from agent.simulator.generation import generate
from agent.simulator.ollama_asks import chat_model, found_model, v1_ask, v1_chat_ask
from agent.simulator.ollama_tables import v1_model
from agent.simulator.ollama_voice import JSON, V1_JSON, V1Voice, go_whole, method_not_allowed
from agent.simulator.reply_text import token_count

_KINDS = {400: "invalid_request_error", 404: "not_found_error"}


class OllamaV1:
    """Answers the paths under /v1."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._posts: dict[str, Callable[[Exchange, Body], Awaitable[None]]] = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/v1/embeddings": self._embed,
        }

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request of any path under /v1."""
        head = exchange.head
        if head.path == "/v1/models" or head.path.startswith("/v1/models/"):
            self._models(exchange)
        elif head.path not in self._posts:
            exchange.write(whole(404, b"404 page not found", "text/plain"))
        elif head.method != "POST":
            exchange.write(method_not_allowed("POST"))
        else:
            await self._post(exchange)

    async def _post(self, exchange: Exchange) -> None:
        has_body = False
        try:
            body = go_body(exchange.body)
            has_body = True
            await self._posts[exchange.head.path](exchange, body)
        except Refusal as refusal:
            # Ollama names the charset where it refuses before it asks its own API, and not after.
            kind = V1_JSON if has_body and refusal.status != 400 else JSON
            exchange.write(go_whole(refusal.status, _error(refusal), kind))

    async def _chat(self, exchange: Exchange, body: Body) -> None:
        messages = list_field(body, "messages", "ChatCompletionRequest", "openai.Message")
        if not messages:
            raise Refusal(400, "[] is too short - 'messages'")
        model = chat_model(self._engine, body, "ChatCompletionRequest")
        ask = v1_chat_ask(self._engine, model, body, messages)
        voice = V1Voice(str(body["model"]), is_chat=True, wants_usage=_wants_usage(body))
        await generate(self._engine, exchange, ask, voice)

    async def _complete(self, exchange: Exchange, body: Body) -> None:
        prompt = text_field(body, "prompt", "CompletionRequest")
        model = chat_model(self._engine, body, "CompletionRequest")
        ask = v1_ask(self._engine, model, body, [prompt], prompt)
        voice = V1Voice(str(body["model"]), is_chat=False, wants_usage=_wants_usage(body))
        await generate(self._engine, exchange, ask, voice)

    async def _embed(self, exchange: Exchange, body: Body) -> None:
        given = body.get("input")
        texts = [given] if isinstance(given, str) else list_field(body, "input", "EmbedRequest", "any")
        if not texts or any(not isinstance(text, str) for text in texts):
            raise Refusal(400, "invalid input")
        model = found_model(self._engine, body, "EmbedRequest")
        inputs = [str(text) for text in texts]
        vectors = vectors_of(inputs, limit_of(body.get("dimensions")))
        count = token_count(inputs)
        is_packed = body.get("encoding_format") == "base64"
        shown = [packed(vector) if is_packed else vector for vector in vectors]
        rows = [{"object": "embedding", "embedding": v, "index": i} for i, v in enumerate(shown)]
        usage = {"prompt_tokens": count, "total_tokens": count}
        answer = go_json({"object": "list", "data": rows, "model": body["model"], "usage": usage})
        await embed(self._engine, exchange, model, inputs, go_whole(200, answer, V1_JSON))

    def _models(self, exchange: Exchange) -> None:
        if exchange.head.method not in {"GET", "HEAD"}:
            exchange.write(method_not_allowed("GET"))
            return
        has_body = exchange.head.method == "GET"
        name = unquote(exchange.head.path.removeprefix("/v1/models").strip("/"))
        residency = self._engine.residency
        if not name:
            rows = [v1_model(self._engine, model, model.name) for model in residency.models.values()]
            text = go_json({"object": "list", "data": rows})
            exchange.write(go_whole(200, text, V1_JSON, has_body=has_body))
            return
        model = residency.find(name)
        if model is not None:
            text = go_json(v1_model(self._engine, model, name))
            exchange.write(go_whole(200, text, V1_JSON, has_body=has_body))
            return
        full = name if ":" in name else f"{name}:latest"
        exchange.write(go_whole(404, _error(Refusal(404, f"model '{full}' not found")), V1_JSON))


def _wants_usage(body: Body) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and flag_field(options, "include_usage", "StreamOptions", default=False)


def _error(refusal: Refusal) -> str:
    kind = _KINDS.get(refusal.status, "api_error")
    return go_json({"error": {"message": refusal.message, "type": kind, "param": None, "code": None}})
