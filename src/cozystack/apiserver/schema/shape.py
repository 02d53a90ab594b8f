"""Bring a value into the shape of its schema: drop what it does not know, fill in what it defaults.

Both return the value itself when nothing changes and copy only the parts that do.
"""

from __future__ import annotations

import copy
from typing import Any

from cozystack.apiserver.schema.model import MISSING, Schema


def prune(schema: Schema, value: Any) -> Any:
    """``value`` without fields that the schema does not know, but below ``preserve`` nodes; and without fields that are null
    where null is no value, unless a default is going to replace it."""
    if isinstance(value, dict):
        properties, additional, preserve = schema.properties, schema.additional, schema.preserve
        changed: dict[str, Any] | None = None
        for name, item in value.items():
            child = properties.get(name) or additional
            if child is None:
                if preserve:
                    continue
                if changed is None:
                    changed = dict(value)
                del changed[name]
            elif item is None:
                if name in properties and not child.nullable and child.default is MISSING:
                    if changed is None:
                        changed = dict(value)
                    del changed[name]
            elif isinstance(item, (dict, list)):
                pruned = prune(child, item)
                if pruned is not item:
                    if changed is None:
                        changed = dict(value)
                    changed[name] = pruned
        return value if changed is None else changed
    if isinstance(value, list) and schema.items is not None:
        items = [prune(schema.items, item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    return value


def coerced(schema: Schema, value: Any) -> Any:
    """``value`` with the metadata of objects inside it in their form: nothing unknown, nothing empty."""
    if not schema.has_embedded:
        return value
    if isinstance(value, dict):
        changed = dict(value)
        for name, item in value.items():
            child = schema.properties.get(name) or schema.additional
            if child is None:
                continue
            if schema.embedded and name == "metadata" and (item is None or isinstance(item, dict)):
                kept = prune(child, item or {})
                changed[name] = {key: part for key, part in kept.items() if part not in ({}, [])}
            else:
                changed[name] = coerced(child, item)
        return changed
    if isinstance(value, list) and schema.items is not None:
        return [coerced(schema.items, item) for item in value]
    return value


def apply_defaults(schema: Schema, value: Any) -> Any:
    """``value`` with the defaults of the schema where a field is absent, or null and not nullable."""
    if not schema.has_defaults:
        return value
    if isinstance(value, dict):
        changed: dict[str, Any] | None = None
        for name, child in schema.properties.items():
            if not child.has_defaults:
                continue
            item = value.get(name, MISSING)
            if item is MISSING or (item is None and not child.nullable):
                if child.default is MISSING:
                    continue
                new = apply_defaults(child, copy.deepcopy(child.default))
            else:
                new = apply_defaults(child, item)
                if new is item:
                    continue
            if changed is None:
                changed = dict(value)
            changed[name] = new
        if schema.additional is not None and schema.additional.has_defaults:
            for name, item in value.items():
                if name not in schema.properties:
                    new = apply_defaults(schema.additional, item)
                    if new is not item:
                        if changed is None:
                            changed = dict(value)
                        changed[name] = new
        return value if changed is None else changed
    if isinstance(value, list) and schema.items is not None:
        items = [apply_defaults(schema.items, item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    return value
