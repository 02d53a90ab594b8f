"""Texts: CEL's own functions, those of the string extension (version 2), and Kubernetes' regular expressions."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from cozystack.apiserver.cel import regex
from cozystack.apiserver.cel.functions import Functions
from cozystack.apiserver.cel.library import costs
from cozystack.apiserver.cel.library.standard import shown_double
from cozystack.apiserver.cel.types import Type
from cozystack.apiserver.cel.values import Duration, EvalError, Timestamp, TypeValue, Uint, name_of


def register(functions: Functions) -> None:
    add = functions.add
    add("startsWith", "starts_with_string", "string.(string) -> bool", str.startswith, costs.second)
    add("endsWith", "ends_with_string", "string.(string) -> bool", str.endswith, costs.second)
    add("contains", "contains_string", "string.(string) -> bool", lambda text, part: part in text, costs.product)
    add("matches", "matches", "(string, string) -> bool", _matches, costs.pattern)
    add("matches", "matches_string", "string.(string) -> bool", _matches, costs.pattern)
    add("find", "string_find_string", "string.(string) -> string", _find, costs.pattern_by_function)
    add("findAll", "string_find_all_string", "string.(string) -> list(string)", _find_all, costs.pattern_by_function)
    add("findAll", "string_find_all_string_int", "string.(string, int) -> list(string)", _find_all, costs.pattern_by_function)
    add("charAt", "string_char_at_int", "string.(int) -> string", _char_at)
    add("indexOf", "string_index_of_string", "string.(string) -> int", str.find, costs.whole)
    add("indexOf", "string_index_of_string_int", "string.(string, int) -> int", _index_from, costs.whole)
    add("lastIndexOf", "string_last_index_of_string", "string.(string) -> int", str.rfind, costs.whole)
    add("lastIndexOf", "string_last_index_of_string_int", "string.(string, int) -> int", _last_index_to, costs.whole)
    add("join", "list_join", "list(string).() -> string", "".join, costs.result_twice)
    add("join", "list_join_string", "list(string).(string) -> string", _joined, costs.result_twice)
    add("lowerAscii", "string_lower_ascii", "string.() -> string", lambda text: text.translate(_LOWER), costs.first)
    add("upperAscii", "string_upper_ascii", "string.() -> string", lambda text: text.translate(_UPPER), costs.first)
    add("replace", "string_replace_string_string", "string.(string, string) -> string", str.replace, costs.first_twice)
    add("replace", "string_replace_string_string_int", "string.(string, string, int) -> string", str.replace, costs.first_twice)
    add("split", "string_split_string", "string.(string) -> list(string)", _split, costs.first_twice)
    add("split", "string_split_string_int", "string.(string, int) -> list(string)", _split, costs.first_twice)
    add("substring", "string_substring_int", "string.(int) -> string", _substring, costs.first)
    add("substring", "string_substring_int_int", "string.(int, int) -> string", _substring, costs.first)
    add("trim", "string_trim", "string.() -> string", lambda text: text.strip(_SPACES), costs.first)
    add("strings.quote", "strings_quote", "(string) -> string", _quoted, costs.first_plainly)
    add("format", "string_format", "string.(list(dyn)) -> string", _formatted, costs.first_plainly)


_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {code + 32: code for code in range(ord("A"), ord("Z") + 1)}
_SPACES: Final = "\t\n\v\f\r \u0085\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


def _matches(text: str, pattern: str) -> bool:
    try:
        return regex.compiled(pattern).search(text)
    except regex.PatternError as error:
        raise EvalError(str(error)) from error


def _find(text: str, pattern: str) -> str:
    try:
        return next(iter(regex.compiled(pattern).find_all(text, 1)), "")
    except regex.PatternError as error:
        raise EvalError(f"Illegal regex: {error}") from error


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    try:
        return regex.compiled(pattern).find_all(text, most)
    except regex.PatternError as error:
        raise EvalError(f"Illegal regex: {error}") from error


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvalError(f"index out of range: {index}")
    return text[index : index + 1]


def _index_from(text: str, part: str, start: int) -> int:
    if not part:
        return start
    if not 0 <= start <= len(text):
        raise EvalError(f"index out of range: {start}")
    return text.find(part, start)


def _last_index_to(text: str, part: str, last: int) -> int:
    if not part:
        return last
    if not 0 <= last <= len(text):
        raise EvalError(f"index out of range: {last}")
    return text.rfind(part, 0, last + len(part))


def _joined(items: list[str], separator: str) -> str:
    return separator.join(items)


def _split(text: str, separator: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if not separator:
        chars = list(text)
        return chars if most < 0 or len(chars) <= most else [*chars[: most - 1], "".join(chars[most - 1 :])]
    return text.split(separator, most - 1) if most > 0 else text.split(separator)


def _substring(text: str, start: int, end: int | None = None) -> str:
    last = len(text) if end is None else end
    if end is not None and start > end:
        raise EvalError(f"invalid substring range. start: {start}, end: {end}")
    if not 0 <= start <= len(text):
        raise EvalError(f"index out of range: {start}")
    if not 0 <= last <= len(text):
        raise EvalError(f"index out of range: {last}")
    return text[start:last]


_QUOTES: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def _quoted(text: str) -> str:
    return '"' + "".join(_QUOTES.get(char, char) for char in text) + '"'


# format


def _formatted(text: str, args: list[Any]) -> str:
    parts: list[str] = []
    at = used = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char != "%":
            parts.append(char)
            continue
        if text[at : at + 1] == "%":
            parts.append("%")
            at += 1
            continue
        precision = 6
        if text[at : at + 1] == ".":
            digits = at + 1
            while digits < len(text) and text[digits].isdecimal():
                digits += 1
            if digits == at + 1:
                raise EvalError("could not parse formatting clause: error while parsing precision: missing digits")
            precision = int(text[at + 1 : digits])
            if precision > 100:
                raise EvalError("could not parse formatting clause: precision is too large")
            at = digits
        verb = text[at : at + 1]
        at += 1
        if used >= len(args):
            raise EvalError(f"index {used} out of range")
        if verb not in _VERBS:
            shown = f'unrecognized formatting clause "{verb}"'
            raise EvalError(f"could not parse formatting clause: {shown}" if verb else "unexpected end of string")
        try:
            parts.append(_VERBS[verb](args[used], precision))
        except _BadVerb as error:
            raise EvalError(f"error during formatting: {error}") from None
        used += 1
    return "".join(parts)


class _BadVerb(Exception):  # noqa: N818
    pass


def _as_text(value: Any, precision: int) -> str:
    match value:
        case str():
            return value
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(
                value, "NaN" if math.isnan(value) else shown_double(value)
            )
        case int() | Duration() | Timestamp():
            return str(value)
        case bytes():
            return value.decode(errors="replace")
        case TypeValue():
            return value.name
        case list():
            return "[" + ", ".join(_inner(item, precision) for item in value) + "]"
        case dict():
            entries = sorted((_inner(key, precision), _inner(item, precision)) for key, item in value.items())
            return "{" + ", ".join(f"{key}:{item}" for key, item in entries) + "}"
    raise _BadVerb(
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and "
        f"timestamps, was given {name_of(value)}"
    )


def _inner(value: Any, precision: int) -> str:
    """A value within another."""
    return _quoted(value) if isinstance(value, str) else _as_text(value, precision)


def _as_decimal(value: Any, precision: int) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return _as_text(value, precision)
    if type(value) in (int, Uint):
        return str(int(value))
    raise _BadVerb(f"decimal clause can only be used on integers, was given {name_of(value)}")


def _number(value: Any, what: str) -> float:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if type(value) in (int, Uint, float):
        return float(value)
    raise _BadVerb(f"{what} clause can only be used on doubles, was given {name_of(value)}")


def _as_fixed(value: Any, precision: int) -> str:
    number = _number(value, "fixed-point")
    return f"{number:.{precision}f}" if math.isfinite(number) else _as_text(number, precision)


def _as_scientific(value: Any, precision: int) -> str:
    number = _number(value, "scientific")
    if not math.isfinite(number):
        return _as_text(number, precision)
    mantissa, _, power = f"{number:.{precision}e}".partition("e")
    return f"{mantissa}\u00d710{power.lstrip('+').translate(_RAISED)}"


_RAISED: Final = str.maketrans("0123456789-", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b")


def _as_binary(value: Any, precision: int) -> str:
    if type(value) is bool:
        return "1" if value else "0"
    if type(value) in (int, Uint):
        return f"{int(value):b}"
    raise _BadVerb(f"only integers and bools can be formatted as binary, was given {name_of(value)}")


def _as_octal(value: Any, precision: int) -> str:
    if type(value) in (int, Uint):
        return f"{int(value):o}"
    raise _BadVerb(f"octal clause can only be used on integers, was given {name_of(value)}")


def _as_hex(value: Any, precision: int) -> str:
    if type(value) in (int, Uint):
        return f"{int(value):x}"
    if isinstance(value, str | bytes):
        return (value.encode() if isinstance(value, str) else value).hex()
    raise _BadVerb(f"only integers, byte buffers, and strings can be formatted as hex, was given {name_of(value)}")


_VERBS: Final[dict[str, Any]] = {
    "s": _as_text,
    "d": _as_decimal,
    "f": _as_fixed,
    "e": _as_scientific,
    "b": _as_binary,
    "o": _as_octal,
    "x": _as_hex,
    "X": lambda value, precision: _as_hex(value, precision).upper(),
}

_CLAUSES: Final = {
    "d": ("decimal clause can only be used on integers, was given {}", ("int", "uint")),
    "f": ("fixed-point clause can only be used on doubles, was given {}", ("double",)),
    "e": ("scientific clause can only be used on doubles, was given {}", ("double",)),
    "b": ("only integers and bools can be formatted as binary, was given {}", ("int", "uint", "bool")),
    "o": ("octal clause can only be used on integers, was given {}", ("int", "uint")),
    "x": ("only integers, byte buffers, and strings can be formatted as hex, was given {}", ("int", "uint", "string", "bytes")),
    "X": ("only integers, byte buffers, and strings can be formatted as hex, was given {}", ("int", "uint", "string", "bytes")),
}
_CLAUSE: Final = re.compile(r"%(?:\.(\d*))?(.?)", re.DOTALL)


def format_fault(text: str, types: list[Type]) -> tuple[int, str] | None:
    """What is wrong with arguments of these types for a format: the index of the argument (-1: none) and why."""
    used = 0
    at = 0
    while (match := _CLAUSE.search(text, at)) is not None:
        at = match.end()
        verb = match[2]
        if verb == "%" and match[1] is None:
            continue
        if verb != "s" and verb not in _CLAUSES:
            return -1, f'could not parse formatting clause: unrecognized formatting clause "{verb}"'
        if used >= len(types):
            return -1, f"index {used} out of range"
        why, fitting = _CLAUSES.get(verb, ("", ()))
        if fitting and types[used].kind not in (*fitting, "dyn"):
            return used, f"error during formatting: {why.format(types[used])}"
        used += 1
    if used < len(types):
        return -1, f"too many arguments supplied to string.format (expected {used}, got {len(types)})"
    return None
