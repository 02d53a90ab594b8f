"""Where the embedded server differs from a real one: the marks in the tests and the table in the docs say the same."""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "e2e.md"


def marked() -> dict[str, str]:
    """Reasons by the names of tests."""
    found = {}
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "embedded_only":
                        found[node.name] = ast.literal_eval(mark.args[0])
    return found


def test_the_table_of_differences_lists_every_mark() -> None:
    rows = [line.strip("| \n").split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| `test_")]
    assert {name.strip("`"): reason for name, reason in rows} == marked()
