"""Bytes to objects and back, for one type: decoded once, straight into the type, and never kept as bytes.

One object that does not fit its type must not hide all the others, so where a whole page or event fails, its objects are read
one by one, and those at fault are reported as ``Malformed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast, get_origin

import msgspec
from msgspec import Raw, Struct

from cozystack.api.meta import JSON, Key
from cozystack.api.resources import Resource
from cozystack.kube.errors import DecodeError, Status, error_from_status

T = TypeVar("T")


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


class _ListMeta(Struct, rename="camel", gc=False):
    resource_version: str = ""
    token: str = msgspec.field(name="continue", default="")


class _Page(Struct, Generic[T], gc=False):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[T] | None = None


class _Meta(Struct, rename="camel", gc=False):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Partial(Struct, gc=False):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


class _Event(Struct, gc=False):
    type: str
    object: Raw


_events = msgspec.json.Decoder(_Event)
_partials = msgspec.json.Decoder(_Partial)
_raw_pages = msgspec.json.Decoder(_Page[Raw])
_statuses = msgspec.json.Decoder(Status)
_NOWHERE = Key("", "")


class Codec(Generic[T]):
    """Decoders for the objects of one resource; make one and keep it."""

    def __init__(self, resource: Resource[T]) -> None:
        self._resource = resource
        self._api_version = resource.api_version
        self._untyped = (get_origin(resource.type) or resource.type) is dict
        self._objects: msgspec.json.Decoder[T] = msgspec.json.Decoder(resource.type)
        self._pages: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Page[resource.type])  # type: ignore[name-defined]

    def object(self, body: bytes | memoryview) -> T:
        """One object; raises ``DecodeError``."""
        try:
            obj = self._objects.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DecodeError(f"{self._resource.kind} {self._partial(body)[0]}: {error}") from error
        return self._named(obj)

    def page(self, body: bytes) -> tuple[Listing[T], str]:
        """One page of a list, and the token for the next (empty on the last); raises ``DecodeError``."""
        malformed: list[Malformed] = []
        try:
            page = self._pages.decode(body)
            items: list[T] = page.items or []
        except msgspec.ValidationError:
            page, items = self._salvage(body, malformed)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DecodeError(f"list of {self._resource}: {error}") from error
        for item in items:
            self._named(item)
        return Listing(items, page.metadata.resource_version, malformed), page.metadata.token

    def event(self, line: bytes) -> WatchEvent[T]:
        """One line of a watch. Raises ``DecodeError``, and what an ERROR event says as its ``ApiError``."""
        try:
            event = _events.decode(line)
            if event.type == "ERROR":
                status = _statuses.decode(event.object)
                raise error_from_status(status, request=f"watch of {self._resource}")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DecodeError(f"watch of {self._resource}: {error}") from error
        if event.type == "BOOKMARK":
            meta = self._partial(event.object)[1]
            ended = (meta.annotations or {}).get("k8s.io/initial-events-end") == "true"
            return WatchEvent("BOOKMARK", _NOWHERE, None, meta.resource_version, initial_events_end=ended)
        if event.type not in ("ADDED", "MODIFIED", "DELETED"):
            raise DecodeError(f"watch of {self._resource}: an event of the unknown type {event.type!r}")
        kind = cast("Literal['ADDED', 'MODIFIED', 'DELETED']", event.type)
        try:
            obj = self._named(self._objects.decode(event.object))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            key, meta = self._partial(event.object)
            return WatchEvent(kind, key, None, meta.resource_version, Malformed(key, str(error)))
        return WatchEvent(kind, *_identity(obj))

    def encode(self, obj: T | Mapping[str, Any]) -> bytes:
        """The object as a request carries it, with ``apiVersion`` and ``kind``."""
        if isinstance(obj, Mapping):
            return msgspec.json.encode(self._complete(obj))
        return msgspec.json.encode(self._named(msgspec.structs.replace(obj)))  # type: ignore[type-var]

    def plain(self, obj: T | Mapping[str, Any]) -> dict[str, JSON]:
        """The object as JSON values, with ``apiVersion`` and ``kind``, without ``managedFields`` or an empty status."""
        value = self._complete(obj if isinstance(obj, Mapping) else msgspec.to_builtins(obj))
        if value.get("status") == {}:
            del value["status"]
        if "managedFields" in value.get("metadata", {}):
            value["metadata"] = {name: part for name, part in value["metadata"].items() if name != "managedFields"}
        return value

    def _complete(self, obj: Mapping[str, Any]) -> dict[str, JSON]:
        return {"apiVersion": self._resource.api_version, "kind": self._resource.kind, **obj}

    def _named(self, obj: T) -> T:
        """Items of lists of built-in kinds come without ``apiVersion`` and ``kind``; all others hold those of the resource."""
        value: Any = obj
        if self._untyped:
            value.setdefault("apiVersion", self._resource.api_version)
            value.setdefault("kind", self._resource.kind)
        else:
            # Not each its own, as they are decoded: that would be 130 bytes an object.
            value.api_version = self._api_version
            value.kind = self._resource.kind
        return obj

    def _salvage(self, body: bytes, malformed: list[Malformed]) -> tuple[_Page[Raw], list[T]]:
        try:
            page = _raw_pages.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DecodeError(f"list of {self._resource}: {error}") from error
        items: list[T] = []
        for raw in page.items or ():
            try:
                items.append(self._objects.decode(raw))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                malformed.append(Malformed(self._partial(raw)[0], str(error)))
        return page, items

    @staticmethod
    def _partial(body: bytes | memoryview | Raw) -> tuple[Key, _Meta]:
        try:
            meta = _partials.decode(body).metadata
        except (msgspec.DecodeError, UnicodeDecodeError):
            meta = _Meta()
        return Key(meta.namespace, meta.name), meta


def _identity(obj: Any) -> tuple[Key, Any, str]:
    if isinstance(obj, dict):
        metadata = obj.get("metadata") or {}
        key = Key(metadata.get("namespace") or "", metadata.get("name") or "")
        return key, obj, metadata.get("resourceVersion") or ""
    return obj.key, obj, obj.metadata.resource_version
