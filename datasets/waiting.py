"""Says why none of a job's items runs although some are left: in one sentence, for people, in their language."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from datasets.models import Job
from datasets.options import JobOptions
from datasets.outlook import request_of
from inference.scheduling import EngineSnapshot, choose
from inference.selectors import engine_snapshots
from nodes.instances import alive

NAMES_SHOWN = 3
_REASONS = {
    "not among the nodes that were asked for": _("not among the nodes that were asked for"),
    "offline": pgettext_lazy("state", "offline"),
    "offline: (.+)": _("offline: {0}"),
    "locked by (.+)": _("locked by {0}"),
    "not locked for this job yet": _("not locked for this job yet"),
    "breaker open": _("passed over for a while, since it failed"),
    "breaker open: (.+)": _("passed over for a while, since it failed: {0}"),
    "it has no slots": _("it has no slots"),
    "does not have (.+)": _("does not have {0}"),
    "has no model": _("has no model"),
}
"""The scheduler's reasons, which are plain English, as people are told them."""


def waiting_reason(job: Job) -> str | None:
    """What stands in the way of a job; None when it only has to wait its turn."""
    snapshots = engine_snapshots()
    decision = choose(request_of(job.id, JobOptions.from_json(job.options)), snapshots, 0.0)
    if not decision.candidates:
        return in_words(snapshots, decision.rejected)
    if not alive().filter(kind="worker").exists():
        return gettext(
            "No worker runs. Start the installation with `manage.py up`, or a worker with `manage.py worker`."
        )
    return None


def in_words(snapshots: Sequence[EngineSnapshot], rejected: Mapping[int, str]) -> str:
    """Why each engine is left out, those with the same reason together."""
    if not snapshots:
        return gettext("There is no engine yet. Add a node: `manage.py node add NAME --llm URL`.")
    names: dict[str, list[str]] = defaultdict(list)
    for one in snapshots:
        names[rejected[one.engine_id]].append(one.node_name)
    parts = [
        f"{_several(who)}: {reason_in_words(reason)}"
        for reason, who in sorted(names.items(), key=lambda pair: -len(pair[1]))
    ]
    return gettext("No engine may take its items now. {reasons}.").format(reasons="; ".join(parts))


def reason_in_words(reason: str) -> str:
    """One of the scheduler's reasons in the reader's language; an unknown one as it is."""
    for pattern, words in _REASONS.items():
        if found := re.fullmatch(pattern, reason, re.DOTALL):
            return str(words).format(*found.groups())
    return reason


def _several(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return gettext("{names} and {count} more").format(names=shown, count=more) if more > 0 else shown
