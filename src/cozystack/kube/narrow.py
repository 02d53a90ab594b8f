"""Types that pass over what nobody asks for.

A decoder skips a field that its type does not know in a fraction of the time in which it reads one, and nothing of it is ever
held. ``managedFields`` are a third of an object and half of the time of reading it. So whoever reads much and looks at little
of it reads a narrower type: a subclass whose unread fields are looked for under names that no server sends, and so have their
defaults.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import NODEFAULT, Struct

from cozystack.api.meta import ObjectMeta
from cozystack.api.resources import Resource

S = TypeVar("S", bound=Struct)
T = TypeVar("T")


def without(kind: type[S], *unread: str, **narrower: Any) -> type[S]:
    """``kind``, of which the fields ``unread`` are passed over, and others have the types ``narrower``; for decoding only."""
    declared = {field.name: field for field in msgspec.structs.fields(kind)}
    fields: list[tuple[str, Any, Any]] = []
    for name in (*unread, *narrower):
        field = declared[name]
        other = f"({field.encode_name})" if name in unread else field.encode_name
        default: dict[str, Any] = {"default": field.default}
        if field.default_factory is not NODEFAULT:
            default = {"default_factory": field.default_factory}
        fields.append((name, narrower.get(name, field.type), msgspec.field(name=other, **default)))
    return cast("type[S]", msgspec.defstruct(kind.__name__, fields, bases=(kind,), module=kind.__module__, kw_only=True))


@cache
def unmanaged(resource: Resource[T]) -> Resource[T]:
    """``resource`` with objects that are read without ``managedFields``. Those of untyped ones come whole."""
    kind: Any = resource.type
    if not (isinstance(kind, type) and issubclass(kind, Struct)):
        return resource
    narrower: Any = without(kind, metadata=without(ObjectMeta, "managed_fields"))
    return replace(resource, type=narrower)
