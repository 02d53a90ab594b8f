"""A transport that calls the embedded API server in the same process, without sockets: for tests on virtual time.

One request is one call; a stream reads the server's own generator. The server's watches end by the loop's clock, which stands
still for nobody, so give informers a ``watch_timeout`` that is never reached (the default will do).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from urllib.parse import unquote

from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import Request, Stream, User
from cozystack.apiserver.storage import open_storage
from cozystack.kube import Client, Clock
from cozystack.kube.transport import EMPTY, Response, ResponseStream
from support.apiserver import ADMIN


class InProcess:
    """A ``Transport`` to one ``ApiServer``, as ``user``."""

    def __init__(self, server: ApiServer, user: User = ADMIN) -> None:
        self.server = server
        self.sent: list[str] = []
        """Method and path of every request."""
        self._user = user

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
        answer = await self.server.handle(self._request(method, path, query, headers, body))
        if isinstance(answer, Stream):
            try:
                content = b"".join([chunk async for chunk in answer.chunks])
            finally:
                answer.close()
            return Response(answer.status, {"Content-Type": answer.content_type, **answer.headers}, content)
        return Response(answer.status, {"Content-Type": answer.content_type, **answer.headers}, answer.body)

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
        answer = await self.server.handle(self._request(method, path, query, headers, body))
        if isinstance(answer, Stream):
            try:
                yield ResponseStream(answer.status, answer.headers, answer.chunks)
            finally:
                answer.close()
        else:
            yield ResponseStream(answer.status, answer.headers, _once(answer.body))

    async def close(self) -> None:
        self.server.end_watches()

    def _request(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Request:
        self.sent.append(f"{method} {path}")
        lowered = {name.lower(): value for name, value in headers.items()}
        return Request(method, unquote(path), query, lowered, body, self._user)


def connect(clock: Clock, server: ApiServer | None = None) -> Client:
    """A client of ``server``, or of a new one that starts empty, with the time of day of ``clock``."""

    def now() -> datetime:
        return clock.now()

    return Client(InProcess(server or ApiServer(open_storage(None), clock=now)), clock=clock)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
