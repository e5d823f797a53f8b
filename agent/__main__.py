"""The command `dpl-agent` (`python -m agent`): flags, start, signals, end."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from agent import __version__
from agent.application import Application
from agent.identity import read_identity
from agent.parent import watch_parent
from agent.sampling import Sampler
from agent.server import AgentServer
from agent.settings import SettingError, Settings, load_dotenv, read_settings

log = logging.getLogger("agent")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent until told to end. Returns 0; 1 when it cannot listen, 2 when a setting is wrong."""
    flags = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        settings = read_settings(os.environ, load_dotenv(Path(".env")), host=flags.host, port=flags.port)
    except SettingError as error:
        sys.stderr.write(f"dpl-agent: {error}\n")
        return 2
    return _run(settings)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dpl-agent",
        description="Measures this machine for DPL and holds its lock.",
        epilog="Settings, from the environment or .env in the working directory: PORT (8001), OLLAMA_HOST "
        "(http://127.0.0.1:11434), OLLAMA_MODEL, DPL_AGENT_TOKEN. Without a token: loopback only.",
    )
    parser.add_argument(
        "--host", help="address to listen on (127.0.0.1; every interface when a token is set)"
    )
    parser.add_argument("--port", type=int, help="port to listen on (PORT, else 8001; 0 for any free one)")
    parser.add_argument("--version", action="version", version=f"dpl-agent {__version__}")
    return parser.parse_args(argv)


def _run(settings: Settings) -> int:
    # Not an Event: its lock may be held by the very thread that a signal handler interrupts.
    stop = SimpleQueue[None]()
    sampler = Sampler(settings.engine_url, settings.engine_ports)
    application = Application(
        identity=read_identity(), board=sampler.board, token=settings.token, model=settings.model
    )
    try:
        server = AgentServer(settings.host, settings.port, application)
    except OSError as error:
        sys.stderr.write(
            f"dpl-agent: cannot listen on {settings.host} port {settings.port}: {error.strerror or error}. "
            "Is another agent running? Else choose another PORT.\n"
        )
        return 1
    sampler.engines.leave_out(server.port)
    _end_on_signals(stop)
    if settings.parent_fd is not None:
        watch_parent(settings.parent_fd, lambda: stop.put(None))
    sampler.start()
    threading.Thread(target=server.serve_forever, args=(0.2,), name="http", daemon=True).start()
    sys.stdout.write(f"dpl-agent {__version__} listening on {server.url}\n")
    sys.stdout.flush()
    _wait(stop)
    sampler.stop()
    server.shutdown()
    server.server_close()
    return 0


def _end_on_signals(stop: SimpleQueue[None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.put(None))


def _wait(stop: SimpleQueue[None]) -> None:
    # In slices: on Windows an endless wait does not hear Ctrl+C.
    while True:
        with contextlib.suppress(Empty):
            return stop.get(timeout=None if os.name == "posix" else 0.5)


if __name__ == "__main__":
    sys.exit(main())
