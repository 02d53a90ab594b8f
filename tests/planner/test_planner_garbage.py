"""Whatever stands in the fields of both kinds: every plan is made, unrelated packages do not notice, order does not matter."""

from __future__ import annotations

import random
import re
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cozystack.api.flux import ArtifactGenerator
from cozystack.planner import (
    Catalogue,
    Problem,
    describe,
    explain,
    payload,
    plan_namespace,
    plan_package,
    plan_platform,
    plan_source,
    to_json,
    unblock,
)
from cozystack.planner.admission import judge_package, judge_source
from cozystack.planner.problems import AnyProblem
from cozystack.planner.selection import ARTIFACTS_MAX
from cozystack.planner.sentences import SENTENCE_MAX
from support.cases import build, decode

NAMES = ("g", "g.h", "g-h", "h", "a" * 63, "b" * 64, "c.d" * 80)
WORDS = (
    "",
    "a",
    "default",
    "ns",
    "tenant-x",
    "kube-system",
    "A",
    "a.b",
    "a_b",
    "-a",
    "a-",
    ".",
    "..",
    "/",
    "//",
    "a/../b",
    "/a",
    "a/",
    "*",
    "a\nb",
    "\0",
    "ü",
    "a b",
    "a,b",
    "{{ .Values }}",
    "d" * 53,
    "e" * 54,
    "f" * 253,
    "g" * 2000,
    "h/" * 600 + "h",
    *NAMES,
)
words = st.sampled_from(WORDS) | st.text(max_size=8)
many_words = st.lists(words, max_size=3)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
installs = st.fixed_dictionaries(
    {},
    optional={
        "namespace": words,
        "releaseName": words,
        "privileged": st.booleans(),
        "dependsOn": many_words,
        "upgradeCRDs": st.sampled_from(("Skip", "Create", "CreateReplace")),
        "waitStrategy": st.sampled_from(("poller", "legacy")),
        "healthCheckExprs": st.lists(
            st.fixed_dictionaries({"apiVersion": words, "kind": words, "current": words}, optional={"failed": words}),
            max_size=2,
        ),
    },
)
components = st.fixed_dictionaries(
    {"name": words, "path": words}, optional={"libraries": many_words, "valuesFiles": many_words, "install": installs}
)
variants = st.fixed_dictionaries(
    {"name": st.just("default") | words},
    optional={
        "dependsOn": many_words,
        "libraries": st.lists(st.fixed_dictionaries({"path": words}, optional={"name": words}), max_size=3),
        "components": st.lists(components, max_size=4),
    },
)
origins = st.none() | st.fixed_dictionaries(
    {"kind": st.sampled_from(("OCIRepository", "GitRepository")), "name": words, "namespace": words}, optional={"path": words}
)
sources = st.fixed_dictionaries(
    {"kind": st.just("PackageSource"), "name": st.sampled_from(NAMES), "variants": st.lists(variants, max_size=3)},
    optional={
        "sourceRef": origins,
        "annotations": st.dictionaries(st.just("operator.cozystack.io/skip-cozystack-values"), words, max_size=1),
    },
)
packages = st.fixed_dictionaries(
    {"kind": st.just("Package"), "name": st.sampled_from(NAMES)},
    optional={
        "variant": words,
        "ignoreDependencies": many_words,
        "components": st.dictionaries(
            words, st.fixed_dictionaries({}, optional={"enabled": st.none() | st.booleans(), "values": anything}), max_size=3
        ),
        "annotations": st.dictionaries(
            st.sampled_from(("operator.cozystack.io/paused", "operator.cozystack.io/allow-move")), words, max_size=1
        ),
    },
)
objects = st.lists(sources | packages, max_size=6)

GOOD: list[dict[str, Any]] = [
    {
        "kind": "PackageSource",
        "name": "good.base",
        "variants": [{"name": "default", "components": [{"name": "base", "path": "x", "install": {"namespace": "good"}}]}],
    },
    {
        "kind": "PackageSource",
        "name": "good.app",
        "variants": [
            {
                "name": "default",
                "dependsOn": ["good.base"],
                "components": [{"name": "app", "path": "x", "install": {"namespace": "good", "privileged": True}}],
            }
        ],
    },
    {"kind": "Package", "name": "good.base"},
    {"kind": "Package", "name": "good.app"},
    {"kind": "ValuesSecret", "namespaces": ["cozy-system", "good"]},
]
GOOD_PLANS = {
    name: (plan_source(view, name), plan_package(view, name))
    for view in [build({"given": GOOD})]
    for name in ("good.base", "good.app")
}


def plans(view: Catalogue) -> dict[str, Any]:
    found: dict[str, Any] = {f"source {name}": plan_source(view, name) for name in view.sources}
    found |= {f"package {name}": plan_package(view, name) for name in view.packages}
    return found | {f"namespace {name}": plan_namespace(view, name) for name in view.target_namespaces}


def told(problem: Problem) -> None:
    """A problem has words that fit into a condition, and survives as data."""
    for sentence in (describe(problem), unblock(problem)):
        assert 0 < len(sentence) <= SENTENCE_MAX
    value = to_json(problem)
    value.pop("severity")
    assert msgspec.convert(value, AnyProblem) == problem


@given(objects)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_every_plan_is_made_and_what_is_applied_is_what_flux_takes(found: list[dict[str, Any]]) -> None:
    view = build({"given": found})
    for name in view.sources:
        planned = plan_source(view, name)
        if planned.generator is not None:
            assert faults(planned.generator) == []
        for problem in planned.problems:
            told(problem)
        assert all(len(condition.message) <= 32768 for condition in planned.status.conditions)
    for name in view.packages:
        plan = plan_package(view, name)
        for problem in plan.problems:
            told(problem)
        assert all(len(condition.message) <= 32768 for condition in plan.status.conditions)
        assert [explained.chain[0] for explained in explain(view, name)] == [name] * len(plan.problems)
        for planned_release in plan.releases:
            if planned_release.due:
                applied = payload(planned_release.desired)
                assert len(applied["metadata"]["name"]) <= 53
                assert isinstance(applied["spec"].get("values", {}), dict)
    plan_platform(view)


@given(objects)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_unrelated_packages_do_not_notice(found: list[dict[str, Any]]) -> None:
    view = build({"given": [*GOOD, *found]})
    assert {name: (plan_source(view, name), plan_package(view, name)) for name in GOOD_PLANS} == GOOD_PLANS
    assert set(view.plan("good.base").releases[0].waits_for) == set()


@given(objects, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_the_order_of_arrival_makes_no_difference(found: list[dict[str, Any]], shuffler: random.Random) -> None:
    newest = {(item["kind"], item["name"]): item for item in found}
    once = [decode(item) for item in newest.values()]
    shuffled = list(once)
    shuffler.shuffle(shuffled)
    one, other = Catalogue(), Catalogue()
    for obj in once:
        one.put(obj)
    for obj in shuffled:
        other.put(obj)
    assert plans(one) == plans(other)


@given(objects)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_the_webhook_judges_what_nobody_could_mean(found: list[dict[str, Any]]) -> None:
    view = build({"given": GOOD})
    for item in found:
        obj = decode(item)
        verdict = judge_package(view, None, obj) if item["kind"] == "Package" else judge_source(view, None, obj)
        assert all(finding.message for finding in (*verdict.refusals, *verdict.warnings))


def faults(generator: ArtifactGenerator) -> list[str]:
    """What the schema of Flux says against a generator (specification, operator 3.5)."""
    spec = generator.spec
    found = [
        f"{source.alias} is no alias"
        for source in spec.sources
        if not re.fullmatch(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?", source.alias)
    ]
    found += [f"{len(source.alias)} characters" for source in spec.sources if len(source.alias) > 63]
    found += [
        f"{source.name} is no name"
        for source in spec.sources
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", source.name)
    ]
    found += [
        f"{source.namespace} is no namespace"
        for source in spec.sources
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", source.namespace) or len(source.namespace) > 63
    ]
    if not 1 <= len(spec.artifacts) <= ARTIFACTS_MAX:
        found.append(f"{len(spec.artifacts)} artifacts")
    for artifact in spec.artifacts:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", artifact.name) or len(artifact.name) > 253 or not artifact.copy:
            found.append(f"{artifact.name} is no artifact")
        for copy in artifact.copy:
            if not re.fullmatch(r"@([a-z0-9]([a-z0-9_-]*[a-z0-9])?)/(.*)", copy.from_) or len(copy.from_) > 1024:
                found.append(f"cannot copy from {copy.from_}")
            if not re.fullmatch(r"@(artifact)/(.*)", copy.to) or len(copy.to) > 1024 or "/../" in copy.to:
                found.append(f"cannot copy to {copy.to}")
    if len(generator.metadata.labels["cozystack.io/packagesource"]) > 63:
        found.append("the label is too long")
    return found
