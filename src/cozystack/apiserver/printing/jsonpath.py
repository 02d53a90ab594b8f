"""The part of JSONPath that printer columns use: fields, indexes, ``[*]`` and ``[?(@.type=='Ready')]``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"\.(?P<field>(?:[^.\[\]\\]|\\.)+)"
    r"|\[(?P<index>-?\d+)\]"
    r"|\[(?P<all>\*)\]"
    r"|\['(?P<quoted>[^']*)'\]"
    r"|\[\?\(\s*@\.(?P<key>[^=!<>\s]+)\s*==\s*(?P<value>\"[^\"]*\"|'[^']*'|[^)\s]+)\s*\)\]"
)


@lru_cache(maxsize=512)
def _steps(path: str) -> tuple[tuple[str, Any], ...] | None:
    text = path.strip().removeprefix("{").removesuffix("}")
    if text.startswith("$"):
        text = text[1:]
    if not text.startswith((".", "[")):
        text = f".{text}"
    steps: list[tuple[str, Any]] = []
    position = 0
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None:
            return None
        if found["field"] is not None:
            steps.append(("field", re.sub(r"\\(.)", r"\1", found["field"])))
        elif found["quoted"] is not None:
            steps.append(("field", found["quoted"]))
        elif found["index"] is not None:
            steps.append(("index", int(found["index"])))
        elif found["all"] is not None:
            steps.append(("all", None))
        else:
            steps.append(("where", (tuple(found["key"].split(".")), found["value"].strip("'\""))))
        position = found.end()
    return tuple(steps)


def json_path(path: str, value: Any) -> list[Any]:
    """Everything that ``path`` finds in ``value``; nothing for a path that is not understood."""
    steps = _steps(path)
    if steps is None:
        return []
    found = [value]
    for kind, argument in steps:
        found = [item for part in found for item in _step(kind, argument, part)]
    return found


def _step(kind: str, argument: Any, value: Any) -> list[Any]:
    match kind:
        case "field":
            return [value[argument]] if isinstance(value, dict) and argument in value else []
        case "index":
            return [value[argument]] if isinstance(value, list) and -len(value) <= argument < len(value) else []
        case "all":
            return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    keys, wanted = argument
    matching = []
    for item in value if isinstance(value, list) else ():
        part = item
        for key in keys:
            part = part.get(key) if isinstance(part, dict) else None
        if part is not None and (part if isinstance(part, str) else str(part).lower()) == wanted:
            matching.append(item)
    return matching
