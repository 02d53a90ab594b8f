"""Whether the schema of a CRD is structural, as Kubernetes demands."""

from __future__ import annotations

from typing import Any

from cozystack.apiserver.cel.regex import PatternError, compiled
from cozystack.apiserver.schema.check import FieldError, invalid, required, unsupported, validate
from cozystack.apiserver.schema.model import from_crd

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES = ("atomic", "set", "map")


def structural_errors(schema: Any, path: str = "openAPIV3Schema") -> list[FieldError]:
    """What keeps ``schema`` from being structural; nothing when it is."""
    if not isinstance(schema, dict):
        return [FieldError(path, "Invalid value", "Invalid value: a schema must be an object")]
    errors: list[FieldError] = []
    if "$ref" in schema:
        errors.append(FieldError(f"{path}.$ref", "Forbidden", "Forbidden: $ref is not supported"))
    loose = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
    if "type" not in schema and not loose:
        errors.append(required(f"{path}.type", "must not be empty for specified object fields"))
    elif "type" in schema and schema["type"] not in _TYPES:
        errors.append(unsupported(f"{path}.type", schema["type"], _TYPES))
    if schema.get("uniqueItems"):
        errors.append(FieldError(f"{path}.uniqueItems", "Forbidden", "Forbidden: uniqueItems cannot be set to true"))
    errors += _pattern_errors(schema.get("pattern"), f"{path}.pattern")
    list_type = schema.get("x-kubernetes-list-type")
    if list_type is not None and list_type not in _LIST_TYPES:
        errors.append(unsupported(f"{path}.x-kubernetes-list-type", list_type, _LIST_TYPES))
    if list_type == "map" and not schema.get("x-kubernetes-list-map-keys"):
        errors.append(required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"))
    if "properties" in schema and schema.get("additionalProperties"):
        errors.append(
            FieldError(
                f"{path}.additionalProperties", "Forbidden", "Forbidden: additionalProperties and properties are exclusive"
            )
        )
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        return [*errors, FieldError(f"{path}.properties", "Invalid value", "Invalid value: properties must be an object")]
    for name, child in properties.items():
        errors += structural_errors(child, f"{path}.properties[{name}]")
    if isinstance(schema.get("additionalProperties"), dict):
        errors += structural_errors(schema["additionalProperties"], f"{path}.additionalProperties")
    if schema.get("type") == "array":
        if "items" in schema:
            errors += structural_errors(schema["items"], f"{path}.items")
        else:
            errors.append(required(f"{path}.items", "must be specified"))
    return errors


def _pattern_errors(pattern: Any, path: str) -> list[FieldError]:
    if not isinstance(pattern, str):
        return []
    try:
        compiled(pattern)
    except PatternError as error:
        if r"\p" in pattern.lower():
            return []  # Go knows names of scripts that are not known here
        return [invalid(path, pattern, f"must be a valid regular expression, but isn't: {error}")]
    return []


def default_errors(schema: dict[str, Any], path: str = "openAPIV3Schema") -> list[FieldError]:
    """Which defaults of a structural schema it would refuse itself."""
    errors: list[FieldError] = []
    if "default" in schema:
        # The root of a CRD is always an object, so the value is looked at as a part of one.
        part = from_crd({"type": "object", "properties": {"value": schema}}).properties["value"]
        for fault in validate(part, schema["default"]):
            errors.append(FieldError(f"{path}.default" + (f".{fault.path}" if fault.path else ""), fault.kind, fault.message))
    for name, child in schema.get("properties", {}).items():
        errors += default_errors(child, f"{path}.properties[{name}]")
    for name in ("additionalProperties", "items"):
        if isinstance(schema.get(name), dict):
            errors += default_errors(schema[name], f"{path}.{name}")
    return errors
