"""Values of CEL as Python has them, and how they compare.

====================  ==========================================================
``int``               ``int`` (64 bits: what leaves the range is an error)
``uint``              ``Uint``
``double``            ``float``
``string``, ``bytes``  ``str``, ``bytes``
``list``, ``map``     ``list``, ``dict``; ``SetList`` and ``MapList`` where the order of items means nothing
``timestamp``         ``Timestamp``, nanoseconds since 1970
``duration``          ``Duration``, nanoseconds
``optional``          ``Optional``
types                 ``TypeValue``
====================  ==========================================================

A value that an error has made impossible is no value: errors are raised as ``EvalError``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Protocol, runtime_checkable
from zoneinfo import ZoneInfo


class EvalError(Exception):
    """An expression that has no value, in the words of the reference implementation; ``cost`` is what it cost to find out."""

    cost = 0


NO_OVERLOAD: Final = "no such overload"


class Uint(int):
    """A whole number that knows that it is unsigned."""

    __slots__ = ()


class SetList(list[Any]):
    """A list whose items are a set."""

    __slots__ = ()


class MapList(list[Any]):
    """A list whose items are found by their keys."""

    __slots__ = ("keys",)

    def __init__(self, items: list[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def key_of(self, item: Any) -> Any:
        return tuple(_hashable(item.get(key)) if isinstance(item, dict) else None for key in self.keys)


class Duration:
    """``nanos``, from -(2**63) to 2**63-1."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        if not -(2**63) <= nanos < 2**63:
            raise EvalError("integer overflow")
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.nanos == other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __str__(self) -> str:
        """Seconds, as protobuf writes them."""
        sign = "-" if self.nanos < 0 else ""
        whole, part = divmod(abs(self.nanos), 10**9)
        return f"{sign}{whole}{f'.{part:09d}'.rstrip('0') if part else ''}s"


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = -62135596800 * 10**9
_LATEST: Final = 253402300799 * 10**9 + 999_999_999


class Timestamp:
    """``nanos`` since 1970, within the years 1 to 9999."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        if not _EARLIEST <= nanos <= _LATEST:
            raise EvalError("timestamp overflow")
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.nanos == other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def at(self, zone: str = "") -> datetime:
        return (_EPOCH + timedelta(microseconds=self.nanos // 1000)).astimezone(_zone(zone))

    def __str__(self) -> str:
        part = self.nanos % 10**9
        return self.at().strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (f".{part:09d}".rstrip("0") if part else "") + "Z"


_OFFSET: Final = re.compile(r"([+-]?)(\d\d):(\d\d)")


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC"):
        return UTC
    match = _OFFSET.fullmatch(name)
    if match is not None:
        minutes = int(match[2]) * 60 + int(match[3])
        from datetime import timezone

        return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise EvalError(f"unknown time zone {name}") from None


_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def parse_timestamp(text: str) -> Timestamp:
    """Raises ``EvalError``."""
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        moment = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        raise EvalError("type conversion error from 'string' to 'google.protobuf.Timestamp'") from None
    nanos = int((moment - _EPOCH) / timedelta(seconds=1)) * 10**9 + int((match[7] or "0").ljust(9, "0"))
    if match[8]:
        offset = (int(match[9]) * 60 + int(match[10])) * 60 * 10**9
        nanos += offset if match[8] == "-" else -offset
    return Timestamp(nanos)


_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)


def parse_duration(text: str) -> Duration:
    """As Go writes them, ``1h30m``; raises ``EvalError``."""
    wrong = EvalError("type conversion error from 'string' to 'google.protobuf.Duration'")
    rest = text.lstrip("+-") if text[:1] in ("+", "-") and text[1:2] not in ("+", "-") else text
    if rest == "0":
        return Duration(0)
    nanos, at = 0, 0
    while at < len(rest):
        match = _PART.match(rest, at)
        if match is None:
            raise wrong
        whole, _, part = match[1].partition(".")
        unit = _UNITS[match[2]]
        nanos += int(whole or 0) * unit + (int(part) * unit // 10 ** len(part) if part else 0)
        at = match.end()
    if not rest or nanos >= 2**63:
        raise wrong
    return Duration(-nanos if text[:1] == "-" else nanos)


class Optional:
    """A value that may be absent."""

    __slots__ = ("present", "value")

    def __init__(self, value: Any, *, present: bool = True) -> None:
        self.value = value
        self.present = present


ABSENT: Final = Optional(None, present=False)


class Fields:
    """A value whose fields are computed when they are asked for."""

    __slots__ = ()

    type_name = "map"

    def size(self) -> int:
        return 1

    def field(self, name: str) -> Any:
        """Raises ``EvalError`` when there is none."""
        raise EvalError(f"no such key: {name}")


class TypeValue:
    """A type as a value: what ``type(x)`` gives."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


@runtime_checkable
class Special(Protocol):
    """A value of a library: an address, a quantity. Equality is its own."""

    type_name: str

    def size(self) -> int:
        """How large it is for the count of costs."""
        ...


_NAMES: Final[dict[type, str]] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null_type",
    list: "list",
    SetList: "list",
    MapList: "list",
    dict: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    Optional: "optional_type",
    TypeValue: "type",
}


def name_of(value: Any) -> str:
    """The name of the type that a value has."""
    name = _NAMES.get(type(value))
    return name if name is not None else value.type_name


def size_of(value: Any) -> int:
    """How large a value is for the count of costs: characters, items, or one."""
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    if isinstance(value, Optional):
        return size_of(value.value) if value.present else 1
    if type(value) in _NAMES:
        return 1
    return value.size()  # type: ignore[no-any-return]


def traversal(value: Any) -> int:
    """What it costs to look at all of a value."""
    if isinstance(value, str | bytes):
        return len(value.encode() if isinstance(value, str) else value) // 10
    if isinstance(value, list):
        return sum(map(traversal, value))
    if isinstance(value, dict):
        return sum(traversal(key) + traversal(item) for key, item in value.items())
    return 1


def equal(left: Any, right: Any) -> bool:
    """``==``: values of different types are different, but for numbers."""
    one, two = type(left), type(right)
    if one is two:
        if one is str or one is int or one is bool or one is float or one is bytes:
            return bool(left == right)
        if one is dict:
            return _same_map(left, right)
        if one is list:
            return _same_list(left, right)
        if one is Optional:
            return left.present == right.present and (not left.present or equal(left.value, right.value))
    if isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            return False
        if isinstance(left, MapList):
            return _same_entries(left, right)
        if isinstance(left, SetList):
            return all(any(equal(item, each) for each in left) for item in right) and all(
                any(equal(item, each) for each in right) for item in left
            )
        return _same_list(left, right)
    if isinstance(left, int | float) and isinstance(right, int | float):
        return (one is bool) == (two is bool) and left == right
    if isinstance(left, dict) and isinstance(right, dict):
        return _same_map(left, right)
    return left is right or (one is two and left == right)


def _same_list(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(map(equal, left, right))


def _same_map(left: dict[Any, Any], right: dict[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    for key, value in left.items():
        found, other = lookup(right, key)
        if not found or not equal(value, other):
            return False
    return True


def _same_entries(left: MapList, right: list[Any]) -> bool:
    known = {left.key_of(item): item for item in left}
    seen = set()
    for item in right:
        key = left.key_of(item)
        if key not in known or not equal(known[key], item):
            return False
        seen.add(key)
    return len(seen) == len(known)


def lookup(mapping: dict[Any, Any], key: Any) -> tuple[bool, Any]:
    """Whether a map has a key, and what is there. To Python, ``True`` and 1 are the same key; to CEL they are not."""
    value = mapping.get(key, mapping) if isinstance(key, str | int | float) else mapping
    if value is mapping:
        return False, None
    if type(key) is not str and (type(key) is bool) != any(type(each) is bool and each == key for each in mapping):
        return False, None
    return True, value


def concatenated(left: list[Any], right: list[Any]) -> list[Any]:
    """``left + right``; items that a set or a keyed list has already are replaced."""
    if isinstance(left, SetList):
        return SetList([*left, *(item for item in right if not any(equal(item, each) for each in left))])
    if isinstance(left, MapList):
        merged = list(left)
        places = {left.key_of(item): index for index, item in enumerate(merged)}
        for item in right:
            key = left.key_of(item)
            if key in places:
                merged[places[key]] = item
            else:
                places[key] = len(merged)
                merged.append(item)
        return MapList(merged, left.keys)
    return [*left, *right]


def compare(left: Any, right: Any) -> int:
    """-1, 0 or 1; raises ``EvalError`` when the two have no order."""
    one: Any = left
    two: Any = right
    if isinstance(left, int | float) and isinstance(right, int | float) and (type(left) is bool) == (type(right) is bool):
        pass
    elif type(left) is type(right) and isinstance(left, str | bytes):
        one, two = (left.encode(), right.encode()) if isinstance(left, str) else (left, right)
    elif type(left) is type(right) and isinstance(left, Timestamp | Duration):
        one, two = left.nanos, right.nanos
    else:
        raise EvalError(NO_OVERLOAD)
    return int(one > two) - int(one < two)


def shown(value: Any) -> str:
    """A key or an index in a message."""
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    return str(value)


def _hashable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    if isinstance(value, dict):
        return tuple(sorted((key, _hashable(item)) for key, item in value.items()))
    return (type(value) is bool, value)
