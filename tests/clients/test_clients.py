"""Whatever a client gets from an engine it gets through the gateway, too: each check of each client on both."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.clients import environments
from tests.clients.environments import ROOT, Unavailable
from tests.clients.fleet import Fleet, fleet

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPTS = Path(__file__).parent / "scripts"
LIMIT_S = 240
_CHECKS = re.compile(r"^(?:export )?(?:async )?(?:def|function) ((?:check|gateway)_\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Suite:
    """The checks of one client: its script, where it runs, and the dialect it speaks."""

    name: str
    script: str
    environment: str
    dialect: str

    @property
    def path(self) -> Path:
        return (environments.JS if self.environment == environments.NODE else SCRIPTS) / self.script

    @property
    def checks(self) -> list[str]:
        return _CHECKS.findall(self.path.read_text())

    @property
    def engines(self) -> list[str]:
        return ["llama", "sim"]

    def has_direct(self, engine: str) -> bool:
        """Whether the client can talk to the engine itself; llama.cpp does not speak Ollama's dialect."""
        return self.dialect == "openai" or engine == "sim"


SUITES = [
    Suite("openai-2", "openai_sdk.py", "openai2", "openai"),
    Suite("openai-3", "openai_sdk.py", "openai3", "openai"),
    Suite("openai-2-rest", "openai_rest.py", "openai2", "openai"),
    Suite("openai-3-rest", "openai_rest.py", "openai3", "openai"),
    Suite("ollama", "ollama_sdk.py", "openai2", "ollama"),
    Suite("litellm", "litellm_sdk.py", "openai2", "openai"),
    Suite("litellm-ollama", "litellm_ollama.py", "openai2", "ollama"),
    Suite("langchain", "langchain_sdk.py", "openai2", "openai"),
    Suite("openai-js", "openai_sdk.mjs", environments.NODE, "openai"),
    Suite("ollama-js", "ollama_sdk.mjs", environments.NODE, "ollama"),
    Suite("ai-sdk", "ai_sdk.mjs", environments.NODE, "openai"),
]
CASES = [
    pytest.param(suite, engine, check, id=f"{suite.name}-{engine}-{check}")
    for suite in SUITES
    for engine in suite.engines
    for check in suite.checks
]

Run = Callable[[Suite], dict[tuple[str, str], dict[str, Any]]]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    pytest.importorskip("xllamacpp", reason="the llama.cpp server is not installed (requirements/slow.txt)")
    with fleet(tmp_path_factory.mktemp("models")) as made:
        yield made


@pytest.fixture(scope="module")
def outcomes(everything: Fleet) -> Run:
    """What each check of a suite said, by side and check; a suite runs once, when it is first asked for."""

    @cache
    def run(suite: Suite) -> dict[tuple[str, str], dict[str, Any]]:
        sides = {f"{engine} through": everything.side(engine, through=True) for engine in suite.engines}
        for engine in filter(suite.has_direct, suite.engines):
            sides[f"{engine} direct"] = everything.side(engine, through=False)
        said = _said(suite, json.dumps(sides))
        return {(one["side"], one["check"]): one for one in map(json.loads, said.splitlines())}

    return run


def _said(suite: Suite, sides: str) -> str:
    command = _command(suite)
    environ = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, input=sides, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, f"{suite.name}: {done.stdout[-1000:]}{done.stderr[-3000:]}"
    return done.stdout


def _command(suite: Suite) -> list[str]:
    if suite.environment == environments.NODE:
        return [str(environments.node()), str(suite.path)]
    module = f"tests.clients.scripts.{suite.script.removesuffix('.py')}"
    return [str(environments.python(suite.environment)), "-m", module]


@pytest.mark.parametrize(("suite", "engine", "check"), CASES)
def test_what_passes_directly_passes_through_the_gateway(
    outcomes: Run, suite: Suite, engine: str, check: str
) -> None:
    try:
        found = outcomes(suite)
    except Unavailable as reason:
        pytest.skip(f"{suite.name} cannot run: {reason}")
    through = found[f"{engine} through", check]
    if check.startswith("check_") and suite.has_direct(engine):
        direct = found[f"{engine} direct", check]
        assert direct["passed"], f"it does not even pass directly: {direct['saw']}"
        assert through == direct | {"side": through["side"]}
    assert through["passed"], through["saw"]
