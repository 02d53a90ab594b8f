"""Objects in memory, with versions, compare-and-swap and a window of past events.

Memory is what every read is served from; a subclass may write each change somewhere before it counts (``_persist``). Versions
are one sequence over all resources. Stored objects are never changed in place: whoever holds one holds it as it was. All is
synchronous, so a change and the events about it are one step for everybody on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal, NamedTuple

import msgspec

_encode = msgspec.json.Encoder().encode
WINDOW = 4096


class VersionMismatch(Exception):  # noqa: N818 - it names what it is
    """The object is not at the version that the writer expected."""


class Expired(Exception):  # noqa: N818 - it names what it is
    """Events back to that version are no longer kept."""


class Stored:
    """One object at one version, and its JSON as soon as somebody asked for it."""

    __slots__ = ("_encoded", "name", "namespace", "object", "resource", "version")

    def __init__(self, resource: str, namespace: str, name: str, obj: dict[str, Any], version: int) -> None:
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.object = obj
        self.version = version
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        if self._encoded is None:
            self._encoded = _encode(self.object)
        return self._encoded


class Event(NamedTuple):
    """A change: what there was, what there is. A deletion has the last state as ``new``, at the version of the deletion."""

    kind: Literal["ADDED", "MODIFIED", "DELETED"]
    version: int
    new: Stored
    old: Stored | None


class Subscription:
    """Events of one resource (or of all) after a version; iterate to wait for them, ``close`` to stop."""

    def __init__(self, storage: Storage, resource: str, backlog: Iterable[Event]) -> None:
        self._storage = storage
        self.resource = resource
        self._queue: deque[Event] = deque(backlog)
        self._wake: asyncio.Future[None] | None = None
        self.closed = False

    def push(self, event: Event) -> None:
        self._queue.append(event)
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def drain(self) -> list[Event]:
        """Everything that is there now."""
        events = list(self._queue)
        self._queue.clear()
        return events

    async def wait(self) -> list[Event]:
        """The next events, as soon as there are any; none when it was closed."""
        while not self._queue and not self.closed:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self.drain()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not self.closed:
            for event in await self.wait():
                yield event

    def close(self) -> None:
        self.closed = True
        self._storage.unsubscribe(self)
        self._notify()


class Storage:
    """See the module. ``resource`` is a text such as ``apps/deployments``; cluster-scoped objects have no namespace."""

    def __init__(self) -> None:
        self.version = 0
        self._objects: dict[str, dict[tuple[str, str], Stored]] = {}
        self._sorted: dict[str, list[Stored] | None] = {}
        self._events: dict[str, deque[Event]] = {}
        self._compacted: dict[str, int] = {}
        self._start = 0
        self._subscriptions: dict[str, list[Subscription]] = {}

    def get(self, resource: str, namespace: str, name: str) -> Stored | None:
        objects = self._objects.get(resource)
        return objects.get((namespace, name)) if objects else None

    def objects(self, resource: str, namespace: str = "") -> list[Stored]:
        """Objects in the order of namespace and name; do not change the list."""
        ordered = self._sorted.get(resource)
        if ordered is None:
            ordered = [stored for _, stored in sorted(self._objects.get(resource, {}).items())]
            self._sorted[resource] = ordered
        if not namespace:
            return ordered
        return [stored for stored in ordered if stored.namespace == namespace]

    def resources(self) -> list[str]:
        """Every resource that has objects."""
        return [resource for resource, objects in self._objects.items() if objects]

    def put(self, resource: str, namespace: str, name: str, obj: dict[str, Any], *, expected: int | None = None) -> Stored:
        """Store ``obj``, whose ``metadata`` gets the new version (it is changed). ``expected`` is the version that must be
        there, 0 for none; raises ``VersionMismatch``."""
        objects = self._objects.setdefault(resource, {})
        old = objects.get((namespace, name))
        if expected is not None and expected != (old.version if old else 0):
            raise VersionMismatch
        version = self.version + 1
        obj["metadata"]["resourceVersion"] = str(version)
        stored = Stored(resource, namespace, name, obj, version)
        self._persist(stored)
        self.version = version
        objects[namespace, name] = stored
        self._sorted[resource] = None
        self._publish(Event("MODIFIED" if old else "ADDED", version, stored, old))
        return stored

    def delete(self, resource: str, namespace: str, name: str, *, expected: int | None = None) -> Stored | None:
        """The object as it was last, at the version of its deletion; nothing when there was none."""
        objects = self._objects.get(resource, {})
        old = objects.get((namespace, name))
        if old is None:
            return None
        if expected is not None and expected != old.version:
            raise VersionMismatch
        version = self.version + 1
        self._forget(old, version)
        self.version = version
        del objects[namespace, name]
        self._sorted[resource] = None
        last = {**old.object, "metadata": {**old.object["metadata"], "resourceVersion": str(version)}}
        gone = Stored(resource, namespace, name, last, version)
        self._publish(Event("DELETED", version, gone, old))
        return gone

    def subscribe(self, resource: str, since: int | None = None) -> Subscription:
        """Events of ``resource`` (empty for all, then without a past) after ``since`` (now, if not given).

        Raises ``Expired`` when events after ``since`` are no longer kept.
        """
        backlog: list[Event] = []
        if since is not None and resource and since < self.version:
            if since < self._compacted.get(resource, self._start):
                raise Expired
            backlog = [event for event in self._events.get(resource, ()) if event.version > since]
        subscription = Subscription(self, resource, backlog)
        self._subscriptions.setdefault(resource, []).append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        subscriptions = self._subscriptions.get(subscription.resource, [])
        if subscription in subscriptions:
            subscriptions.remove(subscription)

    def close(self) -> None:
        """End every subscription; nothing is read or written afterwards."""
        for subscriptions in list(self._subscriptions.values()):
            for subscription in list(subscriptions):
                subscription.close()

    def _publish(self, event: Event) -> None:
        resource = event.new.resource
        window = self._events.setdefault(resource, deque())
        window.append(event)
        if len(window) > WINDOW:
            self._compacted[resource] = window.popleft().version
        for subscription in self._subscriptions.get(resource, ()):
            subscription.push(event)
        for subscription in self._subscriptions.get("", ()):
            subscription.push(event)

    def _persist(self, stored: Stored) -> None:
        """Make sure that ``stored`` outlives the process, before anybody sees it."""

    def _forget(self, stored: Stored, version: int) -> None:
        """Make sure that the deletion at ``version`` outlives the process."""
