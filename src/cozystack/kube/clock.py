"""Time as everything above this package sees it: passed in, never read from the machine.

``Clock`` is all that a program may know of time. ``SystemClock`` is the real one; ``cozystack.runtime.clock.VirtualClock``
jumps from timer to timer, so that hours pass in milliseconds and always in the same order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """The time of day for what is written down, a monotonic time for what is measured, and sleep."""

    def now(self) -> datetime:
        """The time of day, with a time zone. For texts and objects only: it may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back. For every duration and deadline."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds; zero or less lets other tasks run once."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """The result of ``work``; ``TimeoutError`` if it takes longer than ``seconds`` on ``clock``, and it is cancelled then."""
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError(f"not done after {seconds:g} s")
    finally:
        timer.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
