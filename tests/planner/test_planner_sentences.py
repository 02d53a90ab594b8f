"""Every problem has words, a severity, and survives a trip through JSON."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from cozystack.planner import AnyProblem, Problem, describe, explain, plan_source, problems, to_json, unblock
from support.cases import CASES, build, load

KINDS = get_args(AnyProblem)
SUBJECT = problems.Ref("Package", "acme.db")
SAMPLES: dict[str, Any] = {
    "rule": "empty",
    "target": problems.release_ref("ns", "new"),
    "release": problems.release_ref("ns", "db"),
    "origin": problems.Ref("OCIRepository", "charts", "cozy-system"),
    "cause": None,
    "found": "list",
    "count": 2,
    "most": 1,
}


def sample(kind: type[Problem]) -> Problem:
    fields = {
        field.name: SAMPLES.get(field.name, ("one", "two") if "tuple" in str(field.type) else "one")
        for field in msgspec.structs.fields(kind)
        if field.name != "subject"
    }
    return kind(subject=SUBJECT, **fields)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_problem_says_what_is_wrong_and_what_would_fix_it(kind: type[Problem]) -> None:
    problem = sample(kind)
    for sentence in (describe(problem), unblock(problem)):
        assert sentence
        assert not sentence.endswith(".")
        assert "None" not in sentence


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_problem_survives_json(kind: type[Problem]) -> None:
    problem = sample(kind)
    value = to_json(problem)
    assert value["type"] == kind.__name__
    assert value.pop("severity") == kind.severity
    assert msgspec.convert(value, AnyProblem) == problem


def test_the_union_holds_every_problem() -> None:
    defined = {kind for _, kind in inspect.getmembers(problems, inspect.isclass) if issubclass(kind, Problem)}
    assert defined - {Problem} == set(KINDS)


def test_every_problem_has_a_case() -> None:
    found: set[str] = set()
    for path in CASES.glob("[!_]*.yaml"):
        text = path.read_text()
        found |= {kind.__name__ for kind in KINDS if kind.__name__ in text}
    assert {kind.__name__ for kind in KINDS} - found == set()


def test_a_chain_is_told_from_its_root_cause() -> None:
    view = build(load(Path(CASES / "gate-holds-changes-back.yaml")))
    first = explain(view, "c")[0]
    assert first.chain == ("c", "b", "a")
    assert first.message == "HelmRelease/ns/a has failed (InstallFailed: timed out)"
    assert first.unblock == "see the events of HelmRelease/ns/a; it is tried again until it succeeds"


def test_plain_waiting_comes_after_causes_and_warnings_come_last() -> None:
    view = build(load(Path(CASES / "operator-P12-cycle.yaml")))
    assert [type(found.problem).__name__ for found in explain(view, "c")] == ["DependencyCycle", "DependencyNotReady"]
    assert explain(view, "c")[1].message == "Package free is not ready yet"


def test_long_lists_and_loops_are_cut() -> None:
    members = tuple(f"p{number}" for number in range(20))
    loop = problems.DependencyCycle(subject=SUBJECT, members=members)
    assert describe(loop).endswith("p6 → p7 → … → p0")
    variant = problems.MissingVariant(subject=SUBJECT, variant="x", available=members)
    assert unblock(variant).endswith("p7 and 12 more")


def test_questions_about_nothing_are_answered_by_an_error() -> None:
    view = build({"given": []})
    with pytest.raises(LookupError, match="there is no Package nothing"):
        explain(view, "nothing")
    with pytest.raises(LookupError, match="there is no PackageSource nothing"):
        plan_source(view, "nothing")
