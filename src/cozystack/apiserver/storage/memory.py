"""Objects in memory.

Every other back end is this one with two more steps: ``_persist`` and ``_forget`` run before a change counts, and when they
raise there was no change.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from cozystack.apiserver.storage.interface import (
    WINDOW,
    Event,
    Expired,
    Snapshot,
    Stored,
    Subscription,
    VersionAhead,
    VersionMismatch,
)
from cozystack.apiserver.storage.sharing import Sharing

_LINES_KEPT: Final = 128
"""Events whose lines are kept: watches that follow have sent them by then, and for others they are made again."""


class _Shelf:
    """One resource: its objects, their keys in order, and its recent events."""

    __slots__ = ("all", "compacted", "events", "keys", "objects", "subscriptions")

    def __init__(self, compacted: int) -> None:
        self.objects: dict[tuple[str, str], Stored] = {}
        self.keys: list[tuple[str, str]] = []
        self.all: list[Stored] | None = None
        self.events: deque[Event] = deque()
        self.compacted = compacted
        self.subscriptions: list[Subscription] = []


class MemoryStorage:
    """See the module and ``Storage``."""

    def __init__(self) -> None:
        self._version = 0
        self._shelves: dict[str, _Shelf] = {}
        self._everything: list[Subscription] = []
        self._sharing = Sharing()

    @property
    def version(self) -> int:
        return self._version

    def get(self, resource: str, namespace: str, name: str) -> Stored | None:
        shelf = self._shelves.get(resource)
        return shelf.objects.get((namespace, name)) if shelf is not None else None

    def objects(self, resource: str, namespace: str = "") -> Sequence[Stored]:
        shelf = self._shelves.get(resource)
        if shelf is None:
            return ()
        if not namespace:
            if shelf.all is None:
                shelf.all = [shelf.objects[key] for key in shelf.keys]
            return shelf.all
        first = bisect_left(shelf.keys, (namespace, ""))
        last = bisect_left(shelf.keys, (namespace + "\0", ""), lo=first)
        return [shelf.objects[key] for key in shelf.keys[first:last]]

    def snapshot(self, resource: str, *, at: int | None = None) -> Snapshot:
        if at is None:
            return Snapshot(self._version, self.objects(resource))
        if at > self._version:
            raise VersionAhead
        shelf = self._shelf(resource)
        if at < shelf.compacted:
            raise Expired
        then: dict[tuple[str, str], Stored | None] = {}
        for event in reversed(shelf.events):
            if event.version <= at:
                break
            then[event.new.namespace, event.new.name] = event.old
        if not then:
            return Snapshot(at, self.objects(resource))
        before = {**shelf.objects, **then}
        return Snapshot(at, [stored for _, stored in sorted(before.items()) if stored is not None])

    def resources(self) -> Sequence[str]:
        return [resource for resource, shelf in self._shelves.items() if shelf.objects]

    def put(self, resource: str, namespace: str, name: str, obj: dict[str, Any], *, expected: int | None = None) -> Stored:
        shelf = self._shelf(resource)
        key = (namespace, name)
        old = shelf.objects.get(key)
        if expected is not None and expected != (old.version if old is not None else 0):
            raise VersionMismatch
        version = self._version + 1
        self._sharing.share(obj, old.object if old is not None else None)
        obj["metadata"]["resourceVersion"] = str(version)
        stored = Stored(resource, namespace, name, obj, version)
        self._persist(stored)
        self._version = version
        if old is None:
            insort(shelf.keys, key)
        shelf.objects[key] = stored
        if old is not None:
            old.forget_encoded()
        self._publish(shelf, Event("ADDED" if old is None else "MODIFIED", version, stored, old))
        return stored

    def delete(self, resource: str, namespace: str, name: str, *, expected: int | None = None) -> Stored | None:
        shelf = self._shelves.get(resource)
        key = (namespace, name)
        old = shelf.objects.get(key) if shelf is not None else None
        if shelf is None or old is None:
            return None
        if expected is not None and expected != old.version:
            raise VersionMismatch
        version = self._version + 1
        self._forget(old, version)
        self._version = version
        del shelf.objects[key]
        del shelf.keys[bisect_left(shelf.keys, key)]
        old.forget_encoded()
        last = {**old.object, "metadata": {**old.object["metadata"], "resourceVersion": str(version)}}
        gone = Stored(resource, namespace, name, last, version)
        self._publish(shelf, Event("DELETED", version, gone, old))
        return gone

    def subscribe(self, resource: str, since: int | None = None, *, namespace: str = "") -> Subscription:
        if since is not None and since > self._version:
            raise VersionAhead
        if not resource:
            if since is not None:
                raise ValueError("there is no past of everything")
            subscription = Subscription("", namespace, ())
            self._everything.append(subscription)
            return subscription
        shelf = self._shelf(resource)
        backlog: list[Event] = []
        if since is not None:
            if since < shelf.compacted:
                raise Expired
            backlog = [
                event for event in shelf.events if event.version > since and (not namespace or event.new.namespace == namespace)
            ]
        subscription = Subscription(resource, namespace, backlog)
        shelf.subscriptions.append(subscription)
        return subscription

    def compact(self, version: int) -> None:
        for shelf in self._shelves.values():
            while shelf.events and shelf.events[0].version <= version:
                shelf.compacted = shelf.events.popleft().version

    def close(self) -> None:
        for subscription in self._everything:
            subscription.close()
        for shelf in self._shelves.values():
            for subscription in shelf.subscriptions:
                subscription.close()

    def _shelf(self, resource: str) -> _Shelf:
        shelf = self._shelves.get(resource)
        if shelf is None:
            shelf = self._shelves[resource] = _Shelf(self._compacted(resource))
        return shelf

    def _publish(self, shelf: _Shelf, event: Event) -> None:
        shelf.all = None
        shelf.events.append(event)
        if len(shelf.events) > WINDOW:
            shelf.compacted = shelf.events.popleft().version
        if len(shelf.events) > _LINES_KEPT:
            shelf.events[-_LINES_KEPT - 1].lines.clear()
        shelf.subscriptions = _pushed(shelf.subscriptions, event)
        self._everything = _pushed(self._everything, event)

    def _compacted(self, resource: str) -> int:
        """The version up to which nothing is known of the events of a resource that is new here."""
        return 0

    def _persist(self, stored: Stored) -> None:
        """Make sure that ``stored`` outlives the process, before anybody sees it."""

    def _forget(self, stored: Stored, version: int) -> None:
        """Make sure that the deletion at ``version`` outlives the process."""


def _pushed(subscriptions: list[Subscription], event: Event) -> list[Subscription]:
    """Hand on the event; the subscriptions that are still open."""
    closed = False
    for subscription in subscriptions:
        if not subscription.closed:
            subscription.push(event)
        closed = closed or subscription.closed
    return [subscription for subscription in subscriptions if not subscription.closed] if closed else subscriptions
