"""JSON Patch (RFC 6902)."""

from __future__ import annotations

import copy
import re
from typing import Any

from cozystack.apiserver.fields.sets import same


class PatchError(ValueError):
    """A patch that cannot be read, or cannot be applied to the object."""


MOST_OPERATIONS = 10_000
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


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
        document = _apply(document, operation, number)
    return document


def _apply(document: Any, operation: dict[str, Any], number: int) -> Any:
    kind = operation.get("op")
    path = _pointer(operation.get("path"), number)
    if kind in ("add", "replace", "test") and "value" not in operation:
        raise PatchError(f"operation {number} ({kind}) has no value")
    match kind:
        case "add":
            return _add(document, path, copy.deepcopy(operation["value"]))
        case "remove":
            return _remove(document, path)[0]
        case "replace":
            _get(document, path)
            if not path:
                return copy.deepcopy(operation["value"])
            parent = _get(document, path[:-1])
            parent[_index(parent, path[-1]) if isinstance(parent, list) else path[-1]] = copy.deepcopy(operation["value"])
            return document
        case "move":
            source = _pointer(operation.get("from"), number)
            document, value = _remove(document, source)
            return _add(document, path, value)
        case "copy":
            return _add(document, path, copy.deepcopy(_get(document, _pointer(operation.get("from"), number))))
        case "test":
            if not same(_get(document, path), operation["value"]):
                raise PatchError(f"testing value {operation['path']} failed")
            return document
    raise PatchError(f'operation {number} has the unknown op "{kind}"')


def _pointer(text: Any, number: int) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise PatchError(f"operation {number} has no valid path")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, dict):
            if part not in document:
                raise PatchError(f"the path /{'/'.join(path)} does not exist")
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(document, part)]
        else:
            raise PatchError(f"the path /{'/'.join(path)} does not exist")
    return document


def _index(items: list[Any], part: str, *, end: bool = False) -> int:
    if end and part == "-":
        return len(items)
    if not _INDEX.fullmatch(part) or int(part) >= len(items) + end:
        raise PatchError(f'"{part}" is no index of a list of {len(items)}')
    return int(part)


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        parent.insert(_index(parent, path[-1], end=True), value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise PatchError(f"the path /{'/'.join(path)} does not exist")
    return document


def _remove(document: Any, path: list[str]) -> tuple[Any, Any]:
    value = _get(document, path)
    if not path:
        return None, value
    parent = _get(document, path[:-1])
    del parent[_index(parent, path[-1]) if isinstance(parent, list) else path[-1]]
    return document, value
