"""Types of CEL and what may be used where: the part of a type checker that knows no expressions.

A type is a kind, a name and parameters. Type parameters (``T``) of a function are replaced by fresh variables at each call; a
``Substitution`` remembers what a variable turned out to be. ``assignable`` follows the rules of the reference checker, as its
verdicts and its messages are seen by whoever writes a rule.
"""

from __future__ import annotations

import re
from typing import Final


class Type:
    """Not changed after it has been made. Struct types are equal when their names are."""

    __slots__ = ("kind", "name", "params")

    def __init__(self, kind: str, name: str, params: tuple[Type, ...] = ()) -> None:
        self.kind = kind
        self.name = name
        self.params = params

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.kind == other.kind and self.name == other.name and (self.params == other.params)

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.params))

    def __str__(self) -> str:
        """As it is shown in messages."""
        shown = _SHOWN.get(self.kind, self.name)
        return f"{shown}({', '.join(map(str, self.params))})" if self.params else shown

    def __repr__(self) -> str:
        return str(self)


_SHOWN: Final = {"error": "!error!", "null": "null", "duration": "duration", "timestamp": "timestamp"}

DYN: Final = Type("dyn", "dyn")
ERROR: Final = Type("error", "error")
NULL: Final = Type("null", "null_type")
BOOL: Final = Type("bool", "bool")
INT: Final = Type("int", "int")
UINT: Final = Type("uint", "uint")
DOUBLE: Final = Type("double", "double")
STRING: Final = Type("string", "string")
BYTES: Final = Type("bytes", "bytes")
DURATION: Final = Type("duration", "google.protobuf.Duration")
TIMESTAMP: Final = Type("timestamp", "google.protobuf.Timestamp")
TYPE: Final = Type("type", "type")

_SIMPLE: Final = {
    "dyn": DYN,
    "null": NULL,
    "bool": BOOL,
    "int": INT,
    "uint": UINT,
    "double": DOUBLE,
    "string": STRING,
    "bytes": BYTES,
    "duration": DURATION,
    "timestamp": TIMESTAMP,
    "type": TYPE,
}
NULLABLE: Final = frozenset(("opaque", "struct", "duration", "timestamp"))


def list_of(item: Type) -> Type:
    return Type("list", "list", (item,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", "map", (key, value))


def optional_of(value: Type) -> Type:
    return Type("opaque", "optional_type", (value,))


def struct(name: str) -> Type:
    return Type("struct", name)


def is_optional(type_: Type) -> bool:
    return type_.kind == "opaque" and type_.name == "optional_type"


_TOKEN: Final = re.compile(r"[A-Za-z_.0-9]+|[(),]")


def parse_type(text: str) -> Type:
    """A type as signatures have it: ``map(string, T)``, ``optional(int)``, ``kubernetes.URL``; one capital is a parameter."""
    tokens = _TOKEN.findall(text)
    type_, rest = _parsed(tokens, 0)
    if rest != len(tokens):
        raise ValueError(f"{text!r} is no type")
    return type_


def _parsed(tokens: list[str], at: int) -> tuple[Type, int]:
    name = tokens[at]
    at += 1
    params: list[Type] = []
    if at < len(tokens) and tokens[at] == "(":
        while tokens[at] in "(,":
            param, at = _parsed(tokens, at + 1)
            params.append(param)
        at += 1
    if name in ("list", "map"):
        return Type(name, name, tuple(params)), at
    if name == "optional":
        return optional_of(params[0]), at
    if name == "type" and params:
        return Type("type", "type", tuple(params)), at
    if len(name) == 1 and name.isupper():
        return Type("param", name), at
    return _SIMPLE.get(name) or Type("opaque", name, tuple(params)), at


class Substitution:
    """What type variables turned out to be; a failed attempt leaves it as it was."""

    __slots__ = ("_count", "_known")

    def __init__(self) -> None:
        self._known: dict[Type, Type] = {}
        self._count = 0

    def fresh(self) -> Type:
        self._count += 1
        return Type("param", f"_var{self._count - 1}")

    def assignable(self, left: Type, right: Type) -> bool:
        """Whether ``left`` can be used where ``right`` is wanted."""
        return self.all_assignable((left,), (right,))

    def all_assignable(self, left: tuple[Type, ...], right: tuple[Type, ...]) -> bool:
        before = dict(self._known)
        if self._all(left, right):
            return True
        self._known = before
        return False

    def resolved(self, type_: Type, *, unknown: Type | None = None) -> Type:
        """``type_`` with its variables replaced; those that are still open by ``unknown`` when that is given."""
        if type_.kind == "param":
            found = self._known.get(type_)
            if found is not None:
                return self.resolved(found, unknown=unknown)
            return type_ if unknown is None else unknown
        if not type_.params:
            return type_
        return Type(type_.kind, type_.name, tuple(self.resolved(each, unknown=unknown) for each in type_.params))

    def _all(self, left: tuple[Type, ...], right: tuple[Type, ...]) -> bool:
        return len(left) == len(right) and all(self._fits(one, two) for one, two in zip(left, right, strict=True))

    def _fits(self, left: Type, right: Type) -> bool:
        if right.kind == "param":
            valid, known = self._stands_for(left, right)
            if valid or known:
                return valid
        if left.kind == "param":
            return self._stands_for(right, left)[0]
        if left.kind in ("dyn", "error") or right.kind in ("dyn", "error"):
            return True
        if left.kind == "null":
            return right.kind == "null" or right.kind in NULLABLE
        if right.kind == "null":
            return left.kind in NULLABLE
        if left.kind == "type":
            return right.kind == "type"
        return left.kind == right.kind and left.name == right.name and self._all(left.params, right.params)

    def _stands_for(self, type_: Type, variable: Type) -> tuple[bool, bool]:
        """Whether the variable can be ``type_``, and whether it was known before."""
        if type_ == variable:
            return True, True
        known = self._known.get(variable)
        if known is not None:
            if type_ == known:
                return True, True
            if self._fits(type_, known):
                general = most_general(type_, known)
                if self._free_of(variable, general):
                    self._known[variable] = general
                return True, True
            return False, True
        if self._free_of(variable, type_):
            self._known[variable] = type_
            return True, False
        return False, False

    def _free_of(self, variable: Type, type_: Type) -> bool:
        """Whether the variable does not occur within the type."""
        if type_ == variable:
            return False
        if type_.kind == "param":
            known = self._known.get(type_)
            return known is None or self._free_of(variable, known)
        return all(self._free_of(variable, each) for each in type_.params)


def most_general(left: Type, right: Type) -> Type:
    """The more general of two types that are known to fit each other."""
    return left if _less_specific(left, right) else right


def _less_specific(left: Type, right: Type) -> bool:
    if left.kind in ("dyn", "param"):
        return True
    if right.kind in ("dyn", "param") or left.kind != right.kind:
        return False
    if left.kind == "type":
        return True
    return (
        left.name == right.name
        and len(left.params) == len(right.params)
        and all(_less_specific(one, two) for one, two in zip(left.params, right.params, strict=True))
    )


def fresh_copy(types: tuple[Type, ...], substitution: Substitution) -> tuple[Type, ...]:
    """The types with each of their parameters replaced by a new variable, the same in all of them."""
    named: dict[str, Type] = {}

    def copy(type_: Type) -> Type:
        if type_.kind == "param":
            if type_.name not in named:
                named[type_.name] = substitution.fresh()
            return named[type_.name]
        return Type(type_.kind, type_.name, tuple(map(copy, type_.params))) if type_.params else type_

    return tuple(map(copy, types))
