"""The servers that stories are played against: ours in this process, with a clock that is set, and any other by HTTPS."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

import msgspec

from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import Request
from cozystack.apiserver.storage import open_storage
from fuzz.kinds import NAMESPACE, definitions
from fuzz.story import Obj
from support.apiserver import ADMIN, DEFINITIONS, Api, client

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Reply(NamedTuple):
    code: int
    raw: bytes
    warnings: tuple[str, ...]


class Server(Protocol):
    """``turn`` begins a new second; ``seconds`` says in which second of the epoch each turn began."""

    seconds: list[int]

    async def turn(self) -> None: ...

    async def ask(self, method: str, path: str, query: Mapping[str, str], content_type: str, body: bytes) -> Reply: ...


class Embedded:
    """Ours, without sockets and without controllers."""

    def __init__(self) -> None:
        self.seconds: list[int] = []
        self._now = _EPOCH
        self._server = ApiServer(open_storage(None), clock=lambda: self._now)

    async def turn(self) -> None:
        self._now += timedelta(seconds=1)
        self.seconds.append(int(self._now.timestamp()))

    async def ask(self, method: str, path: str, query: Mapping[str, str], content_type: str, body: bytes) -> Reply:
        headers = {"content-type": content_type, "user-agent": "fuzz"} if body else {"user-agent": "fuzz"}
        answer = await self._server.handle(Request(method, path, query, headers, body, ADMIN))
        assert not hasattr(answer, "chunks")
        return Reply(answer.status, answer.body, tuple(answer.warnings))


class Remote:
    """A server somewhere else. In a ``hurry`` it does not wait for the next second, so that times cannot be told apart."""

    def __init__(self, api: Api) -> None:
        self.seconds: list[int] = []
        self.hurry = False
        self._api = api

    async def turn(self) -> None:
        if not self.hurry:
            # A second of its own for each turn, so that it can be told from times in which it was.
            now = time.time()
            await asyncio.sleep(int(now) + 1.02 - now)
        self.seconds.append(int(time.time()))

    async def ask(self, method: str, path: str, query: Mapping[str, str], content_type: str, body: bytes) -> Reply:
        headers = {"User-Agent": "fuzz"}
        answer = await self._api.request(method, path, body or None, headers=headers, content_type=content_type, **query)
        return Reply(answer.status, answer.raw, tuple(_unquoted(text) for text in answer.warnings))


def _unquoted(header: str) -> str:
    """The text of a ``Warning`` header, ``299 - "..."``."""
    return re.sub(r"\\(.)", r"\1", header.split(" ", 2)[2][1:-1])


@asynccontextmanager
async def remote(url: str, token: str) -> AsyncIterator[Remote]:
    async with client(url, token) as api:
        yield Remote(api)


async def furnish(server: Server) -> None:
    """The namespace and the definitions that stories need, unless they are there."""
    await server.turn()
    namespace: Obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await _create(server, "/api/v1/namespaces", namespace)
    for definition in definitions():
        await _create(server, DEFINITIONS, definition)
        spec = definition["spec"]
        for version in spec["versions"]:
            await _until_served(server, f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}")


async def _until_served(server: Server, path: str) -> None:
    while (await server.ask("GET", path, {}, "", b"")).code != 200:  # noqa: ASYNC110 - the event is somebody else's
        await asyncio.sleep(0.05)


async def _create(server: Server, path: str, obj: Obj) -> None:
    reply = await server.ask("POST", path, {}, "application/json", msgspec.json.encode(obj))
    assert reply.code in (201, 409), reply.raw
