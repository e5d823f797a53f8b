"""Everything here drives a whole installation, and is slow by its marker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.installation import Installation


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder are `e2e` and `slow`, and may take minutes."""
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture
def installation() -> Iterator[Installation]:
    """One on SQLite, up and ready."""
    made = Installation(DPL_POLL_INTERVAL_S=1)
    try:
        yield made.start()
    finally:
        made.stop()
