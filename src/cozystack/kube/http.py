"""A transport over HTTP: aiohttp, with the credentials of a ``ClusterConfig``.

Requests share a bounded pool of connections; watches have a pool of their own without a bound, so that a hundred of them cannot
hold up a write. A request that is answered 401 is sent once more with fresh credentials, if there are any to be had. Nothing is
compressed on loopback, where that costs more than it saves.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from cozystack.kube.clock import Clock
from cozystack.kube.config import ClusterConfig
from cozystack.kube.credentials import Credentials
from cozystack.kube.errors import ConnectionFailed
from cozystack.kube.transport import EMPTY, Response, ResponseStream

_CONNECT_TIMEOUT = 10.0
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError)


class HttpTransport:
    """See ``Transport``. Make it inside a running event loop, and ``close`` it there."""

    def __init__(self, config: ClusterConfig, *, clock: Clock, connections: int = 32, interactive: bool = False) -> None:
        self.config = config
        self._credentials = Credentials(config, clock=clock, interactive=interactive)
        self._loopback = URL(config.server).host in ("127.0.0.1", "::1", "localhost")
        self._requests = _session(connections)
        self._streams = _session(0)

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
        total = aiohttp.ClientTimeout(total=timeout, sock_connect=_CONNECT_TIMEOUT)
        response = await self._send(method, path, query, headers, body, total)
        if response.status == 401 and self._credentials.refused():
            response = await self._send(method, path, query, headers, body, total)
        return response

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
    ) -> AsyncGenerator[ResponseStream, None]:
        total = aiohttp.ClientTimeout(total=timeout, sock_connect=_CONNECT_TIMEOUT)
        arguments = await self._arguments(path, query, headers, body, total)
        try:
            response = await self._streams.request(method, **arguments)
        except _FAILURES as error:
            raise _failed(method, path, error) from error
        if response.status == 401:
            self._credentials.refused()
        async with response:
            yield ResponseStream(response.status, response.headers, _chunks(response, method, path))

    async def close(self) -> None:
        await self._requests.close()
        await self._streams.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        timeout: aiohttp.ClientTimeout,
    ) -> Response:
        arguments = await self._arguments(path, query, headers, body, timeout)
        try:
            async with self._requests.request(method, **arguments) as response:
                return Response(response.status, response.headers, await response.read())
        except _FAILURES as error:
            raise _failed(method, path, error) from error

    async def _arguments(
        self,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        timeout: aiohttp.ClientTimeout,
    ) -> dict[str, Any]:
        login = await self._credentials.headers()
        if self._loopback:
            headers = {name: value for name, value in headers.items() if name != "Accept-Encoding"}
        address = f"{self.config.server}{path}{'?' + urlencode(query) if query else ''}"
        return {
            "url": URL(address, encoded=True),
            "headers": {**headers, **login},
            "data": body or None,
            "ssl": self._credentials.tls(),
            "server_hostname": self.config.tls_server_name or None,
            "timeout": timeout,
            "allow_redirects": False,
        }


def _session(connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=60.0),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type"),
    )


async def _chunks(response: aiohttp.ClientResponse, method: str, path: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except _FAILURES as error:
        raise _failed(method, path, error) from error


def _failed(method: str, path: str, error: Exception) -> ConnectionFailed:
    reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return ConnectionFailed(f"{method} {path}: {reason}")
