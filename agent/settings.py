"""What the agent is told to do: every setting, where it comes from and what is refused."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.dotenv import parse_dotenv
from agent.engine_address import engine_base_url
from agent.engines import USUAL_PORTS
from agent.server_url import server_base_url
from agent.state import PULL, PUSH, State, default_path

LOOPBACK = "127.0.0.1"
EVERY_INTERFACE = str(ipaddress.IPv4Address(0))
DEFAULT_PORT = 8001
MOST_ENGINE_PORTS = 32
MOST_SIMULATED_GPUS = 16


class SettingError(Exception):
    """A setting is wrong; the text begins with its name and ends with what would be right."""


@dataclass(frozen=True)
class Settings:
    """The agent's settings, checked."""

    host: str
    port: int
    engine_url: str
    engine_ports: tuple[int, ...]
    model: str | None
    token: str | None
    parent_fd: int | None
    server_url: str | None
    server_pin: str | None
    cors_origins: frozenset[str]
    mode: str
    simulated_gpus: int = 0


def load_dotenv(path: Path) -> dict[str, str]:
    """The settings in a `.env` file, none where there is no such file."""
    try:
        return parse_dotenv(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read: {error}. Mend or remove the file.") from None


def read_settings(
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    *,
    host: str | None = None,
    port: int | None = None,
    state: State | None = None,
    join_token: str | None = None,
) -> Settings:
    """The settings: flags (`host`, `port`), then the environment, then `.env`, then what joining left in `state`;
    empty counts as unset. A token that somebody set makes the state count for nothing: another server runs this
    agent. While it joins, the agent's token is the join token."""
    values = {**_set(dotenv), **_set(environ)}
    if join_token is not None:
        if "DPL_AGENT_TOKEN" in values:
            raise SettingError(
                "DPL_AGENT_TOKEN is set (environment or .env) and would win over the token that joining gives: "
                "remove it, then join"
            )
        values = {**values, "DPL_AGENT_TOKEN": join_token}
        values.pop("DPL_SERVER_URL", None)
    joined = state if state is not None and "DPL_AGENT_TOKEN" not in values else State(machine_id="none")
    token = _token(values.get("DPL_AGENT_TOKEN") or joined.agent_token or None)
    server_url = _server(values.get("DPL_SERVER_URL"))
    if port is None and "PORT" not in values:
        port = joined.port
    return Settings(
        host=_host(host or joined.host, token),
        port=_port("--port", str(port)) if port is not None else _port("PORT", values.get("PORT")),
        engine_url=_engine(values.get("OLLAMA_HOST", "")),
        engine_ports=_engine_ports(values.get("DPL_AGENT_ENGINE_PORTS")),
        model=values.get("OLLAMA_MODEL"),
        token=token,
        # The supervisor's own variable: a `.env` file names no file descriptors.
        parent_fd=parent_fd(environ),
        server_url=server_url or joined.server_url or None,
        server_pin=_pin(values.get("DPL_SERVER_PIN")) or joined.server_pin or None,
        cors_origins=_origins(values.get("DPL_AGENT_CORS_ORIGINS")),
        mode=_mode(server_url, token, joined),
        simulated_gpus=_simulated_gpus(values.get("DPL_AGENT_SIMULATED_GPUS", "0")),
    )


def state_path(environ: Mapping[str, str], dotenv: Mapping[str, str]) -> Path:
    """Where the agent keeps what it learnt by joining."""
    written = {**_set(dotenv), **_set(environ)}.get("DPL_AGENT_STATE")
    if written:
        return Path(written).expanduser()
    return default_path(environ, is_root=hasattr(os, "geteuid") and os.geteuid() == 0)


def parent_fd(environ: Mapping[str, str]) -> int | None:
    """The descriptor of the pipe whose end tells that the supervisor died; None without a supervisor."""
    written = environ.get("DPL_PARENT_FD", "").strip()
    if not written:
        return None
    try:
        fd = int(written)
        os.fstat(fd)
    except (ValueError, OSError, OverflowError):
        raise SettingError(
            f"DPL_PARENT_FD must be an open file descriptor's number, not {written!r}"
        ) from None
    return fd


def _set(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in values.items() if value.strip()}


def _token(written: str | None) -> str | None:
    if written is not None and not (written.isascii() and written.isprintable() and " " not in written):
        raise SettingError(
            "DPL_AGENT_TOKEN must be printable ASCII without spaces, as it travels in a header"
        )
    return written


def _mode(server_url: str | None, token: str | None, joined: State) -> str:
    """PUSH where a server is named here or joining found that it cannot reach this machine, else PULL."""
    if server_url is None:
        return PUSH if joined.mode == PUSH and joined.server_url else PULL
    if token is None:
        raise SettingError(
            "DPL_SERVER_URL is set, but no token to push with: set DPL_AGENT_TOKEN to this node's token, "
            "or join with `dpl-agent join URL TOKEN`"
        )
    return PUSH


def _server(written: str | None) -> str | None:
    if written is None:
        return None
    try:
        return server_base_url(written)
    except ValueError as error:
        raise SettingError(f"DPL_SERVER_URL is {written!r}: {error}") from None


def _pin(written: str | None) -> str | None:
    if written is None:
        return None
    pin = written.replace(":", "").lower().removeprefix("sha256")
    if not re.fullmatch("[0-9a-f]{64}", pin):
        raise SettingError(
            "DPL_SERVER_PIN must be the SHA-256 of the server's certificate: 64 hexadecimal digits, as "
            "`openssl x509 -noout -fingerprint -sha256 -in CERTIFICATE` shows it"
        )
    return pin


def _origins(written: str | None) -> frozenset[str]:
    origins = frozenset(part.strip().rstrip("/") for part in (written or "").split(",") if part.strip())
    wrong = [one for one in origins if not re.fullmatch(r"https?://[^/\s?#@]+", one)]
    if wrong:
        raise SettingError(
            f"DPL_AGENT_CORS_ORIGINS has {wrong[0]!r} in it; an origin is written like http://10.0.0.5:8000"
        )
    return origins


def _host(written: str | None, token: str | None) -> str:
    if not written:
        return LOOPBACK if token is None else EVERY_INTERFACE
    if token is None and not _is_loopback(written):
        raise SettingError(
            f"DPL_AGENT_TOKEN is not set, so the agent listens on loopback only and not on {written}: "
            "without a token anybody on the network could read this machine and lock it. "
            "Set DPL_AGENT_TOKEN (environment or .env), or leave --host away."
        )
    return written


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _port(name: str, written: str | None) -> int:
    if written is None:
        return DEFAULT_PORT
    # 0 lets the system choose, which a test wants and a person's setting file never means.
    lowest = 0 if name == "--port" else 1
    if not (written.isascii() and written.isdigit() and lowest <= int(written) <= 65535):
        raise SettingError(f"{name} must be a number from 1 to 65535, not {written!r}")
    return int(written)


def _engine_ports(written: str | None) -> tuple[int, ...]:
    if written is None:
        return USUAL_PORTS
    if written.lower() == "none":
        return ()
    parts = [part.strip() for part in written.split(",") if part.strip()]
    if len(parts) > MOST_ENGINE_PORTS:
        raise SettingError(f"DPL_AGENT_ENGINE_PORTS may name {MOST_ENGINE_PORTS} ports at most")
    return tuple(_port("DPL_AGENT_ENGINE_PORTS", part) for part in parts)


def _simulated_gpus(written: str) -> int:
    if not (written.isascii() and written.isdigit() and int(written) <= MOST_SIMULATED_GPUS):
        raise SettingError(
            f"DPL_AGENT_SIMULATED_GPUS must be a number from 0 to {MOST_SIMULATED_GPUS}, not {written!r}"
        )
    return int(written)


def _engine(written: str) -> str:
    try:
        return engine_base_url(written)
    except ValueError as error:
        raise SettingError(
            f"OLLAMA_HOST is {written!r}: {error}. Write it like http://127.0.0.1:11434"
        ) from None
