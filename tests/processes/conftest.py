"""Supervisors that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.processes.supervised import Supervised

Start = Callable[..., Supervised]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a supervisor and begins to read it."""
    with ExitStack() as stack:

        def begin(*children: dict[str, Any], is_read: bool = True, **more: Any) -> Supervised:
            supervised = Supervised(list(children), **more)
            stack.callback(supervised.close)
            return supervised.read() if is_read else supervised

        yield begin
