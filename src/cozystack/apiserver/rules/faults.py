"""Faults of fields, with values as Kubernetes shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from cozystack.apiserver.schema import FieldError

IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError(path, "Invalid value", f"Invalid value: {msgspec.json.encode(value).decode()}: {detail}")


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError(path, "Forbidden", f"Forbidden: {detail}")


def unsupported(path: str, value: Any, *supported: str) -> FieldError:
    shown = ", ".join(f'"{choice}"' for choice in supported)
    value = msgspec.json.encode(value).decode()
    return FieldError(path, "Unsupported value", f"Unsupported value: {value}: supported values: {shown}")


def duplicate(path: str, value: Any) -> FieldError:
    return FieldError(path, "Duplicate value", f"Duplicate value: {msgspec.json.encode(value).decode()}")


def not_found(path: str, value: Any) -> FieldError:
    return FieldError(path, "Not found", f"Not found: {msgspec.json.encode(value).decode()}")
