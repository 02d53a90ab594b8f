"""How Go calls types of values and writes values down, for messages to people."""

from __future__ import annotations

import json
from typing import Any


def go_quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def go_type(value: Any) -> str:
    """``%T``."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int64"
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            return "[]interface {}"
    return "map[string]interface {}"


def go_value(value: Any) -> str:
    """``%v``."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case dict():
            return "map[" + " ".join(f"{name}:{go_value(item)}" for name, item in sorted(value.items())) + "]"
        case list():
            return "[" + " ".join(go_value(item) for item in value) + "]"
        case float():
            return f"{value:g}"
    return str(value)


def go_literal(value: Any) -> str:
    """``%#v``."""
    match value:
        case None:
            return "interface {}(nil)"
        case str():
            return go_quoted(value)
        case dict():
            items = ", ".join(f"{go_quoted(name)}:{go_literal(item)}" for name, item in sorted(value.items()))
            return f"map[string]interface {{}}{{{items}}}"
        case list():
            return "[]interface {}{" + ", ".join(go_literal(item) for item in value) + "}"
    return go_value(value)


def json_type(value: Any) -> str:
    """As its JSON reader has it."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
    return "null"
