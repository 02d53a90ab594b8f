"""Operators that die at any moment, and requests whose answers are late or lost: what is there in the end is the same.

An operator is killed after some number of requests, with the last one carried out or not, and a new one takes its place; the
story goes on meanwhile. Every object of interest is then compared with that of a run in which nothing went wrong.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random

import pytest

from cozystack.api.resources import CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, HELM_RELEASES, OCI_REPOSITORIES, PACKAGES
from support.operator import Obj, Running, World, component, json_of, package, path_of, source, values_secret, without_noise

PLATFORM = ("--install-crds", "--install-flux", "--platform-source-url=oci://registry.example.org/packages")
READY = ("True", "ReconciliationSucceeded")


async def story(world: World) -> AsyncIterator[None]:
    """What users do, step by step; each step has settled, as far as an operator was there to do something about it."""
    await world.put(
        source(
            "acme.base", component("crds", "acme-base"), component("agent", "acme-base", privileged=True, dependsOn=["crds"])
        ),
        source("acme.db", component("db", "acme-db"), component("seed", "tenant-x"), depends_on=["acme.base"]),
        source("acme.app", component("app", "acme-app"), component("extra", "acme-app"), depends_on=["acme.db"]),
        package("acme.base"),
        package("acme.db", components={"seed": {"enabled": False}}),
        package("acme.app"),
    )
    yield
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"replicas": 3}}}}})
    yield
    await world.edit(PACKAGES, "acme.app", {"spec": {"components": {"extra": {"enabled": False}}}})
    await world.put(values_secret("a: 2"))
    yield
    await world.put(source("acme.old", component("one", "acme-old"), component("two", "acme-old", dependsOn=["one"])))
    await world.put(package("acme.old"))
    yield
    await world.delete(PACKAGES, "acme.old")
    await world.put(source("acme.base", component("crds", "acme-base"), component("agent", "acme-base", dependsOn=["crds"])))
    yield


async def play(*, lives: int | None, swallows: bool, for_ever: bool = False) -> tuple[dict[str, Obj], list[Running]]:
    """The whole story; the first operator (or every one, ``for_ever``) dies after ``lives`` requests."""
    world = World()
    await world.furnish()
    operators = [world.start(lives=lives, swallows=swallows)]

    async def attend() -> None:
        """Let everything happen, with a new operator in the place of a dead one."""
        while True:
            await world.install(1)
            if not operators[-1].wire.dead:
                return
            await operators[-1].kill()
            operators.append(world.start(lives=lives if for_ever else None, swallows=swallows))

    async for _ in story(world):
        await attend()
    await world.settle(120)
    await attend()
    state = await world.state()
    await world.close()
    return state, operators


@pytest.mark.parametrize("swallows", [False, True], ids=["request-lost", "answer-lost"])
async def test_an_operator_killed_at_any_request_is_followed_by_one_that_gets_to_the_same(swallows: bool) -> None:
    expected, (undisturbed,) = await play(lives=None, swallows=False)
    total = len(undisturbed.wire.sent)
    for lives in sorted(Random(7).sample(range(1, total), 10)):  # noqa: S311
        state, operators = await play(lives=lives, swallows=swallows)
        assert (lives, len(operators)) == (lives, 2)
        assert state == expected


async def test_an_operator_that_dies_over_and_over_gets_there_all_the_same() -> None:
    expected, _ = await play(lives=None, swallows=False)
    state, operators = await play(lives=24, swallows=True, for_ever=True)
    assert len(operators) > 5
    assert state == expected


async def test_the_undisturbed_run_is_what_the_story_asks_for() -> None:
    """So that the runs above are not all equally wrong."""
    state, _ = await play(lives=None, swallows=False)
    releases = {name: obj for name, obj in state.items() if name.startswith("HelmRelease ")}
    assert sorted(releases) == [
        "HelmRelease acme-app/app",
        "HelmRelease acme-base/agent",
        "HelmRelease acme-base/crds",
        "HelmRelease acme-db/db",
    ]
    assert releases["HelmRelease acme-db/db"]["spec"]["values"] == {"replicas": 3}
    ready = {
        name: [(each["status"], each["reason"]) for each in obj["status"]["conditions"] if each["type"] == "Ready"]
        for name, obj in state.items()
        if name.startswith("Package ")
    }
    assert ready == {f"Package acme.{name}": [READY] for name in ("base", "db", "app")}
    assert "pod-security.kubernetes.io/enforce" not in state["Namespace acme-base"]["metadata"]["labels"]
    assert {obj["data"]["values.yaml"] for name, obj in state.items() if name.startswith("Secret ")} == {"YTogMg=="}


async def bootstrapped(*, lives: int | None) -> tuple[dict[str, Obj], Running]:
    """A bare cluster after its bootstrap, by one operator, or by two of which the first dies."""
    world = World()
    await world.found()
    first = world.start(*PLATFORM, lives=lives, swallows=True)
    await world.settle(2)
    if first.wire.dead:
        await first.kill()
        world.start(*PLATFORM)
        await world.settle(2)
    found = await world.state()
    for resource in (CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, OCI_REPOSITORIES):
        for obj in (await world.client.list(json_of(resource))).items:
            found[f"{resource.kind} {path_of(obj)}"] = without_noise(obj)
    await world.close()
    return found, first


async def test_a_bootstrap_that_is_cut_off_anywhere_is_finished_by_the_next() -> None:
    expected, undisturbed = await bootstrapped(lives=None)
    for lives in sorted(Random(7).sample(range(1, len(undisturbed.wire.sent)), 8)):  # noqa: S311
        state, first = await bootstrapped(lives=lives)
        assert (lives, first.wire.dead) == (lives, True)
        assert state == expected


async def test_a_release_that_was_deleted_before_its_write_was_acknowledged_is_written_again() -> None:
    """The answer is late: the watch has told of the release and of its end before."""
    world = World()
    await world.furnish()
    running = world.start()
    await world.put(source("acme.db", component("db", "acme-db")))
    await world.settle()
    running.wire.held = "PATCH /apis/helm.toolkit.fluxcd.io/v2/namespaces/acme-db/helmreleases/db"
    await world.put(package("acme.db"))
    await world.settle(1)
    await world.delete(HELM_RELEASES, "acme-db/db")
    await world.settle(1)
    assert await world.names(HELM_RELEASES) == []
    running.wire.free.set()
    await world.settle(1)
    assert await world.names(HELM_RELEASES) == ["acme-db/db"]
    await world.close()
