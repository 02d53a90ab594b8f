"""A Package goes in reverse order of its dependencies (decision D5, weakness operator-P5)."""

from __future__ import annotations

from cozystack.api import names
from cozystack.api.resources import EVENTS, HELM_RELEASES, PACKAGE_SOURCES, PACKAGES
from support.operator import World, component, condition_of, key, package, source

CHAIN = (
    component("crds", "acme-db"),
    component("operator", "acme-db", dependsOn=["crds"]),
    component("seed", "acme-db", dependsOn=["operator"]),
)
FLUX_HOLDS = {"metadata": {"finalizers": ["finalizers.fluxcd.io"]}}
FLUX_LETS_GO = {"metadata": {"finalizers": None}}


async def chain(world: World) -> None:
    """One Package of three releases, each of which waits for the one before; Flux uninstalls when it is told to."""
    await world.put(source("acme.db", *CHAIN), package("acme.db"))
    await world.install()
    for name in ("crds", "operator", "seed"):
        await world.edit(HELM_RELEASES, f"acme-db/{name}", FLUX_HOLDS)
    await world.settle()


async def going(world: World) -> list[str]:
    """Releases that are there, those that are being deleted marked."""
    return [
        name.removeprefix("acme-db/")
        + (" going" if "deletionTimestamp" in (await world.get(HELM_RELEASES, name))["metadata"] else "")
        for name in await world.names(HELM_RELEASES)
    ]


async def test_releases_go_one_after_the_other_in_reverse_order_then_the_package(world: World) -> None:
    world.start()
    await chain(world)
    await world.delete(PACKAGES, "acme.db")
    await world.settle()
    assert await going(world) == ["crds", "operator", "seed going"]
    assert condition_of(await world.status("acme.db"), "Ready") == ("Unknown", "Deleting")
    await world.edit(HELM_RELEASES, "acme-db/seed", FLUX_LETS_GO)
    await world.settle()
    assert await going(world) == ["crds", "operator going"]
    await world.edit(HELM_RELEASES, "acme-db/operator", FLUX_LETS_GO)
    await world.settle()
    assert await going(world) == ["crds going"]
    assert await world.exists(PACKAGES, "acme.db")
    await world.edit(HELM_RELEASES, "acme-db/crds", FLUX_LETS_GO)
    await world.settle()
    assert not await world.exists(PACKAGES, "acme.db")


async def test_nothing_is_created_again_while_its_package_goes(world: World) -> None:
    world.start()
    await chain(world)
    await world.delete(PACKAGES, "acme.db")
    await world.settle()
    await world.edit(HELM_RELEASES, "acme-db/seed", FLUX_LETS_GO)
    await world.edit(PACKAGES, "acme.db", {"metadata": {"labels": {"touched": "1"}}})
    await world.settle(60)
    assert await going(world) == ["crds", "operator going"]


async def test_an_operator_that_starts_in_the_middle_goes_on(world: World) -> None:
    first = world.start()
    await chain(world)
    await world.delete(PACKAGES, "acme.db")
    await world.settle()
    await first.kill()
    await world.edit(HELM_RELEASES, "acme-db/seed", FLUX_LETS_GO)
    await world.settle()
    assert await going(world) == ["crds", "operator"]
    world.start()
    await world.settle(1)
    assert await going(world) == ["crds", "operator going"]


async def test_a_package_waits_for_dependents_that_are_going_too_and_for_no_others(world: World) -> None:
    world.start()
    await world.put(
        source("acme.db", component("db", "acme-db")),
        source("acme.app", component("app", "acme-app"), depends_on=["acme.db"]),
        source("acme.web", component("web", "acme-web"), depends_on=["acme.db"]),
        package("acme.db"),
        package("acme.app"),
        package("acme.web"),
    )
    await world.install()
    await world.edit(HELM_RELEASES, "acme-app/app", FLUX_HOLDS)
    await world.delete(PACKAGES, "acme.app")
    await world.delete(PACKAGES, "acme.db")
    await world.settle()
    assert "Being deleted after" in str((await world.status("acme.db"))["conditions"])
    assert await world.exists(HELM_RELEASES, "acme-db/db")
    await world.edit(HELM_RELEASES, "acme-app/app", FLUX_LETS_GO)
    await world.settle()
    assert await world.names(PACKAGES) == ["acme.web"]


async def test_releases_stay_when_the_user_orphans_them(world: World) -> None:
    world.start()
    await chain(world)
    await world.client.delete(PACKAGES, (await world.client.list(PACKAGES)).items[0].key, propagation="Orphan")
    await world.settle(5)
    assert await world.names(PACKAGES) == []
    assert await going(world) == ["crds", "operator", "seed"]


async def test_a_missing_source_holds_no_package_back(world: World) -> None:
    world.start()
    await chain(world)
    await world.delete(PACKAGE_SOURCES, "acme.db")
    await world.settle()
    for name in ("crds", "operator", "seed"):
        await world.edit(HELM_RELEASES, f"acme-db/{name}", FLUX_LETS_GO)
    await world.delete(PACKAGES, "acme.db")
    await world.settle()
    assert (await world.names(PACKAGES), await world.names(HELM_RELEASES)) == ([], [])


async def test_a_suspended_release_is_a_problem_and_no_success(world: World) -> None:
    world.start()
    await chain(world)
    await world.edit(HELM_RELEASES, "acme-db/seed", {"spec": {"suspend": True}})
    await world.settle()
    await world.delete(PACKAGES, "acme.db")
    await world.settle()
    assert await going(world) == ["crds", "operator", "seed"]
    (blocked,) = (await world.status("acme.db"))["blockedBy"]
    assert (blocked["reason"], blocked["object"]) == ("SuspendedRelease", "HelmRelease/acme-db/seed")
    await world.edit(HELM_RELEASES, "acme-db/seed", {"spec": {"suspend": False}})
    await world.settle()
    assert await going(world) == ["crds", "operator", "seed going"]


async def test_the_flag_turns_it_off_and_takes_the_finalizer_away(world: World) -> None:
    first = world.start()
    await chain(world)
    assert (await world.get(PACKAGES, "acme.db"))["metadata"]["finalizers"] == [names.PACKAGE_FINALIZER]
    await first.stop()
    world.start("--ordered-deletion=false")
    await world.settle(1)
    assert "finalizers" not in (await world.get(PACKAGES, "acme.db"))["metadata"]
    await world.delete(PACKAGES, "acme.db")
    await world.settle()
    assert await going(world) == ["crds going", "operator going", "seed going"]


async def warnings(world: World) -> list[tuple[str, str, int]]:
    """Reason, message and number of the warnings about the Package."""
    found = (await world.client.list(EVENTS)).items
    about = [each for each in found if each.involved_object.kind == "Package" and each.type == "Warning"]
    return [(each.reason, each.message, each.count) for each in about if each.reason == "ForegroundDeletion"]


async def test_foreground_deletion_takes_the_order_away_and_that_is_said_once(world: World) -> None:
    world.start()
    await chain(world)
    await world.client.delete(PACKAGES, key("acme.db"), propagation="Foreground")
    await world.settle(1)
    assert await going(world) == ["crds going", "operator going", "seed going"]
    said = "Foreground deletion removes all releases at once: their reverse order cannot be kept"
    assert await warnings(world) == [("ForegroundDeletion", said, 1)]
    await world.settle(600)
    assert await world.exists(PACKAGES, "acme.db")
    for name in ("crds", "operator", "seed"):
        await world.edit(HELM_RELEASES, f"acme-db/{name}", FLUX_LETS_GO)
    await world.settle(1)
    assert (await world.names(PACKAGES), await world.names(HELM_RELEASES)) == ([], [])
    assert len(await warnings(world)) == 1


async def test_foreground_deletion_begins_no_release_again(world: World) -> None:
    running = world.start()
    await chain(world)
    await world.client.delete(PACKAGES, key("acme.db"), propagation="Foreground")
    await world.settle(1)
    writes = len(running.writes)
    await world.edit(HELM_RELEASES, "acme-db/seed", FLUX_LETS_GO)
    await world.settle(60)
    assert await going(world) == ["crds going", "operator going"]
    assert [line for line in running.writes[writes:] if "/helmreleases" in line] == []


async def test_packages_that_are_deleted_one_request_after_the_other_go_in_order_all_the_same(world: World) -> None:
    """``kubectl delete packages --all`` marks them by name, and the first is what the others stand on."""
    world.start()
    await world.put(
        source("acme.a", component("a", "acme-a")),
        source("acme.b", component("b", "acme-b"), depends_on=["acme.a"]),
        package("acme.a"),
        package("acme.b"),
    )
    await world.install()
    for name in ("acme-a/a", "acme-b/b"):
        await world.edit(HELM_RELEASES, name, FLUX_HOLDS)
    await world.settle()
    await world.delete(PACKAGES, "acme.a")
    await world.settle(0.4)
    assert await going(world) == ["acme-a/a", "acme-b/b"]
    await world.delete(PACKAGES, "acme.b")
    await world.settle()
    await world.settle(5)
    assert await going(world) == ["acme-a/a", "acme-b/b going"]
    await world.edit(HELM_RELEASES, "acme-b/b", FLUX_LETS_GO)
    await world.settle()
    assert await going(world) == ["acme-a/a going"]


async def test_a_package_that_others_depend_on_goes_when_these_stay(world: World) -> None:
    world.start()
    await world.put(
        source("acme.a", component("a", "acme-a")),
        source("acme.b", component("b", "acme-b"), depends_on=["acme.a"]),
        package("acme.a"),
        package("acme.b"),
    )
    await world.install()
    await world.delete(PACKAGES, "acme.a")
    await world.settle(2)
    assert not await world.exists(PACKAGES, "acme.a")
    assert await world.names(HELM_RELEASES) == ["acme-b/b"]
