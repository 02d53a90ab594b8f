"""A transport over HTTP that loads in no time: asyncio's own streams, nothing else.

It does what ``cozystack.kube.HttpTransport`` does for one program that asks a handful of questions and ends. The library under
that one takes longer to load than everything that ``cozypkg list`` does (a tenth of a second), so here stands the little of
HTTP/1.1 that an API server speaks: lengths, chunks, gzip, connections that are used again.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from cozystack.kube.clock import Clock
from cozystack.kube.config import ClusterConfig
from cozystack.kube.credentials import Credentials
from cozystack.kube.errors import ConnectionFailed
from cozystack.kube.transport import EMPTY, Response, ResponseStream

_CONNECT_TIMEOUT = 10.0
_BUFFER = 1 << 20
_FAILURES = (OSError, EOFError, asyncio.LimitOverrunError, zlib.error, ValueError)


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


@dataclass(slots=True)
class _Answer:
    """What came before the body; ``last``: the connection cannot be used again."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    last: bool = False


class StreamTransport:
    """See ``Transport``. Make it inside a running event loop, and ``close`` it there."""

    def __init__(self, config: ClusterConfig, *, clock: Clock, interactive: bool = False) -> None:
        self.config = config
        self._credentials = Credentials(config, clock=clock, interactive=interactive)
        address = urlsplit(config.server)
        self._host = address.hostname or ""
        self._port = address.port or (443 if address.scheme == "https" else 80)
        self._authority = address.netloc.rpartition("@")[2]
        self._prefix = address.path.rstrip("/")
        self._idle: list[_Connection] = []

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
        try:
            async with asyncio.timeout(timeout):
                response = await self._request(method, path, query, headers, body)
                if response.status == 401 and self._credentials.refused():
                    await self.close()
                    response = await self._request(method, path, query, headers, body)
                return response
        except _FAILURES as error:
            raise self._failed(error) from error

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
        connection: _Connection | None = None
        try:
            try:
                content = await self._content(method, path, query, headers, body)
                connection = await self._connect()
                answer = await _ask(connection, content)
            except _FAILURES as error:
                raise self._failed(error) from error
            if answer.status == 401:
                self._credentials.refused()
            async with aclosing(self._told(_body(connection.reader, answer, method), timeout)) as chunks:
                yield ResponseStream(answer.status, answer.headers, chunks)
        finally:
            if connection is not None:
                await connection.close()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Response:
        content = await self._content(method, path, query, headers, body)
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            try:
                answer = await _ask(connection, content)
            except (OSError, EOFError):
                if not connection.used or method != "GET":
                    raise
                # The server has closed what stood idle.
                await connection.close()
                connection = await self._connect()
                answer = await _ask(connection, content)
            received = b"".join([chunk async for chunk in _body(connection.reader, answer, method)])
        except BaseException:
            await connection.close()
            raise
        if answer.last:
            await connection.close()
        else:
            connection.used = True
            self._idle.append(connection)
        return Response(answer.status, answer.headers, received)

    async def _connect(self) -> _Connection:
        tls = self._credentials.tls()
        encrypted = isinstance(tls, ssl.SSLContext)
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(
                self._host,
                self._port,
                limit=_BUFFER,
                ssl=tls if encrypted else None,
                server_hostname=(self.config.tls_server_name or self._host) if encrypted else None,
            )
        return _Connection(reader, writer)

    async def _content(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> bytes:
        """The request as it is sent. To be made before a connection, which may need the certificate of a plugin."""
        login = await self._credentials.headers()
        lines = [f"{method} {self._prefix}{path}{'?' + urlencode(query) if query else ''} HTTP/1.1"]
        fields = {"Host": self._authority, **headers, **login, "Content-Length": str(len(body))}
        lines += (f"{name}: {value}" for name, value in fields.items())
        return "\r\n".join((*lines, "", "")).encode() + body

    async def _told(self, chunks: AsyncIterator[bytes], timeout: float | None) -> AsyncGenerator[bytes, None]:
        """``chunks`` with errors that say where from; within ``timeout`` in all."""
        ends = None if timeout is None else asyncio.get_running_loop().time() + timeout
        while True:
            try:
                async with asyncio.timeout_at(ends):
                    chunk = await anext(chunks, None)
            except _FAILURES as error:
                raise self._failed(error) from error
            if chunk is None:
                return
            yield chunk

    def _failed(self, error: Exception) -> ConnectionFailed:
        return ConnectionFailed(f"the cluster at {self.config.server} does not answer: {_reason(error)}")


async def _ask(connection: _Connection, content: bytes) -> _Answer:
    connection.writer.write(content)
    await connection.writer.drain()
    return await _head(connection.reader)


async def _head(reader: asyncio.StreamReader) -> _Answer:
    while True:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        protocol, code = lines[0].split(" ", 2)[:2]
        answer = _Answer(int(code))
        if answer.status >= 200:
            break
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        answer.headers[name.strip().lower()] = value.strip()
    answer.last = protocol == "HTTP/1.0" or answer.headers.get("connection", "").lower() == "close"
    return answer


async def _body(reader: asyncio.StreamReader, answer: _Answer, method: str) -> AsyncGenerator[bytes, None]:
    """The body in pieces, unpacked; raises ``EOFError`` when it is cut off."""
    unpack = zlib.decompressobj(31) if answer.headers.get("content-encoding") == "gzip" else None
    async for piece in _pieces(reader, answer, method):
        content = unpack.decompress(piece) if unpack is not None else piece
        if content:
            yield content


async def _pieces(reader: asyncio.StreamReader, answer: _Answer, method: str) -> AsyncGenerator[bytes, None]:
    headers = answer.headers
    if method == "HEAD" or answer.status in (204, 304):
        return
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            async for piece in _exactly(reader, size):
                yield piece
            await reader.readuntil(b"\r\n")
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
    elif "content-length" in headers:
        async for piece in _exactly(reader, int(headers["content-length"])):
            yield piece
    else:
        answer.last = True
        while piece := await reader.read(_BUFFER):
            yield piece


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncGenerator[bytes, None]:
    while size:
        piece = await reader.read(min(size, _BUFFER))
        if not piece:
            raise EOFError
        size -= len(piece)
        yield piece


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case ssl.SSLError():
            return f"TLS failed ({error.reason})"
        case ConnectionRefusedError():
            return "connection refused"
        case socket.gaierror():
            return f"there is no host of that name ({error.strerror})"
        case ConnectionResetError() | EOFError():
            return "the connection was cut off"
        case OSError():
            return (error.strerror or str(error)).lower()
    return "what it says is no HTTP"
