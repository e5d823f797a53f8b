"""Says why none of a job's items runs although some are left: in one sentence, for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from datasets.models import Job
from datasets.options import JobOptions
from datasets.outlook import request_of
from inference.scheduling import EngineSnapshot, choose
from inference.selectors import engine_snapshots
from nodes.instances import alive

NAMES_SHOWN = 3


def waiting_reason(job: Job) -> str | None:
    """What stands in the way of a job; None when it only has to wait its turn."""
    snapshots = engine_snapshots()
    decision = choose(request_of(job.id, JobOptions.from_json(job.options)), snapshots, 0.0)
    if not decision.candidates:
        return in_words(snapshots, decision.rejected)
    if not alive().filter(kind="worker").exists():
        return (
            "No worker runs. Start the installation with `manage.py up`, or a worker with `manage.py worker`."
        )
    return None


def in_words(snapshots: Sequence[EngineSnapshot], rejected: Mapping[int, str]) -> str:
    """Why each engine is left out, those with the same reason together."""
    if not snapshots:
        return "There is no engine yet. Add a node: `manage.py node add NAME --llm URL`."
    names: dict[str, list[str]] = defaultdict(list)
    for one in snapshots:
        names[rejected[one.engine_id]].append(one.node_name)
    parts = []
    for reason, who in sorted(names.items(), key=lambda pair: -len(pair[1])):
        shown = ", ".join(sorted(who)[:NAMES_SHOWN])
        more = f" and {len(who) - NAMES_SHOWN} more" if len(who) > NAMES_SHOWN else ""
        parts.append(f"{shown}{more}: {reason}")
    return "No engine may take its items now. " + "; ".join(parts) + "."
