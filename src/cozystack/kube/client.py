"""A typed client of one API server: resources in, structs out.

One method a verb, one request a call (a list is paged). What a method returns is decoded from the bytes of the answer straight
into ``resource.type``; ``dict`` types come as plain JSON values. Errors are those of ``cozystack.kube.errors``.

Requests that can be repeated without harm (reads, applies, merge patches) are repeated a few times after a lost connection or a
5xx answer, every request after a 429 or 503 that says ``Retry-After``; all waiting is on the injected clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Generic, Literal, TypeVar

from cozystack.api.meta import JSON, Key
from cozystack.api.resources import Resource
from cozystack.kube.clock import Clock
from cozystack.kube.transport import EMPTY, Transport

T = TypeVar("T")

PatchKind = Literal["merge", "json", "strategic"]
Propagation = Literal["Background", "Foreground", "Orphan"]
Verb = Literal["get", "list", "watch", "create", "update", "patch", "apply", "delete"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was answered or failed; ``status`` is 0 when no answer came."""

    verb: Verb
    resource: str
    subresource: str
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Malformed:
    """An object that the server holds and that does not fit the type; everything else was read."""

    key: Key
    message: str


@dataclass(slots=True)
class Listing(Generic[T]):
    """Objects as of ``resource_version``. ``malformed`` holds what could not be decoded."""

    items: list[T]
    resource_version: str
    malformed: list[Malformed] = field(default_factory=list)


@dataclass(slots=True)
class WatchEvent(Generic[T]):
    """One change. A bookmark has neither object nor key, only the version up to which everything was told."""

    kind: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    key: Key
    object: T | None
    """None in bookmarks and when the object does not fit the type (``malformed`` says why)."""
    resource_version: str
    malformed: Malformed | None = None
    initial_events_end: bool = False


class Client:
    """See the module. ``observe`` is told about every request; ``attempts`` bounds how often one is sent in all."""

    def __init__(
        self,
        transport: Transport,
        *,
        clock: Clock,
        random: Random | None = None,
        user_agent: str = "cozystack",
        attempts: int = 5,
        timeout: float = 30.0,
        observe: Callable[[Call], None] | None = None,
    ) -> None:
        self.transport = transport
        self.clock = clock

    async def get(self, resource: Resource[T], key: Key, *, subresource: str = "") -> T:
        """The object; raises ``NotFound``."""
        raise NotImplementedError

    async def find(self, resource: Resource[T], key: Key) -> T | None:
        """The object, or None if there is none."""
        raise NotImplementedError

    async def list(
        self,
        resource: Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
    ) -> Listing[T]:
        """All objects (of one namespace, if given), ``limit`` a request. An expired page token starts the list again."""
        raise NotImplementedError

    def pages(
        self,
        resource: Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
    ) -> AsyncIterator[Listing[T]]:
        """The pages of a list one by one, all as of one version; raises ``Expired`` when reading them took too long."""
        raise NotImplementedError

    def watch(
        self,
        resource: Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        since: str = "",
        bookmarks: bool = True,
        initial_events: bool = False,
        timeout: float = 300.0,
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[T]]]:
        """Changes after the version ``since`` until the server ends the stream (after ``timeout`` seconds at the latest).

        An ERROR event is raised as its ``ApiError`` (``Expired`` for 410). ``initial_events`` asks for the objects themselves
        first (WatchList), closed by a bookmark with ``initial_events_end``.
        """
        raise NotImplementedError

    async def create(self, resource: Resource[T], obj: T, *, manager: str = "", dry_run: bool = False) -> T:
        """The object as created; raises ``AlreadyExists``."""
        raise NotImplementedError

    async def replace(
        self, resource: Resource[T], obj: T, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> T:
        """The object as stored; raises ``Conflict`` if it changed since ``obj`` was read (when it carries a version)."""
        raise NotImplementedError

    async def patch(
        self,
        resource: Resource[T],
        key: Key,
        patch: JSON,
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
        manager: str = "",
        dry_run: bool = False,
    ) -> T:
        """The object after the patch; raises ``NotFound``."""
        raise NotImplementedError

    async def apply(
        self,
        resource: Resource[T],
        obj: T | Mapping[str, Any],
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
        subresource: str = "",
    ) -> T:
        """The object after server-side apply; raises ``Conflict`` with the fields' owners unless ``force``.

        ``obj`` holds exactly the fields that ``manager`` wants; those it applied earlier and leaves out now are given up.
        """
        raise NotImplementedError

    async def delete(
        self,
        resource: Resource[Any],
        key: Key,
        *,
        propagation: Propagation | None = None,
        uid: str = "",
        resource_version: str = "",
        grace: int | None = None,
        dry_run: bool = False,
    ) -> None:
        """Ask for deletion; raises ``NotFound``, and ``Conflict`` if ``uid`` or ``resource_version`` are not the object's."""
        raise NotImplementedError

    async def request_json(self, path: str, *, query: Mapping[str, str] = EMPTY) -> JSON:
        """The JSON value at a path (discovery, ``/version``, raw resources)."""
        raise NotImplementedError
