"""What an informer knows: objects by key, and named indexes over them.

Indexes are part of the store: every change updates them before anybody is told. Nothing here waits or talks to anybody. Objects
in a store are shared by all its readers and must not be changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from cozystack.api.meta import Key

T = TypeVar("T")


class AppliedFields(msgspec.Struct, frozen=True, gc=False):
    """The fields that one manager applied (``fieldsV1`` as JSON), of the object itself or of a subresource."""

    manager: str
    subresource: str
    fields: bytes


class Entry(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """An object and what is kept of its ``managedFields``; ``legacy``: one of the legacy managers wrote by ``Update``."""

    object: T
    applied: tuple[AppliedFields, ...] = ()
    legacy: bool = False

    def applied_fields(self, manager: str, subresource: str = "") -> bytes:
        """``fieldsV1`` of what ``manager`` applied; empty if it applied nothing (or nobody asked to keep it)."""
        for entry in self.applied:
            if entry.manager == manager and entry.subresource == subresource:
                return entry.fields
        return b""


class Store(Generic[T]):
    """Everybody reads; only the informer that fills it (or a test) calls ``put`` and ``remove``."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry[T]] = {}
        self._indexes: dict[str, _Index[T]] = {}

    def get(self, key: Key) -> T | None:
        entry = self._entries.get(key)
        return entry.object if entry is not None else None

    def entry(self, key: Key) -> Entry[T] | None:
        return self._entries.get(key)

    def objects(self) -> Iterator[T]:
        """All objects, in the order in which they were first seen."""
        return (entry.object for entry in self._entries.values())

    def keys(self) -> Iterator[Key]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def index(self, name: str, values: Callable[[T], Iterable[Hashable]]) -> None:
        """Keep an index: ``values`` gives the index keys of an object. May be added at any time; a name is taken once."""
        if name in self._indexes:
            raise ValueError(f'there is an index "{name}" already')
        index = self._indexes[name] = _Index(values)
        for key, entry in self._entries.items():
            index.put(key, entry.object)

    def by(self, name: str, value: Hashable) -> list[T]:
        """The objects that index ``name`` holds under ``value``, sorted by key."""
        return [self._entries[key].object for key in self.keys_by(name, value)]

    def keys_by(self, name: str, value: Hashable) -> list[Key]:
        """Their keys, sorted."""
        return sorted(self._indexes[name].keys.get(value, ()))

    def put(self, key: Key, entry: Entry[T]) -> T | None:
        """Store an object; returns the one it replaces."""
        old = self._entries.get(key)
        self._entries[key] = entry
        for index in self._indexes.values():
            index.put(key, entry.object)
        return old.object if old is not None else None

    def remove(self, key: Key) -> T | None:
        """Drop an object; returns it."""
        old = self._entries.pop(key, None)
        for index in self._indexes.values():
            index.remove(key)
        return old.object if old is not None else None


class _Index(Generic[T]):
    """Keys of objects by index value, and the values under which each key stands."""

    def __init__(self, values: Callable[[T], Iterable[Hashable]]) -> None:
        self._values = values
        self._of: dict[Key, frozenset[Hashable]] = {}
        self.keys: dict[Hashable, set[Key]] = {}

    def put(self, key: Key, obj: T) -> None:
        values = frozenset(self._values(obj))
        old = self._of.get(key, frozenset())
        if values == old:
            return
        self._drop(key, old - values)
        for value in values - old:
            self.keys.setdefault(value, set()).add(key)
        self._of[key] = values

    def remove(self, key: Key) -> None:
        self._drop(key, self._of.pop(key, frozenset()))

    def _drop(self, key: Key, values: frozenset[Hashable]) -> None:
        for value in values:
            keys = self.keys[value]
            keys.discard(key)
            if not keys:
                del self.keys[value]


def key_of(obj: Any) -> Key:
    """Namespace and name of an object, typed or plain JSON."""
    if isinstance(obj, dict):
        metadata = obj.get("metadata") or {}
        return Key(metadata.get("namespace") or "", metadata.get("name") or "")
    key: Key = obj.key
    return key


def version_of(obj: Any) -> str:
    """``metadata.resourceVersion`` of an object, typed or plain JSON."""
    if isinstance(obj, dict):
        return (obj.get("metadata") or {}).get("resourceVersion") or ""
    version: str = obj.metadata.resource_version
    return version
