"""What is kept of ``managedFields``: nothing, or exactly what later decisions need.

The field sets are about half of every object and nobody reads most of them; an informer that keeps them doubles its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import msgspec

from cozystack.api.meta import ManagedFields
from cozystack.kube.store import AppliedFields, Entry

T = TypeVar("T")

_INTERNED = 4096


def forget(obj: T) -> Entry[T]:
    """The object without its ``managedFields``. The default of every informer."""
    value: Any = obj
    if isinstance(value, dict):
        (value.get("metadata") or {}).pop("managedFields", None)
    else:
        value.metadata.managed_fields = ()
    return Entry(obj)


def ownership(managers: Collection[str], legacy: Collection[str] = ()) -> Callable[[T], Entry[T]]:
    """A transform that keeps what each of ``managers`` applied, and whether one of ``legacy`` wrote by ``Update``.

    Field sets are interned: a thousand objects of one shape share one ``bytes`` object. Writes to subresources do not count as
    legacy.
    """
    ours = frozenset(managers)
    theirs = frozenset(legacy)
    interned: dict[AppliedFields, AppliedFields] = {}

    def condense(obj: T) -> Entry[T]:
        applied: list[AppliedFields] = []
        marked = False
        for entry in _managed_fields(obj):
            if entry.operation == "Apply" and entry.manager in ours:
                fields = AppliedFields(entry.manager, entry.subresource, msgspec.json.encode(entry.fields_v1))
                if len(interned) > _INTERNED:
                    interned.clear()
                applied.append(interned.setdefault(fields, fields))
            elif entry.operation == "Update" and entry.manager in theirs and not entry.subresource:
                marked = True
        forget(obj)
        return Entry(obj, tuple(applied), marked)

    return condense


def _managed_fields(obj: Any) -> tuple[ManagedFields, ...]:
    if isinstance(obj, dict):
        return msgspec.convert((obj.get("metadata") or {}).get("managedFields") or (), tuple[ManagedFields, ...])
    fields: tuple[ManagedFields, ...] = obj.metadata.managed_fields
    return fields
