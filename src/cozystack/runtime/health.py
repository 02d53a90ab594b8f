"""The HTTP endpoint of a program: ``/metrics``, ``/healthz``, ``/readyz``, with named checks."""

from __future__ import annotations

from collections.abc import Callable

from cozystack.runtime.metrics import Registry

Check = Callable[[], str | None]
"""None when all is well, else what is wrong, in a few words."""


class HealthServer:
    """``healthz`` fails when a liveness check fails, ``readyz`` when any check fails; ``?verbose`` lists them."""

    def __init__(self, *, registry: Registry | None = None) -> None:
        pass

    def live(self, name: str, check: Check) -> None:
        raise NotImplementedError

    def ready(self, name: str, check: Check) -> None:
        raise NotImplementedError

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (useful when 0 was asked for)."""
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError
