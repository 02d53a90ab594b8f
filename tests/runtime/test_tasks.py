"""The services of a program: started in order, stopped in reverse, all or none."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from cozystack.runtime import Service, VirtualClock, supervise
from cozystack.runtime.tasks import ServiceEnded


class Diary:
    """Makes services that write down what happens to them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.clock = VirtualClock()

    def service(self, name: str, *, ends_after: float = 1e9, error: Exception | None = None) -> Service:
        async def run() -> None:
            self.lines.append(f"{name} starts")
            try:
                await self.clock.sleep(ends_after)
                if error is not None:
                    raise error
            finally:
                self.lines.append(f"{name} ends")

        return Service(name, run)

    def gentle(self, name: str, *, takes: float) -> Service:
        asked = asyncio.Event()

        async def run() -> None:
            await asked.wait()
            await self.clock.sleep(takes)
            self.lines.append(f"{name} has finished")

        async def stop() -> None:
            self.lines.append(f"{name} is asked")
            asked.set()

        return Service(name, run, stop)

    def supervised(self, *services: Service, finished: str = "", grace: float = 30.0) -> Awaitable[None]:
        return supervise(services, clock=self.clock, signals=False, finished=finished, grace=grace)


async def test_services_start_in_order_and_stop_in_reverse() -> None:
    diary = Diary()
    work = diary.supervised(diary.service("a"), diary.service("b"), diary.service("main", ends_after=5), finished="main")
    await diary.clock.run(work)
    assert diary.lines == ["a starts", "b starts", "main starts", "main ends", "b ends", "a ends"]


async def test_what_a_service_raises_stops_the_others_and_is_raised() -> None:
    diary = Diary()
    with pytest.raises(RuntimeError, match="broken"):
        await diary.clock.run(
            diary.supervised(diary.service("a"), diary.service("b", ends_after=1, error=RuntimeError("broken")))
        )
    assert diary.lines[-1] == "a ends"


async def test_a_service_that_returns_is_an_error() -> None:
    diary = Diary()
    with pytest.raises(ServiceEnded, match="b has ended by itself"):
        await diary.clock.run(diary.supervised(diary.service("a"), diary.service("b", ends_after=1)))


async def test_a_service_that_can_be_asked_to_finish_is_waited_for() -> None:
    diary = Diary()
    work = diary.supervised(diary.service("a"), diary.gentle("b", takes=7), diary.service("m", ends_after=1), finished="m")
    await diary.clock.run(work)
    assert diary.lines[-4:] == ["m ends", "b is asked", "b has finished", "a ends"]
    assert diary.clock.monotonic() == 8.0


async def test_a_service_that_does_not_finish_in_time_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    diary = Diary()
    work = diary.supervised(diary.gentle("b", takes=100), diary.service("m", ends_after=1), finished="m", grace=10)
    await diary.clock.run(work)
    assert diary.clock.monotonic() == 11.0
    assert "did not stop in time" in caplog.text


async def test_cancelling_stops_everything() -> None:
    diary = Diary()
    task = asyncio.ensure_future(diary.supervised(diary.service("a"), diary.service("b")))
    await diary.clock.settle()
    task.cancel()
    await diary.clock.settle()
    assert task.cancelled()
    assert diary.lines == ["a starts", "b starts", "b ends", "a ends"]


async def test_a_failure_while_stopping_is_said_and_does_not_stop_the_stopping(caplog: pytest.LogCaptureFixture) -> None:
    diary = Diary()

    async def run() -> None:
        try:
            await diary.clock.sleep(1e9)
        finally:
            raise RuntimeError("broken on the way out")

    services = (diary.service("a"), Service("bad", run), diary.service("m", ends_after=1))
    await diary.clock.run(diary.supervised(*services, finished="m"))
    assert diary.lines[-1] == "a ends"
    assert "broken on the way out" in caplog.text


async def signalled(number: signal.Signals, stubborn: bool) -> tuple[list[str], list[int]]:
    """Run a service, send the signal (twice to a stubborn one); what happened, and the codes of immediate ends."""
    diary = Diary()
    codes: list[int] = []
    service = diary.gentle("a", takes=5) if stubborn else diary.service("a")
    leave: Callable[[int], object] = codes.append
    task = asyncio.ensure_future(supervise([service], clock=diary.clock, leave=leave))
    await diary.clock.settle()
    for _ in range(2 if stubborn else 1):
        os.kill(os.getpid(), number)
        for _ in range(5):  # the loop learns of signals by a pipe
            await asyncio.sleep(0)
    await diary.clock.run(task)
    return diary.lines, codes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_program_cleanly(number: signal.Signals) -> None:
    assert await signalled(number, stubborn=False) == (["a starts", "a ends"], [])


async def test_a_second_signal_ends_the_process_at_once() -> None:
    _, codes = await signalled(signal.SIGTERM, stubborn=True)
    assert codes == [1]
