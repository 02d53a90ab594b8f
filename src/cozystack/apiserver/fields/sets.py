"""Sets of fields, as trees in the form of ``fieldsV1``.

A tree maps path elements (``f:name``, ``k:{"name":"a"}``, ``v:"x"``) to trees. An empty tree is a member; one with children is
a member only if it also has the element ``.``. Trees are never changed once made, so parts of them are shared freely.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, TypeAlias

from cozystack.apiserver.schema.model import MISSING, Schema

Tree: TypeAlias = dict[str, Any]
SELF: Final = "."


def is_member(tree: Tree) -> bool:
    return not tree or SELF in tree


def member(tree: Tree | None) -> Tree:
    """``tree`` with what it stands at as a member."""
    return tree if tree and SELF in tree else {**tree, SELF: {}} if tree else {}


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


def without_subtrees(tree: Tree | None, other: Tree) -> Tree | None:
    """``tree`` without the members of ``other`` and all that is below them."""
    if tree is None:
        return None
    result: Tree = {}
    for element, child in tree.items():
        gone = other.get(element)
        if gone is None:
            result[element] = child
        elif not is_member(gone):
            rest = without_subtrees(child, gone)
            if rest is not None:
                result[element] = rest
    return {} if result.keys() == {SELF} else result or (tree if not tree else None)


def paths(tree: Tree, prefix: str = "") -> Iterator[str]:
    """Every member as a path for people: ``.spec.containers[name="a"].image``; what is deeper comes later."""
    elements = sorted((element for element in tree if element != SELF), key=_rank)
    yield from (prefix + show(element) for element in elements if is_member(tree[element]))
    for element in elements:
        if tree[element]:
            yield from paths(tree[element], prefix + show(element))


_RANKS: Final = {"f": 0, "k": 1, "v": 2, "i": 3}


def _rank(element: str) -> tuple[Any, ...]:
    """By which elements are put in order: fields by name, items by their key, numbers before texts."""
    kind, _, rest = element.partition(":")
    if kind == "f":
        return (0, rest)
    value = json.loads(rest)
    if kind == "k":
        return (1, [(name, *_rank_of_value(part)) for name, part in sorted(value.items())])
    return (_RANKS.get(kind, 4), _rank_of_value(value))


def _rank_of_value(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    return (1, value) if isinstance(value, str) else (3, json.dumps(value, sort_keys=True))


def show(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        shown = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in json.loads(rest).items())
        return "[" + ",".join(shown) + "]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


@lru_cache(maxsize=4096)
def _key_element(pairs: tuple[tuple[str, Any], ...]) -> str:
    return "k:" + json.dumps(dict(pairs), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def item_element(schema: Schema, item: Any) -> str | None:
    """The path element of an item of an associative list or set, or nothing when it has no proper key."""
    if schema.list_type == "set":
        return "v:" + json.dumps(item, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    if not isinstance(item, dict):
        return None
    pairs = []
    plain = True
    for key in schema.list_keys:
        value = item.get(key, MISSING)
        if value is MISSING:
            child = schema.items.properties.get(key) if schema.items is not None else None
            if child is None or child.default is MISSING:
                continue
            value = child.default
        pairs.append((key, value))
        plain = plain and type(value) in (str, int)
    if not pairs:
        return None
    # The cache takes 1 and true for the same.
    return _key_element(tuple(pairs)) if plain else _key_element.__wrapped__(tuple(pairs))


def is_associative(schema: Schema | None) -> bool:
    return schema is not None and schema.list_type in ("map", "set")


def by_element(schema: Schema, items: list[Any]) -> dict[str, list[Any]] | None:
    """Items of an associative list by their path element; nothing when one has no proper key."""
    groups: dict[str, list[Any]] = {}
    for item in items:
        element = item_element(schema, item)
        if element is None:
            return None
        groups.setdefault(element, []).append(item)
    return groups


def is_named(schema: Schema | None, name: str) -> bool:
    """Whether ``name`` is a field of an object; if not, it is a key of a map."""
    return schema is not None and name in schema.properties


def child_schema(schema: Schema | None, name: str) -> Schema | None:
    return schema.child(name) if schema is not None else None


def is_atomic_map(schema: Schema | None) -> bool:
    return schema is not None and schema.map_type == "atomic"


def field_set(schema: Schema | None, value: Any) -> Tree | None:
    """The members of ``value`` as an applied configuration: leaves, empty maps, keys of maps, items of lists.

    Nothing when there is none: an empty list whose items have owners of their own belongs to nobody.
    """
    if isinstance(value, dict):
        if not value or is_atomic_map(schema):
            return {}
        tree: Tree = {}
        properties, additional = (schema.properties, schema.additional) if schema is not None else ({}, None)
        for name, item in value.items():
            named = properties.get(name)
            child = field_set(named or additional, item) if isinstance(item, (dict, list)) else {}
            if named is None:
                child = member(child)
            if child is not None:
                tree[f"f:{name}"] = child
        return tree or None
    if isinstance(value, list) and schema is not None and is_associative(schema):
        groups = by_element(schema, value)
        if groups is None:
            return {}
        # An item that is there twice has an owner as a whole: its fields cannot be told apart.
        return {
            element: member(field_set(schema.items, items[0])) if len(items) == 1 else {} for element, items in groups.items()
        } or None
    return {}


def compare(schema: Schema | None, old: Any, new: Any) -> tuple[Tree | None, Tree | None]:
    """(changed, removed): members added or changed from ``old`` to ``new``, and those gone; ``MISSING`` stands for absent."""
    if old is new:
        return None, None
    if isinstance(old, dict) or isinstance(new, dict):
        left, right = old if isinstance(old, dict) else {}, new if isinstance(new, dict) else {}
        if is_atomic_map(schema) or (not left and not right):
            return _leaf(old, new)
        changed, removed = _compare_parts(
            (f"f:{name}", *compare(child_schema(schema, name), left.get(name, MISSING), right.get(name, MISSING)))
            for name in (*right, *(name for name in left if name not in right))
        )
        return _with_self(old, new, changed, removed, container=dict)
    if schema is not None and is_associative(schema) and (isinstance(old, list) or isinstance(new, list)):
        before = by_element(schema, old if isinstance(old, list) else [])
        after = by_element(schema, new if isinstance(new, list) else [])
        if before is None or after is None or (not before and not after):
            return _leaf(old, new)
        changed, removed = _compare_parts(
            (element, *_compare_items(schema, before.get(element, []), after.get(element, [])))
            for element in (*after, *(element for element in before if element not in after))
        )
        return _with_self(old, new, changed, removed, container=list)
    return _leaf(old, new)


def _compare_items(schema: Schema, old: list[Any], new: list[Any]) -> tuple[Tree | None, Tree | None]:
    """Items of one key: usually one at most on each side; more are compared as a whole."""
    if len(old) <= 1 and len(new) <= 1:
        return compare(schema.items, old[0] if old else MISSING, new[0] if new else MISSING)
    if len(old) > 1 and len(new) > 1:
        return ({}, None) if not same(old, new) else (None, None)
    if len(old) > 1:
        return (compare(schema.items, MISSING, new[0])[0] if new else None), {}
    return {}, (compare(schema.items, old[0], MISSING)[1] if old else None)


def _with_self(
    old: Any, new: Any, changed: Tree | None, removed: Tree | None, *, container: type
) -> tuple[Tree | None, Tree | None]:
    """What became of the container itself: it came, it went, or it was something else before or is now."""
    if new is MISSING:
        return changed, member(removed)
    # Null is a container with nothing in it.
    other = any(side is not None and side is not MISSING and not isinstance(side, container) for side in (old, new))
    return (member(changed) if other or old is MISSING else changed), removed


def _leaf(old: Any, new: Any) -> tuple[Tree | None, Tree | None]:
    if new is MISSING:
        return (None, None) if old is MISSING else (None, {})
    return (None, None) if old is not MISSING and same(old, new) else ({}, None)


def same(left: Any, right: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if left is right:
        return True
    kind = type(left)
    if kind is str or kind is not type(right):
        return bool(left == right) and kind is not bool and type(right) is not bool
    if kind is dict:
        if len(left) != len(right):
            return False
        for key, value in left.items():
            other = right.get(key, MISSING)
            if value is not other and (other is MISSING or not same(value, other)):
                return False
        return True
    if kind is list:
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _compare_parts(parts: Iterable[tuple[str, Tree | None, Tree | None]]) -> tuple[Tree | None, Tree | None]:
    changed: Tree = {}
    removed: Tree = {}
    for element, child_changed, child_removed in parts:
        if child_changed is not None:
            changed[element] = child_changed
        if child_removed is not None:
            removed[element] = child_removed
    return changed or None, removed or None


def ensure_named(schema: Schema | None, tree: Tree | None) -> Tree | None:
    """``tree`` with every field of an object that it has something below of, as a member too."""
    if not tree:
        return tree
    result: Tree = {}
    for element, child in tree.items():
        if element.startswith("f:"):
            name = element[2:]
            below = ensure_named(child_schema(schema, name), child)
            result[element] = member(below) if is_named(schema, name) else below
        else:
            result[element] = child if element == SELF else ensure_named(schema.items if schema is not None else None, child)
    return result


def without(schema: Schema | None, value: Any, tree: Tree) -> Any:
    """``value`` without the members of ``tree``; null where a container has nothing left."""
    if isinstance(value, dict):
        if is_atomic_map(schema):
            return None
        kept = {}
        for name, item in value.items():
            child = tree.get(f"f:{name}")
            if child is None or not is_member(child):
                kept[name] = item if child is None else without(child_schema(schema, name), item, child)
        return kept or None
    if isinstance(value, list):
        if schema is None or not is_associative(schema):
            return None
        items = []
        for item in value:
            child = tree.get(item_element(schema, item) or "")
            if child is None or not is_member(child):
                items.append(item if child is None else without(schema.items, item, child))
        return items or None
    return value
