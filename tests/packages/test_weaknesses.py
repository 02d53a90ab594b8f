"""Whether every weakness of the original's packages is decided, and each that is said to be gone is proved somewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TABLE = (TESTS.parent / "docs" / "design" / "weaknesses.md").read_text()
ROWS = re.findall(r"(?m)^\| (packages-[A-Z]\d+) ([HML]) \| ([\w ]+) \| ([^|]+) \|$", TABLE)
WANTED = {"M": range(1, 9), "P": range(1, 19), "I": range(1, 6), "G": range(1, 3), "A": range(1, 4), "B": range(1, 2)}


@cache
def said() -> str:
    files = [*TESTS.rglob("*.py"), *(TESTS / "cases").rglob("*.yaml"), *(TESTS.parent / "e2e/tests").glob("*.py")]
    return "\n".join(file.read_text() for file in files if file != Path(__file__))


def test_the_table_has_every_row_of_the_specification() -> None:
    wanted = [f"packages-{kind}{number}" for kind, numbers in WANTED.items() for number in numbers]
    assert sorted(row[0] for row in ROWS) == sorted(wanted)


@pytest.mark.parametrize(("row", "severity", "decision", "how"), ROWS, ids=[row[0] for row in ROWS])
def test_a_weakness_that_is_taken_has_a_test_with_its_id(row: str, severity: str, decision: str, how: str) -> None:
    assert decision in ("taken", "taken in part", "otherwise", "not taken", "not taken yet")
    proved = re.search(rf"\b{row}\b", said()) is not None
    assert proved or decision in ("not taken", "not taken yet") or (severity, decision) == ("L", "otherwise")


@pytest.mark.parametrize("row", [row[0] for row in ROWS])
def test_the_tests_that_a_row_names_are_there_and_one_of_them_names_the_row(row: str) -> None:
    how = next(found[3] for found in ROWS if found[0] == row)
    named = [path for text in re.findall(r"`([\w./]+)`", how) for path in place(text)]
    assert [str(path) for path in named if not path.exists()] == []
    texts = [file.read_text() for path in named for file in ([path] if path.is_file() else path.glob("*.py"))]
    assert not texts or any(re.search(rf"\b{row}\b", text) for text in texts)


def place(text: str) -> list[Path]:
    """Where a test of the table is; nothing when it is none."""
    if text.startswith(("tests/", "e2e/")):
        return [TESTS.parent / text]
    if re.fullmatch(r"test_\w+\.py", text):
        return [TESTS / "packages" / text]
    return []
