"""Ollama's paths and methods: which of them there are, what answers them, and how it refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.simulator import ollama_tables, ollama_v1
from agent.simulator.bodies import Body, go_body, keep_alive_s, limit_of, list_field, text_field
from agent.simulator.connection import Exchange, date_line, whole
from agent.simulator.embedding import embed, vectors_of
from agent.simulator.engine import Engine, Refusal
from agent.simulator.formats import go_json
from agent.simulator.generation import Ask, generate
from agent.simulator.ollama_asks import chat_ask, found_model, generate_ask
from agent.simulator.ollama_hosts import is_welcome
from agent.simulator.ollama_voice import JSON, NativeVoice, go_whole, method_not_allowed
from agent.simulator.reply_text import token_count
from agent.wire import status_line

TEXT = "text/plain"
_UNKNOWN_EMBEDDER = 'model "{}" not found, try pulling it first'

Answer = Callable[[Exchange], Awaitable[None]]


class Ollama:
    """Answers every path of an Ollama server."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._v1 = ollama_v1.OllamaV1(engine)
        self._posts: dict[str, Answer] = {
            "/api/chat": self._chat,
            "/api/generate": self._generate,
            "/api/show": self._show,
            "/api/embed": self._embed,
            "/api/embeddings": self._embeddings,
        }
        self._gets: dict[str, Callable[[], dict[str, object]]] = {
            "/api/tags": lambda: ollama_tables.tags(engine),
            "/api/ps": lambda: ollama_tables.running(engine),
            "/api/version": lambda: {"version": ollama_tables.VERSION},
        }

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request of any path and method."""
        head = exchange.head
        if not is_welcome(self._engine.options.host, head.headers):
            exchange.write(f"{status_line(403)}\r\n{date_line()}Content-Length: 0\r\n\r\n".encode())
        elif head.path.startswith("/v1/"):
            await self._v1.answer(exchange)
        elif head.path in self._posts:
            await self._post(exchange)
        elif head.path in self._gets or head.path == "/":
            self._get(exchange)
        else:
            exchange.write(whole(404, b"404 page not found", TEXT))

    def _get(self, exchange: Exchange) -> None:
        head = exchange.head
        if head.method not in {"GET", "HEAD"}:
            exchange.write(method_not_allowed("HEAD, GET"))
            return
        has_body = head.method == "GET"
        if head.path == "/":
            exchange.write(whole(200, b"Ollama is running", "text/plain; charset=utf-8", has_body=has_body))
        else:
            exchange.write(go_whole(200, go_json(self._gets[head.path]()), JSON, has_body=has_body))

    async def _post(self, exchange: Exchange) -> None:
        if exchange.head.method != "POST":
            exchange.write(method_not_allowed("POST"))
            return
        try:
            await self._posts[exchange.head.path](exchange)
        except Refusal as refusal:
            exchange.write(go_whole(refusal.status, go_json({"error": refusal.message}), JSON))

    async def _chat(self, exchange: Exchange) -> None:
        if self._engine.options.no_chat is not None:
            exchange.write(_no_chat(self._engine.options.no_chat))
            return
        body = go_body(exchange.body)
        ask = chat_ask(self._engine, body)
        await self._generated(exchange, body, ask, NativeVoice(str(body["model"]), is_chat=True))

    async def _generate(self, exchange: Exchange) -> None:
        body = go_body(exchange.body)
        ask = generate_ask(self._engine, body)
        voice = NativeVoice(str(body["model"]), is_chat=False, has_context=not body.get("raw"))
        await self._generated(exchange, body, ask, voice)

    async def _generated(self, exchange: Exchange, body: Body, ask: Ask | None, voice: NativeVoice) -> None:
        if ask is not None:
            await generate(self._engine, exchange, ask, voice)
            return
        stay = keep_alive_s(body)
        await self._load_or_unload(body, stay)
        exchange.write(voice.note("unload" if stay == 0 else "load"))

    async def _load_or_unload(self, body: Body, stay_s: float | None) -> None:
        residency = self._engine.residency
        model = found_model(self._engine, body, "ChatRequest")
        if stay_s == 0:
            residency.unload(model)
            return
        await self._engine.load(model, stay_s)

    async def _show(self, exchange: Exchange) -> None:
        body = go_body(exchange.body)
        name = text_field(body, "model", "ShowRequest") or text_field(body, "name", "ShowRequest")
        model = self._engine.residency.find(name)
        if not name:
            raise Refusal(400, "model is required")
        if model is None:
            full = name if ":" in name else f"{name}:latest"
            raise Refusal(404, f"model '{full}' not found")
        exchange.write(go_whole(200, go_json(ollama_tables.show(self._engine, model)), JSON))

    async def _embed(self, exchange: Exchange) -> None:
        body = go_body(exchange.body)
        given = body.get("input")
        inputs = [given] if isinstance(given, str) else list_field(body, "input", "EmbedRequest", "any")
        if any(not isinstance(text, str) for text in inputs):
            raise Refusal(400, "invalid input type")
        texts = [str(text) for text in inputs]
        model = found_model(self._engine, body, "EmbedRequest", _UNKNOWN_EMBEDDER)
        answer: dict[str, object] = {"model": body["model"], "embeddings": []}
        if not texts:
            exchange.write(go_whole(200, go_json(answer), JSON))
            return
        answer["embeddings"] = vectors_of(texts, limit_of(body.get("dimensions")))
        answer |= {
            "total_duration": 250_000,
            "load_duration": 50_000,
            "prompt_eval_count": token_count(texts),
        }
        await embed(self._engine, exchange, model, texts, go_whole(200, go_json(answer), JSON))

    async def _embeddings(self, exchange: Exchange) -> None:
        body = go_body(exchange.body)
        prompt = text_field(body, "prompt", "EmbeddingRequest")
        model = found_model(self._engine, body, "EmbeddingRequest", _UNKNOWN_EMBEDDER)
        if not prompt:
            exchange.write(go_whole(200, '{"embedding":[]}', JSON))
            return
        answer = go_json({"embedding": vectors_of([prompt])[0]})
        await embed(self._engine, exchange, model, [prompt], go_whole(200, answer, JSON))


def _no_chat(status: int) -> bytes:
    """How /api/chat answers where it is switched off, as servers without that path do."""
    if status == 404:
        return whole(404, b"404 page not found", TEXT)
    if status == 405:
        return method_not_allowed("GET")
    return go_whole(status, go_json({"error": "not implemented"}), JSON)
