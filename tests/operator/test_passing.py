"""What tells only of progress is written when it has lasted for a moment; everything else at once."""

from __future__ import annotations

from cozystack.api.resources import PACKAGES
from cozystack.operator.passing import LATER, MOMENT
from support.operator import Running, World, component, condition_of, package, source

RELEASE = "acme-db/db"
SOON = MOMENT / 4


async def begun(world: World) -> Running:
    """Package acme.db has been created, and its charts are built; nothing of it was told yet."""
    running = world.start()
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.settle()
    await world.flux.build("acme.db")
    await world.settle()
    return running


async def told(world: World) -> tuple[str, str]:
    """What the Package says of itself at this very moment."""
    return condition_of((await world.get(PACKAGES, "acme.db")).get("status", {}), "Ready")


def statuses(running: Running) -> list[str]:
    """The objects whose statuses were written, in order."""
    return [line.split("/")[-2] for line in running.writes if line.endswith("/status")]


async def test_progress_is_told_when_it_has_lasted_for_a_moment(world: World) -> None:
    await begun(world)
    await world.settle(MOMENT - SOON)
    assert await told(world) == ("", "")
    await world.settle(SOON)
    assert await told(world) == ("Unknown", "Progressing")


async def test_progress_that_is_over_before_is_never_told(world: World) -> None:
    running = await begun(world)
    await world.settle(SOON)
    await world.flux.deploy(RELEASE)
    await world.settle()
    assert await told(world) == ("True", "ReconciliationSucceeded")
    await world.settle(3600)
    assert statuses(running) == ["acme.db", "acme.db"]


async def test_changes_of_what_is_under_way_do_not_put_off_the_telling(world: World) -> None:
    running = await begun(world)
    for number in range(4):
        await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"number": number}}}}})
        await world.settle(SOON)
    assert await told(world) == ("Unknown", "Progressing")
    generation = (await world.get(PACKAGES, "acme.db"))["metadata"]["generation"]
    assert (await world.get(PACKAGES, "acme.db"))["status"]["observedGeneration"] == generation
    assert statuses(running) == ["acme.db", "acme.db"]


async def test_details_of_what_was_told_already_are_told_later_and_together(world: World) -> None:
    running = world.start()
    below = [f"acme.b{number}" for number in range(4)]
    for name in below:
        await world.put(source(name, component(name[5:], name[5:])), package(name))
    await world.put(source("acme.top", component("top", "top"), depends_on=below), package("acme.top"))
    await world.settle(MOMENT)
    before = statuses(running).count("acme.top")
    for name in below[:3]:
        await world.flux.build(name)
        await world.flux.deploy(f"{name[5:]}/{name[5:]}")
        await world.settle(MOMENT * 1.5)
    assert statuses(running).count("acme.top") == before
    await world.settle(LATER)
    assert statuses(running).count("acme.top") == before + 1
    assert list((await world.get(PACKAGES, "acme.top"))["status"]["dependencies"].items())[-1] == ("acme.b3", {"ready": False})


async def test_a_failure_is_told_at_once(world: World) -> None:
    await begun(world)
    await world.flux.fail(RELEASE)
    await world.settle()
    assert await told(world) == ("False", "HelmReleaseFailed")


async def test_what_is_under_way_again_is_ready_no_less_when_it_is_over_within_a_moment(world: World) -> None:
    running = await begun(world)
    await world.install()
    before = len(running.writes)
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"a": 1}}}}})
    await world.settle(SOON)
    await world.flux.deploy(RELEASE)
    await world.settle(3600)
    assert [line.rpartition("/")[2] for line in running.writes[before:]] == ["db", "status"]


async def test_a_package_that_goes_while_its_progress_is_held_back_leaves_nothing_behind(world: World) -> None:
    running = await begun(world)
    await world.delete(PACKAGES, "acme.db")
    await world.settle()
    assert not await world.exists(PACKAGES, "acme.db")
    before = len(running.writes)
    await world.settle(3600)
    assert running.writes[before:] == []
