"""The aiohttp server in front of ``ApiServer``: TLS, keep-alive, limits, streams that end when the server does.

A connection that sends nothing, or half a request, is closed after a while; a body has a time by which it must be there, and a
size that it may have. Bodies are not unpacked, whatever they claim to be: little could become much.
"""

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

from cozystack.apiserver import errors
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.impersonation import headers as impersonation
from cozystack.apiserver.http.messages import Request, Stream, User
from cozystack.apiserver.objects import MOST_BYTES

GZIP_FROM = 128 * 1024
IDLE_SECONDS = 75.0
BODY_SECONDS = 60.0
MOST_HEADER_BYTES = 256 * 1024
_WAITING = 1024
_LINGER_SECONDS = 10.0


@dataclass(slots=True)
class Listener:
    """A server that listens; ``close`` ends every watch, then every connection."""

    api: ApiServer
    host: str
    port: int
    runner: web.ServerRunner

    async def close(self) -> None:
        self.api.ready = False
        self.api.end_watches()
        await self.runner.cleanup()


async def serve(
    api: ApiServer,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    idle: float = IDLE_SECONDS,
    patience: float = BODY_SECONDS,
) -> Listener:
    """Listen, and answer by ``api``; raises ``OSError`` when the port is taken.

    A connection is closed when it has said nothing whole for ``idle`` seconds; a body may take ``patience`` seconds.
    """

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await _handle(api, request, patience)

    server = web.Server(
        handler,
        request_factory=_request,
        keepalive_timeout=idle,
        lingering_time=min(_LINGER_SECONDS, patience),
        access_log=None,
        auto_decompress=False,
        max_line_size=MOST_HEADER_BYTES,
        max_field_size=MOST_HEADER_BYTES,
    )
    runner = web.ServerRunner(server, shutdown_timeout=2.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=tls, reuse_address=True, backlog=_WAITING)
    try:
        await site.start()
    except BaseException:
        await runner.cleanup()
        raise
    bound: Any = runner.addresses[0]
    return Listener(api, host, bound[1], runner)


async def _handle(api: ApiServer, request: web.BaseRequest, patience: float) -> web.StreamResponse:
    body = b""
    if request.body_exists:
        try:
            async with asyncio.timeout(patience):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            body = _TOO_LARGE
        except TimeoutError:
            late = errors.timed_out("request did not complete within the allotted timeout")
            response = web.json_response(late.status(), status=late.code)
            response.force_close()
            return response
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
    if len(content) > GZIP_FROM and _takes_gzip(request.headers.get("Accept-Encoding", "")):
        content = await asyncio.to_thread(gzip.compress, content, 1)
        sent["Content-Encoding"] = "gzip"
        sent["Vary"] = "Accept-Encoding"
    return web.Response(status=answer.status, body=content, headers=sent)


def _takes_gzip(accepted: str) -> bool:
    for choice in accepted.split(","):
        coding, _, weight = choice.partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return weight.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def _stream(request: web.BaseRequest, answer: Stream) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
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


# Longer than any that is accepted: who asks, and may they, is still answered first.
_TOO_LARGE = b" " * (MOST_BYTES + 1)


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
