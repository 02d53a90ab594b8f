"""The table of coverage names what exists, and leaves no row of the specification without a proof."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"
ROW = re.compile(r"\| (?P<id>\d[\w.-]*) \| (?P<what>[^|]+) \| (?P<proof>[^|]*) \|")
DECISIONS = ("D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D10", "D11")
# Sections of the specification with the number of their rows or numbered steps; a table must not lose any.
SECTIONS = {
    "2.2-B": 13,
    "3.6-S": 6,
    "3.3.": 3,
    "4.2.": 10,
    "4.11-": 9,
    "5.3.": 8,
    "9.1-": 10,
    "10.2-": 10,
    "11-": 9,
}

rows = [
    found.groupdict() for line in (ROOT / "docs/design/coverage.md").read_text().splitlines() if (found := ROW.fullmatch(line))
]


@cache
def defined_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[:5] == "test_"
    )


@pytest.mark.parametrize("row", rows, ids=[row["id"] for row in rows])
def test_a_row_is_proved_by_what_exists(row: dict[str, str]) -> None:
    named = re.findall(r"`([\w/.]+\.py)::(test_\w+)`", row["proof"])
    cases = re.findall(r"case `([^`]+)`", row["proof"])
    assert row["proof"].strip()
    assert named or cases or row["id"] in ("9.8", "11-free"), "neither a test nor a case"
    assert [f"{file}::{name}" for file, name in named if name not in defined_in(TESTS / file)] == []
    assert [case for case in cases if not (TESTS / "cases" / "planner" / f"{case}.yaml").exists()] == []
    assert [word for word in re.findall(r"\bD\d+\b", row["proof"]) if word not in DECISIONS] == []


def test_no_row_is_there_twice() -> None:
    names = [row["id"] for row in rows]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("section", "count"), SECTIONS.items())
def test_no_row_of_the_specification_is_missing(section: str, count: int) -> None:
    assert sum(row["id"].startswith(section) for row in rows) == count


def test_every_case_of_the_specification_is_in_the_table() -> None:
    told = {case for row in rows for case in re.findall(r"case `([^`]+)`", row["proof"])}
    found = {path.stem for path in (TESTS / "cases" / "planner").glob("*.yaml")}
    assert {name for name in found if name.startswith(("example-", "spec-", "bad-"))} - told == set()
