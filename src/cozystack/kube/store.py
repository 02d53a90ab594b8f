"""What an informer knows: objects by key, and named indexes over them.

Indexes are part of the store: every change updates them before anybody is told. Nothing here waits or talks to anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cozystack.api.meta import Key

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AppliedFields:
    """The fields that one manager applied (``fieldsV1`` as JSON), of the object itself or of a subresource."""

    manager: str
    subresource: str
    fields: bytes


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """An object and what is kept of its ``managedFields``."""

    object: T
    applied: tuple[AppliedFields, ...] = ()
    legacy: bool = False
    """An ``Update`` entry of one of the legacy managers is present."""

    def applied_fields(self, manager: str, subresource: str = "") -> bytes:
        """``fieldsV1`` of what ``manager`` applied; empty if it applied nothing (or nobody asked to keep it)."""
        for entry in self.applied:
            if entry.manager == manager and entry.subresource == subresource:
                return entry.fields
        return b""


class Store(Generic[T]):
    """Read-only for everybody but the informer that fills it."""

    def get(self, key: Key) -> T | None:
        raise NotImplementedError

    def entry(self, key: Key) -> Entry[T] | None:
        raise NotImplementedError

    def objects(self) -> Iterator[T]:
        """All objects, in the order in which they were first seen."""
        raise NotImplementedError

    def keys(self) -> Iterator[Key]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __contains__(self, key: object) -> bool:
        raise NotImplementedError

    def index(self, name: str, values: Callable[[T], Iterable[Hashable]]) -> None:
        """Keep an index: ``values`` gives the index keys of an object. May be added at any time."""
        raise NotImplementedError

    def by(self, name: str, value: Hashable) -> list[T]:
        """The objects that index ``name`` holds under ``value``, sorted by key."""
        raise NotImplementedError

    def keys_by(self, name: str, value: Hashable) -> list[Key]:
        """Their keys, sorted."""
        raise NotImplementedError


def key_of(obj: Any) -> Key:
    """Namespace and name of an object, typed or plain JSON."""
    if isinstance(obj, dict):
        metadata = obj.get("metadata") or {}
        return Key(metadata.get("namespace") or "", metadata.get("name") or "")
    key: Key = obj.key
    return key
