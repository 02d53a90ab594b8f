"""The shape of a built-in kind, made of the tables: what each field of its JSON is, and whether Go leaves it out."""

from __future__ import annotations

import functools
from typing import Final

from cozystack.apiserver.golang.tables import LIST, Field, tables

_INT32: Final = (-(2**31), 2**31 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)


class Member:
    """A field of a struct. ``code`` is a scalar, a type with a JSON form of its own, or ``struct``."""

    __slots__ = ("code", "embedded", "go", "item_go", "limits", "many", "name", "omitted", "plain", "pointer", "shape")

    def __init__(self, field: Field, shape: Shape | None, embedded: tuple[str, ...]) -> None:
        self.name = field.name
        self.shape = shape
        self.embedded = embedded
        """The structs between, by which Go calls the field."""
        self.code = "struct" if shape is not None else field.type
        self.many = "map" if "m" in field.flags else "list" if "r" in field.flags else ""
        if field.type.endswith(LIST):
            self.code, self.many = "string", "list of lists" if self.many == "map" else "list"
        self.pointer = "p" in field.flags
        self.omitted = "o" in field.flags or "e" in field.flags
        """Whether it is left out when it is zero; a pointer and what has many when it is nothing."""
        self.go = field.go
        self.item_go = _item(field.go, field.type) if self.many else field.go
        self.limits = _INT32 if self.item_go == "int32" else _INT64
        plain = {"string": str, "bool": bool}.get(self.code) if not self.many else None
        self.plain: type | None = plain
        """The type of values that need no second look."""

    @property
    def drops_zero(self) -> bool:
        return self.omitted and not self.pointer


class Shape:
    """A struct: its members by their names in JSON."""

    __slots__ = ("go", "members")

    def __init__(self, go: str) -> None:
        self.go = go
        self.members: dict[str, Member] = {}


def shape_of(api_version: str, kind: str) -> Shape | None:
    """The shape of a built-in kind; nothing when the tables do not know it."""
    message = tables().kinds.get(f"{api_version} {kind}")
    return _shape(message) if message is not None else None


def metadata_shape() -> Shape:
    """That of the metadata of any object."""
    return _shape("meta.v1.ObjectMeta")


@functools.cache
def _shape(message: str) -> Shape:
    shape = Shape(message.rpartition(".")[2])
    _known = _roots()
    if message in _known:
        for name in ("apiVersion", "kind"):
            shape.members[name] = Member(Field(name, "string", "o", "string"), None, ("TypeMeta",))
    _add(shape, message, ())
    return shape


@functools.cache
def _roots() -> frozenset[str]:
    return frozenset(tables().kinds.values())


def _add(shape: Shape, message: str, embedded: tuple[str, ...]) -> None:
    for field in tables().messages[message].values():
        inner = field.type.removeprefix("#")
        if not field.name:
            _add(shape, inner, (*embedded, field.go.rpartition(".")[2]))
            continue
        is_struct = field.type.startswith("#") and not field.type.endswith(LIST)
        shape.members[field.name] = Member(field, _shape(inner) if is_struct else None, embedded)


def _item(go: str, code: str) -> str:
    """What Go calls the items of a list or a map of that type."""
    if go.startswith(("map[", "[]")):
        return go[go.index("]") + 1 :].removeprefix("*")
    return {"quantity": "resource.Quantity", "string": "string"}.get(code, go)
