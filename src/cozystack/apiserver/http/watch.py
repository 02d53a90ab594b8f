"""Watches: past events, then new ones, as one JSON object a line.

Events that many watches get are encoded once. An object that comes to match the selectors is ADDED, one that ceases to is
DELETED, whatever really happened to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from cozystack.apiserver.errors import expired
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.selectors import Predicate
from cozystack.apiserver.storage import Event, Storage, Stored, Subscription

_encode = msgspec.json.Encoder().encode
INITIAL_END = "k8s.io/initial-events-end"
BOOKMARK_EVERY = 60.0


@dataclass(slots=True)
class WatchSpec:
    info: ResourceInfo
    namespace: str
    matches: Predicate | None
    since: int | None
    bookmarks: bool
    initial: bool
    timeout: float
    render: Callable[[Stored], bytes]


class Watch:
    """One watch. Subscribes at once, so that nothing is missed between the request and the first read."""

    def __init__(self, storage: Storage, spec: WatchSpec) -> None:
        self._storage = storage
        self._spec = spec
        self._initial: list[Stored] = []
        self._subscription: Subscription
        since = spec.since
        if spec.initial or since is None:
            self._initial = [s for s in storage.objects(spec.info.storage_key, spec.namespace) if self._wanted(s)]
            since = None
        self._subscription = storage.subscribe(spec.info.storage_key, since)
        self._start = storage.version

    def close(self) -> None:
        self._subscription.close()

    async def lines(self) -> AsyncIterator[bytes]:
        spec = self._spec
        loop = asyncio.get_running_loop()
        ends = loop.time() + spec.timeout
        try:
            if self._initial:
                yield b"".join(self._line("ADDED", stored) for stored in self._initial)
                self._initial = []
            if spec.initial and spec.bookmarks:
                yield self._bookmark(self._start, initial_end=True)
            while not self._subscription.closed:
                left = min(ends - loop.time(), BOOKMARK_EVERY)
                if left <= 0:
                    return
                try:
                    events = await asyncio.wait_for(self._subscription.wait(), left)
                except TimeoutError:
                    if spec.bookmarks and loop.time() < ends:
                        yield self._bookmark(self._storage.version)
                    continue
                chunk = b"".join(line for event in events if (line := self._event(event)) is not None)
                if chunk:
                    yield chunk
        finally:
            self.close()

    def _wanted(self, stored: Stored) -> bool:
        return self._spec.matches is None or self._spec.matches(stored.object)

    def _event(self, event: Event) -> bytes | None:
        spec = self._spec
        if spec.namespace and event.new.namespace != spec.namespace:
            return None
        if spec.matches is None:
            return self._line(event.kind, event.new)
        now = event.kind != "DELETED" and spec.matches(event.new.object)
        before = event.old is not None and spec.matches(event.old.object)
        if now:
            return self._line("MODIFIED" if before else "ADDED", event.new)
        return self._line("DELETED", event.new) if before else None

    def _line(self, kind: str, stored: Stored) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), self._spec.render(stored))

    def _bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        metadata: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {INITIAL_END: "true"}
        info = self._spec.info
        obj = {"kind": info.kind, "apiVersion": info.api_version, "metadata": metadata}
        return _encode({"type": "BOOKMARK", "object": obj}) + b"\n"


async def expired_lines() -> AsyncIterator[bytes]:
    """The one event of a watch that starts too far back."""
    error = expired("too old resource version")
    yield _encode({"type": "ERROR", "object": error.status()}) + b"\n"
