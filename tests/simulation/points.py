"""One story, and what can go wrong in it at exactly one point: everywhere that is, one after the other.

The story is always the same. In each retelling the operator is killed, or told to stop, at one point at which it waits for
something, or one of its requests fails in one way, or one of its watches breaks after one line. What is there in the end must
be what is there when nothing goes wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple

import msgspec

from cozystack.api.resources import PACKAGE_SOURCES, PACKAGES
from cozystack.apiserver.http.api import ApiServer
from cozystack.kube.errors import ConnectionFailed
from cozystack.kube.transport import EMPTY, Response, ResponseStream
from simulation.network import REFUSALS, Sent, is_list, refusal
from support.operator import Obj, Running, Wire, World, component, package, source, values_secret

What = Literal["killed", "stopped", "lost", "answer lost", "409", "410", "429", "500", "503", "watch broken", "watch expired"]
ENDS: tuple[What, ...] = ("killed", "stopped")
FAILURES: tuple[What, ...] = ("lost", "answer lost", "409", "429", "500", "503")
BREAKS: tuple[What, ...] = ("watch broken", "watch expired")


class Point(NamedTuple):
    """``number`` is the one of a round of the event loop, of a request, or of a line of a watch."""

    what: What
    number: int

    def __str__(self) -> str:
        return f"{self.what} at {self.number}"


class Telling(NamedTuple):
    """What came of the story, and how many points of each sort it had."""

    state: dict[str, Obj]
    rounds: int
    requests: list[Sent]
    lines: int

    def points(self) -> Iterator[Point]:
        """Everything that can go wrong in it."""
        for number in range(self.rounds):
            yield from (Point(what, number) for what in ENDS)
        for number, sent in enumerate(self.requests):
            yield from (Point(what, number) for what in FAILURES)
            if is_list(sent):
                yield Point("410", number)
        for number in range(self.lines):
            yield from (Point(what, number) for what in BREAKS)


def tell(point: Point | None = None) -> Telling:
    """The story, with what happens at ``point``."""
    loop = _Loop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_tell(loop, point))


async def _story(world: World) -> AsyncIterator[None]:
    """What users do; each step has settled before the next."""
    await world.put(
        source("acme.base", component("crds", "base"), component("agent", "base", privileged=True, dependsOn=["crds"])),
        source("acme.app", component("app", "app"), component("extra", "app"), depends_on=["acme.base"]),
        package("acme.base"),
        package("acme.app"),
    )
    yield
    await world.edit(PACKAGES, "acme.app", {"spec": {"components": {"app": {"values": {"a": 1}}, "extra": {"enabled": False}}}})
    await world.put(values_secret("a: 2"))
    yield
    await world.put(source("acme.old", component("one", "old"), component("two", "old", dependsOn=["one"])))
    await world.put(package("acme.old"))
    yield
    await world.delete(PACKAGES, "acme.old")
    await world.delete(PACKAGE_SOURCES, "acme.old")
    yield


async def _tell(loop: _Loop, point: Point | None) -> Telling:
    world = World()
    await world.furnish()
    running, wire = _begin(world, point)
    if point is not None and point.what in ENDS:
        loop.end_after(point.number, lambda: _end(running, killed=point.what == "killed"))
    began = loop.rounds
    operators = [running]
    async for _ in _story(world):
        await world.install(1)
        if operators[-1].wire.dead or operators[-1].task.done():
            await operators[-1].kill()
            operators.append(_begin(world, None)[0])
            await world.install(1)
    await world.settle(400)
    await world.install(1)
    await world.settle(400)
    telling = Telling(await world.state(), loop.rounds - began, wire.requests, wire.lines)
    await world.close()
    return telling


def _begin(world: World, point: Point | None) -> tuple[Running, FailingWire]:
    operator, _ = world.operator()
    wire = FailingWire(world.server, point)
    operator.client.transport = wire
    return world.running(operator, wire, asyncio.ensure_future(operator.run())), wire


def _end(running: Running, *, killed: bool) -> None:
    running.wire.dead = killed
    running.task.cancel()


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that counts its rounds: between two of them everybody waits for something."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0
        self._at: int | None = None
        self._then: Callable[[], None] = lambda: None

    def end_after(self, rounds: int, then: Callable[[], None]) -> None:
        self._at, self._then = self.rounds + rounds, then

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]  # asyncio's own; there is no other place between two rounds
        self.rounds += 1
        if self.rounds == self._at:
            self._then()


class FailingWire(Wire):
    """A line on which one thing fails."""

    def __init__(self, server: ApiServer, point: Point | None) -> None:
        super().__init__(server)
        self.requests: list[Sent] = []
        self.lines = 0
        self._point = point

    def _fails(self, number: int, *what: What) -> bool:
        return self._point is not None and self._point.number == number and self._point.what in what

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
        number = len(self.requests)
        self.requests.append(Sent(method, path, query, body, True))
        for code in (*REFUSALS, 410):
            if self._fails(number, str(code)):  # type: ignore[arg-type]
                return refusal(code)
        if self._fails(number, "lost"):
            raise ConnectionFailed("the line is down")
        # A request takes time there and back, in which the operator may end.
        await asyncio.sleep(0)
        answer = await super().request(method, path, query=query, headers=headers, body=body, timeout=timeout)
        await asyncio.sleep(0)
        if self._fails(number, "answer lost"):
            raise ConnectionFailed("the answer was lost")
        return answer

    @asynccontextmanager
    async def stream(self, method: str, path: str, **options: Any) -> AsyncIterator[ResponseStream]:
        async with super().stream(method, path, **options) as stream:
            yield ResponseStream(stream.status, stream.headers, self._counted(stream))

    async def _counted(self, stream: ResponseStream) -> AsyncIterator[bytes]:
        async for line in stream.lines():
            number, self.lines = self.lines, self.lines + 1
            if self._fails(number, "watch broken"):
                raise ConnectionFailed("the watch broke")
            if self._fails(number, "watch expired"):
                yield msgspec.json.encode({"type": "ERROR", "object": msgspec.Raw(refusal(410).body)}) + b"\n"
                return
            yield line + b"\n"
