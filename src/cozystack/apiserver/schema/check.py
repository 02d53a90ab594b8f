"""Check a value against a schema, with the messages that Kubernetes gives."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from cozystack.apiserver.schema.model import MISSING, Schema

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_MOST_ERRORS = 20
_TWICE = "Duplicate value"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with an object, at a path like ``spec.ports[0].name``."""

    path: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"

    @property
    def reason(self) -> str:
        """The cause's reason in a Status."""
        return {
            "Required value": "FieldValueRequired",
            "Unsupported value": "FieldValueNotSupported",
            "Duplicate value": "FieldValueDuplicate",
            "Forbidden": "FieldValueForbidden",
            "Too long": "FieldValueTooLong",
            "Too many": "FieldValueTooMany",
            "Invalid type": "FieldValueTypeInvalid",
            "Not found": "FieldValueNotFound",
        }.get(self.kind, "FieldValueInvalid")


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError(path, "Invalid value", f"Invalid value: {_show(value)}: {detail}")


def wrong_type(path: str, value: Any, wanted: str) -> FieldError:
    """A value of another type; what is shown of it is its type."""
    kind = "null" if value is None else _kind(value)
    return FieldError(path, "Invalid type", f'Invalid value: "{kind}": {path} in body must be of type {wanted}: "{kind}"')


def required(path: str, detail: str = "") -> FieldError:
    return FieldError(path, "Required value", "Required value" + (f": {detail}" if detail else ""))


def unsupported(path: str, value: Any, choices: tuple[Any, ...]) -> FieldError:
    shown = ", ".join(_show(choice) for choice in choices)
    return FieldError(path, "Unsupported value", f"Unsupported value: {_show(value)}: supported values: {shown}")


def validate(schema: Schema, value: Any, *, path: str = "") -> list[FieldError]:
    """Everything that is wrong with ``value``, the first twenty faults of it."""
    errors: list[FieldError] = []
    _validate(schema, value, path, errors)
    return errors[:_MOST_ERRORS]


def validate_change(schema: Schema, value: Any, old: Any) -> list[FieldError]:
    """What is wrong with ``value`` and was not as wrong before: what has not changed is not looked at.

    So an object that was stored before its schema became stricter can still be written, as long as nobody touches the part that
    is at fault. Items of a list are followed by their keys; in other lists an item has no past of its own.
    """
    if not validate(schema, value):
        return []
    errors: list[FieldError] = []
    _validate(schema, value, "", errors, old)
    found = errors[:_MOST_ERRORS]
    if any(fault.kind == _TWICE for fault in found) and any(fault.kind == _TWICE for fault in validate(schema, old)):
        return [fault for fault in found if fault.kind != _TWICE]
    return found


def _validate(schema: Schema, value: Any, path: str, errors: list[FieldError], old: Any = MISSING) -> None:
    if len(errors) >= _MOST_ERRORS or (old is not MISSING and _text_of(old) == _text_of(value)):
        return
    if value is None:
        if schema.type and not schema.nullable and path:
            errors.append(wrong_type(path, None, schema.type))
        return
    if schema.int_or_string:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            errors.append(wrong_type(path, value, "integer,string"))
            return
    elif schema.type:
        fits = isinstance(value, _TYPES[schema.type]) and not (isinstance(value, bool) and schema.type != "boolean")
        if schema.type == "integer" and isinstance(value, float) and value.is_integer():
            fits = True
        if not fits:
            errors.append(wrong_type(path, value, schema.type))
            return
    if schema.enum and value not in schema.enum:
        errors.append(unsupported(path, value, schema.enum))
    if isinstance(value, dict):
        _validate_object(schema, value, path, errors, old if isinstance(old, dict) else {})
    elif isinstance(value, list):
        _validate_list(schema, value, path, errors, old if isinstance(old, list) else [])
    elif isinstance(value, str):
        _validate_text(schema, value, path, errors)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _validate_number(schema, value, path, errors)
    if schema.junctors:
        _validate_junctors(schema, value, path, errors)


def _validate_object(schema: Schema, value: dict[str, Any], path: str, errors: list[FieldError], old: dict[str, Any]) -> None:
    for name in schema.required:
        if name not in value:
            errors.append(required(f"{path}.{name}" if path else name))
    count = len(value)
    if schema.max_properties is not None and count > schema.max_properties:
        errors.append(FieldError(path, "Too many", f"Too many: {count}: must have at most {schema.max_properties} items"))
    if schema.min_properties is not None and count < schema.min_properties:
        errors.append(invalid(path, value, f"{path} in body should have at least {schema.min_properties} properties"))
    properties, additional = schema.properties, schema.additional
    for name, item in value.items():
        child = properties.get(name)
        if child is not None:
            _validate(child, item, f"{path}.{name}" if path else name, errors, old.get(name, MISSING))
        elif additional is not None:
            _validate(additional, item, f"{path}.{name}" if path else name, errors, old.get(name, MISSING))


def _validate_list(schema: Schema, value: list[Any], path: str, errors: list[FieldError], old: list[Any]) -> None:
    if schema.max_items is not None and len(value) > schema.max_items:
        errors.append(FieldError(path, "Too many", f"Too many: {len(value)}: must have at most {schema.max_items} items"))
    if schema.min_items is not None and len(value) < schema.min_items:
        errors.append(invalid(path, len(value), f"{path} in body should have at least {schema.min_items} items"))
    if schema.items is not None:
        before = {_key_of(schema, item): item for item in old} if schema.list_type == "map" else {}
        for index, item in enumerate(value):
            past = before.get(_key_of(schema, item), MISSING) if before else MISSING
            _validate(schema.items, item, f"{path}[{index}]", errors, past)
    if schema.list_type == "set":
        _no_duplicates([json.dumps(item, sort_keys=True) for item in value], value, path, errors)
    elif schema.list_type == "map" and all(isinstance(item, dict) for item in value):
        keys = [{key: item.get(key) for key in schema.list_keys} for item in value]
        _no_duplicates([json.dumps(key, sort_keys=True) for key in keys], keys, path, errors)


def _key_of(schema: Schema, item: Any) -> str:
    return _text_of({key: item.get(key) for key in schema.list_keys}) if isinstance(item, dict) else ""


def _text_of(value: Any) -> str:
    """Equal for equal values alone: to Python, true is 1."""
    return json.dumps(value, sort_keys=True)


def _validate_junctors(schema: Schema, value: Any, path: str, errors: list[FieldError]) -> None:
    for word, parts in schema.junctors:
        faults = [validate(part, value, path=path) for part in parts]
        valid = sum(not found for found in faults)
        match word:
            case "allOf":
                for found in faults:
                    errors += found
            case "anyOf" if valid == 0:
                errors.append(invalid(path, "", f'"{path}" must validate at least one schema (anyOf)'))
            case "oneOf" if valid != 1:
                detail = f"Found {valid} valid alternatives" if valid else "Found none valid"
                errors.append(invalid(path, "", f'"{path}" must validate one and only one schema (oneOf). {detail}'))
            case "not" if valid == 1:
                errors.append(invalid(path, "", f'"{path}" must not validate the schema (not)'))


def _no_duplicates(texts: list[str], shown: list[Any], path: str, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, text in enumerate(texts):
        if text in seen:
            again = json.dumps(shown[index], separators=(",", ":"))
            errors.append(FieldError(f"{path}[{index}]", "Duplicate value", f"Duplicate value: {again}"))
        seen.add(text)


def _validate_text(schema: Schema, value: str, path: str, errors: list[FieldError]) -> None:
    if schema.max_length is not None and len(value) > schema.max_length:
        errors.append(FieldError(path, "Too long", f"Too long: may not be more than {schema.max_length} bytes"))
    if schema.min_length is not None and len(value) < schema.min_length:
        errors.append(invalid(path, value, f"{path} in body should be at least {schema.min_length} chars long"))
    if schema.pattern is not None and not schema.pattern.search(value):
        errors.append(invalid(path, value, f"{path} in body should match '{schema.pattern_text}'"))
    if schema.format == "date-time" and _DATE_TIME.fullmatch(value) is None:
        errors.append(invalid(path, value, f'{path} in body must be of type date-time: "{value}"'))


def _validate_number(schema: Schema, value: float, path: str, errors: list[FieldError]) -> None:
    low, high = schema.minimum, schema.maximum
    if low is not None and (value <= low if schema.exclusive_minimum else value < low):
        word = "greater than" if schema.exclusive_minimum else "greater than or equal to"
        errors.append(invalid(path, value, f"{path} in body should be {word} {low:g}"))
    if high is not None and (value >= high if schema.exclusive_maximum else value > high):
        word = "less than" if schema.exclusive_maximum else "less than or equal to"
        errors.append(invalid(path, value, f"{path} in body should be {word} {high:g}"))
    if schema.multiple_of and not (value / schema.multiple_of).is_integer():
        errors.append(invalid(path, value, f"{path} in body should be a multiple of {schema.multiple_of:g}"))
    if schema.format == "int32" and not -(2**31) <= value < 2**31:
        errors.append(invalid(path, value, f"{path} in body must be of type int32"))


def unknown_fields(schema: Schema, value: Any) -> list[str]:
    """Paths of fields that the schema does not know."""
    found: list[str] = []
    _unknown(schema, value, "", found)
    return found


def _unknown(schema: Schema, value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, dict):
        properties, additional = schema.properties, schema.additional
        for name, item in value.items():
            child = properties.get(name) or additional
            if child is not None:
                if isinstance(item, (dict, list)):
                    _unknown(child, item, f"{path}.{name}" if path else name, found)
            elif not schema.preserve:
                found.append(f"{path}.{name}" if path else name)
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)):
                _unknown(schema.items, item, f"{path}[{index}]", found)


def _kind(value: Any) -> str:
    return {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}[type(value)]


def _show(value: Any) -> str:
    text = "null" if value is None else json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."
