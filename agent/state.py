"""What the agent keeps between starts: which server it joined, as which node, with which token."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

PULL, PUSH = "pull", "push"


def _drawn() -> str:
    # Here, as only an agent that joins needs one.
    import uuid

    return str(uuid.uuid4())


class StateError(Exception):
    """The state file cannot be read or written; the text says why and what to do."""


@dataclass(frozen=True)
class State:
    """One installation of the agent. `machine_id` is drawn once and stays, however often it joins."""

    machine_id: str = field(default_factory=_drawn)
    server_url: str = ""
    server_pin: str = ""
    node_id: int | None = None
    node_name: str = ""
    agent_token: str = ""
    mode: str = ""
    host: str = ""
    port: int | None = None


def default_path(environ: Mapping[str, str], system: str = sys.platform, *, is_root: bool = False) -> Path:
    """Where the state is kept when DPL_AGENT_STATE does not say."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    if system == "win32":
        return Path(environ.get("LOCALAPPDATA") or home) / "dpl-agent" / "state.json"
    if is_root:
        return Path("/var/lib/dpl-agent/state.json")
    if system == "darwin":
        return home / "Library" / "Application Support" / "dpl-agent" / "state.json"
    base = environ.get("XDG_STATE_HOME") or home / ".local" / "state"
    return Path(base) / "dpl-agent" / "state.json"


def load_state(path: Path) -> State | None:
    """The state in a file, None where there is none. Raises StateError for a file that is something else."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}. Is it another user's?") from None
    except (ValueError, RecursionError):
        raise StateError(f"{path} is damaged. Remove it and join again.") from None
    if not isinstance(told, dict) or not _fits(told):
        raise StateError(f"{path} is not the agent's state. Remove it and join again.")
    return State(**{name.name: told[name.name] for name in fields(State) if name.name in told})


def save_state(path: Path, state: State) -> None:
    """Write the state whole or not at all, for this user's eyes only. Raises StateError."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(state), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}. Name another file by DPL_AGENT_STATE."
        ) from None


def _fits(told: dict[str, Any]) -> bool:
    texts = ("machine_id", "server_url", "server_pin", "node_name", "agent_token", "mode", "host")
    numbers = (told.get("node_id"), told.get("port"))
    return (
        all(isinstance(told.get(name, ""), str) for name in texts)
        and all(number is None or type(number) is int for number in numbers)
        and bool(told.get("machine_id"))
    )
