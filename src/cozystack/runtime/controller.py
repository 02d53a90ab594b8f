"""A controller: keys in, reconciles out.

Level-triggered: a reconcile gets a key, never an event, and reads what it needs from stores. It returns what it waits for:
``Done`` (a change of an input) or ``RequeueAfter`` (a time as well). A failure is retried with a backoff per key, which a
change of one of the key's inputs ends at once; a ``Permanent`` failure waits for such a change alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeAlias, TypeVar

from cozystack.api.meta import Key
from cozystack.kube.clock import Clock
from cozystack.kube.errors import KubeError
from cozystack.kube.informer import ChangeKind, Informer
from cozystack.kube.store import key_of
from cozystack.runtime.logging import Log
from cozystack.runtime.runner import Runner
from cozystack.runtime.scheduler import Scheduler

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing to do until an input changes."""


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Run again after that many seconds, or when an input changes."""

    seconds: float


Result: TypeAlias = Done | RequeueAfter
Outcome: TypeAlias = Literal["done", "requeue", "retry", "permanent"]


class Permanent(Exception):  # noqa: N818 it names what kind of failure this is
    """A failure that no retry can cure: wait until an input changes."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays before retries: ``first * 2**n`` seconds, at most ``longest``, each shortened by up to ``jitter`` of itself."""

    first: float = 0.5
    longest: float = 300.0
    jitter: float = 0.5

    def delay(self, failures: int, random: Random) -> float:
        """Seconds to wait after that many failures in a row (1 or more)."""
        delay = min(self.first * 2.0 ** min(failures - 1, 60), self.longest)
        return delay * (1.0 - self.jitter * random.random())


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One reconcile, as an observer (metrics) is told of it."""

    controller: str
    key: Key
    outcome: Outcome
    seconds: float


class Controller:
    """``workers`` reconciles at once, never two of the same key. ``observe`` is told of every reconcile."""

    def __init__(
        self,
        name: str,
        reconcile: Callable[[Key], Awaitable[Result]],
        *,
        clock: Clock,
        random: Random,
        workers: int = 4,
        backoff: Backoff = Backoff(),
        observe: Callable[[Reconciled], None] | None = None,
    ) -> None:
        self.name = name
        self._reconcile = reconcile
        self._clock = clock
        self._random = random
        self._backoff = backoff
        self._observe = observe
        self._scheduler: Scheduler[Key] = Scheduler(clock)
        self._runner = Runner(self._scheduler, self._run_one, workers=workers, name=name)
        self._failures: dict[Key, int] = {}
        self._changed: set[Key] = set()
        self._sources: list[Callable[[], Awaitable[None]]] = []
        self._stopping = asyncio.Event()
        self._log = Log("cozystack.controller", controller=name)

    @property
    def queued(self) -> int:
        """Keys that are ready and wait for a worker."""
        return self._scheduler.ready

    @property
    def delayed(self) -> int:
        """Keys that wait for a time."""
        return self._scheduler.waiting

    @property
    def running(self) -> int:
        """Reconciles that run now."""
        return self._scheduler.running

    def failures(self, key: Key) -> int:
        """How often in a row ``key`` has failed since its inputs last changed."""
        return self._failures.get(key, 0)

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
        keys_for: Callable[[T], Iterable[Key]] = keys or (lambda obj: (key_of(obj),))

        def changed(kind: ChangeKind, old: T | None, new: T | None) -> None:
            if when is not None and not when(old, new):
                return
            affected: dict[Key, None] = {}
            for obj in (old, new):
                if obj is not None:
                    affected.update(dict.fromkeys(keys_for(obj)))
            for key in affected:
                self.trigger(key)

        informer.on_change(changed)
        self.wait_for(informer.wait_synced)

    def wait_for(self, ready: Callable[[], Awaitable[None]]) -> None:
        """Start no reconcile before ``ready`` returns."""
        self._sources.append(ready)

    def trigger(self, key: Key, *, after: float = 0.0) -> None:
        """An input of ``key`` changed: run it now (or in ``after`` seconds), and forget its failures."""
        self._failures.pop(key, None)
        self._changed.add(key)
        self._scheduler.add(key, after=after)

    async def run(self) -> None:
        """Reconcile until ``stop``, or until cancelled."""
        waiting = asyncio.ensure_future(self._sources_ready())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
                await self._runner.run()
        finally:
            waiting.cancel()
            stopping.cancel()

    async def stop(self) -> None:
        """Finish the reconciles that run, start no more; ``run`` returns then."""
        self._stopping.set()
        self._scheduler.close()

    async def _sources_ready(self) -> None:
        for ready in self._sources:
            await ready()

    async def _run_one(self, key: Key) -> None:
        self._changed.discard(key)
        started = self._clock.monotonic()
        outcome = await self._outcome(key)
        if self._observe is not None:
            self._observe(Reconciled(self.name, key, outcome, self._clock.monotonic() - started))

    async def _outcome(self, key: Key) -> Outcome:
        try:
            result = await self._reconcile(key)
        except Permanent as error:
            self._failures.pop(key, None)
            self._log.error("waiting for a change", key=str(key), reason=str(error))
            return "permanent"
        except Exception as error:
            self._retry(key, error)
            return "retry"
        self._failures.pop(key, None)
        if isinstance(result, RequeueAfter):
            self._scheduler.add(key, after=result.seconds)
            return "requeue"
        return "done"

    def _retry(self, key: Key, error: Exception) -> None:
        """Schedule the next attempt. After a change during the run there is one already, and it counts as the first."""
        failures, delay = 0, 0.0
        if key not in self._changed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = self._backoff.delay(failures, self._random)
            self._scheduler.add(key, after=delay)
        expected = isinstance(error, KubeError)
        self._log.error(
            "reconcile failed",
            error=None if expected else error,
            key=str(key),
            reason=str(error),
            failures=failures,
            retry_in=delay,
        )
