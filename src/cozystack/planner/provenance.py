"""Where each value of a release comes from: the last layer that set it.

Layers lie over each other as Helm lays them: the chart's own values, its values files, the Secret of the platform, the Package.
Maps are merged key by key; everything else replaces, and a null takes a default of the chart away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from cozystack.planner.comparison import field_changes


class Layer(msgspec.Struct, frozen=True):
    """``label`` for people (``values.yaml``, ``Package acme.db``). ``secret``: its values are not to be shown."""

    label: str
    values: dict[str, Any]
    secret: bool = False


class ValueChange(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One value that differs, where it came from and where it comes from now; hidden values are ``UNSET`` on both sides."""

    path: str
    steps: tuple[str, ...] = ()
    """The path, key by key."""
    old: Any | UnsetType = UNSET
    new: Any | UnsetType = UNSET
    old_from: str = ""
    new_from: str = ""
    hidden: bool = False


def merge(layers: Iterable[Layer]) -> dict[str, Any]:
    """The values that the templates see."""
    result: dict[str, Any] = {}
    for layer in layers:
        result = _over(result, layer.values)
    return result


def origin(layers: Sequence[Layer], path: Sequence[str]) -> Layer | None:
    """The layer that a value comes from, or that took it away; ``None`` when none speaks of it."""
    for layer in reversed(layers):
        found: Any = layer.values
        for step in path:
            if not isinstance(found, dict):
                # This layer has put something else in the place of a map.
                return layer
            if step not in found:
                break
            found = found[step]
        else:
            return layer
    return None


def value_changes(old: Sequence[Layer], new: Sequence[Layer]) -> Iterator[ValueChange]:
    """Every value that the templates see differently."""
    before, after = merge(old), merge(new)
    for path, left, right in _leaves(before, after, ()):
        was, is_now = origin(old, path), origin(new, path)
        hidden = any(layer is not None and layer.secret for layer in (was, is_now))
        yield ValueChange(
            path=next(iter(field_changes(UNSET, _nested(path), ""))).path,
            steps=path,
            old=UNSET if hidden else left,
            new=UNSET if hidden else right,
            old_from=was.label if was is not None else "",
            new_from=is_now.label if is_now is not None else "",
            hidden=hidden,
        )


def _leaves(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if isinstance(old, dict) or isinstance(new, dict):
        left = old if isinstance(old, dict) else {}
        right = new if isinstance(new, dict) else {}
        if (isinstance(old, dict) or old is UNSET) and (isinstance(new, dict) or new is UNSET) and (left or right):
            for key in sorted(left.keys() | right.keys()):
                yield from _leaves(left.get(key, UNSET), right.get(key, UNSET), (*path, key))
            return
    if old != new or type(old) is not type(new):
        yield path, old, new


def _nested(path: Sequence[str]) -> Any:
    value: Any = True
    for step in reversed(path):
        value = {step: value}
    return value


def _over(base: Any, over: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _over(base.get(key, {} if isinstance(value, dict) else None), value)
    return result
