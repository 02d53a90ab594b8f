"""Registries on loopback: ours, ours behind a login, and one that says whatever a test wants."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from aiohttp import web

from cozystack.oci import Registry


@contextlib.asynccontextmanager
async def running(registry: Registry) -> AsyncIterator[str]:
    """The host of our registry while it runs."""
    port = await registry.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await registry.stop()


@contextlib.asynccontextmanager
async def answering(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """The host of a server that gives every request to ``answer``."""
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def guarded(behind: str, guard: Callable[[web.BaseRequest], web.Response | None]) -> AsyncIterator[str]:
    """A registry that forwards to the one at ``behind`` what its guard has no answer for."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        refusal = guard(request)
        if refusal is not None:
            return refusal
        url = f"http://{behind}{request.path_qs}"
        headers = {name: request.headers[name] for name in ("Accept", "Content-Type") if name in request.headers}
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, data=await request.read() or None, headers=headers) as response,
        ):
            kept = {name: response.headers[name] for name in ("Location", "Content-Type") if name in response.headers}
            return web.Response(status=response.status, body=await response.read(), headers=kept)

    async with answering(answer) as host:
        yield host
