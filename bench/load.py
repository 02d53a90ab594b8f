"""A client that costs next to nothing: requests are bytes that were made before, answers are only counted.

What is measured with it is the server. It speaks as much of HTTP/1.1 as the embedded server and a real one answer with:
``Content-Length`` or chunks, and keep-alive.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterable

import msgspec

from bench.serving import TOKEN

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def request(
    method: str, path: str, body: object = None, *, content_type: str = "application/json", token: str = TOKEN
) -> bytes:
    """One request, as it goes over the wire; a body of bytes goes as it is."""
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}", "Accept: application/json"]
    content = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else b""
    if content:
        head += [f"Content-Type: {content_type}", f"Content-Length: {len(content)}"]
    return "\r\n".join([*head, "", ""]).encode() + content


class Connection(asyncio.Protocol):
    """One connection, one request at a time. ``body`` is that of the last answer."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport
        self._head = b""
        self._pieces: list[bytes] = []
        self._left = -1
        self._chunked: bytearray | None = None
        self._answer: asyncio.Future[int] | None = None
        self._status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server has closed the connection"))

    def send(self, content: bytes) -> asyncio.Future[int]:
        """Send a request; the status of its answer, when all of it is there."""
        self._answer = asyncio.get_running_loop().create_future()
        self._head, self._pieces, self._left, self._chunked = b"", [], -1, None
        self._transport.write(content)
        return self._answer

    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._head, 0, end + 2)
            self._status = int(self._head[9:12])
            data = self._head[end + 4 :]
            if length is None:
                assert b"chunked" in self._head[:end].lower(), self._head[:end]
                self._left, self._chunked = 0, bytearray()
            else:
                self._left = int(length[1])
        if self._chunked is not None:
            self._chunks(self._chunked, data)
            return
        self._left -= len(data)
        self._pieces.append(data)
        if not self._left and self._answer is not None:
            self._answer.set_result(self._status)

    def _chunks(self, buffer: bytearray, data: bytes) -> None:
        """Take whole chunks out of ``buffer``; the empty one is the end."""
        buffer += data
        position = 0
        while (end := buffer.find(b"\r\n", position)) >= 0:
            size = int(buffer[position:end], 16)
            begin = end + 2
            if len(buffer) < begin + size + 2:
                break
            if not size:
                self._chunked = None
                if self._answer is not None:
                    self._answer.set_result(self._status)
                return
            self._pieces.append(bytes(buffer[begin : begin + size]))
            position = begin + size + 2
        del buffer[:position]

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)

    def close(self) -> None:
        self._transport.close()


class Watching(asyncio.Protocol):
    """One watch: the moment at which each of its events was there (``time.perf_counter``)."""

    def __init__(self, content: bytes) -> None:
        self.moments: list[float] = []
        self._content = content
        self._tail = b""
        self._transport: asyncio.WriteTransport
        self._wanted = 0
        self._reached: asyncio.Future[None] | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(self._content)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self.opened.done():
            assert data.startswith(b"HTTP/1.1 200"), data
            self.opened.set_result(None)
        # An event is one line of JSON, which contains no other "}\n"; the two bytes may come apart.
        count = (self._tail + data).count(b"}\n")
        self._tail = data[-1:]
        if count:
            self.moments += [now] * count
            if self._reached is not None and len(self.moments) >= self._wanted and not self._reached.done():
                self._reached.set_result(None)

    async def seen(self, count: int) -> None:
        """Return when the watch has had as many events."""
        if len(self.moments) < count:
            self._wanted, self._reached = count, asyncio.get_running_loop().create_future()
            await self._reached

    def close(self) -> None:
        self._transport.close()


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def watch(port: int, path: str, *, token: str = TOKEN) -> Watching:
    """A watch that the server has answered."""
    content = request("GET", path, token=token)
    _, watching = await asyncio.get_running_loop().create_connection(lambda: Watching(content), "127.0.0.1", port)
    await watching.opened
    return watching


async def flood(port: int, requests: Iterable[bytes], *, connections: int, expect: int) -> list[float]:
    """Send all requests over some connections as fast as they are answered; the seconds that each took.

    Raises ``RuntimeError`` when an answer has another status than ``expect``.
    """
    waiting = deque(requests)
    seconds: list[float] = []

    async def worker() -> None:
        connection = await connect(port)
        try:
            while waiting:
                content = waiting.popleft()
                began = time.perf_counter()
                status = await connection.send(content)
                seconds.append(time.perf_counter() - began)
                if status != expect:
                    raise RuntimeError(f"status {status} instead of {expect}: {content.splitlines()[0].decode()}")
        finally:
            connection.close()

    await asyncio.gather(*(worker() for _ in range(connections)))
    return seconds
