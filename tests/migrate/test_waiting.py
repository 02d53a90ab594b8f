"""The hook that only waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cozystack.api.meta import Key
from cozystack.migrate.runner import CannotGoOn, Failed
from cozystack.migrate.waiting import JOBS, wait
from cozystack.runtime import Log
from support.migrations import NAMESPACE, World, failing, step

KEY = Key(NAMESPACE, "cozystack-migrations")
JOB: dict[str, Any] = {
    "metadata": {"name": KEY.name, "namespace": KEY.namespace},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a:1"}]}}},
}


async def end(world: World, how: str) -> None:
    condition = {"type": how, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    await world.client.patch(JOBS, KEY, {"status": {"conditions": [condition]}}, subresource="status")


def waiting(world: World, target: int) -> asyncio.Task[int]:
    return asyncio.ensure_future(wait(world.client, namespace=NAMESPACE, target=target, clock=world.clock, log=Log("test")))


async def test_it_waits_for_the_job_and_then_for_nothing(world: World) -> None:
    await world.start("56")
    await world.create("Job", "jobs", JOB, group="batch")
    task = waiting(world, 57)
    await world.clock.advance(600)
    assert not task.done()
    await world.runner([step(56)], 57).run()
    await end(world, "Complete")
    assert await world.clock.run(task) == 57


async def test_a_runner_that_failed_is_told_by_what_the_ledger_says(world: World) -> None:
    await world.start("56")
    await world.create("Job", "jobs", JOB, group="batch")
    with pytest.raises(Failed):
        await world.runner([failing(56)], 57).run()
    await end(world, "Failed")
    with pytest.raises(CannotGoOn, match="step 56 step-56 failed: RuntimeError: the disk is full; the next attempt"):
        await world.clock.run(waiting(world, 57))


async def test_a_runner_for_an_older_target_is_not_enough(world: World) -> None:
    await world.start("57")
    with pytest.raises(
        CannotGoOn, match="Job cozy-system/cozystack-migrations is gone, and the cluster is at version 57 of 58"
    ):
        await world.clock.run(waiting(world, 58))
