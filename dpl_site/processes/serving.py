"""Whether the installation can serve: its database, schema, controller and worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, InterfaceError, connection

from dpl_site.lib.db import NowMs
from dpl_site.processes.schema import read_schema
from nodes.instances import alive
from nodes.models import Leadership

HOW_TO_START = "Start `manage.py up`, or `manage.py {kind}`; its log says why it ended."


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that serving needs; `message` says what is wrong and what to do, empty when it is well."""

    message: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether it is well."""
        return not self.message


@dataclass(frozen=True, slots=True)
class Readiness:
    """All that serving needs."""

    parts: Mapping[str, Part]

    @property
    def is_ready(self) -> bool:
        """Whether every part is well."""
        return all(part.is_ok for part in self.parts.values())

    def view(self) -> dict[str, Any]:
        """`{"ready", "database": {"ok", "message"}, …}`."""
        parts = {name: {"ok": part.is_ok, "message": part.message} for name, part in self.parts.items()}
        return {"ready": self.is_ready, **parts}


def read_readiness() -> Readiness:
    """Look at everything; a database that is away is an answer, not an error."""
    try:
        schema = Part(read_schema().problem)
        if not schema.is_ok:
            unseen = Part("Cannot be told while the schema is not this release's.")
            return _readiness(Part(), schema, unseen, unseen)
        return _readiness(Part(), schema, _controller(), _worker())
    except (DatabaseError, InterfaceError) as error:
        connection.close()
        return database_away(str(error).strip())


def database_away(why: str) -> Readiness:
    """What there is to say while the database does not answer."""
    unseen = Part("Cannot be told while the database is away.")
    gone = Part(f"The database does not answer: {why}. Look at DATABASE_URL, and whether the server runs.")
    return _readiness(gone, unseen, unseen, unseen)


def _readiness(database: Part, schema: Part, controller: Part, worker: Part) -> Readiness:
    return Readiness({"database": database, "schema": schema, "controller": controller, "worker": worker})


def _controller() -> Part:
    if not alive().filter(kind="controller").exists():
        return Part(f"No controller runs. {HOW_TO_START.format(kind='controller')}")
    if not Leadership.objects.filter(name="controller", expires_ms__gt=NowMs()).exists():
        return Part("No controller leads. One takes the lead within seconds; if none does, see its log.")
    return Part()


def _worker() -> Part:
    if not alive().filter(kind="worker").exists():
        return Part(f"No worker runs. {HOW_TO_START.format(kind='worker')}")
    return Part()
