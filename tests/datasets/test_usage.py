"""What jobs used counts as their owners' usage, each item once."""

from __future__ import annotations

import pytest

from accounts.models import UsageDay
from datasets.ledger import Outcome
from datasets.states import ItemState
from datasets.usage import ItemUsage, record_usage
from dpl_site.lib.clock import utc_now
from nodes.models import Node
from tests.datasets.making import a_job, an_engine
from tests.datasets.test_runner import drain
from tests.engines.simulated import SimulatedEngine


def outcome(state: ItemState, job_id: str = "j", node_id: int | None = 1) -> Outcome:
    more = {"model": "m", "prompt_tokens": 2, "completion_tokens": 3}
    return Outcome(1, 1, job_id, 1, state, 1, 0, node_id=node_id, **more)  # type: ignore[arg-type]


def test_items_are_summed_up_by_job_model_and_node_and_those_put_back_are_not() -> None:
    kept = ItemUsage()
    kept.add([outcome(ItemState.SUCCEEDED), outcome(ItemState.FAILED), outcome(ItemState.PENDING)])
    kept.add([outcome(ItemState.SUCCEEDED, node_id=None)])
    sums = kept.take()
    assert {by: (used.requests, used.failed, used.prompt_tokens) for by, used in sums.items()} == {
        ("j", "m", 1): (2, 1, 4),
        ("j", "m", 0): (1, 0, 2),
    }
    assert kept.take() == {}


@pytest.mark.django_db
def test_the_owner_of_a_job_is_told_what_it_used() -> None:
    job, node = a_job(1), Node.objects.create(name="fast")
    kept = ItemUsage()
    for job_id in (job.id, "gone"):
        kept.add([outcome(ItemState.SUCCEEDED, job_id, node.id)])
    record_usage(sums=kept.take())
    (row,) = UsageDay.objects.all()
    assert (row.user_id, row.key_id, row.source) == (job.owner_id, 0, "datasets")
    assert (row.node_name, row.model, row.requests, row.completion_tokens) == ("fast", "m", 1, 3)
    assert row.day == utc_now().date()


@pytest.mark.django_db(transaction=True)
def test_a_drain_writes_what_its_items_used() -> None:
    with SimulatedEngine(latency_ms=1, tokens_per_second=0, slots=4, echo=True) as engine:
        an_engine("fast", engine.url, slots=4)
        job = a_job(20)
        drain()
    rows = UsageDay.objects.filter(user_id=job.owner_id)
    assert sum(row.requests for row in rows) == 20
    assert sum(row.completion_tokens for row in rows) > 0
