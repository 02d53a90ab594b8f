"""Strategic merge patch: a merge patch that knows which lists are merged by key, and has directives.

Directives: ``$patch: replace | delete`` in objects, and in items of lists that are merged by key;
``$deleteFromPrimitiveList/NAME``, ``$setElementOrder/NAME`` and ``$retainKeys``. What is new in an object is taken from the
patch without its nulls and directives.
"""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver.fields.sets import same
from cozystack.apiserver.golang.words import go_value
from cozystack.apiserver.patch.jsonpatch import PatchError
from cozystack.apiserver.schema.model import MISSING, Schema

_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_DELETE: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"


def strategic_merge_patch(schema: Schema | None, document: Any, patch: Any) -> Any:
    """``document`` after the patch; raises ``PatchError``."""
    if not isinstance(patch, dict):
        raise PatchError("a strategic merge patch is an object")
    return _merge_map(schema, document if isinstance(document, dict) else {}, patch)


def _merge_map(schema: Schema | None, document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    directive = patch.get(_PATCH)
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != _PATCH}
    if directive == "delete":
        return {}
    if directive is not None:
        raise _unknown_directive(directive, patch)
    result = dict(document)
    if _RETAIN in patch:
        retained = _list(patch[_RETAIN], "retainKeys")
        _refuse_unretained(patch, retained)
        result = {name: value for name, value in result.items() if name in retained}
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            result.pop(name, None)
            continue
        child = schema.child(name) if schema is not None else None
        new = _merged(child, result.get(name, MISSING), value)
        if new is MISSING:
            result.pop(name, None)
        else:
            result[name] = new
    for directive, value in patch.items():
        if directive.startswith(_ORDER):
            name = directive.removeprefix(_ORDER)
            child = schema.child(name) if schema is not None else None
            key = child.patch_key if child is not None else ""
            order, live = _list(value, "setElementOrder list"), document.get(name)
            _refuse_unordered(patch.get(name), order, key)
            if isinstance(result.get(name), list):
                result[name] = _ordered(result[name], order, live if isinstance(live, list) else [], key)
    for directive, value in patch.items():
        if directive.startswith(_DELETE):
            name, gone = directive.removeprefix(_DELETE), _list(value, "primitive list")
            if isinstance(result.get(name), list):
                result[name] = [item for item in result[name] if item not in gone]
    return result


def _merged(schema: Schema | None, live: Any, value: Any) -> Any:
    """A field after the patch; ``MISSING`` when the patch takes it away."""
    if live is MISSING or type(live) is not type(value):
        return _plain(value)
    if isinstance(value, dict):
        replaces = schema is not None and "replace" in schema.patch_strategy
        return value if replaces else _merge_map(schema, live, value)
    if isinstance(value, list):
        return _merge_list(schema, live, value) if schema is not None and "merge" in schema.patch_strategy else value
    return value


def _plain(value: Any) -> Any:
    """A part of a patch as a value of its own: without nulls and directives; ``MISSING`` when it is a directive itself."""
    if isinstance(value, dict):
        if _PATCH in value:
            return MISSING
        parts = {name: _plain(item) for name, item in value.items() if item is not None and not name.startswith("$")}
        return {name: item for name, item in parts.items() if item is not MISSING}
    if isinstance(value, list):
        return [item for item in map(_plain, value) if item is not MISSING]
    return value


def _merge_list(schema: Schema, live: list[Any], patch: list[Any]) -> list[Any]:
    key = schema.patch_key
    if not any(isinstance(item, dict) for item in (*live, *patch)):
        merged = list(dict.fromkeys((*live, *patch)))
        return _ordered(merged, patch, live, key)
    if not key:
        raise PatchError("cannot merge lists without merge key", 500)
    items, replaces = [], False
    for item in patch:
        match item.get(_PATCH, MISSING) if isinstance(item, dict) else MISSING:
            case "delete":
                gone = _key_of(item, key)
                live = [old for old in live if not _has_key(old, key, gone)]
            case "replace":
                replaces = True
            case "merge":
                raise PatchError("merging lists cannot yet be specified in the patch", 500)
            case directive if directive is not MISSING:
                raise _unknown_directive(directive, item)
            case _:
                items.append(item)
    if replaces:
        return items
    result = list(live)
    for item in items:
        wanted = _key_of(item, key)
        index = next((number for number, old in enumerate(result) if _has_key(old, key, wanted)), None)
        if index is None:
            result.append(item)
        else:
            result[index] = _merge_map(schema.items, result[index], item)
    return _ordered(result, items, live, key)


def _key_of(item: Any, key: str) -> Any:
    if not isinstance(item, dict) or key not in item:
        raise PatchError(f"map: {go_value(item)} does not contain declared merge key: {key}", 500)
    return item[key]


def _has_key(item: Any, key: str, value: Any) -> bool:
    return isinstance(item, dict) and key in item and same(item[key], value)


def _ordered(items: list[Any], order: list[Any], live: list[Any], key: str) -> list[Any]:
    """``items`` in the order that is asked for. An item that ``order`` does not name stays before those of ``order`` that it
    was before in the live list, and comes after all others."""

    def places(found: list[Any]) -> dict[Any, int]:
        result: dict[Any, int] = {}
        for index, item in enumerate(found):
            result.setdefault(_identity(item, key), index)
        return result

    asked, before = places(order), places(live)
    named = sorted((item for item in items if _identity(item, key) in asked), key=lambda item: asked[_identity(item, key)])
    others = [item for item in items if _identity(item, key) not in asked]
    others.sort(key=lambda item: before.get(_identity(item, key), len(live)))
    result: list[Any] = []
    while named and others:
        ours, theirs = before.get(_identity(named[0], key)), before.get(_identity(others[0], key))
        first = others if ours is not None and theirs is not None and theirs < ours else named
        result.append(first.pop(0))
    return result + named + others


def _identity(item: Any, key: str) -> Any:
    value = item.get(key) if key and isinstance(item, dict) else item
    return repr(value) if isinstance(value, dict | list) else value


def _unknown_directive(directive: Any, patch: dict[str, Any]) -> PatchError:
    return PatchError(f"unknown patch type: {go_value(directive)} in map: {go_value(patch)}", 500)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise PatchError(f"invalid patch format of {what}", 400)
    return value


def _refuse_unretained(patch: dict[str, Any], retained: list[Any]) -> None:
    """Raises ``PatchError`` when the patch sets a field that it does not retain."""
    for name, value in patch.items():
        if value is not None and not name.startswith("$") and name not in retained:
            raise PatchError("invalid patch format of retainKeys", 400)


def _refuse_unordered(patch: Any, order: list[Any], key: str) -> None:
    """Raises ``PatchError`` when the patch has items that are not in the order it asks for, or in another one."""
    items = [item for item in patch if not (isinstance(item, dict) and _PATCH in item)] if isinstance(patch, list) else []
    rest = iter([_identity(item, key) for item in order])
    if not all(any(_identity(item, key) == other for other in rest) for item in items):
        shown = f"{go_value(patch)}\n doesn't match {_ORDER.rstrip('/')} list:\n{go_value(order)}\n"
        raise PatchError(f"The order in patch list:\n{shown}", 500)
