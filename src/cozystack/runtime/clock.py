"""A clock that jumps: virtual time for tests and rehearsals.

Time stands still while any task can run; only then it moves, straight to the next timer. Timers that are due at the same moment
wake in the order in which they were set, one after the other, each letting everything it woke run to a standstill. So a run is
the same every time. Everything must wait on this clock: real sockets, threads and subprocesses are not seen by it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cozystack.kube.clock import Clock, SystemClock, within

__all__ = ["Clock", "Stuck", "SystemClock", "VirtualClock", "within"]

T = TypeVar("T")


class Stuck(RuntimeError):  # noqa: N818 it names a state
    """Nothing can run, no timer is set, and what is waited for has not happened."""


class VirtualClock:
    """See the module. Whoever drives it (``advance``, ``run_until``, ``run``) must not be waited for by what it drives."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._timers, (self._elapsed + seconds, self._count, future))
        await future

    async def settle(self) -> None:
        """Return when no other task can run at this moment."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # the one way to know; of asyncio's own loops
        await asyncio.sleep(0)
        while ready:  # noqa: ASYNC110 nothing announces that nothing is left to do
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let that much time pass, with everything that happens in it."""
        end = self._elapsed + seconds
        await self.settle()
        while (moment := self._next()) is not None and moment <= end:
            await self._wake()
        self._elapsed = end
        await self.settle()

    async def run_until(self, predicate: Callable[[], object], *, within: float = 86_400.0) -> None:
        """Let time pass until ``predicate`` is true.

        Raises ``TimeoutError`` after ``within`` seconds, ``Stuck`` if it never can be true.
        """
        end = self._elapsed + within
        await self.settle()
        while not predicate():
            moment = self._next()
            if moment is None:
                raise Stuck("nothing can run and no timer is set")
            if moment > end:
                raise TimeoutError(f"not true within {within:g} s of virtual time")
            await self._wake()

    async def run(self, work: Awaitable[T], *, within: float = 86_400.0) -> T:
        """The result of ``work``, with time passing as it needs it; it is cancelled when this fails."""
        task = asyncio.ensure_future(work)
        try:
            await self.run_until(task.done, within=within)
        finally:
            if not task.done():
                task.cancel()
                await self.settle()
        return await task

    def _next(self) -> float | None:
        while self._timers and self._timers[0][2].done():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    async def _wake(self) -> None:
        moment, _, future = heapq.heappop(self._timers)
        self._elapsed = moment
        future.set_result(None)
        await self.settle()
