"""Everything here kills for real, and is slow by its marker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.postgres import OwnPostgres


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder are `chaos`, `slow`, and may take minutes."""
    for item in items:
        if "tests/chaos" in str(item.path):
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(900))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests measured: kills by role, how long until work went on, what was started again."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid.split('::')[-1]}: {name}: {value}")


@pytest.fixture
def postgres() -> Iterator[OwnPostgres]:
    """A PostgreSQL of this test's own."""
    server = OwnPostgres()
    server.start()
    yield server
    server.stop()
