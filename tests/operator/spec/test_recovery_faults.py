"""The recovery of a generator when its own requests fail (specification, operator 3.8, 3.9 and 9.3)."""

from __future__ import annotations

from cozystack.api import names
from cozystack.api.resources import ARTIFACT_GENERATORS, PACKAGE_SOURCES
from cozystack.planner.recovery import AWAITING, FORCED, FORCED_MESSAGE
from support.operator import Obj, Running, World, component, condition_of, source

GENERATOR = "cozy-system/acme.db"
PATH = "PATCH /apis/source.extensions.fluxcd.io/v1beta1/namespaces/cozy-system/artifactgenerators/acme.db"
BROKEN = (500, "InternalError", "not now")


async def stuck(world: World) -> Running:
    """A generator that has built everything and lost its last word, just before its grace period ends."""
    running = world.start()
    await world.put(source("acme.db", component("db")))
    await world.settle()
    await world.flux.lose("acme.db")
    await world.settle(29)
    return running


async def told(world: World) -> tuple[str, str]:
    return condition_of((await world.get(PACKAGE_SOURCES, "acme.db")).get("status", {}), "Ready")


async def marks(world: World) -> Obj:
    found: Obj = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["metadata"].get("annotations", {})
    return {name: value for name, value in found.items() if name != names.OWN_PREFIX + "applied"}


async def said(world: World) -> tuple[str, str]:
    return condition_of((await world.get(ARTIFACT_GENERATORS, GENERATOR)).get("status", {}), "Ready")


async def test_the_first_force_makes_it_false_then_counts_and_asks(world: World) -> None:
    running = await stuck(world)
    await world.edit(ARTIFACT_GENERATORS, GENERATOR, {"metadata": {"annotations": {"note": "x"}}})
    writes = len(running.writes)
    await world.settle(3)
    assert running.writes[writes : writes + 2] == [f"{PATH}/status", PATH]
    generator = await world.get(ARTIFACT_GENERATORS, GENERATOR)
    (ready,) = (each for each in generator["status"]["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", FORCED, FORCED_MESSAGE)
    assert ready["observedGeneration"] == generator["metadata"]["generation"]
    found = await marks(world)
    assert found["note"] == "x"
    assert found[names.RECOVERY_ATTEMPTS_ANNOTATION] == "1"
    assert found[names.REQUESTED_AT_ANNOTATION] == found[names.RECOVERY_LAST_ANNOTATION]
    assert await told(world) == ("Unknown", AWAITING)


async def test_when_the_status_cannot_be_written_nothing_is_counted_and_it_is_tried_again(world: World) -> None:
    running = await stuck(world)
    running.wire.refused[f"{PATH}/status"] = BROKEN
    writes = len(running.writes)
    await world.settle(20)
    assert (await said(world))[0] == "Unknown"
    assert (await marks(world), PATH in running.writes[writes:]) == ({}, False)
    running.wire.refused.clear()
    await world.settle(60)
    assert names.RECOVERY_ATTEMPTS_ANNOTATION in await marks(world)


async def test_when_the_marks_cannot_be_written_the_status_stays_and_they_follow(world: World) -> None:
    running = await stuck(world)
    running.wire.refused[PATH] = BROKEN
    await world.settle(20)
    assert await said(world) == ("False", FORCED)
    assert await marks(world) == {}
    assert (await told(world))[0] == "Unknown"
    running.wire.refused.clear()
    await world.settle(60)
    assert names.RECOVERY_ATTEMPTS_ANNOTATION in await marks(world)


async def test_while_it_waits_it_writes_nothing_to_the_generator(world: World) -> None:
    running = await stuck(world)
    await world.settle(3)
    writes = len(running.writes)
    await world.settle(25)
    assert [line for line in running.writes[writes:] if "artifactgenerators" in line] == []
    assert await told(world) == ("Unknown", AWAITING)


async def test_marks_that_cannot_be_taken_off_hold_nothing_up(world: World) -> None:
    running = await stuck(world)
    await world.settle(5)
    running.wire.refused[PATH] = BROKEN
    await world.flux.build("acme.db")
    await world.settle(30)
    assert await told(world) == ("True", "Succeeded")
    assert names.RECOVERY_ATTEMPTS_ANNOTATION in await marks(world)


async def test_a_real_failure_ends_the_recovery_and_is_told(world: World) -> None:
    await stuck(world)
    await world.settle(5)
    await world.flux.generated("acme.db", "False", "BuildFailed", "no such folder")
    await world.settle(2)
    assert await told(world) == ("False", "BuildFailed")
    assert list(await marks(world)) == [names.REQUESTED_AT_ANNOTATION]


async def test_nothing_is_written_to_or_for_a_package_source_on_its_way_out(world: World) -> None:
    running = await stuck(world)
    await world.edit(PACKAGE_SOURCES, "acme.db", {"metadata": {"finalizers": ["a.io/b"]}})
    await world.settle(0)
    await world.delete(PACKAGE_SOURCES, "acme.db")
    writes = len(running.writes)
    await world.settle(600)
    assert running.writes[writes:] == []


async def test_the_time_at_which_readiness_turned_is_the_one_that_flux_gave(world: World) -> None:
    world.start()
    await world.put(source("acme.db", component("db")))
    await world.settle(30)
    await world.flux.build("acme.db")
    await world.settle(90)
    conditions = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["status"]["conditions"]
    turned = {each["lastTransitionTime"] for each in conditions if each["type"] == "Ready"}
    status = (await world.get(PACKAGE_SOURCES, "acme.db"))["status"]
    assert {each["lastTransitionTime"] for each in status["conditions"] if each["type"] == "Ready"} == turned
