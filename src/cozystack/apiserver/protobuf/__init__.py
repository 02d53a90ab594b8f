"""Read objects that clients send as protobuf: those of every built-in kind, and the options of a deletion.

A body is the magic ``k8s\\0`` and a ``runtime.Unknown``, which holds the kind and the object. Messages are read by tables of
field numbers, made from the Go types of Kubernetes (``golang.tables``), which also say what Go leaves out when it writes
JSON: the result is the JSON that the same client would have sent. Fields without an entry are passed over. CRDs are not read:
their schemas have JSON inside, and no client sends them so.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from cozystack.apiserver.golang.tables import LIST, tables

MAGIC: Final = b"k8s\x00"
_LATEST: Final = 253402300799  # seconds: the end of the year 9999
_DELETE_OPTIONS: Final = "DeleteOptions"


class ProtobufError(ValueError):
    """The body is not protobuf of a kind that is read here."""


def decode(body: bytes, kind: str) -> dict[str, Any]:
    """The object in ``body``, which must be of ``kind``; raises ``ProtobufError``."""
    if not body.startswith(MAGIC):
        raise ProtobufError("the body does not start as protobuf of Kubernetes does")
    envelope = dict(_fields(body[len(MAGIC) :]))
    type_meta, raw = dict(_fields(_bytes(envelope.get(1, b"")))), _bytes(envelope.get(2, b""))
    version, held = _text(type_meta.get(1, b"")), _text(type_meta.get(2, b""))
    if held != kind:
        raise ProtobufError(f"the body holds a {held or 'thing without a kind'}, not a {kind}")
    if kind == _DELETE_OPTIONS:
        # Every group has its own, and all are the same.
        return _object(raw, tables().kinds[f"v1 {kind}"])
    message = tables().kinds.get(f"{version} {kind}")
    if message is None:
        raise ProtobufError(f"protobuf is not read for {kind} of {version}; send JSON")
    return {"apiVersion": version, "kind": kind, **_object(raw, message)}


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ProtobufError(f"unknown wire type {wire}")
        if position + size > len(data):
            raise ProtobufError("the body ends too early")
        yield number, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ProtobufError("the body ends too early")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7


def _object(data: bytes, name: str) -> dict[str, Any]:
    table = tables().messages[name]
    result: dict[str, Any] = {}
    for number, value in _fields(data):
        field = table.get(number)
        if field is None:
            continue
        if "m" in field.flags:
            key, item = _entry(value, field.type)
            result.setdefault(field.name, {})[key] = item
        elif "r" in field.flags:
            result.setdefault(field.name, []).append(_value(value, field.type))
        else:
            read = _value(value, field.type)
            if not field.name:
                result |= read
            elif read is not None and (read or "o" not in field.flags):
                result[field.name] = read
    return result


def _entry(value: int | bytes, kind: str) -> tuple[str, Any]:
    parts = dict(_fields(_bytes(value)))
    return _text(parts.get(1, b"")), _value(parts.get(2, b""), kind)


def _value(value: int | bytes, kind: str) -> Any:
    match kind:
        case "string":
            return _text(value)
        case "bool":
            return bool(_number(value))
        case "int":
            return _number(value)
        case "bytes":
            return base64.b64encode(_bytes(value)).decode()
        case "quantity":
            return _text(_only(value)) or "0"
        case "intOrString":
            parts = dict(_fields(_bytes(value)))
            return _text(parts.get(3, b"")) if parts.get(1) else _number(parts.get(2, 0))
        case "raw":
            return _json(_only(value))
        case "time" | "microTime":
            return _time(_bytes(value), micro=kind == "microTime")
    message = kind.removeprefix("#")
    if message.endswith(LIST):
        return [_text(part) for _, part in _fields(_bytes(value))]
    return _object(_bytes(value), message)


def _only(value: int | bytes) -> bytes:
    """The one field of a message that wraps a value."""
    return _bytes(dict(_fields(_bytes(value))).get(1, b""))


def _time(value: bytes, *, micro: bool) -> str | None:
    parts = dict(_fields(value))
    seconds, nanos = _number(parts.get(1, 0)), _number(parts.get(2, 0))
    if not 0 < seconds <= _LATEST:
        return None
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{nanos // 1000:06d}Z" if micro else f"{stamp}Z"


def _json(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value) if value else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtobufError(f"there is no JSON where JSON is expected: {error}") from error


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ProtobufError("a number was expected")
    return value - (1 << 64) if value >= 1 << 63 else value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ProtobufError("bytes were expected")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise ProtobufError("a text is not UTF-8") from error
