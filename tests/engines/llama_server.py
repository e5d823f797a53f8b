"""The real llama.cpp server in a process of its own, on a free port, for as long as a `with` block."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ALIAS = "tiny"


@dataclass(frozen=True)
class LlamaServer:
    """A running server: where it listens, and its process."""

    base_url: str
    process: subprocess.Popen[str]


@contextmanager
def llama_server(
    model: Path,
    *,
    slots: int = 4,
    context: int = 2048,
    api_key: str = "",
    alias: str = ALIAS,
    embeds: bool = False,
) -> Iterator[LlamaServer]:
    """Serve a GGUF file; `context` is shared out among the slots. It is killed at the end.

    One that `embeds` answers requests for vectors, and no others.
    """
    words = [str(model), str(slots), str(context), api_key, alias, "embeds" if embeds else ""]
    command = [sys.executable, __file__, *words]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield LlamaServer(_address(process), process)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _address(process: subprocess.Popen[str]) -> str:
    for line in process.stdout or ():
        if line.startswith("LISTENING "):
            return line.split()[1]
    raise RuntimeError(f"the llama.cpp server did not start; its process ended with {process.wait()}")


def _serve(model: str, slots: str, context: str, api_key: str, alias: str, embeds: str) -> None:
    import time

    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.model_alias = {alias}
    settings.port = 0
    settings.n_parallel = int(slots)
    settings.n_ctx = int(context)
    settings.n_gpu_layers = 0
    settings.cpuparams.n_threads = 1
    settings.warmup = False
    settings.use_jinja = True
    settings.endpoint_props = True
    settings.endpoint_slots = True
    if embeds:
        settings.embedding = True
        settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if api_key:
        settings.api_keys = [api_key]
    server = xllamacpp.Server(settings)
    sys.stdout.write(f"LISTENING {server.listening_address}\n")
    sys.stdout.flush()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
