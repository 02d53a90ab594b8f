"""A cluster where nothing changes is left alone, whatever Flux does at its interval (decision D9; architecture 4)."""

from __future__ import annotations

from collections import Counter

import pytest

from cozystack.api import names
from cozystack.api.resources import HELM_RELEASES, NAMESPACES, PACKAGES
from support.operator import PUBLISHED, Running, World, component, package, plain, source

DB = "acme-db/db"
READY = ("True", "ReconciliationSucceeded")


async def platform(world: World) -> None:
    """Three Packages on top of each other, of everything that there can be, installed and settled."""
    check = {"apiVersion": "acme.io/v1", "kind": "Database", "current": "status.phase == 'Running'"}
    await world.put(
        source(
            "acme.base", component("crds", "acme-base", upgradeCRDs="Create"), component("agent", "acme-base", privileged=True)
        ),
        source(
            "acme.db",
            component("db", "acme-db", healthCheckExprs=[check]),
            component("seed", "acme-db", dependsOn=["db"], waitStrategy="legacy"),
            depends_on=["acme.base", "acme.base"],
        ),
        source("acme.app", component("app", "acme-app"), depends_on=["acme.db"], skip_values=True),
        package("acme.base"),
        package("acme.db", components={"db": {"values": {"replicas": 3, "list": [1, {"a": None}], "float": 1.5}}}),
        package("acme.app"),
    )
    await world.install(1)
    await world.settle(60)


def since(running: Running, before: int) -> list[str]:
    return running.wire.sent[before:]


async def test_a_settled_cluster_hears_nothing_from_the_operator(world: World) -> None:
    running = world.start()
    await platform(world)
    assert [await world.ready(name) for name in ("acme.base", "acme.db", "acme.app")] == [READY] * 3
    before = len(running.wire.sent)
    await world.settle(6 * 3600)
    assert since(running, before) == []


async def test_an_operator_that_starts_again_lists_and_watches_and_does_nothing_else(world: World) -> None:
    first = world.start()
    await platform(world)
    await first.stop()
    second = world.start()
    await world.settle(3600)
    verbs = Counter(verb for verb, _ in second.counts.elements())
    assert verbs == {"list": 9, "watch": 9}


async def test_an_operator_that_starts_again_over_what_is_unfinished_does_nothing_else_either(world: World) -> None:
    first = world.start()
    await world.put(
        source("a", component("a", "ns-a")),
        source("b", component("b", "ns-b"), depends_on=["a"]),
        source("x", component("x", "ns-x"), depends_on=["y"]),
        source("y", component("y", "ns-y"), depends_on=["x"]),
        *(package(name) for name in ("a", "b", "x", "y", "no-source")),
    )
    await world.settle()
    await world.flux.build("a")
    await world.settle()
    await world.flux.fail("ns-a/a")
    await world.settle(PUBLISHED)
    await first.stop()
    second = world.start()
    await world.settle(3600)
    assert second.writes == []


async def test_what_was_installed_takes_few_writes(world: World) -> None:
    """Of each object one, and of the status what people need to see on the way."""
    running = world.start()
    await platform(world)
    written = Counter(
        line.removeprefix("PATCH ").replace("/cozy-system", "").rpartition("namespaces/")[2] for line in running.writes
    )
    objects = {line: count for line, count in written.items() if not line.endswith("/status")}
    assert {line: count for line, count in objects.items() if count > 1} == {}
    statuses = sum(count for line, count in written.items() if "/packages/" in line and line.endswith("/status"))
    assert statuses <= 5 * 3


@pytest.mark.parametrize("finish", ["deploy", "wait"])
async def test_releases_that_reconcile_at_their_interval_write_no_status(world: World, finish: str) -> None:
    running = world.start()
    await platform(world)
    before = len(running.wire.sent)
    for _ in range(30):
        for release in (DB, "acme-base/crds"):
            await world.flux.reconcile(release)
            await world.settle(1)
        for release in (DB, "acme-base/crds"):
            await (world.flux.deploy(release) if finish == "deploy" else world.flux.reconcile(release))
        await world.settle(58)
    assert since(running, before) == []


async def test_releases_that_wait_for_one_that_reconciles_write_nothing_and_are_not_woken(world: World) -> None:
    """The lower one is Unknown for a moment; the upper one, which runs already, says DependencyNotReady meanwhile."""
    running = world.start()
    await platform(world)
    before = len(running.wire.sent)
    await world.flux.reconcile(DB)
    await world.flux.wait("acme-db/seed")
    await world.settle(10)
    await world.flux.deploy(DB)
    await world.settle(1)
    await world.flux.deploy("acme-db/seed")
    await world.settle(60)
    assert since(running, before) == []


async def test_what_others_add_is_no_reason_to_write(world: World) -> None:
    running = world.start()
    await platform(world)
    before = len(running.wire.sent)
    note = {"metadata": {"labels": {"team": "a"}, "annotations": {"note": "x"}}}
    await world.edit(HELM_RELEASES, DB, note)
    await world.edit(NAMESPACES, "acme-db", note)
    await world.edit(PACKAGES, "acme.db", note)
    await world.settle(60)
    assert since(running, before) == []


async def test_a_field_that_others_set_on_a_release_stays(world: World) -> None:
    running = world.start()
    await platform(world)
    before = len(running.writes)
    await world.edit(HELM_RELEASES, DB, {"spec": {"timeout": "20m"}})
    await world.install(1)
    assert (await world.get(HELM_RELEASES, DB))["spec"]["timeout"] == "20m"
    assert set(running.writes[before:]) == {"PATCH /apis/cozystack.io/v1alpha1/packages/acme.db/status"}


async def test_objects_that_are_none_of_ours_are_no_reason_to_ask(world: World) -> None:
    """Weakness operator-P8."""
    running = world.start()
    await platform(world)
    before = len(running.wire.sent)
    await world.put(
        plain("v1", "Namespace", "theirs"),
        plain("v1", "Secret", "theirs", "theirs", type="Opaque"),
        plain("v1", "Secret", names.VALUES_SECRET, "theirs", type="Opaque"),
        plain(
            "helm.toolkit.fluxcd.io/v2",
            "HelmRelease",
            "theirs",
            "theirs",
            spec={"interval": "1h", "chartRef": {"kind": "OCIRepository", "name": "x"}},
        ),
    )
    await world.settle(60)
    assert since(running, before) == []


async def test_watches_that_end_are_resumed_without_a_list_and_without_a_write(world: World) -> None:
    running = world.start()
    await platform(world)
    before = running.counts
    for _ in range(5):
        world.server.end_watches()
        await world.settle(60)
    assert set(running.counts - before) <= {("watch", resource) for verb, resource in before if verb == "watch"}


async def test_a_change_that_was_made_while_no_operator_ran_is_carried_out_by_the_next(world: World) -> None:
    first = world.start()
    await platform(world)
    await first.kill()
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"replicas": 5}}}}})
    await world.delete(HELM_RELEASES, "acme-app/app")
    await world.put(source("acme.base", component("crds", "acme-base", upgradeCRDs="Create")))
    world.start()
    await world.install(1)
    assert (await world.get(HELM_RELEASES, DB))["spec"]["values"] == {"replicas": 5, "list": [1, {"a": None}], "float": 1.5}
    assert await world.names(HELM_RELEASES) == ["acme-app/app", "acme-base/crds", DB, "acme-db/seed"]
