"""Joining: what the server is told, what is kept, the words for each refusal, and how the agent goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.joining import JOIN_PATH, JoinError, join, wish
from agent.push import PUSH_PATH
from agent.state import State, load_state
from tests.agent.talk import ask
from tests.agent.test_command import environment, program, refused
from tests.machines import Asked, Said, Server, dead_url, engine, serving

TAKEN: dict[str, Any] = {
    "node": {"id": 7, "name": "box"},
    "agent_token": "t0ken",
    "mode": "pull",
    "interval_s": 2,
}


def joined(url: str, name: str | None = None, **more: Any) -> State:
    known: dict[str, Any] = {"before": State(machine_id="m1"), "port": 8001, "host": "", "system": "Linux"}
    return join(wish(url, "j0in", name), **{**known, "engines": [], "pin": None, **more})


def test_it_tells_who_it_is_and_keeps_what_it_gets() -> None:
    found: Any = [{"base_url": "http://127.0.0.1:11434", "kind": "ollama"}]
    with serving(lambda _: Said(TAKEN, status=201)) as server:
        state = joined(server.url, name=" lab box ", engines=found)
    (asked,) = server.asked
    told = json.loads(asked.body)
    assert (asked.method, asked.path) == ("POST", JOIN_PATH)
    assert told.pop("hostname")
    assert told.pop("agent_version")
    assert told == {
        "token": "j0in",
        "name": "lab box",
        "machine_id": "m1",
        "port": 8001,
        "os": "Linux",
        "engines": found,
    }
    assert (state.server_url, state.node_id, state.node_name) == (server.url, 7, "box")
    assert (state.agent_token, state.mode, state.machine_id, state.port) == ("t0ken", "pull", "m1", 8001)


def error(status: int, code: str, message: str = "no") -> Said:
    return Said({"error": {"message": message, "code": code}}, status=status)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (error(401, "join_token_used"), "refuses the token.*each token joins one machine"),
        (error(401, "join_token_expired", "too late"), "too late; take a new line"),
        (error(401, "join_token_unknown"), "was it copied whole"),
        (
            error(400, "bad_request", "port must be a number"),
            r"does not take this machine \(400\): port must",
        ),
        (error(409, "name_taken", "box is there"), "box is there"),
        (Said("<html>", status=404, kind="text/html"), "status 404 and is no DPL"),
        (Said({"detail": "Not Found"}, status=404), "status 404 and is no DPL"),
        (Said("", status=301), "another address"),
        (Said({}, status=200), "status 200 and is no DPL"),
        (Said("not json", status=201), "not as DPL does"),
        (Said({"node": {"id": "x"}}, status=201), "not as DPL does"),
        (Said(TAKEN | {"mode": "sideways"}, status=201), "makes no sense"),
        (Said(TAKEN | {"agent_token": "a\r\nX: y"}, status=201), "makes no sense"),
        (Said(TAKEN | {"agent_token": ""}, status=201), "makes no sense"),
    ],
)
def test_each_refusal_has_its_words(said: Said, words: str) -> None:
    with serving(lambda _: said) as server, pytest.raises(JoinError, match=words):
        joined(server.url)


def test_a_server_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JoinError, match="nothing listens at http://127"):
        joined(dead_url())
    monkeypatch.setattr("agent.joining.TIMEOUT_S", 0.1)
    with serving(lambda _: Said(TAKEN, status=201, after_s=3)) as server, pytest.raises(JoinError) as slow:
        joined(server.url)
    assert "does not answer within" in str(slow.value)


@pytest.mark.parametrize(("url", "token"), [("ftp://a", "t"), ("http://a", ""), ("http://a", "two words")])
def test_what_was_typed_wrongly_is_refused_before_anybody_is_asked(url: str, token: str) -> None:
    with pytest.raises(JoinError):
        wish(url, token, None)


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def dpl(mode: str, seen: list[int]) -> Callable[[Asked], Said]:
    """A server that takes who joins, and asks it back at once, as the site does."""

    def answer(asked: Asked) -> Said:
        body = json.loads(asked.body)
        if asked.path == JOIN_PATH:
            url = f"http://127.0.0.1:{body['port']}"
            seen.append(ask(url, "/api/health").status)
            seen.append(ask(url, "/status").status)
            return Said(TAKEN | {"mode": mode}, status=201)
        assert asked.path == PUSH_PATH
        lock = {"id": "l1", "owner": "ada", "installation": "i", "reason": "", "ttl_s": 60}
        return Said({"lock": lock, "interval_s": 0.5})

    return answer


def pushes(server: Server) -> list[Asked]:
    return [asked for asked in server.asked if asked.path == PUSH_PATH]


def test_it_joins_answers_with_its_new_token_and_starts_without_arguments_from_then_on(
    tmp_path: Path,
) -> None:
    seen: list[int] = []
    environ = environment(DPL_AGENT_STATE=str(tmp_path / "state.json"))
    with serving(dpl("pull", seen)) as server, engine(models=("a:1",)) as engine_url:
        arguments = ("agent", "join", server.url, "j0in", "--host", "127.0.0.1", "--port", "0")
        with program(tmp_path, *arguments, environ=environ | {"OLLAMA_HOST": engine_url}) as (_, url):
            bearer = {"Authorization": "Bearer t0ken"}
            eventually(lambda: ask(url, "/status", headers=bearer).status == 200)
            assert ask(url, "/status", headers={"Authorization": "Bearer j0in"}).status == 401
        assert seen == [200, 401]
        assert json.loads(server.asked[0].body)["engines"] == [{"base_url": engine_url, "kind": "ollama"}]
        state = load_state(tmp_path / "state.json")
        assert state is not None
        with program(tmp_path, "agent", environ=environ) as (_, again):
            assert again == url
            assert ask(again, "/status", headers=bearer).status == 200
    assert pushes(server) == []


def test_a_node_that_cannot_be_reached_pushes_and_is_locked_by_the_answer(tmp_path: Path) -> None:
    environ = environment(DPL_AGENT_STATE=str(tmp_path / "state.json"))
    with serving(dpl("push", [])) as server:
        arguments = ("agent", "join", server.url, "j0in", "--host", "127.0.0.1", "--port", "0")
        with program(tmp_path, *arguments, environ=environ) as (_, url):
            eventually(lambda: len(pushes(server)) >= 2)
            lock = ask(url, "/status", headers={"Authorization": "Bearer t0ken"}).json()["lock"]
            assert lock["owner"] == "ada"
        with program(tmp_path, "agent", environ=environ):
            before = len(pushes(server))
            eventually(lambda: len(pushes(server)) > before)
    first = pushes(server)[0]
    assert first.headers["Authorization"] == "Bearer t0ken"
    (reading, *_) = json.loads(first.body)["readings"]
    assert reading["memory"]["total_bytes"] > 0


def test_it_pushes_where_the_settings_say_so(tmp_path: Path) -> None:
    with serving(dpl("push", [])) as server:
        environ = environment(DPL_SERVER_URL=server.url, DPL_AGENT_TOKEN="mine")
        with program(tmp_path, "agent", "--host", "127.0.0.1", "--port", "0", environ=environ):
            eventually(lambda: bool(pushes(server)))
    assert pushes(server)[0].headers["Authorization"] == "Bearer mine"


def test_a_refusal_ends_it_with_its_words_and_leaves_no_state(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with serving(lambda _: error(401, "join_token_used")) as server:
        code, said = refused(
            tmp_path,
            *("agent", "join", server.url, "j0in", "--host", "127.0.0.1", "--port", "0"),
            environ=environment(DPL_AGENT_STATE=str(path)),
        )
    assert (code, path.exists()) == (1, False)
    assert "each token joins one machine" in said
    assert "Traceback" not in said


def test_a_token_of_the_settings_that_would_win_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DPL_AGENT_TOKEN=old\n")
    with serving(dpl("pull", [])) as server:
        code, said = refused(tmp_path, "agent", "join", server.url, "j0in", environ=environment())
        assert (code, server.asked) == (2, [])
    assert "DPL_AGENT_TOKEN is set" in said
    assert "remove it" in said


def test_a_damaged_state_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{")
    code, said = refused(tmp_path, "agent", environ=environment(DPL_AGENT_STATE=str(path)))
    assert code == 2
    assert "join again" in said
