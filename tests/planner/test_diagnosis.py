"""Every seeded fault is found: its cause, the object at fault, the way there."""

from __future__ import annotations

from typing import Any

import pytest

from cozystack.planner.diagnosis import Evidence, diagnose
from support.diagnosis import cases, world

ALL = dict(cases())


@pytest.mark.parametrize("name", ALL)
def test_a_seeded_fault_is_found(name: str) -> None:
    case = ALL[name]
    view, evidence = world(case)
    found = diagnose(view, evidence, case.get("package", "acme.app"))
    expected: Any = case["expect"]
    if expected == "nothing":
        assert found == ()
        return
    first = found[0]
    told: dict[str, Any] = {
        "cause": first.cause,
        "object": first.object,
        "unblock": first.unblock,
        "message": first.message,
        "waits": first.waits,
        "warning": first.warning,
        "commands": list(first.commands),
        "through": [link.object for link in first.chain[:-1]],
    }
    assert {key: told[key] for key in expected} == expected
    assert first.unblock


def test_there_are_at_least_fifty_of_them_and_no_two_alike() -> None:
    assert len(ALL) >= 50
    assert len(list(cases())) == len(ALL)


def test_a_package_that_nobody_knows_is_an_error() -> None:
    view, _ = world({})
    with pytest.raises(LookupError, match=r"there is no Package acme\.ghost"):
        diagnose(view, Evidence(), "acme.ghost")
