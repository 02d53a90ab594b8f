"""Every problem has words, a severity, and survives a trip through JSON."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from cozystack.api import yaml
from cozystack.planner import AnyProblem, Problem, describe, explain, plan_package, plan_source, problems, to_json, unblock
from cozystack.planner.sentences import SENTENCE_MAX, did_you_mean, similar
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


PROBLEMS: list[dict[str, Any]] = yaml.load((CASES.parent / "problems.yaml").read_bytes(), source="problems.yaml")
# What the operator has to tell as data, in the words of its issue, and how that is called here.
DEMANDED = {
    "missing source": "MissingSource",
    "missing variant": "MissingVariant",
    "missing dependency": "MissingDependency",
    "dependency cycle": "DependencyCycle",
    "release owned by somebody else": "ReleaseOwnedByOther",
    "two packages naming one release": "ReleaseNameClash",
    "artifact name collision": "ArtifactNameCollision",
    "invalid name": "InvalidName",
    "invalid path": "InvalidPath",
    "disabled sibling still depended on": "DisabledSibling",
    "unknown component in overrides": "UnknownOverride",
    "namespace that is not labelled": "NamespaceUnlabelled",
    "namespace that is terminating": "NamespaceTerminating",
    "missing values Secret": "MissingValuesSecret",
    "suspended release": "SuspendedRelease",
    "failing release": "FailingRelease",
    "stalled source": "StalledSource",
}


@pytest.mark.parametrize("told", PROBLEMS, ids=[f"{n}-{told['problem']['type']}" for n, told in enumerate(PROBLEMS)])
def test_a_problem_is_data_a_sentence_and_a_fix(told: dict[str, Any]) -> None:
    problem: Problem = msgspec.convert({k: v for k, v in told["problem"].items() if k != "severity"}, AnyProblem)
    assert {"says": describe(problem), "fix": unblock(problem), "problem": to_json(problem)} == told


def test_every_kind_and_every_rule_is_told() -> None:
    told = [item["problem"] for item in PROBLEMS]
    assert {problem["type"] for problem in told} == {kind.__name__ for kind in KINDS}
    for kind in (problems.InvalidName, problems.InvalidPath):
        rules = get_args(inspect.get_annotations(kind, eval_str=True)["rule"])
        assert {problem["rule"] for problem in told if problem["type"] == kind.__name__} == set(rules)


@pytest.mark.parametrize("name", DEMANDED.values(), ids=DEMANDED.keys())
def test_what_the_operator_has_to_tell_is_a_problem(name: str) -> None:
    assert name in {kind.__name__ for kind in KINDS}


def test_the_status_has_the_root_cause_first_then_what_takes_time_with_chain_and_remedy() -> None:
    view = build(load(CASES / "spec-4.8-dependency-without-source.yaml"))
    assert msgspec.to_builtins(plan_package(view, "c").status.blocked_by) == (
        {
            "reason": "MissingSource",
            "message": "PackageSource a not found",
            "object": "Package/a",
            "chain": ("c", "b", "a"),
            "unblock": "create PackageSource a",
        },
        {
            "reason": "DependencyNotReady",
            "message": "Package slow is not ready yet",
            "object": "Package/slow",
            "chain": ("c", "slow"),
            "unblock": "wait for Package slow",
        },
    )


def test_words_are_cut_to_what_a_condition_holds() -> None:
    problem = problems.MissingVariant(subject=SUBJECT, variant="v" * 1_000_000)
    assert len(describe(problem)) == SENTENCE_MAX


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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("db", ("acme.db",)),
        ("acme.dp", ("acme.db",)),
        ("ACME.DB", ("acme.db",)),
        ("cozystack.reddis", ("cozystack.redis",)),
        ("cert-manger", ("cozystack.cert-manager", "cozystack.cert-manager-issuers")),
        ("cozystak.redis", ("cozystack.redis",)),
        ("plian", ("plain",)),
        ("cozystack.foo", ()),
        ("acme.ghost", ()),
        ("", ()),
    ],
)
def test_names_that_may_be_meant_are_alike_in_what_is_their_own(name: str, meant: tuple[str, ...]) -> None:
    known = ["acme.db", "acme.net", "cozystack.redis", "cozystack.etcd", "cozystack.cert-manager", "plain"]
    assert similar(name, [*known, "cozystack.cert-manager-issuers"]) == meant
    hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
    assert did_you_mean(name, [*known, "cozystack.cert-manager-issuers"]) == hint
