"""What the clients talk to: real and simulated engines, and an installation whose nodes they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.installation import Installation
from tests.engines.llama_server import llama_server
from tests.engines.scripted_gguf import write_scripted
from tests.engines.simulated import SimulatedEngine
from tests.engines.tiny_gguf import Shape, write_model

SCRIPT = (
    "<think>\n", "Rain", " or", " shine?", "\n</think>\n\n",
    "<tool_call>\n", '{"name": "weather"', ', "arguments": ', '{"city": ', '"Oslo"}}', "\n</tool_call>",
    "\n<tool_call>\n", '{"name": "clock"', ', "arguments": {', '"zone": ', '"UTC"', "}}", "\n</tool_call>\n",
)  # fmt: skip
"""What the scripted model says: a thought, then two calls of tools."""
WIDE = Shape(context=1024)
_CONTEXT = 4 * WIDE.context


@dataclass(frozen=True)
class Fleet:
    """The engines' addresses, each with the names of their models by role, and the installation before them."""

    installation: Installation
    engines: dict[str, dict[str, tuple[str, str]]]

    def side(self, engine: str, *, through: bool) -> dict[str, Any]:
        """One side of a comparison, as `scripts.checking` reads it."""
        roles = self.engines[engine].items()
        models = {
            role: {"url": self.installation.url if through else url, "name": name}
            for role, (url, name) in roles
        }
        kind = "openai" if engine == "llama" else "ollama"
        key = self.installation.key if through else "none"
        return {"key": key, "engine": kind, "models": models, "is_gateway": through}


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    """Start everything; three llama.cpp servers and two simulated Ollamas are nodes of the installation."""
    made = Installation(DPL_POLL_INTERVAL_S=1)
    with ExitStack() as stack:
        stack.callback(made.stop)
        engines = {"llama": _llamas(stack, folder), "sim": _simulators(stack)}
        made.start()
        for url in sorted({url for roles in engines.values() for url, _ in roles.values()}):
            made.manage("node", "add", f"n{url.rsplit(':', 1)[1]}", "--llm", url)
        names = {name for roles in engines.values() for _, name in roles.values()}
        made.wait_for(lambda: names <= _seen(made), 30, f"the models {names}")
        yield Fleet(made, engines)


def _seen(made: Installation) -> set[str]:
    return {model["id"].removesuffix(":latest") for model in made.get("/v1/models")["data"]}


def _llamas(stack: ExitStack, folder: Path) -> dict[str, tuple[str, str]]:
    write_model(folder / "tiny.gguf", WIDE)
    write_scripted(folder / "scripted.gguf", SCRIPT)
    tiny = stack.enter_context(llama_server(folder / "tiny.gguf", context=_CONTEXT))
    caller = stack.enter_context(llama_server(folder / "scripted.gguf", context=8192, alias="scripted"))
    vectors = stack.enter_context(llama_server(folder / "tiny.gguf", alias="vectors", embeds=True))
    return {
        "chat": (tiny.base_url, "tiny"),
        "echo": (tiny.base_url, "tiny"),
        "tools": (caller.base_url, "scripted"),
        "embed": (vectors.base_url, "vectors"),
    }


def _simulators(stack: ExitStack) -> dict[str, tuple[str, str]]:
    models = "talker,thinker-with-tools,small-embedder"
    speaks = stack.enter_context(SimulatedEngine(model=models, dialect="ollama", ctx=1024, preload=True))
    echoes = stack.enter_context(SimulatedEngine(model="echo", echo=True, dialect="ollama", preload=True))
    return {
        "chat": (speaks.url, "talker"),
        "echo": (echoes.url, "echo"),
        "tools": (speaks.url, "thinker-with-tools"),
        "embed": (speaks.url, "small-embedder"),
    }
