"""The HTTP endpoint of a program: ``/metrics``, ``/healthz``, ``/readyz``, with named checks.

A check says what is wrong, in a few words; the answer to a failed one names it, and ``?verbose`` lists all. Single checks are
at ``/healthz/NAME`` and ``/readyz/NAME``. With TLS, all of it is over TLS; with ``access``, metrics are for those who may get
``/metrics``, checks for everybody, since the kubelet has no token.

Two processes on one host, such as the old and the new Pod of a rollout, may listen on one port: the kernel spreads connections
over them.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from cozystack.runtime.access import Access
from cozystack.runtime.listening import listen
from cozystack.runtime.metrics import Registry

Check = Callable[[], str | None]
"""None when all is well, else what is wrong, in a few words."""

_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class HealthServer:
    """``healthz`` fails when a liveness check fails, ``readyz`` when any check fails. Without a registry: no ``/metrics``."""

    def __init__(
        self, *, registry: Registry | None = None, tls: ssl.SSLContext | None = None, access: Access | None = None
    ) -> None:
        self._registry = registry
        self._tls = tls
        self._access = access
        self._live: dict[str, Check] = {}
        self._ready: dict[str, Check] = {}
        self._runner: web.AppRunner | None = None

    def live(self, name: str, check: Check) -> None:
        """The program should be restarted when this fails."""
        self._live[name] = check

    def ready(self, name: str, check: Check) -> None:
        """The program should not be relied on while this fails."""
        self._ready[name] = check

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (useful when 0 was asked for)."""
        app = web.Application()
        for path, checks in (("/healthz", lambda: self._live), ("/readyz", lambda: {**self._live, **self._ready})):
            app.router.add_get(path, _checker(checks))
            app.router.add_get(path + "/{name}", _checker(checks))
        if self._registry is not None:
            app.router.add_get("/metrics", self._metrics)
        self._runner, bound = await listen(app, host, port, tls=self._tls, patience=1.0)
        return bound

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, request: web.Request) -> web.Response:
        if self._access is not None:
            refusal = await self._access.refusal(request.headers.get("Authorization", ""), "/metrics")
            if refusal is not None:
                headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
                return web.Response(status=refusal.status, text=f"{refusal.message}\n", headers=headers)
        text = self._registry.text() if self._registry is not None else ""
        return web.Response(body=text.encode(), headers={"Content-Type": _EXPOSITION})


def _checker(checks: Callable[[], Mapping[str, Check]]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        chosen = checks()
        name = request.match_info.get("name")
        if name is not None:
            if name not in chosen:
                return web.Response(status=404, text=f"there is no check {name}\n")
            chosen = {name: chosen[name]}
        problems = {each: _problem(check) for each, check in chosen.items()}
        failed = any(problems.values())
        if not failed and "verbose" not in request.query:
            return web.Response(text="ok")
        lines = [f"[-] {each}: {problem}" if problem else f"[+] {each}" for each, problem in problems.items()]
        return web.Response(status=500 if failed else 200, text="\n".join([*lines, "failed" if failed else "ok"]) + "\n")

    return answer


def _problem(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
