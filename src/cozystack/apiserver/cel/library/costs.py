"""What calls cost, in the units of kube-apiserver: a tenth for each character that is looked at, rounded up."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cozystack.apiserver.cel.values import size_of, traversal

Args = tuple[Any, ...]


def by_function(cost: Callable[[Args, Any], int]) -> Callable[[Args, Any], int]:
    """A cost that goes by the name of the function, whichever overload is called."""
    cost.by_function = True  # type: ignore[attr-defined]
    return cost


def of_text(size: float, factor: float = 0.1) -> int:
    return math.ceil(size * factor)


@by_function
def first(args: Args, result: Any) -> int:
    """The first argument is looked at once."""
    return of_text(size_of(args[0]))


@by_function
def first_twice(args: Args, result: Any) -> int:
    return of_text(size_of(args[0]), 0.2)


@by_function
def result_twice(args: Args, result: Any) -> int:
    return of_text(size_of(result), 0.2)


def second(args: Args, result: Any) -> int:
    return of_text(size_of(args[1]))


def first_plainly(args: Args, result: Any) -> int:
    return of_text(size_of(args[0]))


def both(args: Args, result: Any) -> int:
    return of_text(size_of(args[0]) + size_of(args[1]))


def smaller(args: Args, result: Any) -> int:
    return of_text(min(size_of(args[0]), size_of(args[1])))


def product(args: Args, result: Any) -> int:
    return of_text(size_of(args[0])) * of_text(size_of(args[1]))


def pattern(args: Args, result: Any) -> int:
    """A regular expression is matched: its length times that of the text."""
    return of_text(1.0 + size_of(args[0])) * math.ceil(size_of(args[1]) * 0.25)


pattern_by_function = by_function(lambda args, result: pattern(args, result))


@by_function
def whole(args: Args, result: Any) -> int:
    """All of the first argument is looked at, however deep."""
    return traversal(args[0])


def new_list(args: Args, result: Any) -> int:
    return size_of(result) + 11


def compared_with_itself(args: Args, result: Any) -> int:
    """Each item of the first argument with each other."""
    return _self_compared(args[0])


def keys_compared(args: Args, result: Any) -> int:
    return _self_compared(args[1])


def _self_compared(items: list[Any]) -> int:
    size = len(items)
    factor = 2.1 if items and isinstance(items[0], str | bytes) else 2.0
    return int(size * size * factor) + 11
