"""Run the services of a program together: start in order, stop in reverse order, all or none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cozystack.kube.clock import Clock


@dataclass(frozen=True, slots=True)
class Service:
    """``run`` runs until cancelled, or until ``stop`` (if given) has asked it to finish; it is then waited for."""

    name: str
    run: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]] | None = None


async def supervise(
    services: Sequence[Service], *, clock: Clock, grace: float = 30.0, signals: bool = True, finished: str = ""
) -> None:
    """Run all until SIGTERM or SIGINT, or until one ends; then stop all, last first, each within ``grace`` seconds.

    Raises what the first failed service raised. A service that returns is an error, except the one named ``finished``, whose
    return ends the program. A second signal ends the process at once with code 1.
    """
    raise NotImplementedError
