"""A transport to an API server in the same process: one request is one call, a stream reads the server's own generator.

What the sandbox itself does with its server goes this way; everybody else comes over the network.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import unquote

from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import Request, Stream, User
from cozystack.kube.transport import EMPTY, Response, ResponseStream

ADMIN = User("sandbox", ("system:masters", "system:authenticated"))


class InProcess:
    """A ``Transport`` to one ``ApiServer``, as ``user``."""

    def __init__(self, server: ApiServer, user: User = ADMIN) -> None:
        self.server = server
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
        """Nothing to let go of: the server is somebody else's."""

    def _request(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Request:
        lowered = {name.lower(): value for name, value in headers.items()}
        return Request(method, unquote(path), query, lowered, body, self._user)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
