"""Objects as rows for people: tables as kubectl prints them, and objects reduced to their metadata."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cozystack.apiserver.printing.cells import BUILTIN
from cozystack.apiserver.printing.jsonpath import json_path
from cozystack.apiserver.printing.times import age
from cozystack.apiserver.resources import ResourceInfo

__all__ = ["as_partial", "as_partial_list", "as_table"]

_AGE = {"name": "Age", "type": "string", "format": "", "priority": 0}
_NAME = {"name": "Name", "type": "string", "format": "name", "priority": 0}


def as_table(
    info: ResourceInfo, items: list[dict[str, Any]], *, include_object: str, metadata: dict[str, Any], now: datetime
) -> dict[str, Any]:
    """``meta.k8s.io/v1 Table``. ``include_object`` is Metadata, Object or None."""
    if info.custom:
        columns, rows = _custom(info, items, now)
    else:
        cells = BUILTIN.get((info.group, info.kind))
        columns = list(info.columns) or [_NAME, _AGE]
        if cells is None:
            columns = [_NAME, _AGE]
            rows = [[item["metadata"]["name"], age(item["metadata"].get("creationTimestamp"), now)] for item in items]
        else:
            rows = [_fitted(cells(item, now), len(columns)) for item in items]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [{"description": "", "format": "", "priority": 0, **column} for column in columns],
        "rows": [{"cells": row, "object": _included(item, include_object)} for row, item in zip(rows, items, strict=True)],
    }


def _fitted(row: list[Any], size: int) -> list[Any]:
    """``row`` with as many cells as there are columns."""
    return (row + ["<none>"] * size)[:size]


def _included(item: dict[str, Any], include: str) -> Any:
    if include == "Object":
        return item
    return as_partial(item) if include == "Metadata" else None


def as_partial(obj: dict[str, Any]) -> dict[str, Any]:
    """``PartialObjectMetadata``."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def as_partial_list(items: list[dict[str, Any]], metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "items": [as_partial(item) for item in items],
    }


def _custom(info: ResourceInfo, items: list[dict[str, Any]], now: datetime) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    """The columns of a CRD; without any, name and age."""
    declared = list(info.columns)
    columns: list[dict[str, Any]] = [_NAME]
    for column in declared:
        kept: dict[str, Any] = {
            key: column[key] for key in ("name", "type", "format", "priority", "description") if key in column
        }
        columns.append(kept)
    if not declared:
        columns.append(_AGE)
    rows = []
    for item in items:
        row: list[Any] = [item["metadata"]["name"]]
        row += [_custom_cell(column, item, now) for column in declared]
        if not declared:
            row.append(age(item["metadata"].get("creationTimestamp"), now))
        rows.append(row)
    return columns, rows


def _custom_cell(column: dict[str, Any], item: dict[str, Any], now: datetime) -> Any:
    found = json_path(column["jsonPath"], item)
    if not found:
        return None
    value = found[0]
    match column.get("type"):
        case "date":
            return age(value, now) if isinstance(value, str) else None
        case "integer" | "number":
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else "" if value is None else str(value)
