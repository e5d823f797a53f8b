"""What the tests of engines share."""

from __future__ import annotations

import pytest

from inference import looking


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that answer are waited for, however long this one stands still; a test of silence says how long."""
    monkeypatch.setattr(looking, "ASK_S", 30.0)
