"""A network that fails, and clocks that differ: what stands between an operator and the API server in a simulation.

Every request may be refused, get lost, lose its answer, hang until its timeout or be slow; every watch may break, lag, or be
told that its version is gone. All of it is drawn from one source of randomness, on virtual time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import msgspec

from cozystack.apiserver.http.api import ApiServer
from cozystack.kube import Clock
from cozystack.kube.errors import ConnectionFailed
from cozystack.kube.transport import EMPTY, Response, ResponseStream
from support.operator import Wire

REFUSALS = (409, 429, 500, 503)
"""What any request may be answered. 410 is an answer to lists and watches alone."""
TIMEOUT = 30.0
_REASONS = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


@dataclass(slots=True)
class Faults:
    """What may happen on all lines of a simulation."""

    random: Random
    rate: float = 0.0
    """How often a request, or a line of a watch, meets a fault."""
    slow: float = 0.0
    """Seconds that a request takes at most, there and back again."""
    lag: float = 0.0
    """Seconds by which an event of a watch may be late."""

    def strikes(self) -> bool:
        return self.rate > 0 and self.random.random() < self.rate

    def end(self) -> None:
        self.rate = self.slow = self.lag = 0.0

    @property
    def calm(self) -> bool:
        return not (self.rate or self.slow or self.lag)


@dataclass(frozen=True, slots=True)
class Skewed:
    """A clock of a machine whose time of day is wrong by ``seconds``, and which runs ``rate`` times as fast as it should."""

    clock: Clock
    seconds: float = 0.0
    rate: float = 1.0

    def now(self) -> datetime:
        return self.clock.now() + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.clock.monotonic() * self.rate + abs(self.seconds)

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds / self.rate)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it is handed to the server; ``led``: who sent it held the lease when it was sent."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    led: bool


@dataclass(slots=True)
class _Open:
    """What of a wire is under way."""

    streams: set[str] = field(default_factory=set)
    late: int = 0


class FaultyWire(Wire):
    """The line of one operator. ``on_write`` is told of each write right before the server carries it out."""

    def __init__(
        self, server: ApiServer, faults: Faults, clock: Clock, on_write: Callable[[Sent], None], leads: Callable[[], bool]
    ) -> None:
        super().__init__(server)
        self._leads = leads
        self._faults = faults
        self._clock = clock
        self._on_write = on_write
        self._open = _Open()

    @property
    def streams(self) -> frozenset[str]:
        """The paths of the watches that are open and have nothing left to tell."""
        return frozenset() if self._open.late else frozenset(self._open.streams)

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
        faults = self._faults
        sent = Sent(method, path, query, body, self._leads())

        async def carry_out() -> Response:
            if not self.dead and method != "GET":
                self._on_write(sent)
            return await super(FaultyWire, self).request(method, path, query=query, headers=headers, body=body, timeout=timeout)

        if faults.slow:
            await self._clock.sleep(faults.random.uniform(0, faults.slow))
        if faults.strikes():
            match faults.random.choice(("refused", "refused", "lost", "answer lost", "hangs", "hangs after all")):
                case "refused":
                    return refusal(faults.random.choice((*REFUSALS, 410) if is_list(sent) else REFUSALS))
                case "lost":
                    raise ConnectionFailed("the line is down")
                case "answer lost":
                    await carry_out()
                    raise ConnectionFailed("the answer was lost")
                case "hangs":
                    await self._clock.sleep(timeout or TIMEOUT)
                    raise ConnectionFailed("no answer in time")
                case _:
                    await carry_out()
                    await self._clock.sleep(timeout or TIMEOUT)
                    raise ConnectionFailed("no answer in time")
        answer = await carry_out()
        if faults.slow:
            await self._clock.sleep(faults.random.uniform(0, faults.slow))
        return answer

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> AsyncIterator[ResponseStream]:
        if self._faults.strikes():
            code = self._faults.random.choice((410, 410, *REFUSALS))
            yield ResponseStream(code, refusal(code).headers, _once(refusal(code).body))
            return
        async with super().stream(method, path, query=query, headers=headers, body=body, timeout=timeout) as stream:
            self._open.streams.add(path)
            try:
                yield ResponseStream(stream.status, stream.headers, self._disturbed(stream))
            finally:
                self._open.streams.discard(path)

    async def _disturbed(self, stream: ResponseStream) -> AsyncIterator[bytes]:
        async for line in stream.lines():
            if self._faults.lag:
                self._open.late += 1
                try:
                    await self._clock.sleep(self._faults.random.uniform(0, self._faults.lag))
                finally:
                    self._open.late -= 1
            if self._faults.strikes():
                if self._faults.random.random() < 0.5:
                    raise ConnectionFailed("the watch broke")
                yield msgspec.json.encode({"type": "ERROR", "object": msgspec.Raw(refusal(410).body)}) + b"\n"
                return
            yield line + b"\n"


def is_list(sent: Sent) -> bool:
    return sent.method == "GET" and "limit" in sent.query


def refusal(code: int) -> Response:
    """An answer that refuses; a busy server says when to come again."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": _REASONS[code],
        "code": code,
        "message": "told to refuse",
    }
    headers = {"Content-Type": "application/json"}
    if code == 429:
        headers["Retry-After"] = "1"
    return Response(code, headers, msgspec.json.encode(status))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
