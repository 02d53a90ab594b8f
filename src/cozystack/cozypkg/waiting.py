"""Follow a cluster until something is true: watches, no polling, and at the end of the time what is still missing.

The cluster is asked once before it is followed, so that whoever may not look hears it at once; after that a lost connection is
taken up again for as long as there is time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, aclosing
from typing import Any, Literal, TypeAlias

from cozystack.api.cozystack import Package
from cozystack.api.meta import find_condition
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    EXTERNAL_ARTIFACTS,
    HELM_RELEASES,
    PACKAGE_SOURCES,
    PACKAGES,
    Resource,
)
from cozystack.cozypkg.world import World, not_served
from cozystack.kube import Client, Informer, within
from cozystack.kube.errors import NotFound
from cozystack.planner.progress import standing
from cozystack.planner.releases import owner_name

Goal: TypeAlias = Literal["ready", "deleted", "accepted"]


async def follow(
    client: Client,
    kinds: Iterable[Resource[Any]],
    look: Callable[[World], bool],
    *,
    timeout: float | None = None,
    tick: float | None = None,
    pause: float = 0.0,
) -> bool:
    """Call ``look`` with the world at every change (and every ``tick`` seconds) until it says that it has seen enough.

    Whether it has; False after ``timeout`` seconds. Between two looks there are at least ``pause`` seconds.
    """
    changed = asyncio.Event()
    async with AsyncExitStack() as stack:
        informers = {}
        for kind in kinds:
            if await _served(client, kind):
                informer = informers[kind] = Informer(client, kind)
                informer.on_change(lambda *_: changed.set())
                task = asyncio.create_task(informer.run())
                stack.push_async_callback(_ended, task)
        for informer in informers.values():
            await informer.wait_synced()
        ends = None if timeout is None else client.clock.monotonic() + timeout
        while not look(_world(informers)):
            left = None if ends is None else ends - client.clock.monotonic()
            if left is not None and left <= 0:
                return False
            waits = [seconds for seconds in (left, tick) if seconds is not None]
            try:
                await (within(client.clock, min(waits), changed.wait()) if waits else changed.wait())
            except TimeoutError:
                pass
            if pause:
                await client.clock.sleep(pause)
            changed.clear()
        return True


async def _served(client: Client, kind: Resource[Any]) -> bool:
    try:
        async with aclosing(client.pages(kind, limit=1)) as pages:
            await anext(pages)
    except NotFound as error:
        if kind in (PACKAGES, PACKAGE_SOURCES):
            raise not_served(kind) from error
        return False
    return True


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _world(informers: dict[Resource[Any], Informer[Any]]) -> World:
    world = World("the cluster", live=True)
    for kind, informer in informers.items():
        objects = informer.store.objects()
        if kind is PACKAGES:
            world.packages = {obj.metadata.name: obj for obj in objects}
        elif kind is PACKAGE_SOURCES:
            world.sources = {obj.metadata.name: obj for obj in objects}
        elif kind is HELM_RELEASES:
            world.releases = {obj.key: obj for obj in objects}
        elif kind is EXTERNAL_ARTIFACTS:
            world.artifacts = list(objects)
        elif kind is ARTIFACT_GENERATORS:
            world.generators = list(objects)
        else:
            world.repositories += objects
    return world


def lacking(world: World, name: str, goal: Goal) -> str:
    """What a Package lacks to be where it is wanted; empty when it is there."""
    package = world.packages.get(name)
    if goal == "deleted":
        return _left(world, name, package)
    if package is None:
        return "there is no such Package"
    if goal == "accepted":
        accepted = find_condition(package.status.conditions, "Accepted")
        if accepted is None or accepted.observed_generation not in (0, package.metadata.generation):
            return "the operator has not looked at it yet"
        return "" if accepted.status == "True" else accepted.message or accepted.reason
    how = standing(package)
    return "" if how.state == "ready" else f"{how.state}: {how.reason}" if how.reason else how.state


def _left(world: World, name: str, package: Package | None) -> str:
    if package is not None and package.metadata.deletion_timestamp is None:
        return "it is not being deleted"
    releases = sorted(str(key) for key, release in world.releases.items() if owner_name(release) == name)
    if releases:
        more = f" and {len(releases) - 3} more" if len(releases) > 3 else ""
        return f"releases that are still there: {', '.join(releases[:3])}{more}"
    if package is not None:
        how = standing(package)
        return f"it is being deleted{': ' + how.reason if how.reason else ''}"
    return ""


async def wait_for(
    client: Client,
    names: Iterable[str],
    goal: Goal,
    *,
    timeout: float | None,
    told: Callable[[str], None] = lambda name: None,
) -> dict[str, str]:
    """Wait until all Packages are where they are wanted; what those lack that are not, empty when all are.

    ``told`` hears of each that has arrived, once.
    """
    wanted = sorted(set(names))
    arrived: set[str] = set()
    missing: dict[str, str] = {}

    def look(world: World) -> bool:
        missing.clear()
        for name in wanted:
            lacks = lacking(world, name, goal)
            if lacks:
                missing[name] = lacks
            elif name not in arrived:
                arrived.add(name)
                told(name)
        return not missing

    kinds = (PACKAGES, HELM_RELEASES) if goal == "deleted" else (PACKAGES,)
    await follow(client, kinds, look, timeout=timeout)
    return missing
