"""Events for people: what ``kubectl describe`` shows under an object.

Emitting never waits and never fails: events are queued and written by ``run``. Equal events within ten minutes are counted on
one object by a patch; an object that produces a flood is throttled; a queue that is full drops the newest.
"""

from __future__ import annotations

from typing import Any, Literal

from cozystack.api.resources import Resource
from cozystack.kube.client import Client
from cozystack.kube.clock import Clock


class EventRecorder:
    def __init__(self, client: Client, *, component: str, instance: str, clock: Clock, capacity: int = 1000) -> None:
        self.component = component

    def emit(
        self,
        resource: Resource[Any],
        obj: Any,
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        action: str = "",
    ) -> None:
        """Tell about ``obj`` (typed or plain JSON); messages are cut at 1 KB."""
        raise NotImplementedError

    async def run(self) -> None:
        """Write events until cancelled."""
        raise NotImplementedError

    async def flush(self) -> None:
        """Write what is queued now (at a clean stop)."""
        raise NotImplementedError
