"""Functions that expressions can call: overloads with their types, what they do, and what a call costs.

A library is a table of overloads. ``add("startsWith", "starts_with_string", "string.(string) -> bool", ...)`` reads: a member
of strings that takes a string. A call whose types are known is bound to one overload when it is compiled; any other is
dispatched by the values that come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from cozystack.apiserver.cel.types import TYPE, Type, parse_type
from cozystack.apiserver.cel.values import name_of

Cost = Callable[[tuple[Any, ...], Any], int]
"""What a call with these arguments and this result has cost."""

_BY_KIND: Final = {"null": "null_type"}


class Overload:
    """One meaning of a function. ``params`` begin with the receiver of a member."""

    __slots__ = ("cost", "function", "impl", "member", "name", "names", "params", "result")

    def __init__(self, function: str, name: str, signature: str, impl: Callable[..., Any], cost: Cost | None = None) -> None:
        left, _, right = signature.partition(" -> ")
        receiver, _, rest = left.partition(".(") if ".(" in left else ("", "", left[1:])
        self.function = function
        self.name = name
        self.member = bool(receiver)
        args = _split(rest[:-1])
        self.params = tuple(parse_type(arg) for arg in ([receiver] if receiver else []) + args)
        self.result = parse_type(right)
        self.impl = impl
        self.cost = cost
        self.names = tuple(_runtime_name(param) for param in self.params)

    def accepts(self, args: tuple[Any, ...]) -> bool:
        """Whether values have the types of the parameters."""
        return len(args) == len(self.names) and all(
            not name or name == name_of(arg) for name, arg in zip(self.names, args, strict=True)
        )


def _runtime_name(type_: Type) -> str:
    """The name that values of a type have; empty for any."""
    if type_.kind in ("dyn", "param"):
        return ""
    return type_.name


def _split(text: str) -> list[str]:
    """Arguments at the commas that are in no parentheses."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    rest = text[start:].strip()
    return [*parts, rest] if rest else parts


class Functions:
    """All functions of an environment, and the types that have names."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[Overload]] = {}
        self.type_names: dict[str, Type] = {}

    def add(self, function: str, name: str, signature: str, impl: Callable[..., Any], cost: Cost | None = None) -> None:
        self._by_name.setdefault(function, []).append(Overload(function, name, signature, impl, cost))

    def add_types(self, names: Iterable[tuple[str, str]]) -> None:
        """``names``: how a type is written in an expression, and the type."""
        for name, text in names:
            self.type_names[name] = Type("type", "type", (parse_type(text),)) if text != "type" else TYPE

    def has(self, function: str) -> bool:
        return function in self._by_name

    def overloads(self, function: str, *, member: bool) -> list[Overload]:
        return [each for each in self._by_name.get(function, ()) if each.member == member]

    def named(self, function: str, name: str) -> Overload:
        return next(each for each in self._by_name[function] if each.name == name)
