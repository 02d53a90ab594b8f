"""Values of charts: laid over each other as Helm does it."""

from __future__ import annotations

from typing import Any


def deep_merge(base: Any, over: Any) -> Any:
    """``over`` laid over ``base``: maps are merged key by key, everything else replaces, null included.

    A null stays in the result: it is Helm that takes it as "remove this default of the chart" when it lays the values over
    those of the chart.
    """
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    result = dict(base)
    for key, value in over.items():
        result[key] = deep_merge(base[key], value) if key in base else value
    return result


def set_path(values: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """``values`` with ``value`` at a dotted path; a dot in a key is written ``\\.``."""
    keys = [part.replace("\0", ".") for part in path.replace("\\.", "\0").split(".")]
    wrapped = value
    for key in reversed(keys):
        wrapped = {key: wrapped}
    merged: dict[str, Any] = deep_merge(values, wrapped)
    return merged
