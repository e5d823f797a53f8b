"""The command `dpl-agent` (`python -m agent`): flags, start, joining, signals, end."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue

from agent import __version__
from agent.joining import JoinError, Wish, join, wish
from agent.parent import watch_parent
from agent.runner import Agent
from agent.service import recipe
from agent.settings import SettingError, Settings, load_dotenv, read_settings, state_path
from agent.state import PUSH, State, StateError, load_state, save_state

# How long an answer waits for a thread that measures; Python's own 5 ms are all that /status may take.
SWITCH_S = 0.0005

log = logging.getLogger("agent")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent until told to end. Returns 0; 1 when it cannot listen or join, 2 when a setting is wrong."""
    flags = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        dotenv = load_dotenv(Path(".env"))
        path = state_path(os.environ, dotenv)
        if flags.command == "service":
            sys.stdout.write(recipe(path))
            return 0
        state = load_state(path)
        wanted = wish(flags.url, flags.token, flags.name) if flags.command == "join" else None
        settings = read_settings(
            os.environ,
            dotenv,
            host=flags.host,
            port=flags.port,
            state=state,
            join_token=wanted.token if wanted else None,
        )
    except (SettingError, StateError, JoinError) as error:
        return _refuse(error, 2)
    try:
        agent = Agent(settings)
    except OSError as error:
        return _refuse(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}. "
            "Is another agent running? Else choose another PORT.",
            1,
        )
    return _run(agent, settings, wanted, state, path)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dpl-agent",
        description="Measures this machine for DPL and holds its lock.",
        epilog="Settings, from the environment or .env in the working directory: PORT (8001), OLLAMA_HOST "
        "(http://127.0.0.1:11434), OLLAMA_MODEL, DPL_AGENT_TOKEN, DPL_SERVER_URL. Without a token: loopback only.",
    )
    _add_flags(parser)
    parser.add_argument("--version", action="version", version=f"dpl-agent {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="")
    joins = commands.add_parser("join", help="make this machine a node of a DPL server, then run")
    joins.add_argument("url", metavar="URL", help="the server's address: http://192.168.1.10:8000")
    joins.add_argument("token", metavar="TOKEN", help='the token that "Add node" gives, for one machine')
    joins.add_argument("--name", help="the node's name (the host name, where it is free)")
    _add_flags(joins, default=argparse.SUPPRESS)
    commands.add_parser("service", help="print how to run it as a service on this system")
    return parser.parse_args(argv)


def _add_flags(parser: argparse.ArgumentParser, default: object = None) -> None:
    parser.add_argument(
        "--host",
        default=default,
        help="address to listen on (127.0.0.1; every interface when a token is set)",
    )
    parser.add_argument(
        "--port", type=int, default=default, help="port to listen on (PORT, else 8001; 0 for any free one)"
    )


def _run(agent: Agent, settings: Settings, wanted: Wish | None, state: State | None, path: Path) -> int:
    sys.setswitchinterval(SWITCH_S)
    # Not an Event: its lock may be held by the very thread that a signal handler interrupts.
    stop = SimpleQueue[None]()
    _end_on_signals(stop)
    if settings.parent_fd is not None:
        watch_parent(settings.parent_fd, lambda: stop.put(None))
    agent.start()
    _say(f"dpl-agent {__version__} listening on {agent.server.url}")
    try:
        if wanted is not None:
            settings = _join(agent, settings, wanted, state or State(), path)
        if settings.mode == PUSH and settings.server_url and settings.token:
            agent.push_to(settings.server_url, token=settings.token, pin=settings.server_pin)
            _say(f"pushing to {settings.server_url}")
        _wait(stop)
    except (JoinError, StateError) as error:
        return _refuse(error, 1)
    finally:
        agent.close()
    return 0


def _join(agent: Agent, settings: Settings, wanted: Wish, before: State, path: Path) -> Settings:
    """Join, and go on as the node that this machine is by then."""
    joined = join(
        wanted,
        before=before,
        port=agent.server.port,
        host=settings.host,
        system=agent.identity.os,
        engines=agent.find_engines(),
        pin=settings.server_pin,
    )
    save_state(path, joined)
    agent.application.set_token(joined.agent_token)
    how = "this agent tells it" if joined.mode == PUSH else "it asks this agent"
    _say(
        f"joined {joined.server_url} as node {joined.node_name} ({how}). From now on `dpl-agent` starts without "
        "arguments; `dpl-agent service` prints how to run it as a service."
    )
    return replace(settings, token=joined.agent_token, server_url=joined.server_url, mode=joined.mode)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _refuse(why: object, code: int) -> int:
    sys.stderr.write(f"dpl-agent: {why}\n")
    return code


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
