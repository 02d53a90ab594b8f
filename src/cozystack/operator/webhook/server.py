"""HTTPS for the webhook: reviews at ``/validate``.

Two processes on one host, such as the old and the new Pod of a rollout, may listen on one port: the kernel spreads connections
over them. A new certificate is for new connections; those that are open go on.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from aiohttp import web

from cozystack.kube.clock import Clock
from cozystack.operator.webhook.certificates import Certificates
from cozystack.operator.webhook.registration import PATH
from cozystack.operator.webhook.reviews import Request, ReviewError, answer, judge, read
from cozystack.planner import Catalogue
from cozystack.planner.admission import Verdict
from cozystack.runtime import Log, Registry
from cozystack.runtime.listening import listen

_MOST_BYTES = 8 * 1024 * 1024
"""A review holds two objects, each of at most 3 MB as the API server takes them."""


class Server:
    """``view`` gives what is known of the cluster, ``own`` the operator's account; both are asked at every review."""

    def __init__(
        self, *, view: Callable[[], Catalogue | None], own: Callable[[], str], clock: Clock, log: Log, registry: Registry
    ) -> None:
        self._view = view
        self._own = own
        self._clock = clock
        self._log = log
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._runner: web.AppRunner | None = None
        self._reviews = registry.counter("cozystack_webhook_reviews_total", "Admission reviews answered", ("kind", "outcome"))
        self._seconds = registry.histogram("cozystack_webhook_review_seconds", "Duration of admission reviews", ("kind",))

    def use(self, certificates: Certificates) -> None:
        """Show this certificate from now on; raises ``ssl.SSLError``."""
        certificates.load_into(self._tls)

    async def start(self, host: str | None, port: int) -> int:
        """Listen; the port. Raises ``OSError`` when that is not possible now."""
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post(PATH, self._review)
        self._runner, bound = await listen(app, host, port, tls=self._tls, patience=2.0)
        return bound

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _review(self, request: web.Request) -> web.Response:
        started = self._clock.monotonic()
        try:
            asked = read(await request.read())
        except ReviewError as error:
            return web.Response(status=400, text=f"{error}\n")
        verdict = judge(asked, self._view(), self._own())
        self._note(asked, verdict, self._clock.monotonic() - started)
        return web.Response(body=answer(asked, verdict), content_type="application/json")

    def _note(self, asked: Request, verdict: Verdict, seconds: float) -> None:
        kind = asked.kind.kind
        outcome = "refused" if verdict.refusals else "warned" if verdict.warnings else "allowed"
        self._reviews.inc(kind=kind, outcome=outcome)
        self._seconds.observe(seconds, kind=kind)
        for refusal in verdict.refusals:
            self._log.info("refused", kind=kind, name=asked.name, user=asked.user_info.username, reason=refusal.message)
