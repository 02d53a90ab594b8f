"""JSON Patch (RFC 6902), with the liberties of the library that Kubernetes uses.

A field that is not there can be replaced, indexes may be negative, what a pointer has before its first slash is not looked at,
an operation without a value means null.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Final

from cozystack.apiserver.fields.sets import same


class PatchError(ValueError):
    """A patch that cannot be read, or cannot be applied to the object.

    ``code`` is that of the answer: a client's fault for Kubernetes, or one of its own."""

    def __init__(self, message: str, code: int = 422) -> None:
        super().__init__(message)
        self.code = code


MOST_OPERATIONS: Final = 10_000
_INDEX: Final = re.compile(r"[+-]?[0-9]{1,9}")


def json_patch(document: Any, operations: Any) -> Any:
    """``document`` after the operations, all or none; raises ``PatchError``."""
    if not isinstance(operations, list):
        raise PatchError("a JSON patch is a list of operations")
    if len(operations) > MOST_OPERATIONS:
        raise PatchError(f"a JSON patch may have at most {MOST_OPERATIONS} operations")
    document = copy.deepcopy(document)
    for number, operation in enumerate(operations):
        if not isinstance(operation, dict):
            raise PatchError(f"operation {number} is not an object")
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    kind, path, value = operation.get("op"), operation.get("path"), copy.deepcopy(operation.get("value"))
    if kind == "replace" and path == "":
        if not isinstance(value, dict | list):
            raise PatchError("replace operation value must be object or array")
        return value
    if kind == "test" and path == "":
        _test(document, value, "")
        return document
    match kind:
        case "add":
            _add(*_place(document, path), value)
        case "remove":
            _remove(*_place(document, path))
        case "replace":
            _replace(*_place(document, path), value)
        case "test":
            _test(_get(*_place(document, path)), value, path)
        case "move":
            source, key = _place(document, operation.get("from"))
            moved = _get(source, key)
            _remove(source, key)
            _add(*_place(document, path), moved)
        case "copy":
            copied = copy.deepcopy(_get(*_place(document, operation.get("from"))))
            _add(*_place(document, path), copied)
        case _:
            raise PatchError(f"Unexpected kind: {kind}")
    return document


def _place(document: Any, pointer: Any) -> tuple[Any, str]:
    """The container that a pointer leads to, and the last part of it."""
    parts = pointer.split("/") if isinstance(pointer, str) else []
    if len(parts) < 2:
        raise PatchError(f"doc is missing path: {pointer}")
    parts = [part.replace("~1", "/").replace("~0", "~") for part in parts[1:]]
    for part in parts[:-1]:
        document = _get(document, part)
        if not isinstance(document, dict | list):
            raise PatchError(f"doc is missing path: {pointer}")
    return document, parts[-1]


def _get(container: Any, key: str) -> Any:
    """Nothing where a field is not there; an index has to be."""
    return container.get(key) if isinstance(container, dict) else container[_index(container, key)]


def _add(container: Any, key: str, value: Any) -> None:
    if isinstance(container, dict):
        container[key] = value
    else:
        container.insert(len(container) if key == "-" else _index(container, key, room=1), value)


def _remove(container: Any, key: str) -> None:
    if isinstance(container, dict):
        if key not in container:
            raise PatchError(f"Unable to remove nonexistent key: {key}")
        del container[key]
    else:
        del container[_index(container, key)]


def _replace(container: Any, key: str, value: Any) -> None:
    container[key if isinstance(container, dict) else _index(container, key)] = value


def _test(found: Any, expected: Any, path: Any) -> None:
    if not same(found, expected):
        raise PatchError(f"testing value {path} failed")


def _index(items: list[Any], part: str, *, room: int = 0) -> int:
    size = len(items) + room
    if not _INDEX.fullmatch(part) or not -size <= int(part) < size:
        raise PatchError(f'"{part}" is no index of a list of {len(items)}')
    return int(part) % size
