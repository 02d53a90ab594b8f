"""What plan and status say, and what a person may correct."""

from __future__ import annotations

import pytest

from cozystack.migrate import correcting, showing
from cozystack.migrate.planning import PlannedStep
from cozystack.migrate.runner import CannotGoOn, Failed
from support.migrations import NAMESPACE, World, failing, step

ONE_WAY = step(57, way_back=None)


async def test_a_plan_says_what_would_change_and_from_where_there_is_no_way_back(world: World) -> None:
    await world.start("56")
    plan = await world.plan([step(56), ONE_WAY], 58)
    change = "patch ConfigMap cozy-system/tally: step-{0}.a is missing"
    assert plan.steps == [
        PlannedStep(56, "step-56", "Does step-56", [change.format(56)], ["look at step-56"], "It stays."),
        PlannedStep(57, "step-57", "Does step-57", [change.format(57)], ["look at step-57"], None),
    ]
    assert showing.planned(plan) == (
        "2 steps would run, from version 56 to 58:\n\n"
        "56 step-56: Does step-56\n"
        "  patch ConfigMap cozy-system/tally: step-56.a is missing\n"
        "  left for a person: look at step-56\n"
        "  way back: It stays.\n\n"
        "57 step-57: Does step-57\n"
        "  patch ConfigMap cozy-system/tally: step-57.a is missing\n"
        "  left for a person: look at step-57\n"
        "  way back: none\n\n"
        "There is no way back from 57: an older release cannot be relied on afterwards.\n"
    )
    assert (await world.tally(), await world.version(), await world.ledger()) == ({}, "56", None)


async def test_a_plan_of_a_cluster_that_is_current_says_so(world: World) -> None:
    await world.start("58")
    plan = await world.plan([step(56), ONE_WAY], 58)
    assert showing.planned(plan) == "Nothing would run: the cluster is at version 58, the release wants 58.\n"


async def test_a_plan_of_a_cluster_that_is_too_old_says_why_nothing_would_run(world: World) -> None:
    await world.start("12")
    plan = await world.plan([step(56)], 57, oldest=56)
    assert showing.planned(plan) == (
        "Nothing would run: the cluster is at 12, and this release migrates from 56 on.\n"
        "To go on, upgrade to a release first that brings the cluster to 56.\n"
    )


async def test_the_status_tells_what_became_of_each_step(world: World) -> None:
    await world.start("56")
    with pytest.raises(Failed):
        await world.run([step(56), failing(57)], 58)
    status = await world.status([step(56, digest="sha256:2"), step(57)], 58)
    assert (status.state, status.version) == ("failed", 57)
    assert showing.status(status) == (
        "The cluster is at version 57, the release wants 58: failed.\n"
        "What was done below 56 is not recorded.\n"
        "56 step-56: done, 2026-01-01T00:00:00Z\n"
        "  its code has changed since\n"
        "  changed ConfigMap cozy-system/tally\n"
        "  changed ConfigMap cozy-system/tally\n"
        "  left for a person: look at step-56\n"
        "57 step-57: failed, 2026-01-01T00:00:00Z\n"
        "  error: RuntimeError: the disk is full\n"
        "  its code has changed since\n"
        "  changed ConfigMap cozy-system/tally\n"
    )


async def test_a_step_that_failed_can_be_skipped_with_a_reason(world: World) -> None:
    await world.start("56")
    steps = [step(56), step(57)]
    with pytest.raises(Failed):
        await world.run([failing(56), step(57)], 58)
    await correcting.skip(
        world.client,
        "step-56",
        "done by hand",
        steps=[each.id for each in steps],
        namespace=NAMESPACE,
        clock=world.clock,
    )
    report = await world.run(steps, 58)
    assert ([str(each) for each in report.ran], await world.version()) == (["57 step-57"], "58")
    assert await world.outcomes() == {"56 step-56": "skipped", "57 step-57": "done"}


async def test_only_a_step_that_has_not_run_can_be_skipped(world: World) -> None:
    await world.start("56")
    await world.run([step(56)], 57)
    options = {"steps": [step(56).id], "namespace": NAMESPACE, "clock": world.clock}
    with pytest.raises(CannotGoOn, match="step 56 step-56 is done"):
        await correcting.skip(world.client, "step-56", "no", **options)  # type: ignore[arg-type]
    with pytest.raises(CannotGoOn, match='there is no step "step-99"; there are: step-56'):
        await correcting.skip(world.client, "step-99", "no", **options)  # type: ignore[arg-type]


async def test_a_lost_number_is_told_and_the_rest_runs(world: World) -> None:
    await world.start()
    await correcting.stamp(world.client, 57, namespace=NAMESPACE, clock=world.clock)
    report = await world.run([step(56), step(57)], 58)
    assert ([str(each) for each in report.ran], await world.version()) == (["57 step-57"], "58")


async def test_a_number_that_is_there_is_not_written_over(world: World) -> None:
    await world.start("57")
    with pytest.raises(CannotGoOn, match="the cluster says that it is at version 57"):
        await correcting.stamp(world.client, 56, namespace=NAMESPACE, clock=world.clock)
    await world.set_version("nonsense")
    await correcting.stamp(world.client, 56, namespace=NAMESPACE, clock=world.clock)
    assert await world.version() == "56"
