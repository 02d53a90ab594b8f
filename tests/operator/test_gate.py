"""What waits for what: the gate, wake-ups, root causes and cycles (specification, operator 4.4 and 4.5; decisions D1, D5)."""

from __future__ import annotations

from datetime import timedelta

from cozystack.api import names
from cozystack.api.resources import ARTIFACT_GENERATORS, HELM_RELEASES, NAMESPACES, PACKAGE_SOURCES, PACKAGES
from cozystack.api.time import parse_time
from support.operator import Obj, Running, World, component, condition_of, package, source

A, B, C = "ns-a/a", "ns-b/b", "ns-c/c"
READY = ("True", "ReconciliationSucceeded")


async def chain(world: World) -> None:
    """Packages a, b, c of one release each; c depends on b, b on a."""
    for name, below in (("c", ["b"]), ("b", ["a"]), ("a", [])):
        await world.put(source(name, component(name, f"ns-{name}"), depends_on=below), package(name))
    await world.settle()
    for name in "abc":
        await world.flux.build(name)
    await world.settle()


async def pair(world: World) -> None:
    """Package p with two releases; ``B`` depends on ``A``."""
    await world.put(source("p", component("a", "ns-a"), component("b", "ns-b", dependsOn=["a"])), package("p"))
    await world.settle()
    await world.flux.build("p")
    await world.settle()


async def blockers(world: World, name: str) -> list[tuple[str, str, list[str]]]:
    """Reason, object and chain of everything that blocks a Package."""
    found = (await world.status(name)).get("blockedBy", ())
    return [(each["reason"], each.get("object", ""), each.get("chain", [])) for each in found]


async def requested_at(world: World, release: str) -> str:
    annotations: Obj = (await world.get(HELM_RELEASES, release))["metadata"].get("annotations", {})
    found: str = annotations.get(names.REQUESTED_AT_ANNOTATION, "")
    return found


def requests(running: Running, release: str) -> int:
    """How often a release was written."""
    return sum(line.endswith(f"/helmreleases/{release.partition('/')[2]}") for line in running.writes)


# The gate


async def test_releases_are_made_when_the_package_below_is_ready_and_at_once(world: World) -> None:
    world.start()
    await chain(world)
    began = world.clock.monotonic()
    seen = [await world.names(HELM_RELEASES)]
    for release in (A, B, C):
        await world.flux.deploy(release)
        await world.settle()
        seen.append(await world.names(HELM_RELEASES))
    assert seen == [[A], [A, B], [A, B, C], [A, B, C]]
    assert world.clock.monotonic() == began
    assert [await world.ready(name) for name in "abc"] == [READY] * 3


async def test_namespaces_are_there_before_the_gate_opens(world: World) -> None:
    world.start()
    await chain(world)
    assert {"ns-a", "ns-b", "ns-c"} <= set(await world.names(NAMESPACES))


async def test_dependencies_are_told_as_they_become_ready(world: World) -> None:
    world.start()
    await chain(world)
    assert (await world.status("b"))["dependencies"] == {"a": {"ready": False}}
    await world.flux.deploy(A)
    await world.settle()
    assert (await world.status("b"))["dependencies"] == {"a": {"ready": True}}
    assert (await world.status("c"))["dependencies"] == {"b": {"ready": False}}


async def test_with_the_gate_on_written_releases_are_made_as_soon_as_those_below_are(world: World) -> None:
    world.start("--dependency-gate=written")
    await chain(world)
    assert await world.names(HELM_RELEASES) == [A, B, C]


async def test_a_dependency_that_is_ignored_holds_nobody(world: World) -> None:
    world.start()
    await chain(world)
    await world.edit(PACKAGES, "c", {"spec": {"ignoreDependencies": ["b"]}})
    await world.settle()
    assert await world.names(HELM_RELEASES) == [A, C]
    assert "dependsOn" not in (await world.get(HELM_RELEASES, C))["spec"]


async def test_a_dependency_that_fails_later_holds_changes_back_and_nothing_else(world: World) -> None:
    running = world.start()
    await chain(world)
    await world.install()
    await world.flux.fail(A)
    await world.settle()
    assert await world.ready("b") == READY
    writes = requests(running, B)
    await world.edit(PACKAGES, "b", {"spec": {"components": {"b": {"values": {"x": 1}}}}})
    await world.settle(60)
    assert requests(running, B) == writes
    status = await world.status("b")
    assert (condition_of(status, "Ready"), condition_of(status, "Reconciling")) == (READY, ("True", "DependenciesNotReady"))
    assert await blockers(world, "b") == [("FailingRelease", f"HelmRelease/{A}", ["b", "a"])]
    await world.flux.deploy(A)
    await world.settle()
    assert (await world.get(HELM_RELEASES, B))["spec"]["values"] == {"x": 1}


async def test_a_closed_gate_holds_no_removal_back(world: World) -> None:
    world.start()
    await world.put(
        source("a", component("a", "ns-a")),
        source("b", component("b", "ns-b"), component("more", "ns-b"), depends_on=["a"]),
        package("a"),
        package("b"),
    )
    await world.install()
    await world.flux.fail(A)
    await world.edit(PACKAGES, "b", {"spec": {"components": {"more": {"enabled": False}}}})
    await world.settle()
    assert await world.names(HELM_RELEASES) == [A, B]


async def test_one_package_that_fails_writes_nothing_to_those_that_run_above_it(world: World) -> None:
    """Weakness operator-P10."""
    running = world.start()
    await chain(world)
    await world.install()
    writes = len(running.writes)
    await world.flux.fail(A)
    await world.settle(60)
    assert running.writes[writes:] == ["PATCH /apis/cozystack.io/v1alpha1/packages/a/status"]


# Wake-ups


async def test_a_release_is_woken_when_the_last_that_it_waits_for_is_ready(world: World) -> None:
    """Weakness operator-P11."""
    running = world.start()
    await pair(world)
    await world.flux.wait(B)
    await world.settle()
    assert await requested_at(world, B) == ""
    await world.flux.deploy(A)
    await world.settle()
    assert parse_time(await requested_at(world, B)) == world.clock.now()
    assert requests(running, B) == 2


async def test_a_release_whose_request_is_not_handled_yet_is_not_asked_again(world: World) -> None:
    running = world.start()
    await pair(world)
    await world.flux.wait(B)
    await world.flux.deploy(A)
    await world.settle()
    writes = requests(running, B)
    await world.settle(120)
    assert requests(running, B) == writes


async def test_a_release_that_handled_its_request_in_vain_is_asked_again(world: World) -> None:
    world.start()
    await pair(world)
    await world.flux.wait(B)
    await world.flux.deploy(A)
    await world.settle()
    first = await requested_at(world, B)
    await world.flux.wait(B)
    await world.settle(30)
    second = await requested_at(world, B)
    assert timedelta(0) < parse_time(second) - parse_time(first) <= timedelta(seconds=10)
    await world.flux.deploy(B)
    await world.settle(600)
    assert await requested_at(world, B) == second


async def test_asking_in_vain_over_and_over_is_spaced_out(world: World) -> None:
    """A helm-controller that always answers at once, and in vain, is not driven in a circle."""
    running = world.start()
    await pair(world)
    await world.flux.wait(B)
    await world.flux.deploy(A)
    await world.settle()
    writes = requests(running, B)
    for _ in range(60):
        await world.flux.wait(B)
        await world.settle(1)
    assert 4 <= requests(running, B) - writes <= 6


async def test_releases_of_another_package_are_woken_across_packages(world: World) -> None:
    """New charts reach all releases at once; the upper one waits until the lower one runs again."""
    world.start()
    await chain(world)
    await world.install()
    for name in "ab":
        await world.flux.build(name, content="2")
    await world.flux.wait(A, B)
    await world.settle()
    assert await requested_at(world, B) == ""
    await world.flux.deploy(A)
    await world.settle()
    assert await requested_at(world, B) != ""


async def test_a_killed_operator_wakes_after_its_restart_what_it_did_not_wake_before(world: World) -> None:
    first = world.start()
    await pair(world)
    await world.flux.wait(B)
    await first.kill()
    await world.flux.deploy(A)
    world.start()
    await world.settle(1)
    assert await requested_at(world, B) != ""


# Why a Package waits


async def test_a_blocked_package_names_the_root_cause_and_the_way_to_it(world: World) -> None:
    world.start()
    await chain(world)
    await world.flux.fail(A, "no memory")
    await world.settle()
    assert {name: await blockers(world, name) for name in "abc"} == {
        "a": [("FailingRelease", f"HelmRelease/{A}", ["a"])],
        "b": [("FailingRelease", f"HelmRelease/{A}", ["b", "a"])],
        "c": [("FailingRelease", f"HelmRelease/{A}", ["c", "b", "a"])],
    }
    (blocker,) = (await world.status("c"))["blockedBy"]
    assert "no memory" in blocker["message"]
    assert blocker["unblock"]
    assert await world.ready("c") == ("False", "DependenciesNotReady")
    assert condition_of(await world.status("c"), "Accepted") == ("True", "Accepted")
    assert condition_of(await world.status("c"), "Stalled") == ("", "")


async def test_a_cause_that_is_gone_is_gone_from_everybody(world: World) -> None:
    world.start()
    await chain(world)
    await world.flux.fail(A)
    await world.settle()
    await world.install()
    assert {name: await blockers(world, name) for name in "abc"} == {"a": [], "b": [], "c": []}


async def test_a_missing_package_is_the_cause_and_who_could_provide_it_is_told(world: World) -> None:
    world.start()
    await world.put(
        source("a", component("a", "ns-a")),
        source("b", component("b", "ns-b"), depends_on=["a"]),
        source("c", component("c", "ns-c"), depends_on=["b"]),
        package("b"),
        package("c"),
    )
    await world.settle()
    assert await blockers(world, "b") == [("MissingDependency", "Package/b", ["b"])]
    assert await blockers(world, "c") == [("MissingDependency", "Package/b", ["c", "b"])]
    assert "a" in (await world.status("b"))["blockedBy"][0]["unblock"]


async def test_charts_that_cannot_be_fetched_are_the_cause(world: World) -> None:
    world.start()
    await world.put(source("a", component("a", "ns-a")), source("b", component("b", "ns-b"), depends_on=["a"]))
    await world.put(package("a"), package("b"))
    await world.settle()
    await world.flux.generated("a", "False", "BuildFailed", "no such chart")
    await world.settle()
    ((reason, at_fault, way),) = await blockers(world, "b")
    assert (reason, way) == ("SourceNotReady", ["b", "a"])
    assert at_fault == "PackageSource/a"


# Cycles


async def test_packages_in_a_loop_are_told_the_loop_and_everybody_else_proceeds(world: World) -> None:
    world.start()
    await world.put(
        source("free", component("free", "ns-free")),
        source("x", component("x", "ns-x"), depends_on=["y", "free"]),
        source("y", component("y", "ns-y"), depends_on=["z"]),
        source("z", component("z", "ns-z"), depends_on=["x"]),
        source("above", component("above", "ns-above"), depends_on=["x"]),
        *(package(name) for name in ("free", "x", "y", "z", "above")),
    )
    await world.install(1)
    assert await world.names(HELM_RELEASES) == ["ns-free/free"]
    assert await world.ready("free") == READY
    reasons = {name: {reason for reason, _, _ in await blockers(world, name)} for name in ("x", "y", "z", "above")}
    assert reasons == {name: {"DependencyCycle"} for name in ("x", "y", "z", "above")}
    status = await world.status("y")
    assert "x" in status["blockedBy"][0]["message"]
    assert "z" in status["blockedBy"][0]["message"]
    assert (await blockers(world, "above"))[0][2] == ["above", "x"]


async def test_a_loop_that_is_broken_goes_on_by_itself(world: World) -> None:
    world.start()
    await world.put(
        source("x", component("x", "ns-x"), depends_on=["y"]),
        source("y", component("y", "ns-y"), depends_on=["x"]),
        package("x"),
        package("y"),
    )
    await world.settle()
    await world.edit(PACKAGES, "y", {"spec": {"ignoreDependencies": ["x"]}})
    await world.install()
    assert [await world.ready(name) for name in "xy"] == [READY] * 2


async def test_a_package_that_waits_for_itself_is_a_loop_of_one(world: World) -> None:
    world.start()
    await world.put(source("x", component("x", "ns-x"), depends_on=["x"]), package("x"))
    await world.settle()
    assert [(reason, way) for reason, _, way in await blockers(world, "x")] == [("DependencyCycle", ["x"])]


# Order of arrival


async def test_the_order_in_which_things_are_made_makes_no_difference(world: World) -> None:
    world.start()
    await world.put(package("c"), package("b"), package("a"))
    await world.settle()
    for name, below in (("c", ["b"]), ("b", ["a"]), ("a", [])):
        await world.put(source(name, component(name, f"ns-{name}"), depends_on=below))
        await world.settle()
    await world.install()
    assert [await world.ready(name) for name in "abc"] == [READY] * 3
    assert sorted(await world.names(ARTIFACT_GENERATORS)) == [f"cozy-system/{name}" for name in "abc"]
    assert await world.names(PACKAGE_SOURCES) == ["a", "b", "c"]
