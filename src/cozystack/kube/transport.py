"""How requests reach a server: one small protocol, so that programs do not know whether there is a network.

``HttpTransport`` (``cozystack.kube.http``) speaks to a real server; tests and rehearsals pass requests to a server in the same
process. A transport knows nothing of Kubernetes: it neither retries nor interprets what it carries.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class Response:
    """A whole answer. Header names are compared without case; ``body`` is decompressed."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class ResponseStream:
    """An answer whose body arrives in pieces of any size, cut anywhere."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]

    async def lines(self) -> AsyncIterator[bytes]:
        """The body line by line, without line ends; a last line that was cut off is dropped."""
        rest = bytearray()
        async for chunk in self.chunks:
            if b"\n" not in chunk:
                rest += chunk
                continue
            first, *more = chunk.split(b"\n")
            rest += first
            last = more.pop()
            if rest:
                yield bytes(rest)
            for line in more:
                if line:
                    yield line
            rest = bytearray(last)

    async def read(self, limit: int = 1 << 20) -> bytes:
        """The body as a whole, at most ``limit`` bytes (for errors)."""
        body = bytearray()
        async for chunk in self.chunks:
            body += chunk
            if len(body) >= limit:
                break
        return bytes(body[:limit])


class Transport(Protocol):
    """Carries requests. Raises ``ConnectionFailed`` when no whole answer comes, ``CredentialsError`` when it cannot log in."""

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
        """The answer to one request; ``timeout`` in seconds covers all of it."""
        ...

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[ResponseStream]:
        """An answer to read piece by piece; leaving the context ends the connection. ``timeout`` covers the whole stream."""
        ...

    async def close(self) -> None:
        """Let go of connections and files; the transport cannot be used afterwards."""
        ...
