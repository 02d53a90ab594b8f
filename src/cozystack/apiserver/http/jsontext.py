"""What is wrong with a text that is no JSON, in the words of Go's decoder, which clients know.

Only for texts that could not be read: the fast decoder has been tried before.
"""

from __future__ import annotations

from typing import Final

MOST_NESTED: Final = 10_000
_END: Final = "unexpected end of JSON input"
_SPACE: Final = " \t\r\n"
_LITERALS: Final = {"t": "true", "f": "false", "n": "null"}
_ESCAPES: Final = '"\\/bfnrt'


class _Fault(Exception):  # noqa: N818 - a fault of the text
    """Something that does not belong there; the text says what."""


def fault(text: str) -> str:
    """What Go would say of ``text``; empty when it is JSON after all."""
    try:
        position = _skip(text, _document(text))
        if position < len(text):
            raise _unexpected(text, position, "after top-level value")
    except _Fault as found:
        return str(found)
    return ""


def _document(text: str) -> int:
    """The place behind the first value; without recursion, since nesting is what may be wrong."""
    stack: list[str] = []
    position = 0
    while True:
        # A value is expected here.
        position = _skip(text, position)
        char = _at(text, position)
        if char in "{[":
            stack.append(char)
            if len(stack) > MOST_NESTED:
                raise _unexpected(text, position, "exceeded max depth")
            inner = _skip(text, position + 1)
            if _at(text, inner) == ("}" if char == "{" else "]"):
                stack.pop()
                position = inner + 1
            elif char == "{":
                position = _key(text, inner)
                continue
            else:
                position = inner
                continue
        else:
            position = _scalar(text, position, char)
        # A value ends here.
        while stack:
            position = _skip(text, position)
            char = _at(text, position)
            if stack[-1] == "{":
                if char == ",":
                    position = _key(text, _skip(text, position + 1))
                    break
                if char != "}":
                    raise _unexpected(text, position, "after object key:value pair")
            elif char == ",":
                position += 1
                break
            elif char != "]":
                raise _unexpected(text, position, "after array element")
            stack.pop()
            position += 1
        else:
            return position


def _key(text: str, position: int) -> int:
    """The place behind a key and its colon."""
    if _at(text, position) != '"':
        raise _unexpected(text, position, "looking for beginning of object key string")
    position = _skip(text, _string(text, position))
    if _at(text, position) != ":":
        raise _unexpected(text, position, "after object key")
    return position + 1


def _scalar(text: str, position: int, char: str) -> int:
    if char == '"':
        return _string(text, position)
    if char in _LITERALS:
        word = _LITERALS[char]
        for offset, expected in enumerate(word[1:], 1):
            if _at(text, position + offset) != expected:
                raise _unexpected(text, position + offset, f"in literal {word} (expecting '{expected}')")
        return position + len(word)
    if char == "-" or char.isdecimal():
        return _number(text, position)
    raise _unexpected(text, position, "looking for beginning of value")


def _number(text: str, position: int) -> int:
    if text[position] == "-":
        position += 1
        if not _at(text, position).isdecimal():
            raise _unexpected(text, position, "in numeric literal")
    position = position + 1 if text[position] == "0" else _digits(text, position)
    if text[position : position + 1] == ".":
        position += 1
        if not _at(text, position).isdecimal():
            raise _unexpected(text, position, "after decimal point in numeric literal")
        position = _digits(text, position)
    if text[position : position + 1] in ("e", "E"):
        position += 1
        if _at(text, position) in "+-":
            position += 1
        if not _at(text, position).isdecimal():
            raise _unexpected(text, position, "in exponent of numeric literal")
        position = _digits(text, position)
    return position


def _digits(text: str, position: int) -> int:
    while position < len(text) and text[position].isdecimal():
        position += 1
    return position


def _string(text: str, position: int) -> int:
    position += 1
    while (char := _at(text, position)) != '"':
        if char < " ":
            raise _unexpected(text, position, "in string literal")
        position += 1
        if char != "\\":
            continue
        char = _at(text, position)
        if char == "u":
            for offset in range(1, 5):
                if _at(text, position + offset) not in "0123456789abcdefABCDEF":
                    raise _unexpected(text, position + offset, "in \\u hexadecimal character escape")
            position += 4
        elif char not in _ESCAPES:
            raise _unexpected(text, position, "in string escape code")
        position += 1
    return position + 1


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _at(text: str, position: int) -> str:
    if position >= len(text):
        raise _Fault(_END)
    return text[position]


def _unexpected(text: str, position: int, where: str) -> _Fault:
    return _Fault(f"invalid character {_shown(text[position])} {where}")


def _shown(char: str) -> str:
    if char == "'":
        return "'\\''"
    if char == '"':
        return "'\"'"
    escaped = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "\0": "\\x00", "\b": "\\b", "\f": "\\f"}.get(char)
    if escaped is None:
        escaped = char if char.isprintable() else (f"\\x{ord(char):02x}" if ord(char) < 0x80 else f"\\u{ord(char):04x}")
    return f"'{escaped}'"
