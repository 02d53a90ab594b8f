"""What is read of a large platform to explain a few of its Packages explains them as if all of it had been read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from cozystack.api import names
from cozystack.api.meta import Object
from cozystack.api.resources import HELM_RELEASES, SECRETS
from cozystack.cozypkg.focus import MOST, read_around
from cozystack.cozypkg.world import EVERYTHING, OPERATOR, World
from cozystack.kube import Client, SystemClock
from cozystack.planner import Catalogue, plan_package
from cozystack.planner.diagnosis import Evidence, diagnose
from cozystack.planner.settings import FLAGS
from support.cases import CASES, build, decode, install, load
from support.diagnosis import cases as faults
from support.diagnosis import world as faulty
from support.kube import FakeApi, error

VIEWS = {path.stem: path for path in sorted(CASES.glob("*.yaml"))}
FAULTS = dict(faults())


@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_found_in_what_is_read(name: str) -> None:
    view, evidence = faulty(FAULTS[name])
    asked = FAULTS[name].get("package", "acme.app")
    _, read = look(served(view), asked)
    assert diagnose(read, evidence, asked) == diagnose(view, evidence, asked)


@pytest.mark.parametrize("name", VIEWS)
def test_every_package_of_every_case_is_planned_and_explained_as_among_all(name: str) -> None:
    view = build(load(VIEWS[name]))
    # What is in a Secret, and what a release holds, only the operator looks at.
    for namespace in filter(view.lacks_values_key, list(view.target_namespaces)):
        view.set_values_secret(namespace)
    for key in view.releases:
        view.set_release_data(key, None)
    for package in view.packages:
        _, read = look(served(view), package)
        assert diagnose(read, Evidence(), package) == diagnose(view, Evidence(), package)
        plan, expected = plan_package(read, package), plan_package(view, package)
        assert (plan.problems, plan.settled, plan.removal) == (expected.problems, expected.settled, expected.removal)


def test_of_a_platform_that_runs_one_step_is_read() -> None:
    view = chain(12)
    api = served(view)
    _, read = look(api, "acme.p11")
    assert plan_package(read, "acme.p11").status == plan_package(view, "acme.p11").status
    assert {key.name for key in read.releases} == {"p11", "p10"}
    assert lists(api, HELM_RELEASES) == ["cozystack.io/package in (acme.p11)", "cozystack.io/package in (acme.p10)"]


def test_it_goes_as_far_as_somebody_waits() -> None:
    view = chain(12)
    for number in (9, 10, 11):
        install(view, f"acme.p{number}", "waiting", {})
    _, read = look(served(view), "acme.p11")
    assert {key.name for key in read.releases} == {"p11", "p10", "p9", "p8"}


def test_where_it_leads_too_far_everything_is_listed() -> None:
    view = chain(MOST + 2)
    for number in range(MOST + 2):
        install(view, f"acme.p{number}", "waiting", {})
    api = served(view)
    _, read = look(api, f"acme.p{MOST + 1}")
    assert len(read.releases) == MOST + 2
    assert lists(api, HELM_RELEASES)[-1] == ""


def test_a_small_platform_is_listed_at_once() -> None:
    api = served(chain(12))
    _, read = look(api, "acme.p11", few=12)
    assert (len(read.releases), lists(api, HELM_RELEASES)) == (12, [""])


def test_a_release_of_somebody_else_is_found_by_its_name() -> None:
    view = chain(2)
    live = plan_package(view, "acme.p1").releases[0].desired
    metadata = msgspec.structs.replace(live.metadata, labels={}, owner_references=())
    view.set_release(msgspec.structs.replace(live, metadata=metadata))
    _, read = look(served(view), "acme.p1")
    assert [type(problem).__name__ for problem in plan_package(read, "acme.p1").problems] == ["ReleaseOwnedByOther"]


def test_secrets_that_may_not_be_read_are_believed_to_be_there() -> None:
    api = served(chain(2))
    api.fail(error(403, "Forbidden"), when=lambda seen: "secrets" in seen.path, times=100)
    world, read = look(api, "acme.p1")
    assert read.has_values_secret("acme-1")
    assert world.warnings[0].startswith("Secrets may not be listed; ")


def test_an_object_that_cannot_be_read_is_told() -> None:
    api = served(chain(2))
    broken = {"metadata": {"name": "p1", "namespace": "acme-1", "labels": {names.PACKAGE_LABEL: "acme.p1"}}, "spec": 1}
    api.put(HELM_RELEASES, broken)
    world, read = look(api, "acme.p1")
    assert world.warnings[0].startswith("HelmRelease acme-1/p1 cannot be read: ")
    assert [release.state.phase for release in plan_package(read, "acme.p1").releases] == ["Missing"]


def chain(length: int) -> Catalogue:
    """Packages p0, p1 and so on that run, each of which depends on the one before."""
    view = Catalogue()
    with view.batch():
        for number in range(length):
            component = {"name": f"p{number}", "path": "x", "install": {"namespace": f"acme-{number % 3}"}}
            depends_on = [f"acme.p{number - 1}"] if number else []
            variant = {"name": "default", "dependsOn": depends_on, "components": [component]}
            view.put(decode({"kind": "PackageSource", "name": f"acme.p{number}", "variants": [variant]}))
            view.put(decode({"kind": "Package", "name": f"acme.p{number}"}))
        view.set_values_secret(names.SYSTEM_NAMESPACE)
    for number in range(length):
        install(view, f"acme.p{number}", "ready", {})
    return view


def served(view: Catalogue) -> FakeApi:
    """A server that holds the objects of a view."""
    api = FakeApi(*EVERYTHING, OPERATOR)
    known = {resource.kind: resource for resource in EVERYTHING}
    tables: list[Iterable[Object]] = [view.sources.values(), view.packages.values(), view.releases.values()]
    tables += [view._generators.values(), view._artifacts.values(), view._repositories.values(), view.namespaces.values()]
    for table in tables:
        for obj in table:
            resource: Any = known[type(obj).__name__]
            api.put(resource, msgspec.to_builtins(obj))
    told = [f"--{flag}={getattr(view.settings, field)}" for flag, field in FLAGS.items()]
    spec = {"template": {"spec": {"containers": [{"name": "operator", "args": told}]}}}
    api.put(OPERATOR, {"metadata": {"name": "cozystack-operator", "namespace": names.SYSTEM_NAMESPACE}, "spec": spec})
    for namespace in view._secrets:
        api.put(SECRETS, {"metadata": {"name": names.VALUES_SECRET, "namespace": namespace}})
    return api


def look(api: FakeApi, asked: str, *, few: int = 0) -> tuple[World, Catalogue]:
    """What is read around a Package."""
    return asyncio.run(read_around(Client(api, clock=SystemClock()), [asked], few=few))


def lists(api: FakeApi, resource: Any) -> list[str]:
    """The label selectors of lists of a resource, in all namespaces."""
    return [seen.query.get("labelSelector", "") for seen in api.requests if seen.path == resource.path()]
