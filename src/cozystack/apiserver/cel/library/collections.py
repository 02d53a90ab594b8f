"""Lists and sets: Kubernetes' own functions, and those of the list and set extensions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cmp_to_key
from typing import Any, Final

from cozystack.apiserver.cel.functions import Functions
from cozystack.apiserver.cel.library import costs
from cozystack.apiserver.cel.values import Duration, EvalError, Uint, compare, equal, size_of

_COMPARABLE: Final = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_LONGEST_RANGE: Final = 1_000_000


def register(functions: Functions) -> None:
    add = functions.add
    for type_ in _COMPARABLE:
        add("isSorted", f"list_{type_}_is_sorted_bool", f"list({type_}).() -> bool", _is_sorted, costs.whole)
        add("max", f"list_{type_}_max_{type_}", f"list({type_}).() -> {type_}", _extreme("max", 1), costs.whole)
        add("min", f"list_{type_}_min_{type_}", f"list({type_}).() -> {type_}", _extreme("min", -1), costs.whole)
        add("sort", f"list_{type_}_sort", f"list({type_}).() -> list({type_})", _sorted, costs.compared_with_itself)
        add(
            "@sortByAssociatedKeys",
            f"list_{type_}_sortByAssociatedKeys",
            f"list(T).(list({type_})) -> list(T)",
            _sorted_by,
            costs.keys_compared,
        )
    for type_, zero in (("int", 0), ("uint", Uint(0)), ("double", 0.0), ("duration", Duration(0))):
        add("sum", f"list_{type_}_sum_{type_}", f"list({type_}).() -> {type_}", _sum(zero), costs.whole)
    add("indexOf", "list_a_index_of_int", "list(A).(A) -> int", _index_of, costs.whole)
    add("lastIndexOf", "list_a_last_index_of_int", "list(A).(A) -> int", _last_index_of, costs.whole)
    add("includes", "list_includes_dyn_dyn", "dyn.(dyn) -> bool", _includes, costs.whole)
    add("slice", "list_slice", "list(T).(int, int) -> list(T)", _slice, costs.new_list)
    add("flatten", "list_flatten", "list(list(T)).() -> list(T)", lambda items: _flat(items, 1), _flattening)
    add("flatten", "list_flatten_int", "list(dyn).(int) -> list(dyn)", _flat, _flattening)
    add("lists.range", "lists_range", "(int) -> list(int)", _range, costs.new_list)
    add("reverse", "list_reverse", "list(T).() -> list(T)", lambda items: list(reversed(items)), costs.new_list)
    add("distinct", "list_distinct", "list(T).() -> list(T)", _distinct, costs.compared_with_itself)
    add("cel.@mapInsert", "cel_@mapInsert_map_key_value", "(map(K, V), K, V) -> map(K, V)", _inserted)
    add("cel.@mapInsert", "cel_@mapInsert_map_map", "(map(K, V), map(K, V)) -> map(K, V)", _merged)
    add("sets.contains", "list_sets_contains_list", "(list(T), list(T)) -> bool", _has_all, _product(1))
    add("sets.equivalent", "list_sets_equivalent_list", "(list(T), list(T)) -> bool", _same_items, _product(2))
    add("sets.intersects", "list_sets_intersects_list", "(list(T), list(T)) -> bool", _meet, _product(1))


def _is_sorted(items: list[Any]) -> bool:
    return all(compare(one, two) <= 0 for one, two in itertools.pairwise(items))


def _extreme(name: str, sign: int) -> Callable[[list[Any]], Any]:
    def extreme(items: list[Any]) -> Any:
        if not items:
            raise EvalError(f"{name} called on empty list")
        found = items[0]
        for item in items[1:]:
            if compare(item, found) == sign:
                found = item
        return found

    return extreme


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    def total(items: list[Any]) -> Any:
        if isinstance(zero, Duration):
            return Duration(sum(item.nanos for item in items))
        found = sum(items, zero)
        if isinstance(found, int) and not (0 if isinstance(zero, Uint) else -(2**63)) <= found < 2 ** (
            64 if isinstance(zero, Uint) else 63
        ):
            raise EvalError("unsigned integer overflow" if isinstance(zero, Uint) else "integer overflow")
        return Uint(found) if isinstance(zero, Uint) else found

    return total


def _sorted(items: list[Any]) -> list[Any]:
    return sorted(items, key=cmp_to_key(compare))


def _sorted_by(items: list[Any], keys: list[Any]) -> list[Any]:
    by_value = cmp_to_key(compare)
    order = sorted(range(len(items)), key=lambda index: by_value(keys[index]))
    return [items[index] for index in order]


def _index_of(items: list[Any], item: Any) -> int:
    return next((index for index, each in enumerate(items) if equal(each, item)), -1)


def _last_index_of(items: list[Any], item: Any) -> int:
    return next((index for index in range(len(items) - 1, -1, -1) if equal(items[index], item)), -1)


def _includes(target: Any, item: Any) -> bool:
    if isinstance(target, list):
        return any(equal(each, item) for each in target)
    return equal(target, item)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvalError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvalError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if len(items) < end:
        raise EvalError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return list(items[start:end])


def _flat(items: list[Any], depth: int) -> list[Any]:
    if depth < 0:
        raise EvalError("level must be non-negative")
    found: list[Any] = []
    for item in items:
        if isinstance(item, list) and depth > 0:
            found += _flat(item, depth - 1)
        else:
            found.append(item)
    return found


def _flattening(args: costs.Args, result: Any) -> int:
    depth = max(args[1], 0) if len(args) == 2 else 1
    return size_of(args[0]) * depth + 11


def _range(count: int) -> list[int]:
    if count < 0:
        raise EvalError(f"lists.range: size must be non-negative, got {count}")
    if count > _LONGEST_RANGE:
        raise EvalError(f"lists.range: size {count} exceeds maximum allowed ({_LONGEST_RANGE})")
    return list(range(count))


def _distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    seen: set[tuple[type, Any]] = set()
    for item in items:
        if type(item) in (str, int, bool):
            key = (type(item), item)
            if key not in seen:
                seen.add(key)
                found.append(item)
        elif not any(equal(item, each) for each in found):
            found.append(item)
    return found


def _inserted(mapping: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    if key in mapping:
        raise EvalError(f"insert failed: key {key} already exists")
    return {**mapping, key: value}


def _merged(mapping: dict[Any, Any], more: dict[Any, Any]) -> dict[Any, Any]:
    for key in more:
        if key in mapping:
            raise EvalError(f"insert failed: key {key} already exists")
    return {**mapping, **more}


def _has_all(items: list[Any], wanted: list[Any]) -> bool:
    return all(any(equal(each, item) for each in items) for item in wanted)


def _same_items(left: list[Any], right: list[Any]) -> bool:
    return _has_all(left, right) and _has_all(right, left)


def _meet(left: list[Any], right: list[Any]) -> bool:
    return any(any(equal(one, two) for two in right) for one in left)


def _product(factor: int) -> Callable[[costs.Args, Any], int]:
    return lambda args, result: 1 + size_of(args[0]) * size_of(args[1]) * factor
