"""What Go writes although nobody has set it: structs that are no pointers, and zeros that are not left out.

``Filling`` is made once for a kind, of its shape and of the defaults that its schema tells; it looks only where something may
be missing, so a kind without such fields costs nothing.
"""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver.golang.shapes import Member, Shape
from cozystack.apiserver.schema import Schema
from cozystack.apiserver.schema.model import MISSING

Obj = dict[str, Any]

_ZEROS: Final[dict[str, Any]] = {
    "string": "",
    "bool": False,
    "int": 0,
    "quantity": "0",
    "intOrString": 0,
    "struct": {},
}


class Filling:
    """What is missing in the JSON of a struct, and below it."""

    __slots__ = ("_below", "_missing", "_nulls", "_told")

    def __init__(self) -> None:
        self._missing: dict[str, Any] = {}
        self._below: list[tuple[str, str, Filling]] = []
        self._nulls: bool | None = None
        self._told: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._missing or self._below)

    def add(self, name: str, zero: Any, *, told: bool) -> None:
        """Fill a field in; ``told`` when its schema does, and not Go."""
        self._missing[name] = zero
        if told:
            self._told.add(name)

    def go_on(self, name: str, many: str, filling: Filling) -> None:
        """Fill the struct there too, or each of several."""
        self._below.append((name, many, filling))

    def fill(self, value: Obj) -> None:
        """Add what Go would write, in place."""
        for name, zero in self._missing.items():
            if name not in value:
                value[name] = {} if type(zero) is dict else zero
        for name, many, filling in self._below:
            item = value.get(name)
            if item is None:
                continue
            if not many:
                filling.fill(item)
            else:
                for each in item if many == "list" else item.values():
                    filling.fill(each)

    def empty(self) -> Obj:
        """What Go would write of such a struct when nobody had set anything."""
        found = {name: zero for name, zero in self._missing.items() if name not in self._told}
        for name, many, filling in self._below:
            if not many and name in found:
                found[name] = filling.empty()
        return found

    def fill_one(self, value: Obj, name: str) -> None:
        """The same for one member alone."""
        if name in self._missing and name not in value:
            value[name] = {} if type(self._missing[name]) is dict else self._missing[name]
        for below, many, filling in self._below:
            if below == name and not many and value.get(name) is not None:
                filling.fill(value[name])

    def without_nulls(self, value: Obj) -> Obj:
        """``value`` without the nulls that were added, which no schema lets pass; itself when there are none."""
        if not self.has_nulls:
            return value
        kept = {name: item for name, item in value.items() if item is not None or name not in self._missing}
        for name, many, filling in self._below:
            item = kept.get(name)
            if item is None or not filling.has_nulls:
                continue
            if not many:
                kept[name] = filling.without_nulls(item)
            elif many == "list":
                kept[name] = [filling.without_nulls(each) for each in item]
            else:
                kept[name] = {key: filling.without_nulls(each) for key, each in item.items()}
        return kept

    @property
    def has_nulls(self) -> bool:
        if self._nulls is None:
            below = any(filling.has_nulls for _, _, filling in self._below)
            self._nulls = below or any(zero is None for zero in self._missing.values())
        return self._nulls


def filling(shape: Shape, schema: Schema) -> Filling:
    """The filling of a shape, with the defaults of its schema."""
    return _filling(shape, schema, {})


def _filling(shape: Shape, schema: Schema, known: dict[Shape, Filling]) -> Filling:
    found = known.get(shape)
    if found is not None:
        return found
    found = known[shape] = Filling()
    for name, member in shape.members.items():
        child = schema.properties.get(name) if schema.properties else None
        if member.code == "struct" and member.shape is not None and name != "metadata":
            below = (child.items if member.many == "list" else child.additional if member.many else child) if child else None
            inner = _filling(member.shape, below if below is not None else Schema(), known)
            if inner:
                found.go_on(name, member.many, inner)
        told = _told(member, child)
        zero = told if told is not MISSING else _zero(member)
        if zero is not MISSING:
            found.add(name, zero, told=told is not MISSING)
    return found


def _told(member: Member, schema: Schema | None) -> Any:
    """The default that a schema tells, where it is more than nothing; otherwise ``MISSING``."""
    value = schema.default if schema is not None else MISSING
    return value if isinstance(value, str | int | float) and (value or member.pointer) else MISSING


def _zero(member: Member) -> Any:
    """What Go writes for a field that is not there, or ``MISSING``."""
    if member.omitted:
        return MISSING
    if member.pointer or member.many or member.code in ("time", "microTime", "bytes", "raw"):
        return None
    return _ZEROS.get(member.code, MISSING)
