"""What somebody looks at is asked more often, for as long as he looks, and never more than a few nodes."""

from __future__ import annotations

import pytest

from nodes import watching
from nodes.models import Node, Watch
from nodes.watching import THE_FLEET, watch_note, watched_nodes, watches_prune

pytestmark = pytest.mark.django_db


def nodes(count: int) -> list[int]:
    return [
        Node.objects.create(name=f"n{at}", monitor_base_url=f"http://10.0.0.{at}:8001").id
        for at in range(count)
    ]


def test_nobody_looks_at_first() -> None:
    nodes(1)
    assert watched_nodes() == set()


def test_a_node_that_somebody_looks_at() -> None:
    first, _ = nodes(2)
    watch_note(subjects={first})
    watch_note(subjects={first})
    assert watched_nodes() == {first}
    assert Watch.objects.count() == 1


def test_a_small_fleet_as_a_whole_but_only_what_has_an_agent() -> None:
    every = nodes(2)
    Node.objects.create(name="without")
    watch_note(subjects={THE_FLEET})
    assert watched_nodes() == set(every)


def test_a_large_fleet_is_not_but_a_single_node_of_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_WATCHED", 2)
    every = nodes(3)
    watch_note(subjects={THE_FLEET})
    assert watched_nodes() == set()
    watch_note(subjects={every[2]})
    assert watched_nodes() == {every[2]}
    watch_note(subjects=set(every))
    assert len(watched_nodes()) == 2


def test_a_note_ends_by_itself_and_is_removed() -> None:
    (only,) = nodes(1)
    watch_note(subjects={only})
    assert watches_prune() == 0
    Watch.objects.update(expires_ms=1)
    assert watched_nodes() == set()
    assert watches_prune() == 1
