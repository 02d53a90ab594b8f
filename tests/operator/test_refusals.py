"""What the API server does not take: told where people look, tried again, and no hindrance to anything else."""

from __future__ import annotations

import pytest

from cozystack.api.resources import HELM_RELEASES, PACKAGES
from support.operator import World, component, condition_of, package, source

RELEASE = "PATCH /apis/helm.toolkit.fluxcd.io/v2/namespaces/acme-db/helmreleases/db"
NAMESPACE = "PATCH /api/v1/namespaces/acme-db"
POLICY = (403, "Forbidden", "admission webhook denied the request: no owner label")
READY = ("True", "ReconciliationSucceeded")


async def two(world: World) -> None:
    """Package acme.db with two releases in two namespaces."""
    await world.put(source("acme.db", component("db", "acme-db"), component("seed", "acme-seed")), package("acme.db"))
    await world.settle()


async def test_a_release_that_is_refused_holds_no_other_and_its_package_says_why(world: World) -> None:
    """Weakness operator-P19."""
    running = world.start()
    running.wire.refused[RELEASE] = POLICY
    await two(world)
    assert await world.names(HELM_RELEASES) == ["acme-seed/seed"]
    status = await world.status("acme.db")
    assert condition_of(status, "Ready") == ("False", "HelmReleaseFailed")
    assert [(each["object"], each["message"]) for each in status["blockedBy"]] == [
        ("HelmRelease/acme-db/db", f"Failed to write HelmRelease acme-db/db: {POLICY[2]}")
    ]


async def test_a_namespace_that_is_refused_holds_its_own_releases_alone(world: World) -> None:
    running = world.start()
    running.wire.refused[NAMESPACE] = POLICY
    await two(world)
    assert await world.names(HELM_RELEASES) == ["acme-seed/seed"]
    assert await world.ready("acme.db") == ("False", "NamespaceFailed")


async def test_a_refusal_is_tried_again_with_growing_pauses_and_forgotten_when_it_is_over(world: World) -> None:
    running = world.start()
    running.wire.refused[RELEASE] = POLICY
    await two(world)
    await world.settle(600)
    tries = running.writes.count(RELEASE)
    assert 6 <= tries <= 20
    statuses = sum(line.endswith("/packages/acme.db/status") for line in running.writes)
    await world.settle(600)
    assert sum(line.endswith("/packages/acme.db/status") for line in running.writes) == statuses
    running.wire.refused.clear()
    await world.settle(300)
    await world.install()
    assert await world.ready("acme.db") == READY
    assert "blockedBy" not in await world.status("acme.db")


async def test_a_change_of_the_package_is_tried_at_once(world: World) -> None:
    running = world.start()
    running.wire.refused[RELEASE] = POLICY
    await two(world)
    await world.settle(600)
    running.wire.refused.clear()
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"a": 1}}}}})
    await world.settle()
    assert (await world.get(HELM_RELEASES, "acme-db/db"))["spec"]["values"] == {"a": 1}


async def test_releases_that_nothing_wants_any_more_stay_while_another_is_refused(world: World) -> None:
    running = world.start()
    await world.put(source("acme.db", component("old", "acme-db"), component("db", "acme-db")), package("acme.db"))
    await world.install()
    running.wire.refused[RELEASE] = POLICY
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"a": 1}}}}})
    await world.put(source("acme.db", component("db", "acme-db")))
    await world.settle(60)
    assert await world.names(HELM_RELEASES) == ["acme-db/db", "acme-db/old"]
    running.wire.refused.clear()
    await world.settle(300)
    assert await world.names(HELM_RELEASES) == ["acme-db/db"]


@pytest.mark.parametrize(
    ("code", "reason"), [(409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")]
)
async def test_what_passes_by_itself_is_tried_again_and_not_told(world: World, code: int, reason: str) -> None:
    """Weakness operator-P13."""
    running = world.start()
    running.wire.refused[RELEASE] = (code, reason, "not now")
    await two(world)
    await world.settle(30)
    assert condition_of(await world.status("acme.db"), "Ready")[1] != "HelmReleaseFailed"
    running.wire.refused.clear()
    await world.settle(60)
    await world.install()
    assert await world.ready("acme.db") == READY


async def test_a_status_that_cannot_be_written_is_written_later(world: World) -> None:
    running = world.start()
    line = "PATCH /apis/cozystack.io/v1alpha1/packages/acme.db/status"
    running.wire.refused[line] = (500, "InternalError", "not now")
    await two(world)
    await world.install()
    assert await world.status("acme.db") == {"observedGeneration": -1}
    running.wire.refused.clear()
    await world.settle(60)
    assert await world.ready("acme.db") == READY
