"""Workers that take keys from a scheduler, one run of a key at a time, until they are stopped.

``stop`` lets the runs that have begun finish; cancelling ``run`` does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cozystack.runtime.scheduler import Closed, Scheduler

K = TypeVar("K", bound=Hashable)


class Runner(Generic[K]):
    """``work`` must not raise: what a failure means is decided by who passes it in."""

    def __init__(self, scheduler: Scheduler[K], work: Callable[[K], Awaitable[None]], *, workers: int, name: str = "") -> None:
        if workers < 1:
            raise ValueError("at least one worker is needed")
        self._scheduler = scheduler
        self._work = work
        self._workers = workers
        self._name = name

    async def run(self) -> None:
        """Work until the scheduler is closed and every run has finished."""
        async with asyncio.TaskGroup() as group:
            for index in range(self._workers):
                group.create_task(self._take_and_work(), name=f"{self._name}-{index}")

    async def _take_and_work(self) -> None:
        while True:
            try:
                key = await self._scheduler.take()
            except Closed:
                return
            try:
                await self._work(key)
            finally:
                self._scheduler.done(key)
