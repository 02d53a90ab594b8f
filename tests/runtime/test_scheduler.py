"""Keys are delayed and deduplicated, and never taken twice at once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozystack.runtime import VirtualClock
from cozystack.runtime.runner import Runner
from cozystack.runtime.scheduler import Closed, Scheduler


async def take_all(scheduler: Scheduler[str], clock: VirtualClock, seconds: float) -> list[tuple[float, str]]:
    """What one taker gets within that time, and when."""
    taken: list[tuple[float, str]] = []

    async def taker() -> None:
        while True:
            key = await scheduler.take()
            taken.append((clock.monotonic(), key))
            scheduler.done(key)

    task = asyncio.create_task(taker())
    await clock.advance(seconds)
    task.cancel()
    await asyncio.wait((task,))
    return taken


async def test_keys_are_taken_in_the_order_in_which_they_became_ready() -> None:
    clock = VirtualClock()
    scheduler: Scheduler[str] = Scheduler(clock)
    for key in ("b", "a", "b", "c"):
        scheduler.add(key)
    assert await take_all(scheduler, clock, 1) == [(0.0, "b"), (0.0, "a"), (0.0, "c")]


async def test_the_earliest_request_for_a_key_wins() -> None:
    clock = VirtualClock()
    scheduler: Scheduler[str] = Scheduler(clock)
    for after in (30, 10, 20):
        scheduler.add("a", after=after)
    assert await take_all(scheduler, clock, 60) == [(10.0, "a")]


async def test_a_request_for_now_replaces_one_for_later() -> None:
    clock = VirtualClock()
    scheduler: Scheduler[str] = Scheduler(clock)
    scheduler.add("a", after=10)
    scheduler.add("a")
    assert await take_all(scheduler, clock, 60) == [(0.0, "a")]


async def test_an_earlier_request_wakes_a_taker_that_waits_for_a_later_one() -> None:
    clock = VirtualClock()
    scheduler: Scheduler[str] = Scheduler(clock)
    scheduler.add("late", after=50)
    task = asyncio.create_task(scheduler.take())
    await clock.advance(1)
    scheduler.add("soon", after=2)
    await clock.advance(2)
    assert task.result() == "soon"
    assert clock.monotonic() == 3.0


async def test_a_taken_key_that_is_asked_for_again_runs_once_more_after_it_is_done() -> None:
    clock = VirtualClock()
    scheduler: Scheduler[str] = Scheduler(clock)
    scheduler.add("a")
    key = await scheduler.take()
    scheduler.add("a")
    scheduler.add("a")
    second = asyncio.create_task(scheduler.take())
    await clock.settle()
    assert not second.done()
    scheduler.done(key)
    await clock.settle()
    assert second.result() == "a"
    scheduler.done("a")
    assert (scheduler.ready, scheduler.waiting, scheduler.running) == (0, 0, 0)


async def test_a_taken_key_that_is_asked_for_later_waits_from_when_it_was_asked() -> None:
    clock = VirtualClock()
    scheduler: Scheduler[str] = Scheduler(clock)
    scheduler.add("a")
    key = await scheduler.take()
    scheduler.add("a", after=10)
    await clock.advance(4)
    scheduler.done(key)
    assert await take_all(scheduler, clock, 20) == [(10.0, "a")]


async def test_a_forgotten_key_is_not_given_out() -> None:
    clock = VirtualClock()
    scheduler: Scheduler[str] = Scheduler(clock)
    scheduler.add("a")
    scheduler.add("b", after=1)
    scheduler.forget("a")
    scheduler.forget("b")
    assert await take_all(scheduler, clock, 10) == []


async def test_takers_that_wait_get_closed() -> None:
    clock = VirtualClock()
    scheduler: Scheduler[str] = Scheduler(clock)
    takers = [asyncio.create_task(scheduler.take()) for _ in range(3)]
    await clock.settle()
    scheduler.close()
    await clock.settle()
    assert all(isinstance(taker.exception(), Closed) for taker in takers)


async def test_a_taker_that_is_cancelled_when_its_turn_came_passes_it_on() -> None:
    clock = VirtualClock()
    scheduler: Scheduler[str] = Scheduler(clock)
    first, second = (asyncio.create_task(scheduler.take()) for _ in range(2))
    await clock.settle()
    scheduler.add("a")
    first.cancel()
    await clock.settle()
    assert second.result() == "a"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0]), st.sampled_from([0.0, 0.3, 1.0])),
        max_size=25,
    ),
    st.integers(1, 3),
)
def test_every_request_is_followed_by_a_run_and_no_key_runs_twice_at_once(
    script: list[tuple[str, float, float]], workers: int
) -> None:
    """Each step asks for a key after some time, then lets some time pass; a run takes 0.4 s."""

    async def scenario() -> None:
        clock = VirtualClock()
        scheduler: Scheduler[str] = Scheduler(clock)
        running: set[str] = set()
        starts: list[tuple[float, str]] = []

        async def work(key: str) -> None:
            assert key not in running
            running.add(key)
            starts.append((clock.monotonic(), key))
            await clock.sleep(0.4)
            running.remove(key)

        task = asyncio.create_task(Runner(scheduler, work, workers=workers).run())
        asked: list[tuple[float, str]] = []
        for key, after, pause in script:
            asked.append((clock.monotonic(), key))
            scheduler.add(key, after=after)
            await clock.advance(pause)
        await clock.advance(60)
        scheduler.close()
        await task
        for moment, key in asked:
            assert any(start >= moment and started == key for start, started in starts)
        assert len(starts) <= len(asked)

    asyncio.run(scenario())


async def test_a_runner_needs_a_worker() -> None:
    async def work(key: str) -> None:
        raise AssertionError(key)

    with pytest.raises(ValueError, match="one worker"):
        Runner(Scheduler[str](VirtualClock()), work, workers=0)
