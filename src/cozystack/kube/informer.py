"""Keep a store equal to what the server holds, and say what changed.

List (paged, or streamed by the watch itself), then watch with bookmarks from there; a stream that ends is resumed at the last
version seen. When the server no longer knows that version (410) everything is listed again and compared with the store, so that
deletions inside the gap are told like any other. Handlers are called synchronously, after the store has changed; they must be
quick. A handler that fails is logged and does not hinder the others.

Caveats: an object that does not fit its type keeps its last readable state, and is left out when it has none. A kind that is no
longer served (404) keeps its objects: whether they are gone is not known.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from random import Random
from typing import Generic, Literal, TypeAlias, TypedDict, TypeVar

from cozystack.api.meta import Key
from cozystack.api.resources import Resource
from cozystack.kube.client import Client, Malformed, WatchEvent
from cozystack.kube.errors import ApiError, BadRequest, ConfigError, Expired, Invalid, KubeError, NotFound
from cozystack.kube.ownership import forget
from cozystack.kube.store import Entry, Store, key_of, version_of

T = TypeVar("T")

ChangeKind = Literal["added", "updated", "deleted"]
Handler: TypeAlias = Callable[[ChangeKind, T | None, T | None], None]
"""Called with the kind of change, the old object (None when added) and the new one (None when deleted)."""

Transform: TypeAlias = Callable[[T], Entry[T]]
"""Turns a decoded object into what the store keeps; see ``cozystack.kube.ownership``."""

_log = logging.getLogger("cozystack.kube.informer")
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 30.0
_SHORT_STREAM = 1.0


class Scope(TypedDict):
    """What part of a resource is followed."""

    namespace: str
    label_selector: str
    field_selector: str


class Informer(Generic[T]):
    """See the module. ``store`` may be read at any time, and is complete once ``synced``.

    ``streaming`` asks the server to send the first state through the watch (WatchList) and falls back to a list where that is
    not served. ``watch_timeout`` is after how many seconds the server is asked to end a watch.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform[T] | None = None,
        page_size: int = 500,
        streaming: bool = False,
        watch_timeout: float = 300.0,
        random: Random | None = None,
        on_malformed: Callable[[Malformed], None] | None = None,
    ) -> None:
        self.resource = resource
        self.store: Store[T] = Store()
        self.lists = 0
        """How often everything was listed (or streamed)."""
        self.watches = 0
        """How often a watch was opened."""
        self._client = client
        self._clock = client.clock
        self._scope = Scope(namespace=namespace, label_selector=label_selector, field_selector=field_selector)
        self._transform: Transform[T] = transform or forget
        self._page_size = page_size
        self._streaming = streaming
        self._watch_timeout = watch_timeout
        self._random = random or Random()  # noqa: S311 spreads reconnects
        self._on_malformed = on_malformed or self._log_malformed
        self._handlers: list[Handler[T]] = []
        self._synced = asyncio.Event()
        self._version = ""
        self._failures = 0

    @property
    def synced(self) -> bool:
        """The first list is in the store (and every handler has been told)."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def on_change(self, handler: Handler[T]) -> None:
        """Call ``handler`` at every change from now on, in order of registration; objects already known come as added."""
        self._handlers.append(handler)
        for obj in list(self.store.objects()):
            self._call(handler, "added", None, obj)

    async def run(self) -> None:
        """Follow the server until cancelled; whatever the server or the network does, try again.

        Raises ``ConfigError`` when the configuration itself cannot be used, which no retry can cure.
        """
        while True:
            began = self._clock.monotonic()
            try:
                await self._follow()
            except ConfigError:
                raise
            except KubeError as error:
                if isinstance(error, Expired | NotFound) or _from_the_future(error):
                    self._version = ""
                if self._clock.monotonic() - began > _LONGEST_DELAY:
                    self._failures = 0
                self._failures += 1
                if isinstance(error, Expired) and self._failures == 1:
                    continue
                _log.warning("following %s failed, trying again: %s", self.resource, error)
                await self._pause()

    async def _follow(self) -> None:
        """List if need be, then one watch from its opening to its end."""
        if not self._version and not self._streaming:
            await self._list()
        try:
            await self._watch()
        except (BadRequest, Invalid):
            if self._version or not self._streaming:
                raise
            self._streaming = False

    async def _list(self) -> None:
        try:
            await self._list_pages(self._page_size)
        except Expired:  # reading the pages took longer than the server keeps them
            await self._list_pages(0)

    async def _list_pages(self, limit: int) -> None:
        entries: dict[Key, Entry[T]] = {}
        malformed: list[Malformed] = []
        version = ""
        async with aclosing(self._client.pages(self.resource, **self._scope, limit=limit)) as pages:
            async for page in pages:
                for obj in page.items:
                    entries[key_of(obj)] = self._transform(obj)
                malformed += page.malformed
                version = page.resource_version
        self._replace(entries, malformed, version)

    async def _watch(self) -> None:
        initial: dict[Key, Entry[T]] | None = None if self._version else {}
        malformed: list[Malformed] = []
        started = self._clock.monotonic()
        progress = False
        self.watches += 1
        async with self._client.watch(
            self.resource,
            **self._scope,
            since=self._version,
            initial_events=initial is not None,
            timeout=self._watch_timeout * self._random.uniform(1.0, 2.0),
        ) as events:
            async for event in events:
                if initial is not None:
                    if self._collect(event, initial, malformed):
                        self._replace(initial, malformed, event.resource_version)
                        initial = None
                    continue
                if _is_older(event.resource_version, self._version):
                    # The server was set back, to a backup for one: what is known may never have been.
                    self._version = ""
                    return
                self._version = event.resource_version or self._version
                if event.kind != "BOOKMARK":
                    self._take(event)
                if not progress:
                    progress = True
                    self._failures = 0
        if not progress and self._clock.monotonic() - started < _SHORT_STREAM:
            self._failures += 1
            await self._pause()

    def _collect(self, event: WatchEvent[T], initial: dict[Key, Entry[T]], malformed: list[Malformed]) -> bool:
        """Gather the first state; True when it is complete."""
        if event.malformed is not None:
            malformed.append(event.malformed)
        elif event.kind == "DELETED":
            initial.pop(event.key, None)
        elif event.object is not None:
            initial[event.key] = self._transform(event.object)
        return event.initial_events_end

    def _replace(self, entries: dict[Key, Entry[T]], malformed: list[Malformed], version: str) -> None:
        """Make the store equal to a whole list, then tell every difference."""
        kept = {each.key for each in malformed}
        gone = [key for key in tuple(self.store.keys()) if key not in entries and key not in kept]
        changes: list[tuple[ChangeKind, T | None, T | None]] = []
        for key in gone:
            changes.append(("deleted", self.store.remove(key), None))
        for key, entry in entries.items():
            old = self.store.put(key, entry)
            if old is None:
                changes.append(("added", None, entry.object))
            elif version_of(old) != version_of(entry.object):
                changes.append(("updated", old, entry.object))
        self._version = version
        self.lists += 1
        for each in malformed:
            self._on_malformed(each)
        for change in changes:
            self._tell(*change)
        self._synced.set()

    def _take(self, event: WatchEvent[T]) -> None:
        if event.malformed is not None:
            self._on_malformed(event.malformed)
        entry = self._transform(event.object) if event.object is not None else None
        if event.kind == "DELETED":
            old = self.store.remove(event.key)
            if old is not None:
                self._tell("deleted", entry.object if entry is not None else old, None)
        elif entry is not None:
            old = self.store.put(event.key, entry)
            if old is None:
                self._tell("added", None, entry.object)
            elif version_of(old) != event.resource_version:
                self._tell("updated", old, entry.object)

    def _tell(self, kind: ChangeKind, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            self._call(handler, kind, old, new)

    def _call(self, handler: Handler[T], kind: ChangeKind, old: T | None, new: T | None) -> None:
        try:
            handler(kind, old, new)
        except Exception:
            _log.exception("a handler of changes to %s failed", self.resource)

    async def _pause(self) -> None:
        """Wait before the next attempt, longer each time; the time is spread so that clients do not come back together."""
        delay = min(_FIRST_DELAY * 2 ** min(self._failures - 1, 20), _LONGEST_DELAY)
        await self._clock.sleep(delay * self._random.uniform(0.5, 1.0))

    def _log_malformed(self, malformed: Malformed) -> None:
        _log.warning("%s %s cannot be read and is passed over: %s", self.resource.kind, malformed.key, malformed.message)


def _from_the_future(error: KubeError) -> bool:
    """The server does not have our version yet: it was restored from a backup, or is another one."""
    return isinstance(error, ApiError) and any(cause.reason == "ResourceVersionTooLarge" for cause in error.details.causes)


def _is_older(version: str, known: str) -> bool:
    """Whether a watch goes back in time, which it never does on one server: its events come in the order of their versions."""
    return version.isdecimal() and known.isdecimal() and int(version) < int(known)
