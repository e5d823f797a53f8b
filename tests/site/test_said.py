"""What DPL writes down in English, as the Chinese pages say it."""

from __future__ import annotations

import ast
import errno
import re
import socket
import ssl
from dataclasses import replace

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from django.utils import translation

from dpl_site import said
from dpl_site.lib import http
from dpl_site.lib.sentences import Sentences
from inference.dialects.faults import Said, error_of
from inference.scheduling import EngineSnapshot, Request, choose
from nodes.states import Seen, judge
from tests.architecture.tree import sources, tree

URL = "http://10.0.0.5:11434/api/tags"
ONE = EngineSnapshot(1, 1, "fast", True, resident=("m",), slots=4, speeds={"m": 100.0})
HOLE = re.compile(r"%\(\w+\)s")
FOREIGN = re.compile(
    r"10\.0\.0\.5:11434|box9|wang|qwen|CUDA out of memory|OSError|TLS|HTTP|DPL|Unauthorized|Service|"
    r"Unavailable|Not|Found|https?|token|JSON|VPN|IP|NVML|NVIDIA|AMD|GPU|amdgpu|npu-smi|Bad|Request|wrong|odd|Internal|Server|Error|Timeout"
)
"""What is the same in both languages: values, and names of things."""


def failures() -> list[str]:
    """Why calls fail, by real errors."""
    place = ConnectionKey(
        "10.0.0.5", 11434, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
    )
    refused = aiohttp.ClientConnectorError(place, OSError(errno.ECONNREFUSED, "refused"))
    errors: list[BaseException] = [
        refused,
        TimeoutError(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.InvalidURL("x"),
    ]
    found = [http.explain(error, URL, what=what) for error in errors for what in ("agent", "engine")]
    others = [socket.gaierror(), ssl.SSLError("wrong"), OSError(errno.EHOSTUNREACH, "no"), OSError("odd")]
    return [*found, *(http.why_not_connected(error, "box9", "10.0.0.5:11434", "engine") for error in others)]


def decisions() -> list[str]:
    """Why engines are chosen or left out."""
    changes = (
        {"is_online": False},
        {"is_online": False, "problem": failures()[0]},
        {"locked_by": "wang"},
        {"is_breaker_open": True, "problem": "The engine is busy."},
        {"slots": 0},
        {"resident": ()},
    )
    request = Request(model="m")
    rejected = [choose(request, [replace(ONE, **change)], 0.0).rejected[1] for change in changes]
    held = choose(Request(model="m", prefix=7, home=1), [ONE, replace(ONE, engine_id=2)], 0.0)
    new = choose(Request(model="m", prefix=7), [ONE, replace(ONE, engine_id=2)], 0.0)
    loading = choose(request, [replace(ONE, resident=(), on_disk=("m",))], 0.0)
    chosen = [why for decision in (held, new, loading) for why in decision.candidates[0].why()]
    avoided = choose(Request(avoid=frozenset({1})), [ONE], 0.0).rejected[1]
    elsewhere = choose(Request(nodes=frozenset({9})), [ONE], 0.0).rejected[1]
    return [*rejected, *chosen, avoided, elsewhere]


def states() -> list[str]:
    """Reasons of nodes."""
    wrong = [Seen("ollama", ok=False, problem=problem) for problem in failures()]
    judged = [judge(Seen("agent", ok=False, problem=failures()[0]), [one]).reason for one in wrong]
    return [judge(None, []).reason, *judged]


def faults() -> list[str]:
    """What engines answer with."""
    statuses = (400, 401, 404, 408, 429, 500, 501, 503)
    silent = [error_of(status, Said("")).message for status in statuses]
    return [*silent, error_of(500, Said("CUDA out of memory")).message]


@pytest.mark.parametrize("sentence", dict.fromkeys([*failures(), *decisions(), *states(), *faults()]))
def test_a_chinese_page_says_it_in_chinese(sentence: str) -> None:
    with translation.override("zh-hans"):
        shown = said.in_words(sentence)
    assert re.search(r"[一-鿿]", shown), shown
    words = re.findall(r"[A-Za-z]{3,}", FOREIGN.sub("", shown).replace("ollama", "").replace("ENGINE", ""))
    assert words == [], shown


def test_an_english_page_says_it_as_it_is() -> None:
    with translation.override("en"):
        assert [said.in_words(sentence) for sentence in decisions()] == decisions()


def test_values_are_kept() -> None:
    with translation.override("zh-hans"):
        told = said.in_words("nothing listens at 10.0.0.5:8001; start the agent, or check the port")
    assert told == "10.0.0.5:8001 上没有程序在监听；请启动代理程序，或检查端口"


@pytest.mark.parametrize(
    "words",
    ["CUDA error: out of memory; see the log", "", "llama_decode failed", "{}", "a; b: c; d"],
)
def test_what_was_not_declared_stays_as_it_is(words: str) -> None:
    with translation.override("zh-hans"):
        assert said.in_words(words) == words


def test_what_is_known_is_said_beside_what_is_not() -> None:
    told = Sentences(
        {"it is busy": "忙", "held by %(who)s": "被 %(who)s 占用"}, joint="；", colon="：", stop="。"
    )
    assert (
        told.told("box 7: it is busy; llama says no; held by wang")
        == "box 7：忙；llama says no；被 wang 占用"
    )
    assert told.told("It is busy.") == "忙。"
    assert told.told("held by it is busy") == "被 忙 占用"


def test_every_message_has_its_chinese_with_the_same_places() -> None:
    table = said.table("zh-hans")
    assert {message for message, told in table.items() if message == told} == set()
    assert {
        message
        for message, told in table.items()
        if sorted(HOLE.findall(message)) != sorted(HOLE.findall(told))
    } == set()


def constants() -> str:
    """Every text in the code of the site and of the agent, without the list of sentences itself."""
    ours = [path for path in sources() if path.name != "said.py" and path.parts[0] != "benchmarks"]
    found = (node.value for path in ours for node in ast.walk(tree(path)) if isinstance(node, ast.Constant))
    return "\n".join(value for value in found if isinstance(value, str))


def test_every_message_is_still_said_somewhere() -> None:
    """A maker that changes its words leaves the old ones behind here."""
    text = constants().lower()
    parts = {
        message: [part for part in HOLE.split(message.lower()) if len(part) > 3] for message in said.MESSAGES
    }
    stale = {
        message
        for message, pieces in parts.items()
        if not all(any(half in text for half in (piece, piece.rstrip("."))) for piece in pieces)
    }
    assert stale == EXPECTED_ELSEWHERE


EXPECTED_ELSEWHERE: set[str] = {
    # Made of a sentence and a word for who should be there, or of a constant.
    *(message for message in said.MESSAGES if "start the " in message or "what the agent" in message),
    *(message for message in said.MESSAGES if "expected Ollama" in message),
}
