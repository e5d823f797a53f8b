"""A node of the cast, and what its agent tells."""

from __future__ import annotations

import pytest

from nodes.models import Node, NodeStatus


@pytest.fixture
def fast(db: None) -> Node:
    """The node `fast`, with a status and no agent."""
    node = Node.objects.create(name="fast")
    NodeStatus.objects.create(node=node)
    return node


@pytest.fixture
def slow(db: None) -> Node:
    """The node `slow`, with a status and no agent."""
    node = Node.objects.create(name="slow")
    NodeStatus.objects.create(node=node)
    return node
