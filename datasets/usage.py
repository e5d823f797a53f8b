"""What the items of jobs used, as usage of the jobs' owners: added up in the drain, written beside the results.

An item counts when it is recorded, so once, however often it ran. On kill -9 what was recorded since the last
writing is missing in the sums of usage, never in the job.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from accounts.models import UsageDay
from accounts.usage import Used, UsedBy, usage_add
from datasets.ledger import Outcome
from datasets.models import Job
from datasets.states import ItemState
from dpl_site.lib.clock import utc_now
from nodes.models import Node

_By = tuple[str, str, int]
"""Job, model and node."""


class ItemUsage:
    """Sums of recorded items that are not written yet, by job, model and node."""

    def __init__(self) -> None:
        self._sums: defaultdict[_By, Used] = defaultdict(Used)

    def add(self, recorded: Iterable[Outcome]) -> None:
        """Count what a commit recorded; what it put back is not over yet."""
        for one in recorded:
            if one.state is ItemState.PENDING:
                continue
            used = self._sums[one.job_id, one.model, one.node_id or 0]
            used.requests += 1
            used.failed += one.state is ItemState.FAILED
            used.prompt_tokens += one.prompt_tokens or 0
            used.completion_tokens += one.completion_tokens or 0

    def take(self) -> dict[_By, Used]:
        """The sums since the last call."""
        taken, self._sums = self._sums, defaultdict(Used)
        return dict(taken)


def record_usage(*, sums: Mapping[_By, Used]) -> None:
    """Raise the usage of the jobs' owners by these sums, on today's day."""
    owners = dict(Job.objects.filter(id__in={job_id for job_id, _, _ in sums}).values_list("id", "owner_id"))
    names = dict(Node.objects.filter(id__in={node_id for _, _, node_id in sums}).values_list("id", "name"))
    today = utc_now().date()
    found: defaultdict[UsedBy, Used] = defaultdict(Used)
    for (job_id, model, node_id), used in sums.items():
        if job_id in owners:
            by = UsedBy(
                day=today,
                user_id=owners[job_id],
                key_id=0,
                model=model,
                node_id=node_id,
                source=UsageDay.Source.DATASETS,
                node_name=names.get(node_id, ""),
            )
            found[by].add(used)
    usage_add(used=found)
