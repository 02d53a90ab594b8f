"""The steps of this release, each on a cluster that needs it."""

from __future__ import annotations

from typing import Any

import pytest

from cozystack.migrate.step import own_steps
from support.migrations import NAMESPACE, World

(LEFTOVERS,) = own_steps()


async def before(world: World, *, role: str = "cluster-admin") -> None:
    """A cluster as the original leaves it."""
    await world.start("56")
    binding: dict[str, Any] = {
        "metadata": {"name": "cozystack-migration-hook"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [],
    }
    await world.create(
        "ClusterRoleBinding", "clusterrolebindings", binding, group="rbac.authorization.k8s.io", namespaced=False
    )
    for name, data in (("cozystack", {"root-host": "acme.test", "bundle-name": "x"}), ("cozystack-scheduling", {})):
        await world.create("ConfigMap", "configmaps", {"metadata": {"name": name, "namespace": NAMESPACE}, "data": data})
    await world.create("Secret", "secrets", {"metadata": {"name": "patch-containerd", "namespace": NAMESPACE}})


DONE = (
    "deleted ClusterRoleBinding cozystack-migration-hook",
    "deleted ConfigMap cozy-system/cozystack-scheduling",
    "deleted Secret cozy-system/patch-containerd",
)
LEFT = (
    "ConfigMap cozy-system/cozystack is not read any more. It holds bundle-name, root-host: "
    "move that into Package cozystack.cozystack-platform, then delete it.",
)


async def test_leftovers_are_taken_away_and_settings_are_left_to_a_person(world: World) -> None:
    """packages-P5, packages-P7."""
    await before(world)
    await world.run([LEFTOVERS], 57)
    ledger = await world.ledger()
    assert ledger is not None
    (record,) = ledger.records.values()
    assert (record.changed, record.left) == (DONE, LEFT)


async def test_a_binding_of_that_name_that_somebody_made_stays(world: World) -> None:
    await before(world, role="view")
    await world.run([LEFTOVERS], 57)
    ledger = await world.ledger()
    assert ledger is not None
    (record,) = ledger.records.values()
    assert record.changed == DONE[1:]


async def test_where_nothing_is_left_over_nothing_is_changed(world: World) -> None:
    await world.start("56")
    planned = await world.plan([LEFTOVERS], 57)
    assert (planned.steps[0].changes, planned.steps[0].left) == ([], [])


@pytest.mark.parametrize("answered", [False, True])
async def test_killed_at_any_request_it_ends_in_the_same_state(answered: bool) -> None:
    dies_at, died = 0, True
    while died:
        dies_at += 1
        world = World()
        await before(world)
        died = await world.run_until_death([LEFTOVERS], 57, dies_at, answered=answered)
        await world.run([LEFTOVERS], 57)
        assert (await world.version(), await world.outcomes()) == ("57", {"56 remove-leftovers": "done"}), dies_at
        planned = (await world.plan([LEFTOVERS], 99)).steps
        assert planned == []
    assert dies_at > 20
