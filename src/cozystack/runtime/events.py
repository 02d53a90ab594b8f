"""Events for people: what ``kubectl describe`` shows under an object.

Emitting never waits and never fails: events are queued and written by ``run``. Equal events within ten minutes are counted on
one object, by a patch; an object that produces a flood is throttled; when the queue is full the newest are dropped. An Event
that cannot be written is given up: it is news, not state.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from cozystack.api.core import Event, EventSource, ObjectReference
from cozystack.api.meta import Key, ObjectMeta
from cozystack.api.resources import EVENTS, Resource
from cozystack.api.time import format_time
from cozystack.kube.client import Client
from cozystack.kube.clock import Clock
from cozystack.kube.errors import Forbidden, KubeError, NotFound
from cozystack.kube.store import key_of
from cozystack.runtime.logging import Log

_LONGEST_MESSAGE = 1024
_LONGEST_NAME = 253
_WINDOW = 600.0
_REMEMBERED = 4096
_BURST = 25.0
_REFILL = 1.0 / 300.0

_Subject = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class _Emitted:
    """One event as it was emitted; equal ones are counted together."""

    subject: ObjectReference
    kind: str
    reason: str
    message: str
    action: str


@dataclass(slots=True)
class _Counted:
    """An Event object that stands for equal events."""

    key: Key
    count: int
    last: float


@dataclass(slots=True)
class _Bucket:
    """How many more events an object may cause."""

    tokens: float = _BURST
    filled: float = 0.0


@dataclass(slots=True)
class _Queued:
    event: _Emitted
    moment: datetime
    count: int = 1


class EventRecorder:
    """``component`` is the controller's name, ``instance`` this process's. ``dropped`` counts what nobody will see."""

    def __init__(self, client: Client, *, component: str, instance: str, clock: Clock, capacity: int = 1000) -> None:
        self.dropped = 0
        self._client = client
        self._component = component
        self._instance = instance
        self._clock = clock
        self._capacity = capacity
        self._queue: OrderedDict[_Emitted, _Queued] = OrderedDict()
        self._news = asyncio.Event()
        self._counted: OrderedDict[_Emitted, _Counted] = OrderedDict()
        self._buckets: OrderedDict[_Subject, _Bucket] = OrderedDict()
        self._serial = 0
        self._log = Log("cozystack.events", component=component)

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
        event = _Emitted(_reference(resource, obj), kind, reason, _cut(message), action)
        waiting = self._queue.get(event)
        if waiting is not None:
            waiting.count += 1
            waiting.moment = self._clock.now()
            return
        if len(self._queue) >= self._capacity or not self._allowed(event.subject):
            self.dropped += 1
            return
        self._queue[event] = _Queued(event, self._clock.now())
        self._news.set()

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            await self._news.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write what is queued now (at a clean stop)."""
        while self._queue:
            _, queued = self._queue.popitem(last=False)
            try:
                await self._write(queued)
            except KubeError as error:
                self.dropped += 1
                if not _is_going(error):
                    self._log.warning("an Event could not be written", reason=str(error))
        self._news.clear()

    def _allowed(self, subject: ObjectReference) -> bool:
        """Take a token of the object's bucket: 25 at once, then one in five minutes."""
        name = (subject.kind, subject.namespace, subject.name, subject.uid)
        now = self._clock.monotonic()
        bucket = self._buckets.setdefault(name, _Bucket(filled=now))
        self._buckets.move_to_end(name)
        _forget_oldest(self._buckets)
        bucket.tokens = min(_BURST, bucket.tokens + (now - bucket.filled) * _REFILL)
        bucket.filled = now
        # One that is full by now is as good as a new one; this one is not, so the search ends.
        while now - next(iter(self._buckets.values())).filled > _BURST / _REFILL:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    async def _write(self, queued: _Queued) -> None:
        now = self._clock.monotonic()
        counted = self._counted.get(queued.event)
        if counted is not None and now - counted.last < _WINDOW:
            counted.count += queued.count
            counted.last = now
            self._counted.move_to_end(queued.event)
            patch = {"count": counted.count, "lastTimestamp": format_time(queued.moment), "message": queued.event.message}
            try:
                await self._client.patch(EVENTS, counted.key, patch)
                return
            except NotFound:  # Events live an hour, or less
                del self._counted[queued.event]
        event = self._event(queued)
        await self._client.create(EVENTS, event)
        self._counted[queued.event] = _Counted(event.key, queued.count, now)
        self._counted.move_to_end(queued.event)
        _forget_oldest(self._counted)
        while self._counted and now - next(iter(self._counted.values())).last >= _WINDOW:
            self._counted.popitem(last=False)

    def _event(self, queued: _Queued) -> Event:
        emitted = queued.event
        self._serial += 1
        stamp = int(queued.moment.timestamp() * 1_000_000) * 1000 + self._serial % 1000
        suffix = f".{stamp:x}"
        moment = format_time(queued.moment)
        name = emitted.subject.name[: _LONGEST_NAME - len(suffix)] + suffix
        return Event(
            metadata=ObjectMeta(name=name, namespace=emitted.subject.namespace or "default"),
            involved_object=emitted.subject,
            reason=emitted.reason,
            message=emitted.message,
            type=emitted.kind,
            count=queued.count,
            first_timestamp=moment,
            last_timestamp=moment,
            source=EventSource(component=self._component),
            reporting_component=self._component,
            reporting_instance=self._instance,
            action=emitted.action,
        )


def _is_going(error: KubeError) -> bool:
    """Whether the namespace of an Event is on its way out: nobody will miss it."""
    return isinstance(error, Forbidden) and any(cause.reason == "NamespaceTerminating" for cause in error.details.causes)


def _reference(resource: Resource[Any], obj: Any) -> ObjectReference:
    key = key_of(obj)
    metadata = msgspec.convert(obj.get("metadata", {}), ObjectMeta) if isinstance(obj, dict) else obj.metadata
    return ObjectReference(
        kind=resource.kind,
        namespace=key.namespace,
        name=key.name,
        uid=metadata.uid,
        api_version=resource.api_version,
    )


def _cut(message: str) -> str:
    """At most a kilobyte of UTF-8."""
    data = message.encode()
    if len(data) <= _LONGEST_MESSAGE:
        return message
    return data[: _LONGEST_MESSAGE - 3].decode("utf-8", "ignore") + "…"


def _forget_oldest(entries: OrderedDict[Any, Any]) -> None:
    while len(entries) > _REMEMBERED:
        entries.popitem(last=False)
