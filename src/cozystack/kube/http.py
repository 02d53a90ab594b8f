"""A transport over HTTP: one aiohttp session, with the credentials of a ``ClusterConfig``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from cozystack.kube.clock import Clock
from cozystack.kube.config import ClusterConfig
from cozystack.kube.transport import EMPTY, Response, ResponseStream


class HttpTransport:
    """See ``Transport``. Make it inside a running event loop; ``connections`` bounds what is open at once, watches apart."""

    def __init__(self, config: ClusterConfig, *, clock: Clock, connections: int = 32, user_agent: str = "cozystack") -> None:
        self.config = config

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
        raise NotImplementedError

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
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
