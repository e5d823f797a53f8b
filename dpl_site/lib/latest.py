"""Looks when somebody asks, once at a time and seldom, so that anybody may ask as often as he likes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from dpl_site.lib.db import call

T = TypeVar("T")


class Latest(Generic[T]):
    """The latest look of one process. Looks run in the pool of database threads. Async."""

    def __init__(self, look: Callable[[], T], *, remembered_s: float, within_s: float) -> None:
        """`look` is sync. What it gave holds for `remembered_s` seconds; who asks waits `within_s` at most."""
        self._look = look
        self._remembered_s, self._within_s = remembered_s, within_s
        self._task: asyncio.Task[T] | None = None
        self._began = 0.0

    async def get(self) -> T:
        """What was seen. Raises TimeoutError, and what the look raises."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        task = self._task
        is_old = task is not None and task.done() and now - self._began > self._remembered_s
        if task is None or task.get_loop() is not loop or is_old:
            task = self._task = loop.create_task(call(self._look))
            self._began = now
        async with asyncio.timeout(self._within_s):
            return await asyncio.shield(task)

    def forget(self) -> None:
        """Look anew when somebody asks next."""
        self._task = None
