"""What a person may choose for a job, read from form fields and checked in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from datasets.sampling import OptionError, is_surrogate, read_sampling, refuse_unstorable

__all__ = ["FIELDS", "JobOptions", "OptionError", "OptionLimits", "ignored_fields", "job_name"]

MAX_TEXT = 200
MAX_SYSTEM = 60_000
MAX_NODES = 1000
DRY_ROWS = 3
"""How many rows a dry run tries."""
OPTION_FIELDS = (
    *(
        "model",
        "limit",
        "offset",
        "system",
        "options",
        "attempts",
        "timeout_s",
        "nodes",
        "exclusive",
        "dry_run",
    ),
)
FIELDS = frozenset({"name", "file", "csrfmiddlewaretoken", *OPTION_FIELDS})
"""Every form field that means something; others are ignored, and said to be."""


@dataclass(frozen=True, slots=True)
class OptionLimits:
    """What a job gets when nothing is said, and the most that may be said."""

    attempts: int = 3
    timeout_s: float = 600.0
    max_attempts: int = 100
    max_timeout_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job's items are run.

    `model` empty: whatever is resident. `offset` rows are passed over, then at most `limit` are run. `sampling`
    goes to the engine under OpenAI's names. `nodes`: only these (ids), all when empty. `exclusive`: nodes are
    locked for it. `dry_run`: a few rows are tried, to see what comes and how long all would take.
    """

    model: str = ""
    limit: int | None = None
    system: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 3
    timeout_s: float = 600.0
    nodes: tuple[int, ...] = ()
    exclusive: bool = False
    offset: int = 0
    dry_run: bool = False

    @classmethod
    def from_fields(cls, fields: Mapping[str, str], limits: OptionLimits) -> JobOptions:
        """The options in form fields; empty fields count as absent. Raises OptionError."""
        given = {name: fields[name].strip() for name in OPTION_FIELDS if fields.get(name, "").strip()}
        for name, value in given.items():
            refuse_unstorable(name, value)
        dry_run = _yes_or_no("dry_run", given.get("dry_run", "no"))
        limit = _whole("limit", given["limit"], low=1, high=2**31 - 1) if "limit" in given else None
        return cls(
            model=_model(given.get("model", "")),
            limit=min(limit or DRY_ROWS, DRY_ROWS) if dry_run else limit,
            offset=_whole("offset", given.get("offset", "0"), low=0, high=2**31 - 1),
            dry_run=dry_run,
            system=_system(fields.get("system")),
            sampling=read_sampling(given.get("options", "")),
            attempts=_whole("attempts", given["attempts"], low=1, high=limits.max_attempts)
            if "attempts" in given
            else limits.attempts,
            timeout_s=_seconds(given["timeout_s"], limits.max_timeout_s)
            if "timeout_s" in given
            else limits.timeout_s,
            nodes=_nodes(given.get("nodes", "")),
            # Nobody's machine is taken away for three rows.
            exclusive=_yes_or_no("exclusive", given.get("exclusive", "no")) and not dry_run,
        )

    def to_json(self) -> dict[str, Any]:
        """As it is kept in `Job.options`."""
        return asdict(self) | {"nodes": list(self.nodes), "sampling": dict(self.sampling)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JobOptions:
        """What `to_json` gave; what is missing has its default, what is unknown is passed over."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        return cls(**known | {"nodes": tuple(known.get("nodes", ()))})


def ignored_fields(fields: Mapping[str, str]) -> list[str]:
    """The names of form fields that mean nothing here, for the answer to say so."""
    return sorted(name for name in fields if name not in FIELDS)


def job_name(fields: Mapping[str, str], filename: str) -> str:
    """The job's name: the one given, else the file's, else `dataset`. Raises OptionError."""
    name = fields.get("name", "").strip()
    refuse_unstorable("name", name)
    if len(name) > MAX_TEXT:
        raise OptionError("name", f"name has {len(name)} characters; at most {MAX_TEXT} are possible.")
    file = "".join(one for one in filename if one.isprintable() and not is_surrogate(one))
    return name or file.strip()[:MAX_TEXT] or "dataset"


def _model(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise OptionError("model", f"model has {len(value)} characters; at most {MAX_TEXT} are possible.")
    return "" if value.lower() == "auto" else value


def _system(value: str | None) -> str | None:
    # Blanks at the ends of a prompt may be meant, so the text itself stays as it came.
    if value is None or not value.strip():
        return None
    if len(value) > MAX_SYSTEM:
        raise OptionError("system", f"system has {len(value)} characters; at most {MAX_SYSTEM} are possible.")
    return value


def _whole(name: str, value: str, *, low: int, high: int) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 12:
        raise OptionError(name, f"{name} is {value[:40]!r}; it must be a whole number from {low} to {high}.")
    number = int(value)
    if not low <= number <= high:
        raise OptionError(name, f"{name} is {number}; it must be from {low} to {high}.")
    return number


def _seconds(value: str, most: float) -> float:
    wanted = f"it must be seconds, above 0 and at most {most:g}."
    try:
        number = float(value)
    except ValueError:
        raise OptionError("timeout_s", f"timeout_s is {value[:40]!r}; {wanted}") from None
    if not 0 < number <= most:
        raise OptionError("timeout_s", f"timeout_s is {number:g}; {wanted}")
    return number


def _nodes(value: str) -> tuple[int, ...]:
    words = [word.strip() for word in value.split(",") if word.strip()]
    if len(words) > MAX_NODES:
        raise OptionError("nodes", f"nodes names {len(words)} nodes; at most {MAX_NODES} are possible.")
    for word in words:
        if not word.isascii() or not word.isdigit() or not 0 < int(word[:19]) < 2**63 or len(word) > 19:
            wanted = "it must be node ids with commas between, such as 1,3."
            raise OptionError("nodes", f"nodes has {word[:40]!r} in it; {wanted}")
    return tuple(dict.fromkeys(int(word) for word in words))


def _yes_or_no(name: str, value: str) -> bool:
    if value.lower() not in _YES | _NO:
        raise OptionError(name, f"{name} is {value[:40]!r}; it must be true or false.")
    return value.lower() in _YES


_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})
