"""Changes of one Package: its variant, its components and their values, the dependencies that it ignores.

What a change names is checked against the variant that the Package will have, so that a misspelt component is an error and not
an override that nobody reads. The difference to what is there is a JSON patch, since values may hold nulls, which mean to
Helm that a default is dropped, and which a merge patch cannot write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from cozystack.api.cozystack import Package, PackageSource, Variant
from cozystack.planner.selection import find_variant

Path: TypeAlias = tuple[str | int, ...]


class Edits(msgspec.Struct, frozen=True, kw_only=True):
    """What to change. ``values`` replace all values of a component, before ``assigned`` and ``dropped`` touch single ones."""

    variant: str = ""
    values: Mapping[str, Any] = {}
    assigned: tuple[tuple[str, Path, Any], ...] = ()
    dropped: tuple[tuple[str, Path], ...] = ()
    enabled: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    respected: tuple[str, ...] = ()


class EditError(ValueError):
    """The change makes no sense; one sentence."""


def edited(package: Package, source: PackageSource | None, edits: Edits) -> dict[str, Any]:
    """The spec after the change, as JSON values; raises ``EditError``."""
    name = package.metadata.name
    spec: dict[str, Any] = msgspec.to_builtins(package.spec)
    if edits.variant:
        spec["variant"] = edits.variant
    variant = _variant(name, source, spec.get("variant") or "default")
    components: dict[str, Any] = dict(spec.get("components", {}))
    for component in (*edits.values, *(each[0] for each in (*edits.assigned, *edits.dropped)), *edits.enabled, *edits.disabled):
        if variant is not None and not any(component == known.name for known in variant.components):
            known = ", ".join(each.name for each in variant.components) or "none"
            raise EditError(f"variant {variant.name} of {name} has no component {component}; it has {known}")
    for component, values in edits.values.items():
        components[component] = {**components.get(component, {}), "values": values}
    for component, path, value in edits.assigned:
        override = components.get(component, {})
        components[component] = {**override, "values": _assigned(override.get("values") or {}, path, value, component)}
    for component, path in edits.dropped:
        override = components.get(component, {})
        components[component] = {**override, "values": _dropped(override.get("values") or {}, path)}
    for component in edits.enabled:
        components[component] = {key: part for key, part in components.get(component, {}).items() if key != "enabled"}
    for component in edits.disabled:
        if component in edits.enabled:
            raise EditError(f"component {component} cannot be enabled and disabled")
        components[component] = {**components.get(component, {}), "enabled": False}
    _put(spec, "components", {key: part for key, part in components.items() if part})
    ignored = [needed for needed in spec.get("ignoreDependencies", []) if needed not in edits.respected]
    for needed in edits.ignored:
        if variant is not None and needed not in variant.depends_on:
            known = ", ".join(variant.depends_on) or "nothing"
            raise EditError(f"variant {variant.name} of {name} does not need {needed}; it needs {known}")
        if needed not in ignored:
            ignored.append(needed)
    _put(spec, "ignoreDependencies", ignored)
    return spec


def _variant(name: str, source: PackageSource | None, wanted: str) -> Variant | None:
    if source is None:
        return None
    variant = find_variant(source, wanted)
    if variant is None:
        known = ", ".join(dict.fromkeys(each.name for each in source.spec.variants)) or "none"
        raise EditError(f"{name} has no variant {wanted}; it has {known}")
    return variant


def _put(spec: dict[str, Any], key: str, value: Any) -> None:
    if value:
        spec[key] = value
    else:
        spec.pop(key, None)


def _assigned(values: Any, path: Path, value: Any, where: str) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        if not isinstance(values, list):
            values = []
        if step > len(values):
            raise EditError(f"{where}[{step}] does not follow what is there: the list has {len(values)} items")
        old = values[step] if step < len(values) else {}
        return [*values[:step], _assigned(old, rest, value, f"{where}[{step}]"), *values[step + 1 :]]
    table = values if isinstance(values, dict) else {}
    return {**table, step: _assigned(table.get(step, {}), rest, value, f"{where}.{step}")}


def _dropped(values: Any, path: Path) -> Any:
    step, rest = path[0], path[1:]
    if isinstance(values, list) and isinstance(step, int) and step < len(values):
        changed = [_dropped(values[step], rest)] if rest else []
        return [*values[:step], *changed, *values[step + 1 :]]
    if isinstance(values, dict) and step in values:
        if rest:
            return {**values, step: _dropped(values[str(step)], rest)}
        return {key: part for key, part in values.items() if key != step}
    return values


def parse_path(text: str, components: Iterable[str]) -> tuple[str, Path]:
    """The component and the path in its values of ``operator.image.tag`` or ``operator.args[0]``; raises ``EditError``.

    A dot that belongs to a key is written ``\\.``. Of components whose names begin alike, the longest that fits is meant.
    """
    fitting = [name for name in components if text.startswith((f"{name}.", f"{name}["))]
    component = max(fitting, key=len, default=text.partition(".")[0].partition("[")[0])
    rest = text.removeprefix(component)
    path: list[str | int] = []
    key = ""
    position = 0
    while position < len(rest):
        char = rest[position]
        if char == "\\" and position + 1 < len(rest):
            key += rest[position + 1]
            position += 1
        elif char in ".[":
            if key:
                path.append(key)
            key = ""
            if char == "[":
                index, closed, _ = rest[position + 1 :].partition("]")
                if not closed or not index.isdecimal():
                    raise EditError(f'"{text}" is no path: [ is followed by a number and ]')
                path.append(int(index))
                position += len(index) + 1
        else:
            key += char
        position += 1
    if key:
        path.append(key)
    if not component or not path:
        raise EditError(f'"{text}" is no path: it is COMPONENT.KEY, and maybe more keys')
    return component, tuple(path)


def json_patch(old: Mapping[str, Any], new: Mapping[str, Any], version: str) -> list[dict[str, Any]]:
    """The JSON patch that makes ``new`` of the spec ``old``, for an object of ``version`` alone; empty when nothing differs."""
    operations: list[dict[str, Any]] = [{"op": "remove", "path": f"/spec/{key}"} for key in sorted(old.keys() - new.keys())]
    for key in sorted(new):
        if key not in old or msgspec.json.encode(old[key], order="sorted") != msgspec.json.encode(new[key], order="sorted"):
            operations.append({"op": "add", "path": f"/spec/{key}", "value": new[key]})
    if operations and not old:
        operations = [{"op": "add", "path": "/spec", "value": dict(new)}]
    if operations:
        operations.insert(0, {"op": "replace", "path": "/metadata/resourceVersion", "value": version})
    return operations


__all__ = ["EditError", "Edits", "Path", "edited", "json_patch", "parse_path"]
