"""The gateways that are measured side by side: each started as its own process, pinned to one core, one worker."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

from tests.chaos.installation import Installation
from tests.engines.simulated import ROOT, free_port

SLOTS = 512
NODES = 4
KEY = "dpl_bench"
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Contender:
    """One running gateway: its port, the key it wants, and the processes that do its work."""

    name: str
    port: int
    key: str
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Engines:
    """The ports of the stub that stands behind all of them, by dialect."""

    openai: tuple[int, ...]
    ollama: tuple[int, ...]


class Cores:
    """The gateway that is measured has one core for itself where there are two or more; all else has the others."""

    def __init__(self) -> None:
        mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.gateway = {mine[-1]} if len(mine) > 1 else set(mine)
        self.others = set(mine[:-1]) or set(mine)

    def give_gateway(self, pid: int) -> None:
        """Every thread of the process runs on the gateway's core from now on."""
        self._pin(pid, self.gateway)

    def give_others(self, pid: int) -> None:
        """Every thread of the process runs beside it."""
        self._pin(pid, self.others)

    @staticmethod
    def _pin(pid: int, cores: set[int]) -> None:
        with contextlib.suppress(OSError, AttributeError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)


CORES = Cores()


@contextlib.contextmanager
def stub() -> Iterator[Engines]:
    """The engine stub, NODES ports in each dialect."""
    engines = Engines(
        tuple(free_port() for _ in range(NODES)),
        tuple(free_port() for _ in range(NODES)),
    )
    places = [f"{port}:{dialect}" for dialect in ("openai", "ollama") for port in getattr(engines, dialect)]
    with process([sys.executable, "-m", "benchmarks.gateway.stub", *places]) as started:
        CORES.give_others(started.pid)
        for port in (*engines.openai, *engines.ollama):
            _until_open(port)
        yield engines


@contextlib.contextmanager
def process(command: Sequence[str], env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A child that ends with the block; what it prints is kept in a file that is shown when it fails."""
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            yield started
        except TimeoutError:
            log.seek(0)
            print(log.read().decode(errors="replace")[-4000:], file=sys.stderr)
            raise
        finally:
            started.terminate()
            try:
                started.wait(timeout=10)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


@contextlib.contextmanager
def direct(engines: Engines) -> Iterator[Contender]:
    """No gateway at all: what client and stub can do."""
    yield Contender("direct", engines.openai[0], KEY, ())


@contextlib.contextmanager
def bare(engines: Engines) -> Iterator[Contender]:
    """The bare ASGI proxy under uvicorn with uvloop and httptools."""
    port = free_port()
    urls = ",".join(f"http://127.0.0.1:{one}" for one in engines.openai)
    env = {**os.environ, "BENCH_ENGINES": urls, "BENCH_KEY": KEY}
    command = [sys.executable, "-m", "uvicorn", "benchmarks.gateway.bare:application", "--port", str(port)]
    flags = "--workers 1 --loop uvloop --http httptools --lifespan off --no-access-log --log-level warning"
    with process([*command, *flags.split(), "--backlog", "2048"], env) as started:
        _until_open(port)
        CORES.give_gateway(started.pid)
        yield Contender("bare", port, KEY, (started.pid,))


NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/log error;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000; client_body_buffer_size 64k;
  upstream engines {{ least_conn; {servers} keepalive 512; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      if ($http_authorization != "Bearer {key}") {{ return 401; }}
      proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 300s;
    }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(engines: Engines) -> Iterator[Contender | None]:
    """nginx with one worker that checks the key and passes on unbuffered; None when it is not on this machine."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        yield None
        return
    port = free_port()
    servers = " ".join(f"server 127.0.0.1:{one};" for one in engines.openai)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "nginx.conf"
        written.write_text(NGINX.format(folder=folder, servers=servers, port=port, key=KEY), encoding="utf-8")
        with process([program, "-c", str(written), "-p", folder]) as started:
            _until_open(port)
            CORES.give_gateway(started.pid)
            yield Contender("nginx", port, KEY, (started.pid,))


@contextlib.contextmanager
def litellm(engines: Engines) -> Iterator[Contender | None]:
    """LiteLLM's proxy with one worker, installed into an environment of its own; None when that cannot be had."""
    program = _installed()
    if program is None:
        yield None
        return
    port = free_port()
    models = [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": f"http://127.0.0.1:{one}/v1",
                "api_key": "none",
            },
        }
        for model in ("instant", "paced")
        for one in engines.openai
    ]
    config = {"model_list": models, "general_settings": {"master_key": f"sk-{KEY}"}}
    env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "config.yaml"
        written.write_bytes(orjson.dumps(config))  # JSON is YAML, too
        words = ["--config", str(written), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        with process([str(program), *words], {**env, "HOME": folder}) as started:
            _until_open(port)
            for one in (psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)):
                CORES.give_gateway(one.pid)
            pids = tuple(one.pid for one in psutil.Process(started.pid).children(recursive=True))
            yield Contender("litellm", port, f"sk-{KEY}", (started.pid, *pids))


def _installed() -> Path | None:
    """LiteLLM's program, installed the first time from the versions and hashes beside this module."""
    wanted = Path(__file__).with_name("litellm.txt")
    place = ROOT / "var" / "bench" / "litellm"
    program, mark = place / "bin" / "litellm", place / hashlib.sha256(wanted.read_bytes()).hexdigest()
    if mark.exists():
        return program
    print("installing LiteLLM into an environment of its own; this takes some minutes, once …", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
        subprocess.run([*pip, "--disable-pip-version-check", "-r", str(wanted)], check=True)
    except subprocess.CalledProcessError:
        return None
    mark.touch()
    return program


@contextlib.contextmanager
def dpl(engines: Engines) -> Iterator[Contender]:
    """A whole installation with the stub's engines as its nodes; measured is its web process."""
    installation = Installation(DPL_POLL_INTERVAL_S=2, DPL_LOG_REQUESTS="false")
    try:
        installation.start()
        for dialect in ("openai", "ollama"):
            for place, port in enumerate(getattr(engines, dialect)):
                url = f"http://127.0.0.1:{port}"
                installation.manage("node", "add", f"{dialect}{place}", "--llm", url, "--slots", str(SLOTS))
        web = installation.role("web")[0]
        for other in installation.everything():
            (CORES.give_gateway if other == web else CORES.give_others)(other.pid)
        yield Contender("dpl", installation.port, installation.key, (web.pid,))
    finally:
        installation.stop()


def _until_open(port: int) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens at port {port}")
