"""Operators, conversions, times and optional values: what CEL has without extensions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from cozystack.apiserver.cel.functions import Functions
from cozystack.apiserver.cel.library import costs
from cozystack.apiserver.cel.values import (
    ABSENT,
    NO_OVERLOAD,
    Duration,
    EvalError,
    Optional,
    Timestamp,
    TypeValue,
    Uint,
    compare,
    concatenated,
    name_of,
    parse_duration,
    parse_timestamp,
)


def register(functions: Functions) -> None:
    functions.add_types((name, name) for name in ["bool", "int", "uint", "double", "string", "bytes", "type"])
    functions.add_types(
        [
            ("null_type", "null"),
            ("list", "list(dyn)"),
            ("map", "map(dyn, dyn)"),
            ("optional_type", "optional(dyn)"),
            ("google.protobuf.Timestamp", "timestamp"),
            ("google.protobuf.Duration", "duration"),
        ]
    )
    _logic(functions)
    _arithmetic(functions)
    _order(functions)
    _conversions(functions)
    _times(functions)
    _optionals(functions)


def _never(*args: Any) -> Any:
    """What the planner does itself."""
    raise EvalError(NO_OVERLOAD)


def _logic(functions: Functions) -> None:
    add = functions.add
    add("_&&_", "logical_and", "(bool, bool) -> bool", _never)
    add("_||_", "logical_or", "(bool, bool) -> bool", _never)
    add("_?_:_", "conditional", "(bool, T, T) -> T", _never)
    add("@not_strictly_false", "not_strictly_false", "(bool) -> bool", _never)
    add("_==_", "equals", "(T, T) -> bool", _never)
    add("_!=_", "not_equals", "(T, T) -> bool", _never)
    add("@in", "in_list", "(T, list(T)) -> bool", _never)
    add("@in", "in_map", "(K, map(K, V)) -> bool", _never)
    add("_[_]", "index_list", "(list(T), int) -> T", _never)
    add("_[_]", "index_map", "(map(K, V), K) -> V", _never)
    add("_[_]", "optional_list_index_int", "(optional(list(V)), int) -> optional(V)", _never)
    add("_[_]", "optional_map_index_value", "(optional(map(K, V)), K) -> optional(V)", _never)
    add("_[?_]", "list_optindex_optional_int", "(list(V), int) -> optional(V)", _never)
    add("_[?_]", "optional_list_optindex_optional_int", "(optional(list(V)), int) -> optional(V)", _never)
    add("_[?_]", "map_optindex_optional_value", "(map(K, V), K) -> optional(V)", _never)
    add("_[?_]", "optional_map_optindex_optional_value", "(optional(map(K, V)), K) -> optional(V)", _never)
    add("!_", "logical_not", "(bool) -> bool", lambda value: not value)


def _int(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise EvalError("integer overflow")
    return value


def _uint(value: int) -> Uint:
    if not 0 <= value < 2**64:
        raise EvalError("unsigned integer overflow")
    return Uint(value)


def _divided(left: int, right: int) -> int:
    if right == 0:
        raise EvalError("division by zero")
    found = abs(left) // abs(right)
    return _int(found if (left < 0) == (right < 0) else -found)


def _remainder(left: int, right: int) -> int:
    if right == 0:
        raise EvalError("modulus by zero")
    found = abs(left) % abs(right)
    return -found if left < 0 else found


def _double_divided(left: float, right: float) -> float:
    if right == 0:
        return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1.0, right)
    return left / right


def _multiplied(left: float, right: float) -> float:
    return left * right


def _arithmetic(functions: Functions) -> None:
    add = functions.add
    add("-_", "negate_int64", "(int) -> int", lambda value: _int(-value))
    add("-_", "negate_double", "(double) -> double", lambda value: -value)
    for name, word, plain in (
        ("_+_", "add", lambda left, right: left + right),
        ("_-_", "subtract", lambda left, right: left - right),
        ("_*_", "multiply", _multiplied),
    ):
        add(name, f"{word}_int64", "(int, int) -> int", _checked(_int, plain))
        add(name, f"{word}_uint64", "(uint, uint) -> uint", _checked(_uint, plain))
        add(name, f"{word}_double", "(double, double) -> double", plain)
    add("_/_", "divide_int64", "(int, int) -> int", _divided)
    add("_/_", "divide_uint64", "(uint, uint) -> uint", lambda left, right: Uint(_divided(left, right)))
    add("_/_", "divide_double", "(double, double) -> double", _double_divided)
    add("_%_", "modulo_int64", "(int, int) -> int", _remainder)
    add("_%_", "modulo_uint64", "(uint, uint) -> uint", lambda left, right: Uint(_remainder(left, right)))
    add("_+_", "add_string", "(string, string) -> string", lambda left, right: left + right, costs.both)
    add("_+_", "add_bytes", "(bytes, bytes) -> bytes", lambda left, right: left + right, costs.both)
    add("_+_", "add_list", "(list(T), list(T)) -> list(T)", concatenated)

    def later(one: Any, two: Any) -> Any:
        return Timestamp(one.nanos + two.nanos)

    add("_+_", "add_timestamp_duration", "(timestamp, duration) -> timestamp", later)
    add("_+_", "add_duration_timestamp", "(duration, timestamp) -> timestamp", later)
    add("_+_", "add_duration_duration", "(duration, duration) -> duration", lambda one, two: Duration(one.nanos + two.nanos))

    def between(one: Any, two: Any) -> Any:
        return Duration(one.nanos - two.nanos)

    add("_-_", "subtract_timestamp_timestamp", "(timestamp, timestamp) -> duration", between)
    add("_-_", "subtract_duration_duration", "(duration, duration) -> duration", between)
    add(
        "_-_",
        "subtract_timestamp_duration",
        "(timestamp, duration) -> timestamp",
        lambda one, two: Timestamp(one.nanos - two.nanos),
    )


def _checked(check: Callable[[Any], Any], operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: check(operation(left, right))


_ORDERED: Final = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration")
_NUMBERS: Final = ("int", "uint", "double")


def _order(functions: Functions) -> None:
    for operator, word, holds in (
        ("_<_", "less", lambda left, right: compare(left, right) < 0),
        ("_<=_", "less_equals", lambda left, right: compare(left, right) <= 0),
        ("_>_", "greater", lambda left, right: compare(left, right) > 0),
        ("_>=_", "greater_equals", lambda left, right: compare(left, right) >= 0),
    ):
        for type_ in _ORDERED:
            cost = costs.smaller if type_ in ("string", "bytes") else None
            functions.add(operator, f"{word}_{type_}", f"({type_}, {type_}) -> bool", holds, cost)
        for one in _NUMBERS:
            for two in _NUMBERS:
                if one != two:
                    functions.add(operator, f"{word}_{one}_{two}", f"({one}, {two}) -> bool", holds)


def _wrong_conversion(value: Any, target: str) -> EvalError:
    return EvalError(f"type conversion error from '{name_of(value)}' to '{target}'")


_DECIMAL: Final = re.compile(r"[+-]?\d+", re.ASCII)


def _to_int(value: Any) -> int:
    if isinstance(value, str):
        if _DECIMAL.fullmatch(value) is None or not -(2**63) <= int(value) < 2**63:
            raise _wrong_conversion(value, "int")
        return int(value)
    if isinstance(value, float):
        if math.isnan(value) or not -(2.0**63) < value < 2.0**63:
            raise EvalError("integer overflow")
        return int(value)
    if isinstance(value, Timestamp):
        return value.nanos // 10**9
    return value.nanos if isinstance(value, Duration) else _int(int(value))


def _to_uint(value: Any) -> Uint:
    if isinstance(value, str):
        if _DECIMAL.fullmatch(value) is None or value[0] in "+-" or int(value) >= 2**64:
            raise _wrong_conversion(value, "uint")
        return Uint(int(value))
    if isinstance(value, float) and (math.isnan(value) or not 0 <= value < 2.0**64):
        raise EvalError("unsigned integer overflow")
    return _uint(int(value))


_FLOAT: Final = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)


def _to_double(value: Any) -> float:
    if isinstance(value, str):
        if _FLOAT.fullmatch(value) is None:
            raise _wrong_conversion(value, "double")
        return float(value)
    return float(value)


_BOOLS: Final = {
    **dict.fromkeys(("1", "t", "true", "TRUE", "True", "T"), True),
    **dict.fromkeys(("0", "f", "false", "FALSE", "False", "F"), False),
}


def _to_bool(value: str) -> bool:
    if value not in _BOOLS:
        raise _wrong_conversion(value, "bool")
    return _BOOLS[value]


def shown_double(value: float) -> str:
    """A double as Go's ``%g`` writes it: the shortest text that is read as the same number."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    number = Decimal(repr(value))
    sign, digits, _ = number.as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    power = number.adjusted()
    minus = "-" if sign else ""
    if power < -4 or power >= 6:
        mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
        return f"{minus}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if power < 0:
        return f"{minus}0.{'0' * (-power - 1)}{text}"
    whole = text[: power + 1].ljust(power + 1, "0")
    return f"{minus}{whole}" + (f".{text[power + 1 :]}" if len(text) > power + 1 else "")


def _to_string(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise EvalError("invalid UTF-8 in bytes, cannot convert to string") from None
    if type(value) is bool:
        return "true" if value else "false"
    return shown_double(value) if isinstance(value, float) else str(value)


def _conversions(functions: Functions) -> None:
    add = functions.add
    for source in ("int", "uint", "double", "string", "timestamp", "duration"):
        add("int", f"{source}_to_int64", f"({source}) -> int", _to_int)
    for source in ("uint", "int", "double", "string"):
        add("uint", f"{source}_to_uint64", f"({source}) -> uint", _to_uint)
    for source in ("double", "int", "uint", "string"):
        add("double", f"{source}_to_double", f"({source}) -> double", _to_double)
    add("bool", "bool_to_bool", "(bool) -> bool", lambda value: value)
    add("bool", "string_to_bool", "(string) -> bool", _to_bool)
    for source in ("string", "bool", "bytes", "double", "duration", "int", "timestamp", "uint"):
        cost = costs.first_plainly if source == "bytes" else None
        add("string", f"{source}_to_string", f"({source}) -> string", _to_string, cost)
    add("bytes", "bytes_to_bytes", "(bytes) -> bytes", lambda value: value)
    add("bytes", "string_to_bytes", "(string) -> bytes", lambda value: value.encode(), costs.first_plainly)
    add("duration", "duration_to_duration", "(duration) -> duration", lambda value: value)
    add("duration", "int64_to_duration", "(int) -> duration", Duration)
    add("duration", "string_to_duration", "(string) -> duration", parse_duration)
    add("timestamp", "timestamp_to_timestamp", "(timestamp) -> timestamp", lambda value: value)
    add("timestamp", "int64_to_timestamp", "(int) -> timestamp", lambda value: Timestamp(value * 10**9))
    add("timestamp", "string_to_timestamp", "(string) -> timestamp", parse_timestamp)
    add("type", "type", "(T) -> type(T)", lambda value: TypeValue(name_of(value)))
    add("dyn", "to_dyn", "(T) -> dyn", lambda value: value)
    for kind in ("string", "bytes", "list(T)", "map(K, V)"):
        short = kind.partition("(")[0]
        add("size", f"size_{short}", f"({kind}) -> int", len)
        add("size", f"{short}_size", f"{kind}.() -> int", len)


def _times(functions: Functions) -> None:
    getters: dict[str, Callable[[Timestamp, str], int]] = {
        "getFullYear": lambda value, zone: value.at(zone).year,
        "getMonth": lambda value, zone: value.at(zone).month - 1,
        "getDayOfYear": lambda value, zone: value.at(zone).timetuple().tm_yday - 1,
        "getDate": lambda value, zone: value.at(zone).day,
        "getDayOfMonth": lambda value, zone: value.at(zone).day - 1,
        "getDayOfWeek": lambda value, zone: (value.at(zone).weekday() + 1) % 7,
        "getHours": lambda value, zone: value.at(zone).hour,
        "getMinutes": lambda value, zone: value.at(zone).minute,
        "getSeconds": lambda value, zone: value.at(zone).second,
        "getMilliseconds": lambda value, zone: value.nanos // 10**6 % 1000,
    }
    for name, getter in getters.items():
        functions.add(name, f"timestamp_to_{name}", "timestamp.() -> int", _in_utc(getter))
        functions.add(name, f"timestamp_to_{name}_with_tz", "timestamp.(string) -> int", getter)
    for name, unit in (
        ("getHours", 3600 * 10**9),
        ("getMinutes", 60 * 10**9),
        ("getSeconds", 10**9),
        ("getMilliseconds", 10**6),
    ):
        functions.add(name, f"duration_to_{name}", "duration.() -> int", _in_units(unit))


def _in_utc(getter: Callable[[Timestamp, str], int]) -> Callable[[Timestamp], int]:
    return lambda value: getter(value, "")


def _in_units(unit: int) -> Callable[[Duration], int]:
    return lambda value: _divided(value.nanos, unit)


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise EvalError("optional.none() dereference")
    return optional.value


def _is_zero(value: Any) -> bool:
    if isinstance(value, Timestamp | Duration):
        return value.nanos == 0
    return value is None or value is False or (isinstance(value, str | bytes | list | dict | int | float) and not value)


def _optionals(functions: Functions) -> None:
    add = functions.add
    add("optional.of", "optional_of", "(V) -> optional(V)", Optional)
    add(
        "optional.ofNonZeroValue",
        "optional_ofNonZeroValue",
        "(V) -> optional(V)",
        lambda value: ABSENT if _is_zero(value) else Optional(value),
    )
    add("optional.none", "optional_none", "() -> optional(V)", lambda: ABSENT)
    add("value", "optional_value", "optional(V).() -> V", _value)
    add("hasValue", "optional_hasValue", "optional(V).() -> bool", lambda optional: optional.present)
    add("or", "optional_or_optional", "optional(V).(optional(V)) -> optional(V)", _never)
    add("orValue", "optional_orValue_value", "optional(V).(V) -> V", _never)

    def present(items: list[Any]) -> list[Any]:
        return [each.value for each in items if each.present]

    add("optional.unwrap", "optional_unwrap", "(list(optional(V))) -> list(V)", present)
    add("unwrapOpt", "optional_unwrapOpt", "list(optional(V)).() -> list(V)", present)
    add("first", "list_first", "list(V).() -> optional(V)", lambda items: Optional(items[0]) if items else ABSENT)
    add("last", "list_last", "list(V).() -> optional(V)", lambda items: Optional(items[-1]) if items else ABSENT)
