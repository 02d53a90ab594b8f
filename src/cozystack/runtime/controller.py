"""A controller: keys in, reconciles out.

Level-triggered: a reconcile gets a key, never an event, and reads what it needs from stores. Failures are retried with a
backoff per key, which a change of one of the key's inputs ends at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias, TypeVar

from cozystack.api.meta import Key
from cozystack.kube.clock import Clock
from cozystack.kube.informer import Informer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing to do until an input changes."""


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Run again after that many seconds, or when an input changes."""

    seconds: float


Result: TypeAlias = Done | RequeueAfter


class Permanent(Exception):  # noqa: N818 it names what kind of failure this is
    """A failure that no retry can cure: wait until an input changes."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays before retries: ``first * 2**n`` seconds, at most ``longest``, each shortened by up to ``jitter`` of itself."""

    first: float = 0.5
    longest: float = 300.0
    jitter: float = 0.5


class Controller:
    """``workers`` reconciles at once, never two of the same key."""

    def __init__(
        self,
        name: str,
        reconcile: Callable[[Key], Awaitable[Result]],
        *,
        clock: Clock,
        random: Random,
        workers: int = 4,
        backoff: Backoff = Backoff(),
    ) -> None:
        self.name = name

    def watch(
        self,
        informer: Informer[T],
        keys: Callable[[T], Iterable[Key]] | None = None,
        *,
        when: Callable[[T | None, T | None], bool] | None = None,
    ) -> None:
        """Trigger the keys that ``keys`` gives for a changed object (old and new; by default its own key) ``when`` it matters.

        ``run`` waits until every watched informer is synced.
        """
        raise NotImplementedError

    def trigger(self, key: Key) -> None:
        """An input of ``key`` changed: run it now, and forget its failures."""
        raise NotImplementedError

    async def run(self) -> None:
        """Reconcile until ``stop``, or until cancelled."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Finish the reconciles that run, start no more."""
        raise NotImplementedError

    def failures(self, key: Key) -> int:
        """How often in a row ``key`` has failed."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Lengths of queues, for logs and tests."""
        raise NotImplementedError
