"""Strategic merge patch: a merge patch that knows which lists are merged by key, and has directives.

Directives: ``$patch: replace | merge | delete`` in objects and list items, ``$deleteFromPrimitiveList/NAME``,
``$setElementOrder/NAME`` and ``$retainKeys``.
"""

from __future__ import annotations

from typing import Any

from cozystack.apiserver.patch.jsonpatch import PatchError
from cozystack.apiserver.schema.model import Schema

_DELETE, _ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"


def strategic_merge_patch(schema: Schema | None, document: Any, patch: Any) -> Any:
    """``document`` after the patch; raises ``PatchError``."""
    if not isinstance(patch, dict):
        raise PatchError("a strategic merge patch is an object")
    return _merge_map(schema, document if isinstance(document, dict) else {}, patch)


def _merge_map(schema: Schema | None, document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f'unknown $patch directive "{directive}"')
    result = dict(document)
    if "$retainKeys" in patch:
        retained = _names(patch["$retainKeys"], "$retainKeys")
        result = {name: value for name, value in result.items() if name in retained}
    orders: dict[str, Any] = {}
    for name, value in patch.items():
        if name in ("$patch", "$retainKeys"):
            continue
        if name.startswith(_DELETE):
            field, gone = name.removeprefix(_DELETE), _names(value, name)
            if isinstance(result.get(field), list):
                result[field] = [item for item in result[field] if item not in gone]
            continue
        if name.startswith(_ORDER):
            orders[name.removeprefix(_ORDER)] = value
            continue
        if value is None:
            result.pop(name, None)
            continue
        child = schema.child(name) if schema is not None else None
        live = result.get(name)
        if isinstance(value, dict):
            replaces = child is not None and "replace" in child.patch_strategy
            result[name] = value if replaces else _merge_map(child, live if isinstance(live, dict) else {}, value)
        elif isinstance(value, list):
            result[name] = _merge_list(child, live if isinstance(live, list) else [], value)
        else:
            result[name] = value
    for name, order in orders.items():
        if isinstance(result.get(name), list):
            child = schema.child(name) if schema is not None else None
            result[name] = _ordered(child, result[name], order)
    return result


def _names(value: Any, directive: str) -> list[Any]:
    if not isinstance(value, list):
        raise PatchError(f"{directive} needs a list")
    return value


def _merge_list(schema: Schema | None, live: list[Any], patch: list[Any]) -> list[Any]:
    merges = schema is not None and "merge" in schema.patch_strategy
    if schema is None or not merges:
        return [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    if not schema.patch_key:
        return live + [item for item in patch if item not in live]
    result = list(live)
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if not (isinstance(item, dict) and item.get("$patch") == "replace")]
    for item in patch:
        if not isinstance(item, dict) or schema.patch_key not in item:
            raise PatchError(f'map: an item of a list that is merged by "{schema.patch_key}" does not have it')
        key = item[schema.patch_key]
        index = next((i for i, old in enumerate(result) if isinstance(old, dict) and old.get(schema.patch_key) == key), None)
        if item.get("$patch") == "delete":
            result = [old for old in result if not (isinstance(old, dict) and old.get(schema.patch_key) == key)]
        elif index is None:
            result.append(_merge_map(schema.items, {}, item))
        else:
            result[index] = _merge_map(schema.items, result[index], item)
    return result


def _ordered(schema: Schema | None, items: list[Any], order: Any) -> list[Any]:
    """``items`` in the order that is asked for; those that it does not name keep their place after their predecessor."""
    if not isinstance(order, list):
        raise PatchError("$setElementOrder needs a list")
    key = schema.patch_key if schema is not None else ""

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    places = {_hashable(identity(item)): index for index, item in enumerate(order)}
    result: list[tuple[float, int, Any]] = []
    last = -1.0
    for index, item in enumerate(items):
        place = places.get(_hashable(identity(item)))
        last = float(place) if place is not None else last
        result.append((last, index, item))
    return [item for _, _, item in sorted(result, key=lambda entry: entry[:2])]


def _hashable(value: Any) -> Any:
    return repr(value) if isinstance(value, dict | list) else value
