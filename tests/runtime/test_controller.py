"""Controllers: level-triggered, one reconcile a key, backoff that a change ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cozystack.api.core import ConfigMap
from cozystack.api.meta import Key
from cozystack.api.resources import CONFIG_MAPS
from cozystack.kube import Client, Informer
from cozystack.runtime import Backoff, Controller, Done, Permanent, RequeueAfter, Result, VirtualClock
from cozystack.runtime.controller import Reconciled
from support.kube import FakeApi, error, seeded

A, B = Key("", "a"), Key("", "b")
STEADY = Backoff(first=1.0, longest=8.0, jitter=0.0)


class Bench:
    """A controller on virtual time whose reconcile follows a script of outcomes, then is done."""

    def __init__(self, *script: Result | Exception, takes: float = 0.0, **options: Any) -> None:
        self.clock = VirtualClock()
        self.script = list(script)
        self.takes = takes
        self.runs: list[tuple[float, str]] = []
        self.observed: list[Reconciled] = []
        self.controller = Controller(
            "bench",
            self._reconcile,
            clock=self.clock,
            random=seeded(),
            **{"backoff": STEADY, "observe": self.observed.append, **options},
        )

    async def _reconcile(self, key: Key) -> Result:
        self.runs.append((self.clock.monotonic(), str(key)))
        outcome = self.script.pop(0) if self.script else Done()
        await self.clock.sleep(self.takes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.controller.run())
        await self.clock.settle()
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait((task,))


async def test_a_key_that_is_done_waits_for_a_change() -> None:
    bench = Bench()
    async with bench.running():
        bench.controller.trigger(A)
        await bench.clock.advance(3600)
        assert bench.runs == [(0.0, "a")]


async def test_a_key_that_asks_for_it_runs_again_after_that_time_once() -> None:
    bench = Bench(RequeueAfter(30))
    async with bench.running():
        bench.controller.trigger(A)
        await bench.clock.advance(3600)
        assert bench.runs == [(0.0, "a"), (30.0, "a")]


async def test_a_change_during_a_run_runs_the_key_once_more() -> None:
    bench = Bench(takes=5)
    async with bench.running():
        bench.controller.trigger(A)
        await bench.clock.advance(1)
        bench.controller.trigger(A)
        bench.controller.trigger(A)
        await bench.clock.advance(60)
        assert bench.runs == [(0.0, "a"), (5.0, "a")]


async def test_failures_are_retried_with_growing_delays() -> None:
    bench = Bench(*[RuntimeError("no")] * 6)
    async with bench.running():
        bench.controller.trigger(A)
        await bench.clock.advance(100)
        assert [moment for moment, _ in bench.runs] == [0.0, 1.0, 3.0, 7.0, 15.0, 23.0, 31.0]
        assert bench.controller.failures(A) == 0
        assert [each.outcome for each in bench.observed] == ["retry"] * 6 + ["done"]


async def test_a_change_ends_the_backoff_at_once() -> None:
    bench = Bench(*[RuntimeError("no")] * 5)
    async with bench.running():
        bench.controller.trigger(A)
        await bench.clock.advance(10)
        assert bench.controller.failures(A) == 4
        bench.controller.trigger(A)
        await bench.clock.settle()
        assert bench.runs[-1] == (10.0, "a")
        assert bench.controller.failures(A) == 1


async def test_a_change_while_a_run_fails_is_tried_at_once_and_starts_the_backoff_again() -> None:
    bench = Bench(RuntimeError("no"), RuntimeError("no"), RuntimeError("no"), takes=2)
    async with bench.running():
        bench.controller.trigger(A)
        await bench.clock.advance(4)  # fails at 2, runs again at 3
        bench.controller.trigger(A)
        await bench.clock.advance(20)
        assert [moment for moment, _ in bench.runs] == [0.0, 3.0, 5.0, 8.0]


async def test_a_permanent_failure_waits_for_a_change() -> None:
    bench = Bench(Permanent("the spec names no variant"))
    async with bench.running():
        bench.controller.trigger(A)
        await bench.clock.advance(3600)
        assert bench.runs == [(0.0, "a")]
        bench.controller.trigger(A)
        await bench.clock.advance(1)
        assert bench.runs == [(0.0, "a"), (3600.0, "a")]


async def test_a_failing_key_does_not_hold_back_others() -> None:
    bench = Bench(RuntimeError("no"), workers=1)
    async with bench.running():
        bench.controller.trigger(A)
        bench.controller.trigger(B)
        await bench.clock.settle()
        assert bench.runs == [(0.0, "a"), (0.0, "b")]


async def test_workers_bound_how_many_run_at_once() -> None:
    bench = Bench(takes=1, workers=2)
    async with bench.running():
        for index in range(5):
            bench.controller.trigger(Key("", str(index)))
        await bench.clock.settle()
        assert (bench.controller.running, bench.controller.queued) == (2, 3)
        await bench.clock.advance(10)
        assert [moment for moment, _ in bench.runs] == [0.0, 0.0, 1.0, 1.0, 2.0]


async def test_stop_finishes_what_runs_and_starts_nothing_more() -> None:
    bench = Bench(takes=5, workers=1)
    async with bench.running() as task:
        bench.controller.trigger(A)
        bench.controller.trigger(B)
        await bench.clock.advance(1)
        await bench.controller.stop()
        await bench.clock.advance(1)
        assert not task.done()
        await bench.clock.advance(5)
        assert task.done()
        assert bench.runs == [(0.0, "a")]
        assert [each.outcome for each in bench.observed] == ["done"]


async def test_stop_ends_a_controller_that_still_waits_for_its_sources() -> None:
    bench = Bench()
    bench.controller.wait_for(lambda: bench.clock.sleep(1e9))
    async with bench.running() as task:
        await bench.controller.stop()
        await bench.clock.settle()
        assert task.done()


async def test_a_failure_is_one_line_that_names_the_place(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(ValueError("a bug"))
    async with bench.running():
        bench.controller.trigger(A)
        await bench.clock.settle()
    (record,) = caplog.records
    assert record.getMessage() == "reconcile failed"
    assert record.fields["key"] == "a"  # type: ignore[attr-defined]
    assert record.exc_info is not None


def label_keys(obj: ConfigMap) -> list[Key]:
    return [Key("", name) for name in obj.data.values()]


Reconcile = Callable[[Key], Awaitable[Result]]


async def test_a_watched_object_triggers_the_keys_it_maps_to_before_and_after() -> None:
    api = FakeApi(CONFIG_MAPS)
    api.put(CONFIG_MAPS, {"metadata": {"namespace": "n", "name": "x"}, "data": {"for": "a"}})
    bench = Bench()
    informer = Informer(Client(api, clock=bench.clock), CONFIG_MAPS)
    bench.controller.watch(informer, label_keys)
    follower = asyncio.create_task(informer.run())
    async with bench.running():
        assert bench.runs == [(0.0, "a")]
        api.put(CONFIG_MAPS, {"metadata": {"namespace": "n", "name": "x"}, "data": {"for": "b"}})
        await bench.clock.settle()
        assert bench.runs[1:] == [(0.0, "a"), (0.0, "b")]
        api.remove(CONFIG_MAPS, Key("n", "x"))
        await bench.clock.settle()
        assert bench.runs[3:] == [(0.0, "b")]
    follower.cancel()
    await asyncio.wait((follower,))


async def test_nothing_is_reconciled_before_all_sources_are_synced() -> None:
    api = FakeApi(CONFIG_MAPS)
    api.put(CONFIG_MAPS, {"metadata": {"namespace": "n", "name": "x"}, "data": {}})
    api.fail(error(403, "Forbidden"), times=4)
    bench = Bench()
    informer = Informer(Client(api, clock=bench.clock), CONFIG_MAPS, random=seeded())
    bench.controller.watch(informer)
    bench.controller.trigger(A)
    follower = asyncio.create_task(informer.run())
    async with bench.running():
        await bench.clock.settle()
        assert bench.runs == []
        await bench.clock.run_until(lambda: informer.synced)
        await bench.clock.settle()
        assert [key for _, key in bench.runs] == ["a", "n/x"]
    follower.cancel()
    await asyncio.wait((follower,))


async def test_a_change_that_does_not_matter_triggers_nothing() -> None:
    api = FakeApi(CONFIG_MAPS)
    bench = Bench()
    informer = Informer(Client(api, clock=bench.clock), CONFIG_MAPS)
    bench.controller.watch(informer, when=lambda old, new: old is None or new is None or old.data != new.data)
    follower = asyncio.create_task(informer.run())
    async with bench.running():
        for labels in ({"a": "1"}, {"a": "2"}):
            api.put(CONFIG_MAPS, {"metadata": {"namespace": "n", "name": "x", "labels": labels}, "data": {}})
            await bench.clock.settle()
        assert len(bench.runs) == 1
    follower.cancel()
    await asyncio.wait((follower,))


def test_backoff_is_spread_below_its_nominal_delay_and_bounded() -> None:
    backoff = Backoff(first=1.0, longest=10.0, jitter=0.5)
    random = seeded()
    delays = [backoff.delay(failures, random) for failures in range(1, 2000)]
    assert all(0.5 <= delay <= 10.0 for delay in delays)
    assert min(delays[5:]) >= 5.0
    assert len(set(delays)) > 1900
