"""Everything here drives a whole installation, and is slow by its marker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.installation import Installation
from tests.e2e.browser import CHROMIUM, FLAGS, MISSING


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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser."""
    if CHROMIUM is None:
        pytest.skip(MISSING)
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: make test-all"
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
