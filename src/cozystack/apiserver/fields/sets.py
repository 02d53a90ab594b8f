"""Sets of fields, as trees in the form of ``fieldsV1``.

A tree maps path elements (``f:name``, ``k:{"name":"a"}``, ``v:"x"``) to trees. An empty tree is a member; one with children is
a member only if it also has the element ``.``. Trees are never changed once made, so parts of them are shared freely.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, TypeAlias

from cozystack.apiserver.schema.model import MISSING, Schema

Tree: TypeAlias = dict[str, Any]
SELF: Final = "."


def is_member(tree: Tree) -> bool:
    return not tree or SELF in tree


def union(left: Tree | None, right: Tree | None) -> Tree | None:
    if left is None or right is None or left is right:
        return left if right is None else right
    result: Tree = dict(left)
    for element, child in right.items():
        known = result.get(element)
        result[element] = child if known is None else union(known, child)
    if result and SELF not in result and (is_member(left) or is_member(right)):
        result[SELF] = {}
    return result


def difference(left: Tree | None, right: Tree | None) -> Tree | None:
    """Members of ``left`` that are no members of ``right``; nothing when none is left."""
    if left is None or right is None:
        return left
    member = is_member(left) and not is_member(right)
    result: Tree = {}
    for element, child in left.items():
        if element == SELF:
            continue
        rest = difference(child, right[element]) if element in right else child
        if rest is not None:
            result[element] = rest
    if not result:
        return {} if member else None
    if member:
        result[SELF] = {}
    return result


def intersection(left: Tree | None, right: Tree | None) -> Tree | None:
    """Members of both; nothing when there is none."""
    if left is None or right is None:
        return None
    member = is_member(left) and is_member(right)
    result: Tree = {}
    for element, child in left.items():
        if element != SELF and element in right:
            both = intersection(child, right[element])
            if both is not None:
                result[element] = both
    if not result:
        return {} if member else None
    if member:
        result[SELF] = {}
    return result


def paths(tree: Tree, prefix: str = "") -> Iterator[str]:
    """Every member as a path for people: ``.spec.containers[name="a"].image``."""
    if is_member(tree) and prefix:
        yield prefix
    for element in sorted(tree):
        if element != SELF:
            yield from paths(tree[element], prefix + show(element))


def show(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        return "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(rest).items()) + "]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


@lru_cache(maxsize=4096)
def _key_element(pairs: tuple[tuple[str, Any], ...]) -> str:
    return "k:" + json.dumps(dict(pairs), separators=(",", ":"), sort_keys=True)


def item_element(schema: Schema, item: Any) -> str | None:
    """The path element of an item of an associative list or set, or nothing when it has no proper key."""
    if schema.list_type == "set":
        return "v:" + json.dumps(item, separators=(",", ":"), sort_keys=True)
    if not isinstance(item, dict):
        return None
    pairs = []
    for key in schema.list_keys:
        value = item.get(key)
        if value is None:
            child = schema.items.properties.get(key) if schema.items is not None else None
            if child is None or child.default is MISSING:
                if len(schema.list_keys) == 1:
                    return None
                continue
            value = child.default
        pairs.append((key, value))
    return _key_element(tuple(pairs)) if pairs else None


def is_associative(schema: Schema | None) -> bool:
    return schema is not None and schema.list_type in ("map", "set")


def is_atomic_map(schema: Schema | None) -> bool:
    return schema is not None and schema.map_type == "atomic"


def field_set(schema: Schema | None, value: Any) -> Tree:
    """The members of ``value`` as an applied configuration: leaves, keys of maps, items of lists."""
    if isinstance(value, dict):
        if not value or is_atomic_map(schema):
            return {}
        tree: Tree = {}
        properties = schema.properties if schema is not None else {}
        additional = schema.additional if schema is not None else None
        for name, item in value.items():
            child_schema = properties.get(name)
            child = field_set(child_schema or additional, item)
            if child_schema is None and child and SELF not in child:
                child = {**child, SELF: {}}
            tree[f"f:{name}"] = child
        return tree
    if isinstance(value, list) and value and schema is not None and is_associative(schema):
        tree = {}
        for item in value:
            element = item_element(schema, item)
            if element is None:
                return {}
            child = field_set(schema.items, item) if schema.list_type == "map" else {}
            tree[element] = {**child, SELF: {}} if child and SELF not in child else child
        return tree
    return {}


def compare(schema: Schema | None, old: Any, new: Any) -> tuple[Tree | None, Tree | None]:
    """(changed, removed): members added or changed from ``old`` to ``new``, and those gone; ``MISSING`` stands for absent."""
    if old is new:
        return None, None
    if isinstance(old, dict) or isinstance(new, dict):
        left = old if isinstance(old, dict) else {}
        right = new if isinstance(new, dict) else {}
        mixed = (not isinstance(old, dict) and old is not MISSING) or (not isinstance(new, dict) and new is not MISSING)
        if mixed or is_atomic_map(schema) or (not left and not right):
            return _leaf(old, new)
        properties = schema.properties if schema is not None else {}
        additional = schema.additional if schema is not None else None
        names = {f"f:{name}": name for name in (*right, *(name for name in left if name not in right))}
        return _compare_parts(
            {
                element: (properties.get(name) or additional, left.get(name, MISSING), right.get(name, MISSING))
                for element, name in names.items()
            },
            added=old is MISSING,
            removed=new is MISSING,
        )
    if isinstance(old, list) or isinstance(new, list):
        left_list = old if isinstance(old, list) else []
        right_list = new if isinstance(new, list) else []
        if schema is None or not is_associative(schema) or (not left_list and not right_list):
            return _leaf(old, new)
        left_items = {item_element(schema, item): item for item in left_list}
        right_items = {item_element(schema, item): item for item in right_list}
        if None in left_items or None in right_items:
            return _leaf(old, new)
        parts = {
            element: (schema.items, left_items.get(element, MISSING), right_items.get(element, MISSING))
            for element in (*right_items, *(element for element in left_items if element not in right_items))
            if element is not None
        }
        return _compare_parts(parts, added=old is MISSING, removed=new is MISSING)
    return _leaf(old, new)


def _leaf(old: Any, new: Any) -> tuple[Tree | None, Tree | None]:
    if new is MISSING:
        return (None, None) if old is MISSING else (None, {})
    return (None, None) if old is not MISSING and same(old, new) else ({}, None)


def same(left: Any, right: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def _compare_parts(
    parts: dict[str, tuple[Schema | None, Any, Any]], *, added: bool, removed: bool
) -> tuple[Tree | None, Tree | None]:
    changed: Tree = {}
    gone: Tree = {}
    for element, (schema, left, right) in parts.items():
        child_changed, child_gone = compare(schema, left, right)
        if child_changed is not None:
            changed[element] = child_changed
        if child_gone is not None:
            gone[element] = child_gone
    if added:
        changed[SELF] = {}
    if removed:
        gone[SELF] = {}
    return changed or None, gone or None
