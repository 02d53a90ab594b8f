"""A platform with and without one bad package: when each of the others was ready, on virtual time.

What makes it bad is drawn by the seed. Requests that name it may be refused for ever, or hang until their timeout; the others
never meet a fault. Everything happens on one clock, so "no later" is a comparison of numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

from cozystack.api.resources import HELM_RELEASES
from cozystack.kube import Clock
from cozystack.kube.errors import ConnectionFailed
from cozystack.kube.transport import EMPTY, Response
from simulation.network import TIMEOUT, refusal
from support.operator import Obj, Wire, World, component, condition_of, failure, package, plain, source

BAD = "acme.bad"
SECONDS = 45


class Badness(NamedTuple):
    """How a package is bad: its objects, what becomes of requests that name it, and what Flux says of its release."""

    objects: tuple[Obj, ...]
    trouble: str = ""
    fails: bool = False


def kinds() -> dict[str, Callable[[], Badness]]:
    """The ways of being bad."""

    def of(*objects: Obj, trouble: str = "", fails: bool = False) -> Callable[[], Badness]:
        return lambda: Badness(objects, trouble, fails)

    good = source(BAD, component("bad", "bad"))
    wanted = package(BAD)
    return {
        "no source": of(wanted),
        "no such variant": of(good, package(BAD, variant="none")),
        "a dependency that is missing": of(source(BAD, component("bad", "bad"), depends_on=["acme.nowhere"]), wanted),
        "a loop": of(source(BAD, component("bad", "bad"), depends_on=[BAD]), wanted),
        "a path that leads outside": of(source(BAD, {**component("bad", "bad"), "path": "../../etc"}), wanted),
        "a namespace that cannot be": of(source(BAD, component("bad", "Not_A_Namespace")), wanted),
        "a component twice": of(source(BAD, component("bad", "bad"), component("bad", "bad")), wanted),
        "a release of somebody else": of(
            plain("v1", "Namespace", "bad"),
            plain(
                "helm.toolkit.fluxcd.io/v2",
                "HelmRelease",
                "bad",
                "bad",
                spec={"interval": "5m", "chartRef": {"kind": "ExternalArtifact", "name": "x", "namespace": "cozy-system"}},
            ),
            good,
            wanted,
        ),
        "a megabyte of values": of(good, package(BAD, components={"bad": {"values": {"text": "x" * 1_000_000}}})),
        "a release that fails": of(good, wanted, fails=True),
        "writes that are refused": of(good, wanted, trouble="refused"),
        "a server that fails": of(good, wanted, trouble="fails"),
        "requests that hang": of(good, wanted, trouble="hangs"),
        "a server that is busy": of(good, wanted, trouble="busy"),
    }


async def ready_times(seed: int, badness: Badness | None) -> dict[str, float]:
    """When each good Package was first ready. The graph and the order in which objects are made are drawn by the seed."""
    random = Random(seed)  # noqa: S311
    world = World()
    await world.furnish()
    objects = _platform(random)
    if badness is not None:
        position = random.randrange(len(objects))
        objects[position:position] = badness.objects
    operator, _ = world.operator()
    operator.client.transport = wire = TroubledWire(world, badness.trouble if badness is not None else "")
    world.running(operator, wire, asyncio.ensure_future(operator.run()))
    events = world.server.storage.subscribe("cozystack.io/packages")
    times: dict[str, float] = {}
    await world.put(*objects)
    for second in range(SECONDS):
        await world.settle(1)
        await world.flux.work()
        if badness is not None and badness.fails and await world.exists(HELM_RELEASES, "bad/bad"):
            await world.flux.fail("bad/bad")
        for event in events.drain():
            if condition_of(event.new.object.get("status", {}), "Ready")[0] == "True":
                times.setdefault(event.new.name, second)
    await world.close()
    times.pop(BAD, None)
    return times


def _platform(random: Random) -> list[Obj]:
    """A dozen good packages, each above up to three of those before it; four of them live where the bad one does."""
    objects: list[Obj] = []
    for number in range(12):
        name = f"acme.p{number:02}"
        below = random.sample(range(number), k=min(number, random.randint(0, 3)))
        objects += (
            source(
                name,
                component(f"p{number:02}", "bad" if number % 3 == 1 else f"ns-{number}"),
                depends_on=[f"acme.p{each:02}" for each in below],
            ),
            package(name),
        )
    return objects


class TroubledWire(Wire):
    """A line on which requests that name the bad package have trouble."""

    def __init__(self, world: World, trouble: str) -> None:
        super().__init__(world.server)
        self._clock: Clock = world.clock
        self._trouble = trouble

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        if path.rstrip("/").removesuffix("/status").endswith(("/acme.bad", "/helmreleases/bad")):
            match self._trouble:
                case "refused":
                    return failure(422, "Invalid", "a policy forbids it")
                case "fails":
                    return refusal(500)
                case "busy":
                    return refusal(429)
                case "hangs":
                    await self._clock.sleep(timeout or TIMEOUT)
                    raise ConnectionFailed("no answer in time")
        return await super().request(method, path, query=query, headers=headers, body=body, timeout=timeout)
