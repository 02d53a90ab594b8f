"""Properties of the view under any sequence of edits, and of plans of random platforms."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeAlias

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cozystack.api.cozystack import PackageStatus
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key
from cozystack.planner import (
    Affected,
    Catalogue,
    Settings,
    explain,
    plan_namespace,
    plan_package,
    plan_platform,
    plan_removal,
    plan_source,
    stamp,
)
from support.cases import SHA, artifact, decode, install, install_release, release, release_status

NAMES = ("a", "a.b", "b", "c", "d")
NAMESPACES = ("ns", "tenant-x", "default")
KEYS = tuple(f"ns/{name}-{part}" for name in ("a", "b", "c") for part in "xz")
CHARTS = ("a-default-x", "a-b-default-x", "b-default-x", "b-default-z", "c-default-x")
STATES = ("ready", "ready", "failed", "waiting", "unknown", "new", "outdated", "retrying")

Edit: TypeAlias = tuple[str, Any]


def rarely(value: Any, usual: Any) -> st.SearchStrategy[Any]:
    return st.integers(0, 11).map(lambda number: value if number == 7 else usual)


@st.composite
def components(draw: st.DrawFn, source: str, name: str) -> dict[str, Any]:
    install = {
        "namespace": draw(st.sampled_from(("ns", "ns", "ns", "tenant-x", "default", "Bad"))),
        "releaseName": draw(rarely("a-x", f"{source}-{name}")),
        "dependsOn": draw(rarely(["nobody"], draw(rarely(["x"], [])))),
        "privileged": draw(st.booleans()),
    }
    return {"name": name, "path": draw(rarely("x/", "x")), **draw(rarely({}, {"install": install}))}


@st.composite
def variants(draw: st.DrawFn, source: str) -> dict[str, Any]:
    return {
        "name": draw(rarely("other", "default")),
        "dependsOn": draw(st.lists(st.sampled_from((*NAMES, "missing")), max_size=2)),
        "components": [draw(components(source, name)) for name in draw(st.sampled_from(("", "x", "x", "xz", "z")))],
    }


@st.composite
def sources(draw: st.DrawFn) -> Any:
    name = draw(st.sampled_from(NAMES))
    skip = draw(st.booleans())
    return decode(
        {
            "kind": "PackageSource",
            "name": name,
            "variants": [draw(variants(name)) for _ in range(draw(rarely(2, 1)))],
            "annotations": {"operator.cozystack.io/skip-cozystack-values": "true"} if skip else {},
        }
    )


packages = st.builds(
    lambda name, variant, ignored, disabled, marks, deleting, ready: decode(
        {
            "kind": "Package",
            "name": name,
            "variant": variant,
            "ignoreDependencies": ignored,
            "components": {component: {"enabled": False} for component in disabled},
            "annotations": dict.fromkeys(marks, "true"),
            "deleting": deleting,
            "status": {
                "releases": [{"name": "a-x", "namespace": "ns", "ready": ready}],
                "dependencies": {"a": {"ready": ready == "True"}},
            },
        }
    ),
    st.sampled_from(NAMES),
    rarely("other", ""),
    rarely(["a"], []),
    rarely(["x"], []),
    rarely(["operator.cozystack.io/paused"], []) | rarely(["operator.cozystack.io/allow-move"], []),
    rarely(True, False),
    st.sampled_from(("True", "False", "Unknown")),
)
releases = st.builds(
    lambda name, package, state, needs, chart, privileged, deleting: release(
        {
            "name": name,
            "package": package,
            "state": state,
            "dependsOn": needs,
            "chart": chart,
            "labels": {"cozystack.io/privileged": "true"} if privileged else {},
            "deleting": deleting,
        }
    ),
    st.sampled_from(KEYS),
    st.sampled_from(("a", "b", "c", "c", "")),
    st.sampled_from(STATES),
    st.lists(st.sampled_from(KEYS), max_size=1),
    st.sampled_from(CHARTS),
    st.booleans(),
    rarely(True, False),
)
generators = st.builds(
    lambda name, status: decode(
        {
            "kind": "ArtifactGenerator",
            "name": name,
            "namespace": "cozy-system",
            "labels": {"cozystack.io/packagesource": name},
            "spec": {"sources": [], "artifacts": []},
            "status": {"conditions": [{"type": "Ready", "status": status, "reason": "X", "lastTransitionTime": ""}]},
        }
    ),
    st.sampled_from(NAMES),
    st.sampled_from(("True", "False", "Unknown")),
)
repositories = st.builds(
    lambda name, status: decode(
        {
            "kind": "OCIRepository",
            "name": name,
            "namespace": "cozy-system",
            "spec": {"url": "oci://x", "interval": "5m"},
            "status": {"conditions": [{"type": "Ready", "status": status, "reason": "X", "lastTransitionTime": ""}]},
        }
    ),
    st.sampled_from(("acme-charts", "other")),
    st.sampled_from(("True", "False")),
)
namespaces = st.builds(
    lambda name, deleting, ours: decode(
        {
            "kind": "Namespace",
            "name": name,
            "deleting": deleting,
            "annotations": {"operator.cozystack.io/applied": "x"} if ours else {},
        }
    ),
    st.sampled_from(NAMESPACES),
    st.booleans(),
    st.booleans(),
)
artifacts = st.builds(
    lambda name, source: artifact(name, source=source),
    st.sampled_from(("a-default-a", "a-b-default-x", "a-b-b-c")),
    st.sampled_from(("", "a", "a.b")),
)
edits = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.one_of(sources(), packages, releases)),
        st.tuples(st.just("put"), st.one_of(generators, namespaces, artifacts, repositories)),
        st.tuples(st.sampled_from(("remove_source", "remove_package", "remove_generator")), st.sampled_from(NAMES)),
        st.tuples(st.just("remove_release"), st.sampled_from([Key(*key.split("/")) for key in KEYS])),
        st.tuples(st.just("remove_artifact"), st.sampled_from(CHARTS)),
        st.tuples(st.just("remove_namespace"), st.sampled_from(NAMESPACES)),
        st.tuples(
            st.sampled_from(("set_values_secret", "remove_values_secret")), st.sampled_from((*NAMESPACES, "cozy-system"))
        ),
    ),
    max_size=20,
)


def platform(settings: Settings | None = None) -> Catalogue:
    """Five packages that depend on each other, two of which run: where the edits start from."""
    view = Catalogue(settings)
    needs = {"a": [], "a.b": ["a"], "b": ["a"], "c": ["b", "a.b"], "d": ["c"]}
    with view.batch():
        for name in NAMES:
            parts = [
                {"name": part, "path": "x", "install": {"namespace": "ns", "releaseName": f"{name}-{part}"}} for part in "xz"
            ]
            flavours = [{"name": "default", "dependsOn": needs[name], "components": parts}]
            view.put(decode({"kind": "PackageSource", "name": name, "variants": flavours}))
            view.put(decode({"kind": "Package", "name": name}))
        view.set_values_secret("cozy-system")
    install(view, "a", "ready", {})
    install(view, "b", "ready", {"ns/b-z": {"state": "failed"}})
    return view


def apply(view: Catalogue, edit: Edit) -> Affected:
    method: Callable[[Any], Affected] = getattr(view, edit[0])
    return method(edit[1])


def everything(view: Catalogue) -> dict[str, Any]:
    found: dict[str, Any] = {f"source {name}": plan_source(view, name) for name in view.sources}
    found |= {f"package {name}": plan_package(view, name) for name in view.packages}
    known = {*view.target_namespaces, *view.namespaces}
    return found | {f"namespace {name}": plan_namespace(view, name) for name in known}


def named(affected: Affected) -> set[str]:
    return {
        *(f"source {name}" for name in affected.sources),
        *(f"package {name}" for name in affected.packages),
        *(f"namespace {name}" for name in affected.namespaces),
    }


def rebuilt(view: Catalogue, only: Collection[str] | None = None) -> Catalogue:
    fresh = Catalogue(view.settings)
    with fresh.batch(only):
        for table in (view._sources, view._packages, view._releases, view._generators):
            for found in table.values():
                fresh.put(found)
        for others in (view._artifacts, view._repositories, view._namespaces):
            for other in others.values():
                fresh.put(other)
        for namespace in view._secrets:
            fresh.set_values_secret(namespace)
    return fresh


@given(edits, st.sampled_from(("running", "written")))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_an_edited_view_plans_as_a_fresh_one_and_says_all_that_changed(found: list[Edit], gate: Any) -> None:
    view = platform(Settings(gate=gate))
    before = everything(view)
    for edit in found:
        affected = named(apply(view, edit))
        after = everything(view)
        assert {name for name in after if before.get(name) != after[name]} <= affected
        before = after
    assert before == everything(rebuilt(view))


@given(edits, edits)
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
def test_a_batch_of_edits_equals_the_edits_one_by_one(first: list[Edit], second: list[Edit]) -> None:
    one, other = platform(), platform()
    for edit in first:
        apply(one, edit)
        apply(other, edit)
    before = everything(one)
    for edit in second:
        apply(one, edit)
    with other.batch() as affected:
        for edit in second:
            assert not apply(other, edit)
    after = everything(one)
    assert everything(other) == after
    assert {name for name in after if before.get(name) != after[name]} <= named(affected[0])


@given(edits, edits, st.sets(st.sampled_from(NAMES), min_size=1, max_size=2), st.booleans())
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
def test_a_few_packages_are_planned_as_they_are_among_all(
    first: list[Edit], second: list[Edit], asked: set[str], planned_before: bool
) -> None:
    whole = platform()
    for edit in first:
        apply(whole, edit)
    part = rebuilt(whole, only=None if planned_before else ())
    for edit in second:
        apply(whole, edit)
    known = list(asked)
    with part.batch(only=known):
        for edit in second:
            apply(part, edit)
        for name in known:
            known += [other for other in part.dependencies(name) if other not in known]
    for name in known:
        if whole.package(name) is not None:
            assert plan_package(part, name) == plan_package(whole, name)
    assert everything(part) == everything(whole)


def test_who_was_left_out_is_planned_again_when_it_is_asked_for() -> None:
    whole, part = platform(), platform()
    for view, only in ((whole, None), (part, ["b"])):
        with view.batch(only):
            install_release(view, view.desired("b")[1], "ready", {})
    # c waits for b, which has recovered.
    assert plan_package(part, "c") == plan_package(whole, "c") != plan_package(platform(), "c")


def test_a_namespace_that_ends_is_seen_by_those_that_are_asked_for() -> None:
    whole, part = platform(), platform()
    for view, only in ((whole, None), (part, ["a.b"])):
        with view.batch(only):
            view.put(decode({"kind": "Namespace", "name": "ns", "deleting": True}))
    assert plan_package(part, "a.b") == plan_package(whole, "a.b") != plan_package(platform(), "a.b")


@given(edits)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_no_release_waits_for_one_that_nobody_makes(found: list[Edit]) -> None:
    view = platform()
    for edit in found:
        apply(view, edit)
    plan = plan_platform(view)
    leaving = {name for name, package in view.packages.items() if package.metadata.deletion_timestamp is not None}
    made = {planned.key for package in plan.packages.values() for planned in package.releases}
    made |= {found.key for name in leaving for found in view.desired(name)}
    for package in plan.packages.values():
        for planned in package.releases:
            needs = {Key(reference.namespace, reference.name) for reference in planned.desired.spec.depends_on}
            assert needs <= made
            assert planned.key not in needs
    in_waves = {name for wave in plan.waves for name in wave}
    assert in_waves.isdisjoint(name for cycle in plan.cycles for name in cycle)


@given(edits)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_whatever_the_objects_every_question_has_an_answer(found: list[Edit]) -> None:
    view = platform()
    for edit in found:
        apply(view, edit)
    for name in view.packages:
        plan = plan_package(view, name)
        plan_removal(view, name)
        for explained in explain(view, name):
            assert explained.chain[0] == name
            assert explained.message
            assert explained.unblock
        types = [condition.type for condition in plan.status.conditions]
        assert len(types) == len(set(types))
        assert msgspec.json.decode(msgspec.json.encode(plan.status), type=PackageStatus) == plan.status


@given(edits)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_doing_what_the_plan_says_comes_to_rest(found: list[Edit]) -> None:
    """Apply every due write and removal, let Flux do its work at once, publish every status: soon nothing is left to do."""
    view = platform()
    for edit in found:
        apply(view, edit)
    for _ in range(40):
        if not step(view):
            break
    else:
        raise AssertionError("it does not come to rest")


def step(view: Catalogue) -> bool:
    """One round of everything; whether anything was written."""
    written = False
    for name in sorted(view.target_namespaces):
        plan = plan_namespace(view, name)
        if plan.desired is not None and plan.action != "none":
            view.set_namespace(msgspec.structs.replace(plan.desired))
            written = True
    for name in sorted(view.packages):
        package_plan = plan_package(view, name)
        for planned in package_plan.releases:
            if planned.due:
                view.set_artifact(artifact(planned.desired.spec.chart_ref.name if planned.desired.spec.chart_ref else ""))
                value = msgspec.to_builtins(planned.desired) | {"status": release_status("ready", SHA)}
                value["metadata"]["generation"] = 1
                view.set_release(msgspec.convert(value, HelmRelease))
                written = True
        for removal in package_plan.removals:
            if removal.due:
                view.remove_release(removal.key)
                written = True
    for name in sorted(view.packages):
        package = view.packages[name]
        status = plan_package(view, name).status
        status.conditions = stamp(status.conditions, package.status.conditions, "2026-01-01T00:00:00Z")
        if status != package.status:
            view.set_package(msgspec.structs.replace(package, status=status))
            written = True
    return written
