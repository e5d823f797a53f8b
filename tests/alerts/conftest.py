"""A world for each test."""

from __future__ import annotations

import pytest

from tests.alerts.world import World


@pytest.fixture
def world(db: None, monkeypatch: pytest.MonkeyPatch) -> World:
    """A fleet without nodes, rules and channels."""
    return World(monkeypatch)
