"""After a restore from a backup: of the API server's own store, or of objects, which then have new uids."""

from __future__ import annotations

from typing import Any

from cozystack.api import names
from cozystack.api.resources import ARTIFACT_GENERATORS, HELM_RELEASES, NAMESPACES, PACKAGE_SOURCES, PACKAGES, SECRETS, untyped
from support.operator import Obj, World, component, json_of, key, owner_of, package, plain, source

CONFIG_MAPS = untyped("", "v1", "ConfigMap", "configmaps")
DB, WEB = "acme-db/db", "acme-web/web"
RESTORED = (NAMESPACES, SECRETS, PACKAGE_SOURCES, PACKAGES, ARTIFACT_GENERATORS, HELM_RELEASES)


async def two(world: World) -> None:
    """Two packages that run, one after the other."""
    await world.put(
        source("acme.db", component("db", "acme-db")),
        source("acme.web", component("web", "acme-web"), depends_on=["acme.db"]),
        package("acme.db"),
        package("acme.web"),
    )
    await world.install()
    await world.settle(1)


# The store of the API server


async def test_an_operator_follows_an_api_server_that_was_set_back(world: World) -> None:
    running = world.start()
    await two(world)
    backup = world.backup()
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"size": 3}}}}})
    await world.install(1)
    assert backup.version < world.server.storage.version
    await world.restore(backup)
    assert "values" not in (await world.get(HELM_RELEASES, DB))["spec"]
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"size": 5}}}}})
    await world.settle(1)
    assert (await world.get(HELM_RELEASES, DB))["spec"]["values"] == {"size": 5}
    assert not running.task.done()


async def test_what_was_deleted_since_the_backup_runs_on_as_it_did(world: World) -> None:
    world.start()
    await two(world)
    backup = world.backup()
    await world.delete(PACKAGES, "acme.web")
    await world.settle(60)
    assert await world.names(HELM_RELEASES) == [DB]
    await world.restore(backup)
    await world.settle(60)
    assert await world.names(HELM_RELEASES) == [DB, WEB]
    assert await world.ready("acme.web") == ("True", "ReconciliationSucceeded")
    await world.edit(PACKAGES, "acme.web", {"spec": {"components": {"web": {"values": {"a": 1}}}}})
    await world.settle(1)
    assert (await world.get(HELM_RELEASES, WEB))["spec"]["values"] == {"a": 1}


async def test_what_was_made_since_the_backup_is_made_again_when_it_is_asked_for_again(world: World) -> None:
    world.start()
    await world.settle(1)
    backup = world.backup()
    await two(world)
    await world.restore(backup)
    assert await world.names(HELM_RELEASES) == []
    await two(world)
    assert [await world.ready(name) for name in ("acme.db", "acme.web")] == [("True", "ReconciliationSucceeded")] * 2


async def test_a_restore_of_the_present_state_writes_nothing(world: World) -> None:
    running = world.start()
    await two(world)
    writes = len(running.writes)
    await world.restore(world.backup())
    await world.settle(600)
    assert running.writes[writes:] == []


# Objects with new uids


async def restored(world: World) -> World:
    """Another cluster with the objects of this one, as a backup tool puts them there: without status, owners and identity."""
    other = World()
    await other.furnish()
    for resource in RESTORED:
        for obj in (await world.client.list(json_of(resource))).items:
            if obj["metadata"]["name"] != names.SYSTEM_NAMESPACE:
                await other.put(bare(obj))
    return other


def bare(obj: Obj) -> Obj:
    kept = ("name", "namespace", "labels", "annotations")
    metadata = {field: value for field, value in obj["metadata"].items() if field in kept}
    return {**{field: value for field, value in obj.items() if field != "status"}, "metadata": metadata}


async def test_releases_that_were_restored_with_new_uids_are_kept_and_adopted(world: World) -> None:
    first = world.start()
    await two(world)
    await first.stop()
    other = await restored(world)
    before = {name: await other.get(HELM_RELEASES, name) for name in (DB, WEB)}
    running = other.start()
    await other.install()
    await other.settle(60)
    assert [line for line in running.writes if line.startswith("DELETE")] == []
    for name, release in before.items():
        after = await other.get(HELM_RELEASES, name)
        owner = await other.get(PACKAGES, after["metadata"]["labels"][names.PACKAGE_LABEL])
        assert identity(after) == identity(release)
        assert [each["uid"] for each in after["metadata"]["ownerReferences"]] == [owner["metadata"]["uid"]]
    assert [await other.ready(name) for name in ("acme.db", "acme.web")] == [("True", "ReconciliationSucceeded")] * 2
    await other.close()


async def test_a_release_restored_before_its_package_is_adopted_when_that_comes(world: World) -> None:
    first = world.start()
    await two(world)
    await first.stop()
    other = await restored(world)
    await other.delete(PACKAGES, "acme.db")
    other.start()
    await other.settle(60)
    before = await other.get(HELM_RELEASES, DB)
    await other.put(package("acme.db"))
    await other.install(1)
    assert identity(await other.get(HELM_RELEASES, DB)) == identity(before)
    assert await other.ready("acme.db") == ("True", "ReconciliationSucceeded")
    await other.close()


async def test_a_reference_to_an_earlier_package_is_replaced_and_those_of_others_stay(world: World) -> None:
    running = world.start()
    await two(world)
    await running.stop()
    await world.put(plain("v1", "ConfigMap", "backup", "acme-db"))
    theirs = owner_of(await world.client.get(CONFIG_MAPS, key("acme-db/backup")), "v1", "ConfigMap") | {"controller": False}
    live = await world.get(HELM_RELEASES, DB)
    (ours,) = live["metadata"]["ownerReferences"]
    stale = ours | {"uid": "4a5b6c7d-0000-4000-8000-000000000000"}
    await world.edit(HELM_RELEASES, DB, {"metadata": {"ownerReferences": [stale, theirs]}})
    before = await world.get(HELM_RELEASES, DB)
    again = world.start()
    await world.clock.settle()
    release = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/acme-db/helmreleases/db"
    assert [line for line in again.writes if line.endswith(release)] == [f"PATCH {release}"] * 2
    after = await world.get(HELM_RELEASES, DB)
    assert sorted(each["uid"] for each in after["metadata"]["ownerReferences"]) == sorted((ours["uid"], theirs["uid"]))
    assert identity(after) == identity(before)
    assert await world.ready("acme.db") == ("True", "ReconciliationSucceeded")
    writes = len(again.writes)
    await world.settle(600)
    assert again.writes[writes:] == []


async def test_a_generator_of_an_earlier_source_is_adopted_too(world: World) -> None:
    running = world.start()
    await two(world)
    await running.stop()
    name = "cozy-system/acme.db"
    before = await world.get(ARTIFACT_GENERATORS, name)
    (ours,) = before["metadata"]["ownerReferences"]
    stale = ours | {"uid": "4a5b6c7d-0000-4000-8000-000000000000"}
    await world.edit(ARTIFACT_GENERATORS, name, {"metadata": {"ownerReferences": [stale]}})
    again = world.start()
    await world.clock.settle()
    assert [line for line in again.writes if line.endswith("/artifactgenerators/acme.db")] == [again.writes[0]] * 2
    await world.settle(60)
    after = await world.get(ARTIFACT_GENERATORS, name)
    assert after["metadata"]["ownerReferences"] == [ours]
    assert identity(after) == identity(before)


def identity(obj: Obj) -> tuple[Any, ...]:
    """What must not change when a release is adopted."""
    return obj["metadata"]["uid"], obj["metadata"]["generation"], obj["spec"]
