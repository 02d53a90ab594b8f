"""Read objects that clients send as protobuf: Helm's Secrets and ConfigMaps, and the options of a deletion.

A body is the magic ``k8s\\0`` and a ``runtime.Unknown`` that holds the object. Messages are read by tables of field numbers
(from Kubernetes' published ``generated.proto`` files); fields without an entry are passed over.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

MAGIC: Final = b"k8s\x00"


class ProtobufError(ValueError):
    """The body is not protobuf of a kind that is read here."""


# Field number: (name, how to read it). A list in the second place is a repeated field, a dict a message.
_TIME = "time"
_OWNER: Final[dict[int, Any]] = {
    1: ("kind", "text"),
    3: ("name", "text"),
    4: ("uid", "text"),
    5: ("apiVersion", "text"),
    6: ("controller", "bool"),
    7: ("blockOwnerDeletion", "bool"),
}
_META: Final[dict[int, Any]] = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    5: ("uid", "text"),
    6: ("resourceVersion", "text"),
    7: ("generation", "int"),
    8: ("creationTimestamp", _TIME),
    11: ("labels", "map"),
    12: ("annotations", "map"),
    13: ("ownerReferences", [_OWNER]),
    14: ("finalizers", ["text"]),
}
_TABLES: Final[dict[str, dict[int, Any]]] = {
    "Secret": {
        1: ("metadata", _META),
        2: ("data", "bytes map"),
        3: ("type", "text"),
        4: ("stringData", "map"),
        5: ("immutable", "bool"),
    },
    "ConfigMap": {
        1: ("metadata", _META),
        2: ("data", "map"),
        3: ("binaryData", "bytes map"),
        4: ("immutable", "bool"),
    },
    "Namespace": {1: ("metadata", _META)},
    "ServiceAccount": {1: ("metadata", _META), 4: ("automountServiceAccountToken", "bool")},
    "Lease": {
        1: ("metadata", _META),
        2: (
            "spec",
            {
                1: ("holderIdentity", "text"),
                2: ("leaseDurationSeconds", "int"),
                3: ("acquireTime", "micro time"),
                4: ("renewTime", "micro time"),
                5: ("leaseTransitions", "int"),
            },
        ),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", {1: ("uid", "text"), 2: ("resourceVersion", "text")}),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "text"),
        5: ("dryRun", ["text"]),
    },
}


def decode(body: bytes, kind: str) -> dict[str, Any]:
    """The object in ``body``, which must be of ``kind``; raises ``ProtobufError``."""
    if not body.startswith(MAGIC):
        raise ProtobufError("the body does not start as protobuf of Kubernetes does")
    table = _TABLES.get(kind)
    if table is None:
        raise ProtobufError(f"protobuf is not read for {kind}; send JSON")
    raw = b""
    meta: dict[str, Any] = {}
    for number, value in _fields(body[len(MAGIC) :]):
        if number == 1 and isinstance(value, bytes):
            meta = _message(value, {1: ("apiVersion", "text"), 2: ("kind", "text")})
        elif number == 2 and isinstance(value, bytes):
            raw = value
    if meta.get("kind", kind) != kind:
        raise ProtobufError(f"the body holds a {meta['kind']}, not a {kind}")
    obj = _message(raw, table)
    return {**({k: v for k, v in meta.items() if v} if kind != "DeleteOptions" else {}), **obj}


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


def _message(data: bytes, table: dict[int, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, value in _fields(data):
        if number not in table:
            continue
        name, how = table[number]
        if isinstance(how, list):
            result.setdefault(name, []).append(_value(value, how[0]))
        elif how in ("map", "bytes map"):
            key, item = _entry(value, raw=how == "bytes map")
            result.setdefault(name, {})[key] = item
        else:
            read = _value(value, how)
            if read not in ("", None):
                result[name] = read
    return result


def _entry(value: int | bytes, *, raw: bool) -> tuple[str, str]:
    key, item = "", b""
    for number, part in _fields(_bytes(value)):
        if number == 1:
            key = _text(part)
        elif number == 2:
            item = _bytes(part)
    return key, base64.b64encode(item).decode() if raw else _text(item)


def _value(value: int | bytes, how: Any) -> Any:
    if isinstance(how, dict):
        return _message(_bytes(value), how)
    match how:
        case "text":
            return _text(value)
        case "bool":
            return bool(value)
        case "int":
            if not isinstance(value, int):
                raise ProtobufError("a number was expected")
            return value - (1 << 64) if value >= 1 << 63 else value
    seconds = nanos = 0
    for number, part in _fields(_bytes(value)):
        if number == 1 and isinstance(part, int):
            seconds = part
        elif number == 2 and isinstance(part, int):
            nanos = part
    if not seconds or seconds > 253402300799:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{nanos // 1000:06d}Z" if how == "micro time" else f"{stamp}Z"


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ProtobufError("bytes were expected")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise ProtobufError("a text is not UTF-8") from error
