"""A typed client of one API server: resources in, structs out.

One method a verb, one request a call (a list is paged). What a method returns is decoded from the bytes of the answer straight
into ``resource.type``; ``dict`` types come as plain JSON values. Errors are those of ``cozystack.kube.errors``.

Requests that can be repeated without harm (reads, applies, merge patches) are repeated a few times after a lost connection or a
5xx answer, every request after a 429 or 503 that says ``Retry-After``; all waiting is on the injected clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, TypeVar, cast
from urllib.parse import quote

import msgspec

from cozystack.api.meta import JSON, Key
from cozystack.api.resources import Resource
from cozystack.kube.clock import Clock
from cozystack.kube.codec import Codec, Listing, Malformed, WatchEvent
from cozystack.kube.errors import (
    ApiError,
    ConnectionFailed,
    DecodeError,
    Expired,
    Fenced,
    InternalError,
    KubeError,
    NotFound,
    error_from_response,
)
from cozystack.kube.store import key_of
from cozystack.kube.transport import EMPTY, Transport

__all__ = ["Call", "Client", "Listing", "Malformed", "PatchKind", "Propagation", "Verb", "WatchEvent"]

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
        self.counts: Counter[tuple[Verb, str]] = Counter()
        """Requests sent, by verb and resource."""
        self._random = random or Random()  # noqa: S311 spreads retries
        self._user_agent = user_agent
        self._attempts = attempts
        self._timeout = timeout
        self._observe = observe
        self._may_write: Callable[[], bool] = lambda: True
        self._codecs: dict[Resource[Any], Codec[Any]] = {}

    def fenced(self, may_write: Callable[[], bool]) -> Client:
        """The same client for work under a lease: before each write ``may_write`` is asked, and ``Fenced`` raised when not."""
        fenced = copy(self)
        fenced._may_write = may_write
        return fenced

    async def get(self, resource: Resource[T], key: Key, *, subresource: str = "") -> T:
        """The object; raises ``NotFound``."""
        body = await self._send(Exchange("get", resource, "GET", _path(resource, key, subresource), subresource))
        return self.codec(resource).object(body)

    async def find(self, resource: Resource[T], key: Key) -> T | None:
        """The object, or None if there is none."""
        try:
            return await self.get(resource, key)
        except NotFound:
            return None

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
        while True:
            listing: Listing[T] = Listing([], "")
            options = {"namespace": namespace, "label_selector": label_selector, "field_selector": field_selector}
            try:
                async with aclosing(self.pages(resource, **options, limit=limit)) as pages:
                    async for page in pages:
                        listing.items += page.items
                        listing.malformed += page.malformed
                        listing.resource_version = page.resource_version
                return listing
            except Expired:
                if not limit:
                    raise
                limit = 0

    async def pages(
        self,
        resource: Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
    ) -> AsyncGenerator[Listing[T], None]:
        """The pages of a list one by one, all as of one version; raises ``Expired`` when reading them took too long."""
        query = _selectors(label_selector, field_selector)
        if limit:
            query["limit"] = str(limit)
        codec = self.codec(resource)
        while True:
            body = await self._send(Exchange("list", resource, "GET", resource.path(namespace), query=query))
            page, token = codec.page(body)
            del body
            yield page
            if not token:
                return
            query["continue"] = token

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
        query = _selectors(label_selector, field_selector)
        query |= {"watch": "true", "timeoutSeconds": str(max(1, int(timeout)))}
        if bookmarks:
            query["allowWatchBookmarks"] = "true"
        if since:
            query["resourceVersion"] = since
        if initial_events:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        return self._watch(resource, resource.path(namespace), query, timeout)

    async def create(self, resource: Resource[T], obj: T, *, manager: str = "", dry_run: bool = False) -> T:
        """The object as created; raises ``AlreadyExists``."""
        namespace = key_of(obj).namespace
        body = await self._send(
            Exchange(
                "create",
                resource,
                "POST",
                resource.path(namespace),
                query=_write_options(manager, dry_run),
                body=self.codec(resource).encode(obj),
            )
        )
        return self.codec(resource).object(body)

    async def replace(
        self, resource: Resource[T], obj: T, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> T:
        """The object as stored; raises ``Conflict`` if it changed since ``obj`` was read (when it carries a version).

        Writes what the type declares and nothing else: only for types that hold the whole object.
        """
        body = await self._send(
            Exchange(
                "update",
                resource,
                "PUT",
                _path(resource, key_of(obj), subresource),
                subresource,
                query=_write_options(manager, dry_run),
                body=self.codec(resource).encode(obj),
            )
        )
        return self.codec(resource).object(body)

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
        body = await self._send(
            Exchange(
                "patch",
                resource,
                "PATCH",
                _path(resource, key, subresource),
                subresource,
                query=_write_options(manager, dry_run),
                body=msgspec.json.encode(patch),
                content_type=_PATCH_TYPES[kind],
                repeat=kind == "merge",
            )
        )
        return self.codec(resource).object(body)

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
        codec = self.codec(resource)
        value = codec.plain(obj)
        query = _write_options(manager, dry_run)
        if force:
            query["force"] = "true"
        body = await self._send(
            Exchange(
                "apply",
                resource,
                "PATCH",
                _path(resource, key_of(value), subresource),
                subresource,
                query=query,
                body=msgspec.json.encode(value),
                content_type="application/apply-patch+yaml",
                repeat=True,
            )
        )
        return codec.object(body)

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
        options: dict[str, JSON] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation:
            options["propagationPolicy"] = propagation
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if dry_run:
            options["dryRun"] = ["All"]
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if uid or resource_version:
            options["preconditions"] = {name: value for name, value in preconditions.items() if value}
        await self._send(Exchange("delete", resource, "DELETE", _path(resource, key), body=msgspec.json.encode(options)))

    async def request_json(self, path: str, *, query: Mapping[str, str] = EMPTY) -> JSON:
        """The JSON value at a path (discovery, ``/version``, raw resources)."""
        body = await self._send(Exchange("get", None, "GET", path, query=query))
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DecodeError(f"GET {path}: {error}") from error

    def codec(self, resource: Resource[T]) -> Codec[T]:
        """The decoders of a resource, made once."""
        codec = self._codecs.get(resource)
        if codec is None:
            codec = self._codecs[resource] = Codec(resource)
        return cast("Codec[T]", codec)

    @asynccontextmanager
    async def _watch(
        self, resource: Resource[T], path: str, query: Mapping[str, str], timeout: float
    ) -> AsyncGenerator[AsyncIterator[WatchEvent[T]], None]:
        exchange = Exchange("watch", resource, "GET", path, query=query)
        started = self.clock.monotonic()
        status = 0
        try:
            async with self.transport.stream(
                "GET", path, query=query, headers=self._headers(exchange), timeout=timeout + _WATCH_MARGIN
            ) as stream:
                status = stream.status
                self._count(exchange, status, started)
                if status >= 300:
                    raise error_from_response(status, stream.headers, await stream.read(), request=f"GET {path}")
                async with aclosing(self._events(resource, stream.lines())) as events:
                    yield events
        except KubeError:
            if not status:
                self._count(exchange, 0, started)
            raise

    async def _events(self, resource: Resource[T], lines: AsyncIterator[bytes]) -> AsyncGenerator[WatchEvent[T], None]:
        codec = self.codec(resource)
        async for line in lines:
            yield codec.event(line)

    async def _send(self, exchange: Exchange) -> bytes:
        """The body of the answer, after as many attempts as the request bears."""
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._send_once(exchange)
            except (ApiError, ConnectionFailed) as error:
                delay = self._retry_in(exchange, error, attempt)
                if delay is None:
                    raise
                await self.clock.sleep(delay)
        raise AssertionError("the last attempt returns or raises")

    async def _send_once(self, exchange: Exchange) -> bytes:
        if exchange.method != "GET" and not self._may_write():
            raise Fenced(f"{exchange.method} {exchange.path}: not sent, this process may not write any more")
        started = self.clock.monotonic()
        status = 0
        try:
            response = await self.transport.request(
                exchange.method,
                exchange.path,
                query=exchange.query,
                headers=self._headers(exchange),
                body=exchange.body,
                timeout=self._timeout,
            )
            status = response.status
        finally:
            self._count(exchange, status, started)
        if status >= 300:
            raise error_from_response(status, response.headers, response.body, request=f"{exchange.method} {exchange.path}")
        return response.body

    def _retry_in(self, exchange: Exchange, error: ApiError | ConnectionFailed, attempt: int) -> float | None:
        """Seconds to wait before the next attempt, None to give up."""
        if attempt >= self._attempts:
            return None
        if isinstance(error, ApiError) and error.retry_after is not None and error.retryable:
            return min(error.retry_after, _LONGEST_RETRY_AFTER)
        if not exchange.repeatable or not error.retryable or isinstance(error, InternalError):
            return None
        return float(0.1 * 2 ** (attempt - 1) * self._random.uniform(0.5, 1.0))

    def _headers(self, exchange: Exchange) -> Mapping[str, str]:
        headers = {"Accept": "application/json", "User-Agent": self._user_agent}
        if exchange.body:
            headers["Content-Type"] = exchange.content_type
        if exchange.verb == "list":
            headers["Accept-Encoding"] = "gzip"
        return headers

    def _count(self, exchange: Exchange, status: int, started: float) -> None:
        resource = str(exchange.resource or "")
        self.counts[exchange.verb, resource] += 1
        if self._observe is not None:
            seconds = self.clock.monotonic() - started
            self._observe(Call(exchange.verb, resource, exchange.subresource, status, seconds))


_PATCH_TYPES: Mapping[str, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_LONGEST_RETRY_AFTER = 60.0
_WATCH_MARGIN = 30.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as it will be sent, possibly several times."""

    verb: Verb
    resource: Resource[Any] | None
    method: str
    path: str
    subresource: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = "application/json"
    repeat: bool | None = None

    @property
    def repeatable(self) -> bool:
        return self.method == "GET" if self.repeat is None else self.repeat


def _path(resource: Resource[Any], key: Key, subresource: str = "") -> str:
    if not key.name:
        raise ValueError(f"a {resource.kind} without a name")
    if resource.namespaced and not key.namespace:
        raise ValueError(f"{resource.kind} {key.name} without a namespace")
    return resource.path(key.namespace, quote(key.name, safe=":"), subresource)


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    options = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in options.items() if value}


def _write_options(manager: str, dry_run: bool) -> dict[str, str]:
    options = {"fieldManager": manager, "dryRun": "All" if dry_run else ""}
    return {name: value for name, value in options.items() if value}
