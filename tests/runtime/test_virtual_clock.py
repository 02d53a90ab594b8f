"""Virtual time: it stands still while anything can run, and jumps to the next timer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from cozystack.runtime import Stuck, VirtualClock, within


async def test_time_stands_still_until_it_is_told_to_pass() -> None:
    clock = VirtualClock(datetime(2030, 5, 6, tzinfo=UTC))
    task = asyncio.create_task(clock.sleep(3600))
    await clock.settle()
    assert (task.done(), clock.monotonic()) == (False, 0.0)
    await clock.advance(3600)
    assert (task.done(), clock.now()) == (True, datetime(2030, 5, 6, 1, tzinfo=UTC))


async def test_timers_wake_in_order_and_each_lets_everything_run_before_the_next() -> None:
    clock = VirtualClock()
    seen: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append(f"{name} wakes at {clock.monotonic():g}")
        for _ in range(5):
            await asyncio.sleep(0)
        seen.append(f"{name} ends")

    tasks = [asyncio.create_task(sleeper(*each)) for each in (("late", 2.0), ("first", 1.0), ("second", 1.0))]
    await clock.advance(10)
    assert [task.done() for task in tasks] == [True] * 3
    assert seen == [
        "first wakes at 1",
        "first ends",
        "second wakes at 1",
        "second ends",
        "late wakes at 2",
        "late ends",
    ]


async def test_a_timer_set_by_what_a_timer_woke_is_part_of_the_same_advance() -> None:
    clock = VirtualClock()
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(1)
            ticks.append(clock.monotonic())

    task = asyncio.create_task(tick())
    await clock.advance(3.5)
    task.cancel()
    assert ticks == [1.0, 2.0, 3.0]
    assert clock.monotonic() == 3.5


async def test_a_sleep_that_was_cancelled_does_not_move_time() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(clock.sleep(5))
    await clock.settle()
    task.cancel()
    await asyncio.wait((task,))
    with pytest.raises(Stuck):
        await clock.run_until(lambda: False)
    assert clock.monotonic() == 0.0


async def test_run_drives_time_as_far_as_the_work_needs() -> None:
    clock = VirtualClock()

    async def work() -> str:
        await clock.sleep(100)
        return "done"

    assert await clock.run(work()) == "done"
    assert clock.monotonic() == 100.0


async def test_run_until_gives_up_after_its_limit() -> None:
    clock = VirtualClock()
    with pytest.raises(TimeoutError):
        await clock.run(clock.sleep(100), within=50)


async def test_a_sleep_of_nothing_lets_others_run() -> None:
    clock = VirtualClock()
    seen: list[str] = []

    async def other() -> None:
        seen.append("other")

    task = asyncio.create_task(other())
    await clock.sleep(0)
    assert seen == ["other"]
    await task


async def test_within_returns_what_is_done_in_time() -> None:
    clock = VirtualClock()

    async def work() -> int:
        await clock.sleep(1)
        return 7

    assert await clock.run(within(clock, 2, work())) == 7


async def test_within_cancels_what_takes_too_long() -> None:
    clock = VirtualClock()
    cancelled: list[bool] = []

    async def work() -> None:
        try:
            await clock.sleep(10)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(TimeoutError):
        await clock.run(within(clock, 2, work()))
    assert (cancelled, clock.monotonic()) == ([True], 2.0)


async def test_within_passes_on_what_the_work_raises() -> None:
    async def work() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await within(VirtualClock(), 2, work())
