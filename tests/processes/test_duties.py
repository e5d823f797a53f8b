"""What a controller does: which nodes it asks again at once."""

from __future__ import annotations

import pytest

from dpl_site.lib.db import call
from dpl_site.processes.duties import LockChanges
from inference.probe import FleetProbe
from nodes import news
from nodes.locks import LOCK_NEWS
from nodes.models import Node

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_node_whose_lock_changed_is_asked_at_once_and_only_then() -> None:
    probe = FleetProbe()
    changes = LockChanges(probe)

    async def asked() -> list[int]:
        if not await call(changes.look):
            return []
        return [node.node_id async for reading in changes.answers() for node in reading.nodes]

    def tell(node: Node, payload: str) -> None:
        news.publish(topic=news.CLUSTER, object_id=node.id, payload=payload)

    fast, slow = [await call(Node.objects.create, name=name) for name in ("fast", "slow")]
    await call(tell, slow, LOCK_NEWS)
    assert await asked() == [], "what happened before it led is the tick's business"
    await call(tell, slow, LOCK_NEWS)
    await call(tell, fast, "something else")
    await call(news.publish, topic=news.JOB, object_id=fast.id, payload=LOCK_NEWS)
    assert await asked() == [slow.id]
    assert await asked() == []
    await probe.close()
