"""What goes to standard output: tables that fit the terminal, and the same rows as JSON, YAML or names.

A table is left-aligned, three spaces between columns, nothing after the last. On a terminal the columns that may be shortened
are, by characters, until a line fits; in a pipe, and with ``-o wide``, nothing is shortened (cozypkg-L1).
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO, TypeAlias

Format: TypeAlias = Literal["table", "wide", "json", "yaml", "name"]

_GAP = 3
_LEAST = 12
"""No column is shortened below this width."""


@dataclass(frozen=True, slots=True)
class Column:
    """``wide``: only with ``-o wide``. ``shrinks``: may be shortened where the line does not fit."""

    title: str
    wide: bool = False
    shrinks: bool = False


def write_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], out: TextIO, *, wide: bool = False) -> None:
    """``rows`` have a cell for every column, also for those that are not shown."""
    available = shutil.get_terminal_size((80, 24)).columns if out.isatty() and not wide else None
    out.writelines(f"{line}\n" for line in table_lines(columns, rows, wide=wide, available=available))


def table_lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, wide: bool = False, available: int | None = None
) -> list[str]:
    """The lines of a table that fits ``available`` columns of a terminal; ``None``: there is no bound."""
    shown = [index for index, column in enumerate(columns) if wide or not column.wide]
    table = [[columns[index].title for index in shown], *([_line(row[index]) for index in shown] for row in rows)]
    widths = [max(map(_width, cells)) for cells in zip(*table, strict=True)]
    if available is not None:
        _shrink(widths, [columns[index].shrinks for index in shown], available - _GAP * (len(shown) - 1))
    lines = []
    for row in table:
        cells = [_fit(cell, width) for cell, width in zip(row, widths, strict=True)]
        padded = [cell + " " * (width + _GAP - _width(cell)) for cell, width in zip(cells, widths, strict=True)]
        lines.append("".join(padded).rstrip())
    return lines


def write_json(value: Any, out: TextIO) -> None:
    _write_data(json.dumps(value, indent=2, ensure_ascii=False) + "\n", out)


def write_yaml(value: Any, out: TextIO) -> None:
    """A list is a stream of documents, as kubectl takes objects."""
    from cozystack.api import yaml

    _write_data(yaml.dump_all(value) if isinstance(value, list) else yaml.dump(value), out)


def write_yaml_list(value: list[Any], out: TextIO) -> None:
    """One document, as ``write_json`` writes it: for what is no object of an API."""
    from cozystack.api import yaml

    _write_data(yaml.dump(value), out)


def _write_data(text: str, out: TextIO) -> None:
    """Data are UTF-8, also where the terminal knows less: what cannot be shown must not be lost for programs."""
    if text.isascii() or "utf" in (out.encoding or "utf-8").lower():
        out.write(text)
        return
    out.flush()
    out.buffer.write(text.encode())


def plain(obj: Any) -> dict[str, Any]:
    """An API object as JSON values, as kubectl would show it: in the usual order, without ``managedFields``."""
    import msgspec

    value: dict[str, Any] = msgspec.to_builtins(obj)
    value.get("metadata", {}).pop("managedFields", None)
    return {name: value[name] for name in ("apiVersion", "kind", "metadata", "spec", "status") if value.get(name)}


def _line(text: str) -> str:
    """One line, whatever the text; what stands before it stays, since rows may be indented."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _shrink(widths: list[int], shrinks: list[bool], available: int) -> None:
    while sum(widths) > available:
        candidates = [index for index, width in enumerate(widths) if shrinks[index] and width > _LEAST]
        if not candidates:
            return
        longest = max(candidates, key=lambda index: widths[index])
        widths[longest] = max(_LEAST, widths[longest] - max(1, sum(widths) - available))


def _fit(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    kept = ""
    for char in text:
        if _width(kept + char) > width - 3:
            break
        kept += char
    return kept + "..."
