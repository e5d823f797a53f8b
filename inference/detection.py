"""Which kind of engine answers at an address, and what it has: found by asking it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

from dpl_site.lib import http
from dpl_site.lib.addresses import check_address
from inference import readings
from inference.dialects.base import Call
from inference.dialects.faults import read_error
from inference.dialects.ollama import CHAT as OLLAMA_CHAT
from inference.dialects.ollama import FORBIDDEN, OllamaDialect
from inference.dialects.openai import CHAT as OPENAI_CHAT
from inference.errors import EngineBusy, EngineRejectsUs, NodeFault, Unreachable
from inference.llm_url import Pasted, parse_llm_url
from inference.readings import EngineReading, ModelSeen
from inference.upstream import headers_for

__all__ = ["EngineReading", "ModelSeen", "NotAnEngine", "detect", "read_engine"]

_EXPECTED = "expected Ollama or an OpenAI-compatible server"


class NotAnEngine(NodeFault):
    """Something answers at the address, but it is no engine."""

    code = "not_an_engine"


async def detect(
    session: aiohttp.ClientSession, pasted_url: str, api_key: str = "", *, timeout_s: float = 3.0
) -> EngineReading:
    """Ask what stands at an address that somebody pasted, in all dialects at once; Ollama wins where both answer.

    Raises LlmUrlError and AddressError for addresses that are not asked at all, NotAnEngine for what answers
    otherwise, and another NodeFault (Unreachable, EngineBusy, EngineRejectsUs) for what does not answer.
    """
    pasted = parse_llm_url(pasted_url)
    check_address(pasted.base_url)
    asker = _Asker(session, pasted.base_url, headers_for(api_key), timeout_s)
    paths = ("/api/version", "/api/tags", "/api/ps", "/v1/models", "/props", "/version")
    heard = await asker.get_all(paths)
    if not heard.answers:
        raise next(iter(heard.faults.values()))
    if _is_ollama(heard):
        return await _ollama(asker, heard, pasted)
    found = _openai(pasted.base_url, heard)
    if found is None and heard.status("/v1/models") not in (401, 403, 429, 503):
        found = await _without_list(asker, pasted)
    if found is None:
        raise _no_engine(heard.telling(), has_key=bool(api_key))
    return found


async def read_engine(
    session: aiohttp.ClientSession, *, base_url: str, kind: str, api_key: str = "", timeout_s: float = 1.0
) -> EngineReading:
    """Look at an engine whose kind is known, in two requests (for an empty kind: detect). Raises NodeFault.

    `server` and `chat_path_missing` are left as they were asked for by `detect`: empty and false here. `slots`
    is 0 for all but llama.cpp.
    """
    if not kind:
        return await detect(session, base_url, api_key, timeout_s=timeout_s)
    pasted = parse_llm_url(base_url)
    asker = _Asker(session, pasted.base_url, headers_for(api_key), timeout_s)
    if kind == "ollama":
        heard = await asker.get_all(("/api/tags", "/api/ps"))
        tags = heard.must("/api/tags", has_key=bool(api_key))
        return EngineReading(kind, pasted.base_url, models=_ollama_models(tags, heard))
    heard = await asker.get_all(("/v1/models",))
    if heard.status("/v1/models") == 200 and readings.owner(heard.json("/v1/models")) == "llamacpp":
        heard = heard.with_more(await asker.get_all(("/props",)))
    found = _openai(pasted.base_url, heard)
    if found is None and heard.status("/v1/models") not in (0, 401, 403, 429, 503):
        found = await _without_list(asker, pasted)
    if found is None:
        heard.must("/v1/models", has_key=bool(api_key))
        raise _no_engine(heard.telling(), has_key=bool(api_key))
    return found


@dataclass(frozen=True, slots=True)
class _Heard:
    """What came back for each path: an answer, or why there was none."""

    answers: dict[str, http.Answer]
    faults: dict[str, NodeFault]

    def status(self, path: str) -> int:
        """The answer's status; 0 without one."""
        return self.answers[path].status if path in self.answers else 0

    def json(self, path: str) -> Any:
        """The value of an answer with status 200; None for everything else."""
        return readings.json_of(self.answers[path].body) if self.status(path) == 200 else None

    def must(self, path: str, *, has_key: bool) -> Any:
        """The same, where it is needed. Raises NodeFault."""
        if path in self.faults:
            raise self.faults[path]
        value = self.json(path)
        if not isinstance(value, dict):
            raise _no_engine(self.answers[path], has_key=has_key)
        return value

    def telling(self) -> http.Answer:
        """The answer that says most about what stands there: a refusal before a missing path."""
        ranked = sorted(self.answers.values(), key=lambda answer: answer.status not in (401, 403, 429, 503))
        return ranked[0]

    def with_more(self, more: _Heard) -> _Heard:
        return _Heard(self.answers | more.answers, self.faults | more.faults)


@dataclass(frozen=True, slots=True)
class _Asker:
    """Small questions to one engine."""

    session: aiohttp.ClientSession
    base_url: str
    headers: dict[str, str]
    timeout_s: float

    async def ask(self, method: str, path: str, json: Any = None) -> http.Answer:
        """One answer, whatever its status. Raises Unreachable, or NotAnEngine for one without end."""
        try:
            return await http.ask(
                self.session,
                method,
                self.base_url + path,
                headers=self.headers,
                json=json,
                timeout_s=self.timeout_s,
            )
        except http.TooLarge as error:
            raise NotAnEngine(f"It answers {path} without end; {_EXPECTED}.") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            text = http.explain(error, self.base_url)
            raise Unreachable(f"{text[:1].upper()}{text[1:]}.") from error

    async def get_all(self, paths: Iterable[str]) -> _Heard:
        """All of them at once."""
        wanted = list(paths)
        results = await asyncio.gather(*(self._try(path) for path in wanted))
        pairs = list(zip(wanted, results, strict=True))
        return _Heard(
            {path: result for path, result in pairs if isinstance(result, http.Answer)},
            {path: result for path, result in pairs if isinstance(result, NodeFault)},
        )

    async def _try(self, path: str) -> http.Answer | NodeFault:
        try:
            return await self.ask("GET", path)
        except NodeFault as fault:
            return fault


def _is_ollama(heard: _Heard) -> bool:
    """Ollama's version, or its list of models from something that is not llama.cpp (which imitates the list)."""
    version, tags = heard.json("/api/version"), heard.json("/api/tags")
    if isinstance(version, dict) and isinstance(version.get("version"), str):
        return True
    is_list = isinstance(tags, dict) and isinstance(tags.get("models"), list)
    return is_list and "llama.cpp" not in heard.answers["/api/tags"].server.lower()


async def _ollama(asker: _Asker, heard: _Heard, pasted: Pasted) -> EngineReading:
    tags = heard.must("/api/tags", has_key="Authorization" in asker.headers)
    version = heard.json("/api/version")
    number = version.get("version") if isinstance(version, dict) else None
    return EngineReading(
        kind="ollama",
        base_url=pasted.base_url,
        server=f"Ollama {number}"[:100] if number else heard.answers["/api/tags"].server,
        chat_path_missing=pasted.hint_chat_path == "/api/generate" and await _lacks_chat(asker),
        models=_ollama_models(tags, heard),
    )


def _ollama_models(tags: Any, heard: _Heard) -> tuple[readings.ModelSeen, ...]:
    lacks_ps = heard.status("/api/ps") in (404, 405, 501)
    return readings.ollama_models(tags, heard.json("/api/ps"), lacks_ps=lacks_ps)


async def _lacks_chat(asker: _Asker) -> bool:
    """Whether an empty request to /api/chat is answered as if there were no such path."""
    answer = await asker.ask("POST", OLLAMA_CHAT, json={})
    return OllamaDialect().lacks_chat(answer.status, answer.body, Call(OLLAMA_CHAT, b"", False))


def _openai(base_url: str, heard: _Heard) -> EngineReading | None:
    """A reading when /v1/models lists models, or says that they are being loaded."""
    listed = heard.json("/v1/models")
    answer = heard.answers.get("/v1/models")
    if answer and readings.is_loading(answer.status, answer.body):
        return EngineReading("openai", base_url, server=answer.server, is_loading=True)
    if answer is None or not isinstance(listed, dict) or not isinstance(listed.get("data"), list):
        return None
    props = heard.json("/props")
    return EngineReading(
        kind="openai",
        base_url=base_url,
        server=_server(readings.owner(listed), props, heard.json("/version")) or answer.server,
        slots=readings.slots(props),
        models=readings.openai_models(listed),
    )


def _server(owner: str, props: Any, version: Any) -> str:
    """What an OpenAI engine is, with its version where it tells; empty for unknown ones."""
    if owner == "llamacpp":
        build = props.get("build_info") if isinstance(props, dict) else None
        return f"llama.cpp {build or ''}".strip()[:100]
    if owner == "vllm":
        number = version.get("version") if isinstance(version, dict) else None
        return f"vLLM {number or ''}".strip()[:100]
    return ""


async def _without_list(asker: _Asker, pasted: Pasted) -> EngineReading | None:
    """An engine whose list is missing or broken (transformers serve with an empty cache answers 500).

    Its chat path gives it away: it is there, for POST only. Nothing is known of its models, so nothing is sent
    to it until it lists them.
    """
    path = pasted.hint_chat_path or OPENAI_CHAT
    try:
        answer = await asker.ask("GET", path)
    except NodeFault:
        return None
    if answer.status != 405:
        return None
    return EngineReading("openai" if path == OPENAI_CHAT else "ollama", asker.base_url, server=answer.server)


def _no_engine(answer: http.Answer, *, has_key: bool) -> NodeFault:
    """Why this answer is not an engine's, in words."""
    said = read_error(answer.body)
    if answer.status == 401 or (answer.status == 403 and (has_key or said.message)):
        return EngineRejectsUs(
            f"It refuses the key that is entered here ({answer.status}); enter the engine's own key."
            if has_key
            else f"It asks for a key ({answer.status}); enter the engine's key.",
            engine_message=said.message,
        )
    if answer.status == 403:
        return EngineRejectsUs(FORBIDDEN)
    if answer.status in (429, 503):
        return EngineBusy(
            f"It answers {_named(answer.status)}; try again when it is ready.", engine_message=said.message
        )
    if 300 <= answer.status < 400:
        return NotAnEngine(
            f"It redirects to {answer.headers.get('Location', 'elsewhere')}; enter that address."
        )
    looks = "a web page" if answer.content_type == "text/html" else (answer.content_type or "nothing")
    about = ", ".join(part for part in (answer.server, _named(answer.status)) if part)
    return NotAnEngine(f"It answers, but like {looks} ({about}); {_EXPECTED}.", engine_message=said.message)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
