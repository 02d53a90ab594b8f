"""A transport that calls the embedded API server in the same process, without sockets: for tests on virtual time.

One request is one call; a stream reads the server's own generator. The server's watches end by the loop's clock, which stands
still for nobody, so give informers a ``watch_timeout`` that is never reached (the default will do).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import Request, User
from cozystack.apiserver.storage import open_storage
from cozystack.kube import Client, Clock
from cozystack.sandbox.inprocess import InProcess as _InProcess
from support.apiserver import ADMIN


class InProcess(_InProcess):
    """That of the sandbox; it notes what is sent, and ends the watches of its server when it is closed."""

    def __init__(self, server: ApiServer, user: User = ADMIN) -> None:
        super().__init__(server, user)
        self.sent: list[str] = []
        """Method and path of every request."""

    async def close(self) -> None:
        self.server.end_watches()

    def _request(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Request:
        self.sent.append(f"{method} {path}")
        return super()._request(method, path, query, headers, body)


def connect(clock: Clock, server: ApiServer | None = None) -> Client:
    """A client of ``server``, or of a new one that starts empty, with the time of day of ``clock``."""

    def now() -> datetime:
        return clock.now()

    return Client(InProcess(server or ApiServer(open_storage(None), clock=now)), clock=clock)
