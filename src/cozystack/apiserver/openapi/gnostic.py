"""Write an OpenAPI v2 document as protobuf: the messages that client-go and Helm ask for (``openapi.v2.Document`` of gnostic).

Messages are written from tables that say, for each key of the JSON form, its field number and its type. What is free-form (a
vendor extension, a default, an enumeration) travels as YAML text, which JSON is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

__all__ = ["encode_document"]

_json = msgspec.json.Encoder().encode
_Writer = Callable[[Any], bytes]


def encode_document(document: Mapping[str, Any]) -> bytes:
    """The bytes of ``document``, which is a v2 document as JSON; keys that have no place in the messages raise ``KeyError``."""
    return _message("Document", document)


# Names of a field's type: a scalar; a message; "*" before either for a repeated one; "map X" for a message that has nothing but
# a repeated pair of name and X; and the few that are not what they look like in JSON, by functions below.
_SCHEMA: Final = {
    "$ref": (1, "string"),
    "format": (2, "string"),
    "title": (3, "string"),
    "description": (4, "string"),
    "default": (5, "any"),
    "multipleOf": (6, "double"),
    "maximum": (7, "double"),
    "exclusiveMaximum": (8, "bool"),
    "minimum": (9, "double"),
    "exclusiveMinimum": (10, "bool"),
    "maxLength": (11, "int"),
    "minLength": (12, "int"),
    "pattern": (13, "string"),
    "maxItems": (14, "int"),
    "minItems": (15, "int"),
    "uniqueItems": (16, "bool"),
    "maxProperties": (17, "int"),
    "minProperties": (18, "int"),
    "required": (19, "*string"),
    "enum": (20, "*any"),
    "additionalProperties": (21, "schema or bool"),
    "type": (22, "texts"),
    "items": (23, "schemas"),
    "allOf": (24, "*Schema"),
    "properties": (25, "map Schema"),
    "discriminator": (26, "string"),
    "readOnly": (27, "bool"),
    "example": (30, "any"),
    "x-": (31, "NamedAny"),
}
_TABLES: Final[Mapping[str, Mapping[str, tuple[int, str]]]] = {
    "Document": {
        "swagger": (1, "string"),
        "info": (2, "Info"),
        "host": (3, "string"),
        "basePath": (4, "string"),
        "schemes": (5, "*string"),
        "consumes": (6, "*string"),
        "produces": (7, "*string"),
        "paths": (8, "paths"),
        "definitions": (9, "map Schema"),
        "security": (12, "*map texts"),
        "securityDefinitions": (13, "map security"),
        "x-": (16, "NamedAny"),
    },
    "Info": {"title": (1, "string"), "version": (2, "string"), "description": (3, "string"), "x-": (7, "NamedAny")},
    "PathItem": {
        "$ref": (1, "string"),
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "options": (6, "Operation"),
        "head": (7, "Operation"),
        "patch": (8, "Operation"),
        "parameters": (9, "*parameter"),
        "x-": (10, "NamedAny"),
    },
    "Operation": {
        "tags": (1, "*string"),
        "summary": (2, "string"),
        "description": (3, "string"),
        "operationId": (5, "string"),
        "produces": (6, "*string"),
        "consumes": (7, "*string"),
        "parameters": (8, "*parameter"),
        "responses": (9, "map response"),
        "schemes": (10, "*string"),
        "deprecated": (11, "bool"),
        "security": (12, "*map texts"),
        "x-": (13, "NamedAny"),
    },
    "Response": {"description": (1, "string"), "schema": (2, "schema"), "x-": (5, "NamedAny")},
    "BodyParameter": {
        "description": (1, "string"),
        "name": (2, "string"),
        "in": (3, "string"),
        "required": (4, "bool"),
        "schema": (5, "Schema"),
        "x-": (6, "NamedAny"),
    },
    "QueryParameter": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "description": (3, "string"),
        "name": (4, "string"),
        "allowEmptyValue": (5, "bool"),
        "type": (6, "string"),
        "format": (7, "string"),
        "default": (10, "any"),
        "pattern": (17, "string"),
        "uniqueItems": (20, "bool"),
        "enum": (21, "*any"),
        "x-": (23, "NamedAny"),
    },
    "PathParameter": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "description": (3, "string"),
        "name": (4, "string"),
        "type": (5, "string"),
        "format": (6, "string"),
        "default": (9, "any"),
        "pattern": (16, "string"),
        "uniqueItems": (19, "bool"),
        "enum": (20, "*any"),
        "x-": (22, "NamedAny"),
    },
    "ApiKeySecurity": {"type": (1, "string"), "name": (2, "string"), "in": (3, "string"), "description": (4, "string")},
    "Schema": _SCHEMA,
}


def _message(name: str, value: Mapping[str, Any]) -> bytes:
    """Fields in the order of their numbers, so that equal documents are equal bytes."""
    table = _TABLES[name]
    parts: list[tuple[int, bytes]] = []
    for key, item in value.items():
        if key.startswith("x-"):
            number, _ = table["x-"]
            parts.append((number, _field(number, _named(key, _any(item)))))
        else:
            number, kind = table[key]
            parts.append((number, _written(number, kind, item)))
    parts.sort(key=lambda part: part[0])
    return b"".join([part for _, part in parts])


def _written(number: int, kind: str, value: Any) -> bytes:
    if kind.startswith("*"):
        return b"".join([_written(number, kind[1:], item) for item in value])
    match kind:
        case "bool" | "int":
            return _varint(number << 3) + _varint(int(value) & 0xFFFF_FFFF_FFFF_FFFF)
        case "double":
            return _varint(number << 3 | 1) + struct.pack("<d", value)
    return _field(number, _bytes(kind, value))


def _bytes(kind: str, value: Any) -> bytes:
    """A value of a type that is written with its length."""
    if kind.startswith("map "):
        inner = kind[4:]
        return b"".join([_field(1, _named(name, _bytes(inner, item))) for name, item in value.items()])
    writer = _WRITERS.get(kind)
    return writer(value) if writer is not None else _message(kind, value)


def _parameter(value: Mapping[str, Any]) -> bytes:
    """``ParametersItem``: a reference, or a parameter of the kind that ``in`` tells."""
    if "$ref" in value:
        return _field(2, _field(1, str(value["$ref"]).encode()))
    if value["in"] == "body":
        return _field(1, _field(1, _message("BodyParameter", value)))
    number, name = (3, "QueryParameter") if value["in"] == "query" else (4, "PathParameter")
    return _field(1, _field(2, _field(number, _message(name, value))))


def _paths(value: Mapping[str, Any]) -> bytes:
    return b"".join([_field(2, _named(path, _message("PathItem", item))) for path, item in value.items()])


def _types(value: Any) -> bytes:
    """``TypeItem`` and ``StringArray``: texts, of which JSON may have one alone."""
    return b"".join([_field(1, text.encode()) for text in ([value] if isinstance(value, str) else value)])


def _schema_or_bool(value: Any) -> bytes:
    if isinstance(value, bool):
        return _varint(2 << 3) + _varint(int(value))
    return _field(1, _message("Schema", value))


def _schemas(value: Any) -> bytes:
    """``ItemsItem``: one schema, or several."""
    return b"".join([_field(1, _message("Schema", item)) for item in (value if isinstance(value, list) else [value])])


def _any(value: Any) -> bytes:
    return _field(2, _json(value) + b"\n")


_WRITERS: Final[Mapping[str, _Writer]] = {
    "string": str.encode,
    "any": _any,
    "texts": _types,
    "paths": _paths,
    "parameter": _parameter,
    "schema or bool": _schema_or_bool,
    "schemas": _schemas,
    # In JSON these are what they hold; in protobuf there is a message around it that says which of several it is.
    "schema": lambda value: _field(1, _message("Schema", value)),
    "response": lambda value: _field(1, _message("Response", value)),
    "security": lambda value: _field(2, _message("ApiKeySecurity", value)),
}


def _named(name: str, value: bytes) -> bytes:
    return _field(1, name.encode()) + _field(2, value)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
