"""Maps within maps."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


def at(parent: Obj, name: str) -> Obj:
    """``parent[name]`` as a map, made when absent."""
    value = parent.get(name)
    if not isinstance(value, dict):
        value = parent[name] = {}
    return value


def fill(parent: Obj, **defaults: Any) -> None:
    """Set what is absent."""
    for name, value in defaults.items():
        parent.setdefault(name, value)
