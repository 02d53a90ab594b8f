"""What all stand-ins write about their objects: conditions, the request they handled, only when something differs."""

from __future__ import annotations

from typing import Any

import msgspec

from cozystack.api.meta import Condition, Object, drop_condition, set_condition
from cozystack.api.names import REQUESTED_AT_ANNOTATION
from cozystack.api.resources import Resource
from cozystack.api.time import format_time
from cozystack.kube import Client
from cozystack.kube.clock import Clock
from cozystack.kube.errors import NotFound


def condition(obj: Object, kind: str, status: bool | None, reason: str, message: str) -> Condition:
    """A condition about the object's generation; ``None`` is Unknown."""
    text = {True: "True", False: "False", None: "Unknown"}[status]
    return Condition(kind, text, reason, message, observed_generation=obj.metadata.generation)


def with_conditions(
    old: tuple[Condition, ...], new: tuple[Condition, ...], *, drop: tuple[str, ...] = (), now: str
) -> tuple[Condition, ...]:
    for kind in drop:
        old = drop_condition(old, kind)
    for each in new:
        old = set_condition(old, each, now)
    return old


def requested_at(obj: Object) -> str:
    return obj.metadata.annotations.get(REQUESTED_AT_ANNOTATION, "")


class StatusWriter:
    """Writes the status of objects of one resource under one field manager."""

    def __init__(self, client: Client, resource: Resource[Any], *, clock: Clock, manager: str) -> None:
        self._client = client
        self._resource = resource
        self._clock = clock
        self._manager = manager

    @property
    def now(self) -> str:
        return format_time(self._clock.now())

    async def write(self, obj: Any, wanted: Any) -> Any:
        """The object with its status as ``wanted``; nothing is sent when it is so already. Nothing, when it is gone."""
        patch = difference(msgspec.to_builtins(obj.status), msgspec.to_builtins(wanted))
        if not patch:
            return obj
        try:
            return await self._client.patch(
                self._resource, obj.key, {"status": patch}, subresource="status", manager=self._manager
            )
        except NotFound:
            return None


def difference(live: Any, wanted: Any) -> Any:
    """The smallest merge patch from one JSON value to another; empty when they are equal."""
    if not isinstance(live, dict) or not isinstance(wanted, dict):
        return wanted
    patch: dict[str, Any] = {name: None for name in live if name not in wanted}
    for name, value in wanted.items():
        if name not in live:
            patch[name] = value
        elif live[name] != value:
            patch[name] = difference(live[name], value)
    return patch
