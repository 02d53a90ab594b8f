"""What the server asks of a place that keeps objects.

Everything is a synchronous call in the process: memory answers every read, and a write has reached the back end when the call
returns. Versions are one sequence of integers over all resources; the version of an object is that of its last write. Stored
objects are never changed in place, so a list is a snapshot for as long as somebody holds it.

A ``resource`` is a text such as ``apps/deployments`` (``/pods`` for the core group): ``ResourceInfo.storage_key``.
Cluster-scoped objects have the empty namespace.

*Paging* is over true snapshots: ``snapshot`` gives the objects and the version they stand for, and those of an earlier version
by taking back the events since then.

*Watching* is by subscription: events after a version, from a window of the last ``WINDOW`` changes of each resource, less what
was taken out of it by ``compact``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

WINDOW: Final = 4096

_encode = msgspec.json.Encoder().encode
EventKind = Literal["ADDED", "MODIFIED", "DELETED"]


class StorageError(Exception):
    """The root of everything that storage raises.

    ::

        StorageError
        ├── VersionMismatch   the object is not at the version that the writer expected
        ├── Expired           events or a snapshot of that version are no longer kept
        ├── VersionAhead      nothing has reached that version yet
        └── StateUnusable     the state file cannot be opened
            ├── StateTooNew   ... it was written by a newer version of this program
            └── StateInUse    ... another process has it open
    """


class VersionMismatch(StorageError):  # noqa: N818 - it names what it is
    """The object is not at the version that the writer expected."""


class Expired(StorageError):  # noqa: N818 - it names what it is
    """Events back to that version, or a snapshot at it, are no longer kept."""


class VersionAhead(StorageError):  # noqa: N818 - it names what it is
    """Nothing has reached that version yet: it comes from another life of the server."""


class StateUnusable(StorageError):  # noqa: N818 - it names what it is
    """The state file cannot be opened; the text says why, in one sentence."""


class StateTooNew(StateUnusable):
    """The state file was written by a newer version of this program."""


class StateInUse(StateUnusable):
    """Another process has the state file open."""


class Stored:
    """One object at one version, and its JSON as soon as somebody asked for it. Nobody changes ``object``.

    ``others`` is for whoever serves the object in other versions of its kind: what was converted once is kept with it.
    """

    __slots__ = ("_encoded", "name", "namespace", "object", "others", "resource", "version")

    def __init__(self, resource: str, namespace: str, name: str, obj: dict[str, Any], version: int) -> None:
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.object = obj
        self.version = version
        self.others: dict[str, Stored] | None = None
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        if self._encoded is None:
            self._encoded = _encode(self.object)
        return self._encoded

    def forget_encoded(self) -> None:
        """It has been replaced: few will ask for it, and it can be made again."""
        self._encoded = None


class Event:
    """A change: what there was, what there is. A deletion has the last state as ``new``, at the version of the deletion.

    ``lines`` is for whoever sends the event on: what was encoded once need not be encoded for the next watcher.
    """

    __slots__ = ("kind", "lines", "new", "old", "version")

    def __init__(self, kind: EventKind, version: int, new: Stored, old: Stored | None) -> None:
        self.kind: EventKind = kind
        self.version = version
        self.new = new
        self.old = old
        self.lines: dict[str, bytes] = {}


class Snapshot(NamedTuple):
    """All objects of a resource, by namespace and name, and the version at which that was all."""

    version: int
    items: Sequence[Stored]


class Subscription:
    """Events of one resource (or of all), of one namespace (or of all), in order.

    ``drain`` gives what is there, ``wait`` waits for more, iterating does both for ever. ``close`` ends it for whoever waits. A
    subscriber that falls more than a window behind is closed: it has to begin again from a version it knows.
    """

    def __init__(self, resource: str, namespace: str, backlog: Iterable[Event]) -> None:
        self.resource = resource
        self.namespace = namespace
        self.closed = False
        self._queue: deque[Event] = deque(backlog)
        self._most = max(WINDOW, 2 * len(self._queue))
        self._wake: asyncio.Future[None] | None = None

    def push(self, event: Event) -> None:
        """For the storage: hand the event to the subscriber if it is one of its own."""
        if self.namespace and event.new.namespace != self.namespace:
            return
        if len(self._queue) >= self._most:
            self.close()
            return
        self._queue.append(event)
        self._notify()

    def drain(self) -> list[Event]:
        """Everything that is there now."""
        events = list(self._queue)
        self._queue.clear()
        return events

    async def wait(self, timeout: float | None = None) -> list[Event]:
        """The next events, as soon as there are any; none when it was closed, or after ``timeout`` seconds."""
        if not self._queue and not self.closed:
            loop = asyncio.get_running_loop()
            self._wake = loop.create_future()
            timer = loop.call_later(timeout, self._notify) if timeout is not None else None
            try:
                await self._wake
            finally:
                if timer is not None:
                    timer.cancel()
        return self.drain()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not self.closed:
            for event in await self.wait():
                yield event

    def close(self) -> None:
        self.closed = True
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class Storage(Protocol):
    """See the module."""

    @property
    def version(self) -> int:
        """The version of the last write of anything."""

    def get(self, resource: str, namespace: str, name: str) -> Stored | None: ...

    def objects(self, resource: str, namespace: str = "") -> Sequence[Stored]:
        """Objects by namespace and name; of all namespaces when none is given. Nobody changes the list."""

    def snapshot(self, resource: str, *, at: int | None = None) -> Snapshot:
        """All objects now, or as they were at version ``at``; raises ``Expired`` and ``VersionAhead`` as ``subscribe`` does."""

    def resources(self) -> Sequence[str]:
        """Every resource that has objects."""

    def put(self, resource: str, namespace: str, name: str, obj: dict[str, Any], *, expected: int | None = None) -> Stored:
        """Store ``obj``; its ``metadata.resourceVersion`` is set to the new version (``obj`` is changed and then belongs to
        the storage). ``expected`` is the version that must be there, 0 for none; raises ``VersionMismatch``."""

    def delete(self, resource: str, namespace: str, name: str, *, expected: int | None = None) -> Stored | None:
        """Take an object out. Its last state, at the version of the deletion; nothing when there was none."""

    def subscribe(self, resource: str, since: int | None = None, *, namespace: str = "") -> Subscription:
        """Events of ``resource`` (of everything, when it is empty) after version ``since`` (after now, when not given).

        Raises ``Expired`` when events after ``since`` are no longer kept, ``VersionAhead`` when it is still to come. There is
        no past of everything: ``since`` wants a resource.
        """

    def compact(self, version: int) -> None:
        """Forget the events up to ``version``. Where there were none, a watch may still begin before it."""

    def close(self) -> None:
        """End every subscription and let go of the back end; nothing is read or written afterwards."""
