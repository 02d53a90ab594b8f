"""Delay and deduplicate keys.

A key is either waiting (with the earliest time anybody asked for), ready, or taken by a runner. Asking again for a taken key
marks it to run once more; it never runs twice at the same time. All times come from the clock that is passed in.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from cozystack.kube.clock import Clock

K = TypeVar("K", bound=Hashable)


class Closed(Exception):  # noqa: N818 it is no error
    """The scheduler gives out no more keys."""


class Scheduler(Generic[K]):
    """One task waits for the next timer while anybody waits in ``take``; nothing runs when nothing is asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._ready: OrderedDict[K, None] = OrderedDict()
        self._taken: dict[K, float | None] = {}
        self._takers: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = 0.0
        self._count = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """Keys that are due later."""
        return len(self._due)

    @property
    def ready(self) -> int:
        """Keys that nobody has taken yet."""
        return len(self._ready)

    @property
    def running(self) -> int:
        """Keys that are taken."""
        return len(self._taken)

    def add(self, key: K, *, after: float = 0.0) -> None:
        """Ask for ``key`` to run in ``after`` seconds; the earliest request wins."""
        if self._closed or key in self._ready:
            return
        at = self._clock.monotonic() + max(0.0, after)
        if key in self._taken:
            asked = self._taken[key]
            self._taken[key] = at if asked is None else min(asked, at)
        else:
            self._schedule(key, at)

    async def take(self) -> K:
        """The next ready key, first come first served; raises ``Closed`` after ``close``. Follow with ``done``."""
        while True:
            if self._closed:
                raise Closed
            self._collect()
            if self._ready:
                key, _ = self._ready.popitem(last=False)
                self._taken[key] = None
                return key
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._takers.append(waiter)
            self._arm()
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise

    def done(self, key: K) -> None:
        """The run of a taken key is over; if it was asked for meanwhile, it is scheduled again."""
        at = self._taken.pop(key)
        if at is not None and not self._closed:
            self._schedule(key, at)

    def forget(self, key: K) -> None:
        """Drop what was asked for ``key``; a run that has begun goes on."""
        self._due.pop(key, None)
        self._ready.pop(key, None)
        if key in self._taken:
            self._taken[key] = None

    def close(self) -> None:
        """No more keys are given out; what is taken may still be ``done``."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._takers:
            self._wake()

    def _schedule(self, key: K, at: float) -> None:
        if at <= self._clock.monotonic():
            self._due.pop(key, None)
            self._ready[key] = None
            self._wake()
            return
        known = self._due.get(key)
        if known is not None and known <= at:
            return
        self._due[key] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, key))
        self._arm()

    def _collect(self) -> None:
        """Move what is due to the ready ones. Entries of the heap that were replaced by earlier ones are skipped."""
        now = self._clock.monotonic()
        while self._heap and (self._heap[0][0] <= now or self._stale(self._heap[0])):
            at, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == at:
                del self._due[key]
                self._ready[key] = None

    def _stale(self, item: tuple[float, int, K]) -> bool:
        return self._due.get(item[2]) != item[0]

    def _arm(self) -> None:
        """Have a timer for the earliest key, if there is one and somebody waits for it."""
        if self._closed or not self._takers:
            return
        while self._heap and self._stale(self._heap[0]):
            heapq.heappop(self._heap)
        if not self._heap:
            return
        at = self._heap[0][0]
        if self._timer is not None and not self._timer.done():
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.create_task(self._sleep(at))

    async def _sleep(self, at: float) -> None:
        await self._clock.sleep(at - self._clock.monotonic())
        self._timer = None
        self._collect()
        for _ in range(len(self._ready)):
            self._wake()
        self._arm()

    def _wake(self) -> None:
        """Let one taker look."""
        while self._takers:
            waiter = self._takers.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
