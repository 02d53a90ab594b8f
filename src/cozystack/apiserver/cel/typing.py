"""The types of a kind's objects, for checking expressions whose ``object`` is one of them.

Types that contain themselves are of any type from the second time on.
"""

from __future__ import annotations

from typing import Final

from cozystack.apiserver.cel.declarations import escaped
from cozystack.apiserver.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
    struct,
)
from cozystack.apiserver.schema import Schema

Fields = dict[str, dict[str, Type]]

_FORMATS: Final = {"byte": BYTES, "date": TIMESTAMP, "date-time": TIMESTAMP, "duration": DURATION}
_SIMPLE: Final = {"boolean": BOOL, "integer": INT, "number": DOUBLE}


def types_of(schema: Schema, name: str) -> tuple[Type, Fields]:
    """The type of a schema's values, and the fields of it and of all types in it."""
    fields: Fields = {}
    return _type(schema, name, fields, ()), fields


def _type(schema: Schema, name: str, fields: Fields, within: tuple[int, ...]) -> Type:
    if schema.int_or_string or id(schema) in within:
        return DYN
    within = (*within, id(schema))
    match schema.type:
        case "array":
            return list_of(_type(schema.items, f"{name}.@idx", fields, within)) if schema.items is not None else DYN
        case "string":
            return _FORMATS.get(schema.format, STRING)
        case "object" | "":
            if schema.properties:
                found: dict[str, Type] = {}
                fields[name] = found
                for field, inner in schema.properties.items():
                    written = escaped(field)
                    if written:
                        found[written] = _type(inner, f"{name}.{field}", fields, within)
                return struct(name)
            if schema.additional is not None:
                return map_of(STRING, _type(schema.additional, f"{name}.@elem", fields, within))
            return DYN
    return _SIMPLE.get(schema.type, DYN)
