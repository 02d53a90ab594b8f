"""Releases that the original operator made, as its entries in ``managedFields`` tell: what passes to us, and what goes (D9)."""

from __future__ import annotations

from typing import Any

from cozystack.api import names
from cozystack.api.resources import HELM_RELEASES, PACKAGES
from simulation.play import as_the_original_wrote_it
from support.operator import Obj, World, component, package, source

DB = "acme-db/db"


async def platform_of_the_original() -> World:
    """A settled platform that was installed by the original; no operator runs."""
    world = World()
    await world.furnish()
    first = world.start()
    await world.put(
        source("acme.db", component("db", "acme-db")), package("acme.db", components={"db": {"values": {"size": 3}}})
    )
    await world.install(2)
    await first.stop()
    unmark(world)
    as_the_original_wrote_it(world)
    return world


def unmark(world: World) -> None:
    """Take off what only we write."""
    stored = world.server.storage.get("helm.toolkit.fluxcd.io/helmreleases", "acme-db", "db")
    assert stored is not None
    metadata = {name: value for name, value in stored.object["metadata"].items() if name != "annotations"}
    world.server.storage.put(stored.resource, stored.namespace, stored.name, {**stored.object, "metadata": metadata})


def owners(release: Obj) -> dict[tuple[str, str], Any]:
    """Field sets of the object itself, by operation and manager."""
    entries = [entry for entry in release["metadata"]["managedFields"] if not entry.get("subresource")]
    return {(entry["operation"], entry["manager"]): entry["fieldsV1"] for entry in entries}


async def test_what_the_original_owned_is_ours_and_no_generation_moves() -> None:
    world = await platform_of_the_original()
    before = await world.get(HELM_RELEASES, DB)
    assert ("Apply", names.PACKAGE_MANAGER) not in owners(before)
    world.start()
    await world.settle(2)
    after = await world.get(HELM_RELEASES, DB)
    assert (after["metadata"]["generation"], after["spec"]) == (before["metadata"]["generation"], before["spec"])
    assert owners(after)["Update", names.OPERATOR_MANAGER] == {"f:spec": {"f:suspend": {}}}
    assert owners(after)["Apply", names.PACKAGE_MANAGER]["f:spec"].keys() >= {"f:values", "f:chartRef", "f:interval"}
    await world.close()


async def test_what_was_given_up_while_the_operators_changed_goes() -> None:
    world = await platform_of_the_original()
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": None}})
    world.start()
    await world.settle(2)
    release = await world.get(HELM_RELEASES, DB)
    assert ("values" in release["spec"], release["spec"]["suspend"]) == (False, False)
    await world.close()
