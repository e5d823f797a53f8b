"""The program itself: how it starts, what it refuses, how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent.talk import ask
from tests.machines import engine

ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    """What the programs get: nothing of the settings and engines that this machine may have."""
    names = ("PORT", "OLLAMA_HOST", "OLLAMA_MODEL")
    kept = {name: v for name, v in os.environ.items() if name not in names and not name.startswith("DPL_")}
    ours = {
        "OLLAMA_HOST": "127.0.0.1:9",
        "DPL_AGENT_ENGINE_PORTS": "none",
        "DPL_AGENT_STATE": "/nowhere/state.json",
    }
    return {**kept, "PYTHONPATH": str(ROOT), **ours, **more}


@contextmanager
def program(
    folder: Path,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    pass_fds: tuple[int, ...] = (),
    python: str = sys.executable,
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running program and the address that it tells; killed at the end if it is still there."""
    process = subprocess.Popen(
        [python, "-m", *arguments],
        cwd=folder,
        env=environ or environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=pass_fds,
    )
    try:
        assert process.stdout is not None
        said = ""
        while "listening on" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        found = re.search(r"http://\S+", said)
        assert found is not None
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def refused(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The exit code and the words of a program that does not start."""
    ended = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environ or environment(),
        capture_output=True,
        text=True,
        timeout=20,
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("module", "number"),
    [("agent", signal.SIGTERM), ("agent", signal.SIGINT), ("agent.simulator", signal.SIGTERM)],
)
def test_it_ends_in_order_at_a_signal(tmp_path: Path, module: str, number: signal.Signals) -> None:
    with program(tmp_path, module, "--port", "0") as (process, url):
        path = "/status" if module == "agent" else "/api/tags"
        assert ask(url, path).status == 200
        process.send_signal(number)
        assert process.wait(15) == 0


@pytest.mark.parametrize("module", ["agent", "agent.simulator"])
def test_it_ends_when_its_supervisor_dies(tmp_path: Path, module: str) -> None:
    reader, writer = os.pipe()
    environ = environment(DPL_PARENT_FD=str(reader))
    try:
        with program(tmp_path, module, "--port", "0", environ=environ, pass_fds=(reader,)) as (process, _):
            os.close(reader)
            time.sleep(0.1)
            assert process.poll() is None
            os.close(writer)
            assert process.wait(5) == 0
    finally:
        for fd in (reader, writer):
            try:
                os.close(fd)
            except OSError:
                continue


def test_it_reads_its_settings_from_a_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DPL_AGENT_TOKEN=s3cret\nOLLAMA_HOST=127.0.0.1:9\n")
    with program(tmp_path, "agent", "--port", "0", "--host", "127.0.0.1") as (_, url):
        assert ask(url, "/status").status == 401
        status = ask(url, "/status", headers={"Authorization": "Bearer s3cret"}).json()
        assert status["memory"]["total_bytes"] > 0
        assert (status["model"], status["models"]) == (None, [])


def test_it_tells_which_models_the_engine_beside_it_has(tmp_path: Path) -> None:
    with engine(models=("llama3:8b", "qwen2")) as engine_url:
        environ = environment(OLLAMA_HOST=engine_url.removeprefix("http://"), OLLAMA_MODEL="qwen2")
        with program(tmp_path, "agent", "--port", "0", environ=environ) as (_, url):
            deadline = time.monotonic() + 15
            while not (status := ask(url, "/status").json())["models"]:
                assert time.monotonic() < deadline
                time.sleep(0.02)
    assert (status["model"], status["models"]) == ("qwen2:latest", ["llama3:8b", "qwen2:latest"])


def test_another_host_without_a_token_is_refused(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "agent", "--host", ".".join(["0"] * 4), "--port", "0")
    assert code == 2
    assert "DPL_AGENT_TOKEN is not set" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        ("agent", "PORT", "x"),
        ("agent", "OLLAMA_HOST", "ftp://x"),
        ("agent.simulator", "DPL_PARENT_FD", "999"),
    ],
)
def test_a_bad_setting_is_refused_by_name(tmp_path: Path, module: str, name: str, value: str) -> None:
    code, said = refused(tmp_path, module, environ=environment(**{name: value}))
    assert code == 2
    assert name in said
    assert "Traceback" not in said


@pytest.mark.parametrize("module", ["agent", "agent.simulator"])
def test_a_port_that_is_taken_is_said_in_words(tmp_path: Path, module: str) -> None:
    with program(tmp_path, module, "--port", "0") as (_, url):
        code, said = refused(tmp_path, module, "--port", url.rsplit(":", 1)[1])
    assert code == 1
    assert "cannot listen" in said
    assert "Traceback" not in said


def test_it_starts_without_what_weighs_more_than_the_agent() -> None:
    heavy = ("ssl", "_hashlib", "http.client", "email", "shutil", "uuid", "asyncio", "zipfile", "pynvml")
    code = f"import sys, agent.__main__\nprint([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert (shown.stdout.strip(), shown.stderr) == ("[]", "")
