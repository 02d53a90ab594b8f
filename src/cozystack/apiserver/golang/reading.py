"""An object of a built-in kind as Go's reader takes it: types, quantities, times, and what is as good as nothing.

``read`` brings an object into the form that Kubernetes would give back: quantities are canonical, times are in UTC, and empty
lists, maps and zeros that Go does not write are gone. What has the wrong type is refused in the words of Go's JSON reader; they
are found by a second, slower look, since the path to a value is known to that one alone.
"""

from __future__ import annotations

import binascii
import math
import re
import string
from datetime import UTC, datetime
from typing import Any, Final

from cozystack.apiserver.golang.shapes import Member, Shape
from cozystack.apiserver.quantities import NoQuantity, quantity

Obj = dict[str, Any]

_DROP: Final = object()
_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)([.,]\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_MICROS: Final = len(".000000")
_ALPHABET: Final = frozenset(string.ascii_letters + string.digits + "+/")
_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"


class WrongType(ValueError):  # noqa: N818 - it names what is wrong
    """A value that Go's reader does not take; the words are its own."""


class _NotTaken(Exception):  # noqa: N818
    pass


def read(shape: Shape, value: Obj) -> None:
    """Bring an object into the form that Go would give it, in place; raises ``WrongType``."""
    try:
        _read(shape, value)
    except _NotTaken:
        fault = _Fault()
        fault.look(shape, value, [])
        raise WrongType(fault.said) from None


def _read(shape: Shape, value: Obj) -> None:
    members = shape.members
    changed: list[tuple[str, Any]] | None = None
    for name, item in value.items():
        member = members.get(name)
        if member is None:
            continue
        if type(item) is member.plain:
            if item or not member.omitted or member.pointer:
                continue
            new: Any = _DROP
        else:
            new = _taken(member, item)
            if new is item:
                continue
        if changed is None:
            changed = []
        changed.append((name, new))
    if changed is not None:
        for name, new in changed:
            if new is _DROP:
                del value[name]
            else:
                value[name] = new


def _taken(member: Member, item: Any) -> Any:
    if item is None:
        return _DROP
    many = member.many
    if not many:
        new = _one(member, item)
        zero = not new and member.omitted and not member.pointer
        return _DROP if zero else new
    if many == "map":
        if type(item) is not dict:
            raise _NotTaken
        if not item:
            return _DROP if member.omitted else None
        return _items(member, item)
    if type(item) is not list:
        if many == "list of lists" and type(item) is dict:
            return item if all(type(each) is list for each in item.values()) else _refuse()
        raise _NotTaken
    if not item:
        return _DROP if member.omitted else None
    if member.code == "struct":
        struct: Any = member.shape
        for index, each in enumerate(item):
            if type(each) is not dict:
                if each is not None:
                    raise _NotTaken
                item[index] = each = {}
            _read(struct, each)
        return item
    return [_one(member, each) if each is not None else _zero(member) for each in item]


def _items(member: Member, item: Obj) -> Obj:
    if member.code == "string":
        for each in item.values():
            if type(each) is not str:
                break
        else:
            return item
    for key, each in item.items():
        item[key] = _one(member, each) if each is not None else _zero(member)
    return item


def _refuse() -> Any:
    raise _NotTaken


def _zero(member: Member) -> Any:
    zeros: dict[str, Any] = {"string": "", "bool": False, "int": 0, "quantity": "0", "bytes": ""}
    return {} if member.code == "struct" else zeros.get(member.code)


def _one(member: Member, item: Any) -> Any:
    kind = type(item)
    match member.code:
        case "struct":
            if kind is not dict:
                raise _NotTaken
            struct: Any = member.shape
            _read(struct, item)
            return item
        case "string" if kind is str:
            return item
        case "int" if kind is int and member.limits[0] <= item <= member.limits[1]:
            return item
        case "bool" if kind is bool:
            return item
        case "quantity" if kind is str or kind is int or kind is float:
            try:
                return quantity(item.strip() if kind is str else _number(item)).text
            except NoQuantity:
                raise _NotTaken from None
        case "intOrString" if kind is str or (kind is int and -(2**31) <= item < 2**31):
            return item
        case "bytes" if kind is str:
            return _bytes(item)
        case "time" | "microTime" if kind is str:
            return _time(item, micro=member.code == "microTime")
        case "raw":
            return item
    raise _NotTaken


def _bytes(text: str) -> str:
    if "\n" in text or "\r" in text:
        text = text.replace("\n", "").replace("\r", "")
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise _NotTaken from None
    return text


def _time(text: str, *, micro: bool) -> str:
    found = _TIME.fullmatch(text)
    if found is None or (micro and len(found[7] or "") != _MICROS):
        raise _NotTaken
    try:
        moment = datetime.fromisoformat(text[:19] + found[8].replace("Z", "+00:00"))
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _NotTaken from None
    whole = f"{moment.year:04d}{moment.strftime('-%m-%dT%H:%M:%S')}"
    return f"{whole}.{found[7][1:]}Z" if micro else f"{whole}Z"


def _number(value: float) -> str:
    """As it stood in the JSON, as far as that is known."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)


class _Fault:
    """The second look: the first value that has the wrong type, or what cannot be read at all, which goes before it."""

    def __init__(self) -> None:
        self._first = ""
        self._final = ""

    @property
    def said(self) -> str:
        return self._final or self._first or "the object cannot be read"

    def look(self, shape: Shape, value: Obj, path: list[str]) -> None:
        for name, item in value.items():
            member = shape.members.get(name)
            if member is None or item is None:
                continue
            here = [*path, *member.embedded, name]
            if not member.many:
                self._look_at(member, item, shape, here)
            elif not isinstance(item, dict if member.many in ("map", "list of lists") else list):
                self._wrong(item, shape, here, member.go)
            else:
                for each in item.values() if isinstance(item, dict) else item:
                    if each is not None and not self._final:
                        self._look_at(member, each, shape, here)
            if self._final:
                return

    def _look_at(self, member: Member, item: Any, shape: Shape, path: list[str]) -> None:
        if member.code == "struct":
            if isinstance(item, dict):
                struct: Any = member.shape
                self.look(struct, item, path)
            else:
                self._wrong(item, shape, path, member.item_go)
            return
        try:
            _one(member, item)
        except _NotTaken:
            pass
        else:
            return
        match member.code:
            case "quantity":
                self._final = _quantity_fault(item)
            case "time" | "microTime" if isinstance(item, str):
                layout = _LAYOUT if member.code == "time" else _MICRO_LAYOUT
                self._final = _time_fault(item, layout)
            case "time" | "microTime":
                self._wrong(item, shape, path, "string", final=True)
            case "intOrString":
                self._wrong(item, shape, path, "int32", final=True)
            case "bytes" if isinstance(item, str):
                self._first = self._first or f"illegal base64 data at input byte {_base64_fault(item)}"
            case "bytes":
                self._wrong(item, shape, path, "[]uint8")
            case _:
                self._wrong(item, shape, path, member.item_go)

    def _wrong(self, item: Any, shape: Shape, path: list[str], wanted: str, *, final: bool = False) -> None:
        place = f"{shape.go}.{'.'.join(path)}"
        said = f"json: cannot unmarshal {_json_type(item, wanted)} into Go struct field {place} of type {wanted}"
        if final:
            self._final = said
        else:
            self._first = self._first or said


def _json_type(value: Any, wanted: str) -> str:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return f"number {value}" if wanted in ("int32", "int64") else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _quantity_fault(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else _number(value) if type(value) in (int, float) else "x"
    try:
        quantity(text)
    except NoQuantity as error:
        return str(error)
    return ""


def _time_fault(text: str, layout: str) -> str:
    """What Go says of a text that is no time, as far as it is wrong from its first part on."""
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    said = f'parsing time {quoted} as "{layout}": '
    position = 0
    for pattern, part in (
        (r"\d{4}", "2006"),
        ("-", "-"),
        (r"\d\d", "01"),
        ("-", "-"),
        (r"\d\d", "02"),
        ("T", "T"),
        (r"\d\d", "15"),
        (":", ":"),
        (r"\d\d", "04"),
        (":", ":"),
        (r"\d\d", "05"),
        (r"[.,]\d{6}", ".000000") if ".000000" in layout else (r"([.,]\d+)?", ""),
        (r"Z|[+-]\d\d:\d\d", "Z07:00"),
    ):
        found = re.compile(pattern, re.ASCII).match(text, position)
        if found is None:
            rest = text[position:].replace("\\", "\\\\").replace('"', '\\"')
            return f'{said}cannot parse "{rest}" as "{part}"'
        position = found.end()
    if position < len(text):
        return f'parsing time {quoted}: extra text: "{text[position:]}"'
    names = (("month", 1, 12, 5), ("day", 1, 31, 8), ("hour", 0, 23, 11), ("minute", 0, 59, 14), ("second", 0, 59, 17))
    for name, low, high, start in names:
        if not low <= int(text[start : start + 2]) <= high:
            return f"parsing time {quoted}: {name} out of range"
    return f"parsing time {quoted}: day out of range"


def _base64_fault(text: str) -> int:
    """The byte at which Go's reader stops."""
    data = [(index, char) for index, char in enumerate(text) if char not in "\r\n"]
    for number, (index, char) in enumerate(data):
        if char in _ALPHABET:
            continue
        place, rest = number % 4, data[number + 1 :]
        if char != "=" or place < 2:
            return index
        if place == 2:
            if not rest:
                return len(text)
            if rest[0][1] != "=":
                return rest[0][0] - 1
            rest = rest[1:]
        return rest[0][0] if rest else len(text)
    return len(text) - len(data) % 4
