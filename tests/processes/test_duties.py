"""What a controller does: which nodes it asks again at once, and which more often."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from dpl_site.lib.db import call
from dpl_site.processes.duties import LockChanges, WatchedNodes
from inference.models import Engine
from inference.probe import FleetProbe
from nodes import news
from nodes.locks import LOCK_NEWS
from nodes.models import Node
from nodes.watching import watch_note

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


async def test_the_agent_of_a_node_that_somebody_looks_at_is_asked_more_often() -> None:
    node = await call(Node.objects.create, name="fast", monitor_base_url="http://127.0.0.1:9")
    await call(Node.objects.create, name="slow", monitor_base_url="http://127.0.0.2:9")
    await call(Engine.objects.create, node=node, base_url="http://127.0.0.1:9")
    probe = FleetProbe()
    watched = WatchedNodes(probe)
    assert not await call(watched.look)
    await call(watch_note, subjects={node.id})
    assert await call(watched.look)
    seen = [one async for reading in watched.answers() for one in reading.nodes]
    assert [(one.node_id, one.engines) for one in seen] == [(node.id, ())]
    assert seen[0].agent is not None
    await probe.close()


def test_it_is_off_where_it_would_be_no_more_often(settings: Settings) -> None:
    watched = WatchedNodes(FleetProbe())
    settings.DPL_POLL_INTERVAL_S = 2.0
    assert [duty.period_s for duty in watched.duties()] == [1.0]
    for period_s in (0.0, 2.0, 5.0):
        settings.DPL_WATCHED_INTERVAL_S = period_s
        assert watched.duties() == ()
