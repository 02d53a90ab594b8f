"""Every file under ``tests/cases/planner`` is a test: objects in, plans out."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cases import CASES, actual, build, load


@pytest.mark.parametrize("path", sorted(CASES.glob("[!_]*.yaml")), ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = load(path)
    wanted = case["expect"]
    assert actual(build(case), wanted) == wanted, case["about"]
