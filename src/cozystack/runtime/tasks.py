"""Run the services of a program together: start in order, stop in reverse order, all or none.

A service is stopped by its ``stop`` (a request to finish), then, when that takes too long or there is none, by cancellation. So
list first what others need: the health endpoint, informers, then what writes.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cozystack.kube.clock import Clock
from cozystack.runtime.logging import Log

_log = Log("cozystack.tasks")


class ServiceEnded(RuntimeError):  # noqa: N818
    """A service that should run for ever has returned."""


@dataclass(frozen=True, slots=True)
class Service:
    """``run`` runs until cancelled, or until ``stop`` (if given) has asked it to finish; it is then waited for."""

    name: str
    run: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]] | None = None


async def supervise(
    services: Sequence[Service],
    *,
    clock: Clock,
    grace: float = 30.0,
    signals: bool = True,
    finished: str = "",
    leave: Callable[[int], object] = os._exit,
) -> None:
    """Run all until SIGTERM or SIGINT, or until one ends; then stop all, last first, each within ``grace`` seconds.

    Raises what the first failed service raised. A service that returns is an error, except the one named ``finished``, whose
    return ends the program. A second signal ends the process at once, by ``leave(1)``. Cancelling this stops everything too.
    """
    told = asyncio.Event()
    stopping = asyncio.ensure_future(told.wait())
    running: list[tuple[Service, asyncio.Future[None]]] = []
    if signals:
        _listen(told, leave)
    try:
        try:
            running += [(service, asyncio.ensure_future(service.run())) for service in services]
            waited: list[asyncio.Future[Any]] = [stopping, *(task for _, task in running)]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = next(((service, task) for service, task in running if task.done()), None)
            stopping.cancel()
            for service, task in reversed(running):
                if not task.done():
                    await _stop(service, task, clock, grace)
    finally:
        if signals:
            _stop_listening()
    if ended is not None:
        service, task = ended
        task.result()
        if service.name != finished:
            raise ServiceEnded(f"{service.name} has ended by itself")


def _listen(told: asyncio.Event, leave: Callable[[int], object]) -> None:
    def on_signal(number: signal.Signals) -> None:
        if told.is_set():
            leave(1)
        _log.info("stopping", signal=number.name)
        told.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)


def _stop_listening() -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


async def _stop(service: Service, task: asyncio.Future[None], clock: Clock, grace: float) -> None:
    """End one service, gently if it can be, and say what it raised on the way."""
    if service.stop is not None:
        asked = asyncio.ensure_future(service.stop())
        limit = asyncio.ensure_future(clock.sleep(grace))
        await asyncio.wait((task, limit), return_when=asyncio.FIRST_COMPLETED)
        for each in (asked, limit):
            each.cancel()
        await asyncio.wait((asked, limit))
        if not asked.cancelled() and asked.exception() is not None:
            _log.error("a service could not be asked to stop", service=service.name, error=asked.exception())
        if not task.done():
            _log.warning("a service did not stop in time and is cancelled", service=service.name, seconds=grace)
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled() and task.exception() is not None:
        _log.error("a service failed", service=service.name, error=task.exception())
