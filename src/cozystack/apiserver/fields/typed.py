"""Whether a configuration can be merged by its schema: right types, known fields, items of lists that can be told apart.

That is less than whether it is valid. The words are those of Kubernetes' structured-merge-diff, Go's way of writing values
included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.fields.sets import is_associative, item_element, show
from cozystack.apiserver.golang.words import go_literal, go_quoted, go_type, go_value
from cozystack.apiserver.schema.model import Schema


class Fault(NamedTuple):
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def refuse_untyped(schema: Schema, applied: dict[str, Any]) -> None:
    """Raises ``ApiError`` when ``applied`` does not fit; Kubernetes calls that an error of its own."""
    if fits(schema, applied):
        return
    faults = [str(fault) for fault in _faults(schema, applied, "", preserve=False)]
    if not faults:
        return
    metadata = applied.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    group, _, version = applied.get("apiVersion", "").rpartition("/")
    what = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {group}/{version}, Kind={applied.get('kind', '')}"
    why = faults[0] if len(faults) == 1 else "\n  ".join(("errors:", *faults))
    raise ApiError(500, "", f"failed to create typed patch object ({what}): {why}")


def fits(schema: Schema, value: Any) -> bool:
    """Whether nothing is at fault; now and then this says no where nothing is, so that it can be quick."""
    kind = type(value)
    if kind is dict:
        if schema.type not in ("object", ""):
            return False
        properties, additional = schema.properties, schema.additional
        for name, item in value.items():
            child = properties.get(name) or additional
            if child is None:
                if schema.preserve or not schema.type or not properties:
                    continue
                return False
            if type(item) is str and child.type == "string":
                continue
            if item is not None and not fits(child, item):
                return False
        return True
    if kind is list:
        return schema.type in ("array", "") and _items_fit(schema, value)
    match schema.type:
        case "string":
            return kind is str or value is None or bool(schema.format and schema.format != "byte")
        case "integer" | "number":
            return kind is int or kind is float or value is None
        case "boolean":
            return kind is bool or value is None
        case "array" | "object":
            return value is None
    return True


def _items_fit(schema: Schema, items: list[Any]) -> bool:
    child = schema.items
    if is_associative(schema):
        elements = {item_element(schema, item) for item in items}
        if len(elements) < len(items) or None in elements:
            return False
    return child is None or all(fits(child, item) for item in items)


def _faults(schema: Schema | None, value: Any, path: str, *, preserve: bool) -> Iterator[Fault]:
    """``preserve``: somewhere above, unknown fields are kept."""
    if schema is None or value is None:
        return
    preserve = preserve or schema.preserve
    if isinstance(value, dict):
        if schema.type not in ("object", ""):
            yield Fault(path, _wanted(schema, value))
            return
        for name, item in value.items():
            child = schema.child(name)
            if child is None and schema.type and not preserve and schema.properties:
                yield Fault(f"{path}.{name}", "field not declared in schema")
                return
            yield from _faults(child, item, f"{path}.{name}", preserve=preserve)
    elif isinstance(value, list):
        if schema.type not in ("array", ""):
            yield Fault(path, _wanted(schema, value))
        elif is_associative(schema):
            yield from _faults_of_items(schema, value, path, preserve=preserve)
        else:
            for index, item in enumerate(value):
                yield from _faults(schema.items, item, f"{path}[{index}]", preserve=preserve)
    elif not fits(schema, value):
        yield Fault(path, _wanted(schema, value))


def _faults_of_items(schema: Schema, items: list[Any], path: str, *, preserve: bool) -> Iterator[Fault]:
    seen = set()
    for index, item in enumerate(items):
        wrong = _no_element(schema, item)
        if wrong:
            yield Fault(path, f"element {index}: {wrong}")
            return
        element = item_element(schema, item) or ""
        if element in seen:
            yield Fault(path, f"duplicate entries for key {show(element)}")
        seen.add(element)
        yield from _faults(schema.items, item, path + show(element), preserve=preserve)


def _no_element(schema: Schema, item: Any) -> str:
    """Why an item of a list cannot be told from others; empty when it can."""
    if schema.list_type == "set":
        if isinstance(item, dict):
            return "associative list without keys has an element that's a map type"
        if isinstance(item, list):
            return "not supported: associative list with lists as elements"
        return "associative list without keys has an element that's an explicit null" if item is None else ""
    if item is None:
        return "associative list with keys may not have a null element"
    if not isinstance(item, dict):
        return "associative list with keys may not have non-map elements"
    if item_element(schema, item) is None:
        keys = " ".join(go_quoted(key) for key in schema.list_keys)
        return (
            f"associative list with keys has an element that omits all key fields [{keys}] "
            "(and doesn't have default values for any key fields)"
        )
    return ""


def _wanted(schema: Schema, value: Any) -> str:
    match schema.type:
        case "object":
            return f"expected map, got &{{{go_value(value)}}}"
        case "array":
            return f"expected list, got &{{{go_value(value)}}}"
        case "string" if not schema.format or schema.format == "byte":
            return f"expected string, got &value.valueUnstructured{{Value:{go_literal(value)}}}"
        case "integer" | "number":
            return f"expected numeric (int or float), got {go_type(value)}"
        case "boolean":
            return f"expected boolean, got &{{{go_value(value)}}}"
    return f"expected any scalar, got &{{{go_value(value)}}}"
