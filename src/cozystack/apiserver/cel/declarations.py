"""What a structural schema says to expressions: types, sizes, and values in the form that expressions see.

Field names that CEL cannot write are escaped (``__namespace__``), null fields of objects are absent, and texts with a format
become times, durations and bytes. A value whose schema asks for none of this is used as it is, without being copied.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Final

from cozystack.apiserver.cel.estimate import Path, Range
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
from cozystack.apiserver.cel.values import EvalError, MapList, SetList, parse_duration, parse_timestamp

Raw = dict[str, Any]
Convert = Callable[[Any], Any]

LARGEST_REQUEST: Final = 3 * 1024 * 1024
_RESERVED: Final = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPED: Final = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))


def escaped(name: str) -> str:
    """A field's name as an expression writes it; empty when it cannot."""
    if name in _RESERVED:
        return f"__{name}__"
    for char, word in _ESCAPED:
        name = name.replace(char, word)
    return name if _IDENTIFIER.fullmatch(name) else ""


class Declared:
    """A node of a schema: its type, how large it can be, how small its JSON is, and how its values are converted."""

    __slots__ = ("convert", "fields", "item", "key", "largest", "raw", "smallest", "type")

    def __init__(
        self,
        raw: Raw,
        type_: Type,
        *,
        smallest: int,
        largest: int = 0,
        fields: dict[str, Declared] | None = None,
        item: Declared | None = None,
        key: Declared | None = None,
        convert: Convert | None = None,
    ) -> None:
        self.raw = raw
        self.type = type_
        self.smallest = smallest
        self.largest = largest
        self.fields = fields
        self.item = item
        self.key = key
        self.convert = convert

    def value(self, value: Any) -> Any:
        """``value`` as an expression sees it; raises ``EvalError`` when it is not what the schema says."""
        return value if self.convert is None or value is None else self.convert(value)

    def sizes(self, path: Path) -> Range | None:
        """How large what is at a path from this node can be."""
        node: Declared | None = self
        for name in path[1:]:
            if node is None:
                return None
            if name in ("@items", "@values"):
                node = node.item
            elif name == "@keys":
                node = node.key
            else:
                node = (node.fields or {}).get(name)
        return Range(0, node.largest) if node is not None else None

    def struct_fields(self) -> dict[str, dict[str, Type]]:
        """The fields of this type and of all in it, by their names."""
        found: dict[str, dict[str, Type]] = {}
        if self.fields is not None:
            found[self.type.name] = {name: field.type for name, field in self.fields.items()}
        for child in (*(self.fields or {}).values(), self.item):
            if child is not None:
                found.update(child.struct_fields())
        return found


_TEXT: Final[Raw] = {"type": "string"}
_ROOT: Final[Raw] = {
    "apiVersion": _TEXT,
    "kind": _TEXT,
    "metadata": {"type": "object", "properties": {"name": _TEXT, "generateName": _TEXT}},
}
_ANY_TEXT: Final = LARGEST_REQUEST - 2


def declare(raw: Raw, name: str, *, root: bool = False) -> Declared | None:
    """The node of a structural schema; nothing when its values have no type. ``name`` is what a struct type is called."""
    if raw.get("x-kubernetes-int-or-string"):
        largest = max(raw["maxLength"], 0) * 4 if "maxLength" in raw else _ANY_TEXT
        return Declared(raw, DYN, smallest=1, largest=largest)
    if root:
        raw = {**raw, "type": "object", "properties": {**raw.get("properties", {}), **_ROOT}}
    match raw.get("type"):
        case "array":
            return _declared_list(raw, name)
        case "object":
            return (
                _declared_map(raw, name) if isinstance(raw.get("additionalProperties"), dict) else _declared_object(raw, name)
            )
        case "string":
            return _declared_text(raw)
        case "boolean":
            return Declared(raw, BOOL, smallest=4)
        case "number":
            return Declared(raw, DOUBLE, smallest=1, convert=_to_double)
        case "integer":
            return Declared(raw, INT, smallest=1, convert=_to_int)
    return None


def _to_double(value: Any) -> Any:
    return float(value) if type(value) is int else value


def _to_int(value: Any) -> Any:
    return int(value) if type(value) is float else value


def _declared_list(raw: Raw, name: str) -> Declared | None:
    items = raw.get("items")
    if not isinstance(items, dict):
        return None
    item = declare(items, f"{name}.@idx", root=bool(items.get("x-kubernetes-embedded-resource")))
    if item is None:
        return None
    largest = max(raw["maxItems"], 0) if "maxItems" in raw else _ANY_TEXT // (item.smallest + 1)
    keys = tuple(escaped(key) or key for key in raw.get("x-kubernetes-list-map-keys", ()))

    def keyed(value: list[Any]) -> Any:
        return MapList([item.value(one) for one in value], keys)

    def as_set(value: list[Any]) -> Any:
        return SetList(item.value(one) for one in value)

    def each(value: list[Any]) -> Any:
        return [item.value(one) for one in value]

    plain = each if item.convert is not None else None
    convert = {"map": keyed, "set": as_set}.get(raw.get("x-kubernetes-list-type", ""), plain)
    return Declared(raw, list_of(item.type), smallest=2, largest=largest, item=item, convert=convert)


def _declared_map(raw: Raw, name: str) -> Declared | None:
    inner = raw["additionalProperties"]
    item = declare(inner, f"{name}.@elem", root=bool(inner.get("x-kubernetes-embedded-resource")))
    if item is None:
        return None
    largest = max(raw["maxProperties"], 0) if "maxProperties" in raw else _ANY_TEXT // (item.smallest + 6)
    key = Declared({}, STRING, smallest=2)

    def each(value: Raw) -> Any:
        return {name: item.value(one) for name, one in value.items()}

    convert = each if item.convert is not None else None
    return Declared(raw, map_of(STRING, item.type), smallest=2, largest=largest, item=item, key=key, convert=convert)


def _declared_object(raw: Raw, name: str) -> Declared:
    required = raw.get("required", ())
    smallest = 2
    fields: dict[str, Declared] = {}
    converted: dict[str, tuple[str, Declared]] = {}
    plain = True
    for field, inner in raw.get("properties", {}).items():
        node = declare(inner, f"{name}.{field}", root=bool(inner.get("x-kubernetes-embedded-resource")))
        if node is None:
            continue
        written = escaped(field)
        if written:
            fields[written] = node
        if field in required and inner.get("default") is None:
            smallest += len(field) + node.smallest + 4
        converted[field] = (written or field, node)
        plain = plain and node.convert is None and written == field and not inner.get("nullable")
    return Declared(
        raw, struct(name), smallest=smallest, fields=fields, convert=None if plain else _object_converter(converted)
    )


def _object_converter(fields: dict[str, tuple[str, Declared]]) -> Convert:
    def convert(value: Any) -> Any:
        found = {}
        for field, item in value.items():
            known = fields.get(field)
            if known is None:
                found[field] = item
            elif item is not None:
                found[known[0]] = known[1].value(item)
        return found

    return convert


def _declared_text(raw: Raw) -> Declared:
    longest = max(raw["maxLength"], 0) if "maxLength" in raw else None
    match raw.get("format"):
        case "byte":
            largest = longest if longest is not None else _ANY_TEXT
            return Declared(raw, BYTES, smallest=2, largest=largest, convert=_bytes)
        case "duration":
            return Declared(raw, DURATION, smallest=3, largest=32, convert=parse_duration)
        case "date":
            return Declared(raw, TIMESTAMP, smallest=12, largest=12, convert=lambda text: parse_timestamp(f"{text}T00:00:00Z"))
        case "date-time":
            return Declared(raw, TIMESTAMP, smallest=21, largest=32, convert=parse_timestamp)
    if longest is not None:
        largest = longest * 4
    elif raw.get("enum"):
        largest = max((len(each.encode()) for each in raw["enum"] if isinstance(each, str)), default=0)
    else:
        largest = _ANY_TEXT
    return Declared(raw, STRING, smallest=2, largest=largest)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise EvalError(f"Invalid byte formatted string {text}: {error}") from None
