"""The aiohttp server in front of ``ApiServer``: TLS, keep-alive, streams that end when the server does."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.impersonation import headers as impersonation
from cozystack.apiserver.http.messages import Request, Stream, User
from cozystack.apiserver.objects import MOST_BYTES

GZIP_FROM = 128 * 1024


@dataclass(slots=True)
class Listener:
    """A server that listens; ``close`` ends every watch, then every connection."""

    api: ApiServer
    host: str
    port: int
    runner: web.ServerRunner

    async def close(self) -> None:
        self.api.end_watches()
        await self.runner.cleanup()


async def serve(api: ApiServer, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> Listener:
    """Listen, and answer by ``api``; raises ``OSError`` when the port is taken."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await _handle(api, request)

    server = web.Server(handler, request_factory=_request, keepalive_timeout=75.0, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=2.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=tls, reuse_address=True)
    try:
        await site.start()
    except BaseException:
        await runner.cleanup()
        raise
    bound: Any = runner.addresses[0]
    return Listener(api, host, bound[1], runner)


async def _handle(api: ApiServer, request: web.BaseRequest) -> web.StreamResponse:
    try:
        body = await request.read() if request.body_exists else b""
    except web.HTTPRequestEntityTooLarge:
        body = b" " * (MOST_BYTES + 1)
    headers = {name.lower(): value for name, value in request.headers.items()}
    answer = await api.handle(
        Request(
            method=request.method,
            path=request.path,
            query=_last_values(request.query),
            headers=headers,
            body=body,
            user=_certificate_user(request),
            address=(request.remote or "") if api.is_audited else "",
            acting_as=_acting_as(request) if any(name.startswith("impersonate-") for name in headers) else (),
            uri=request.raw_path,
        )
    )
    if isinstance(answer, Stream):
        return await _stream(request, answer)
    sent = CIMultiDict({"Content-Type": answer.content_type, **answer.headers})
    for warning in answer.warnings:
        sent.add("Warning", f"299 - {_quoted(warning)}")
    content = answer.body
    if len(content) > GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
        content = await asyncio.to_thread(gzip.compress, content, 1)
        sent["Content-Encoding"] = "gzip"
        sent["Vary"] = "Accept-Encoding"
    return web.Response(status=answer.status, body=content, headers=sent)


async def _stream(request: web.BaseRequest, answer: Stream) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for chunk in answer.chunks:
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        pass  # the client has gone: nobody is left to tell
    except asyncio.CancelledError:
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        raise
    finally:
        answer.close()
    return response


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]) -> web.BaseRequest:
    """A request whose body may be as large as any that is accepted."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MOST_BYTES + 1024)


def _quoted(text: str) -> str:
    """A text as the quoted string that a header holds: one line, quotes and backslashes escaped."""
    line = " ".join(text.split())
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _last_values(query: Any) -> Mapping[str, str]:
    return dict(query)


def _acting_as(request: web.BaseRequest) -> list[tuple[str, str]]:
    """The headers of impersonation, of which there may be several of a name."""
    return impersonation([(name.lower(), value) for name, value in request.headers.items()])


def _certificate_user(request: web.BaseRequest) -> User | None:
    """The user that a verified client certificate names: its common name, with its organisations as groups."""
    certificate = request.get_extra_info("peercert")
    if not certificate:
        return None
    subject = [pair for entry in certificate.get("subject", ()) for pair in entry]
    name = next((value for key, value in subject if key == "commonName"), "")
    groups = tuple(value for key, value in subject if key == "organizationName")
    return User(name, (*groups, "system:authenticated")) if name else None
