"""Delay and deduplicate keys.

A key is either waiting (with the earliest time anybody asked for), ready, or taken by a runner. Asking again for a taken key
marks it to run once more; it never runs twice at the same time. All times come from the clock that is passed in.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from cozystack.kube.clock import Clock

K = TypeVar("K", bound=Hashable)


class Scheduler(Generic[K]):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def add(self, key: K, *, after: float = 0.0) -> None:
        """Ask for ``key`` to run in ``after`` seconds; the earliest request wins."""
        raise NotImplementedError

    async def take(self) -> K:
        """The next ready key, first come first served; raises ``Closed`` after ``close``. Follow with ``done``."""
        raise NotImplementedError

    def done(self, key: K) -> None:
        """The run of a taken key is over; if it was asked for meanwhile, it is scheduled again."""
        raise NotImplementedError

    def close(self) -> None:
        """No more keys are given out."""
        raise NotImplementedError
