"""Watches: past events, then new ones, as one JSON object a line.

An object that comes to match the selectors is ADDED, one that ceases to is DELETED, whatever really happened to it. What many
watches send is encoded once: the lines of an event are kept with it, by the form of the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.selectors import Predicate
from cozystack.apiserver.storage import Event, Storage, Stored

_encode = msgspec.json.Encoder().encode
INITIAL_END = "k8s.io/initial-events-end"
BOOKMARK_EVERY = 60.0
_TOGETHER = 500


@dataclass(slots=True)
class WatchSpec:
    """What a watch is asked for. ``since``: a version, or nothing for all that is there, first as ADDED events.

    ``initial``: all that is there whatever ``since`` is, with a bookmark when that is through. ``form`` names how ``render``
    writes an object (the same for all watches of that name); ``timeout`` is in seconds.
    """

    info: ResourceInfo
    namespace: str
    matches: Predicate | None
    since: int | None
    bookmarks: bool
    initial: bool
    timeout: float
    form: str
    render: Callable[[Stored], bytes]


class Watch:
    """One watch. Subscribes at once, so that nothing is missed between the request and the first read.

    Raises what ``Storage.subscribe`` raises.
    """

    def __init__(self, storage: Storage, spec: WatchSpec) -> None:
        self._storage = storage
        self._spec = spec
        self._present: Sequence[Stored] = ()
        since = spec.since
        if spec.initial or since is None:
            self._present = storage.objects(spec.info.storage_key, spec.namespace)
            since = None
        self._start = storage.version
        self._subscription = storage.subscribe(spec.info.storage_key, since, namespace=spec.namespace)

    def close(self) -> None:
        self._subscription.close()

    async def lines(self) -> AsyncIterator[bytes]:
        """The events, several at a time when there are several; ends at the timeout or when it is closed."""
        spec = self._spec
        loop = asyncio.get_running_loop()
        ends = loop.time() + spec.timeout
        try:
            for first in range(0, len(self._present), _TOGETHER):
                some = self._present[first : first + _TOGETHER]
                lines = [_line("ADDED", spec.render(s)) for s in some if spec.matches is None or spec.matches(s.object)]
                if lines:
                    yield b"".join(lines)
            self._present = ()
            if spec.initial and spec.bookmarks:
                yield self._bookmark(self._start, initial_end=True)
            while not self._subscription.closed:
                left = min(ends - loop.time(), BOOKMARK_EVERY)
                if left <= 0:
                    return
                events = await self._subscription.wait(left)
                if events:
                    chunk = b"".join([self._event(event) for event in events])
                    if chunk:
                        yield chunk
                elif spec.bookmarks and loop.time() < ends:
                    yield self._bookmark(self._storage.version)
        finally:
            self.close()

    def _event(self, event: Event) -> bytes:
        """The line for an event, nothing when it is none for this watch."""
        matches = self._spec.matches
        kind: str = event.kind
        left = False
        if matches is not None:
            now = kind != "DELETED" and matches(event.new.object)
            before = event.old is not None and matches(event.old.object)
            if now:
                kind = "MODIFIED" if before else "ADDED"
            elif before:
                left = kind != "DELETED"
                kind = "DELETED"
            else:
                return b""
        key = f"{'LEFT' if left else kind} {self._spec.form}"
        line = event.lines.get(key)
        if line is None:
            shown = _as_it_was(event) if left else event.new
            line = event.lines[key] = _line(kind, self._spec.render(shown))
        return line

    def _bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        metadata: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {INITIAL_END: "true"}
        info = self._spec.info
        kind, version_name = info.kind, info.api_version
        if self._spec.form == "partial":
            kind, version_name = "PartialObjectMetadata", "meta.k8s.io/v1"
        return _line("BOOKMARK", _encode({"kind": kind, "apiVersion": version_name, "metadata": metadata}))


def _as_it_was(event: Event) -> Stored:
    """What has left a selection: the last state that was in it, at the version at which it left."""
    old = event.old or event.new
    obj = {**old.object, "metadata": {**old.object["metadata"], "resourceVersion": str(event.version)}}
    return Stored(old.resource, old.namespace, old.name, obj, event.version)


async def failed_lines(error: ApiError) -> AsyncIterator[bytes]:
    """The one event of a watch that cannot begin."""
    yield _line("ERROR", _encode(error.status()))


def _line(kind: str, content: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), content)
