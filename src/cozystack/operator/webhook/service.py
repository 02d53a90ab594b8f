"""The webhook as a service of the operator: it runs in every replica, from its start on, and does not need the lease.

A standby follows Packages and PackageSources itself; as soon as the replica leads and the operator's view is filled, that one
is asked instead and the standby's is let go. Before either is filled, objects are looked at by themselves, which is all that
refusals need.
Whatever fails here is tried again and never ends the operator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from cozystack.api.meta import Key
from cozystack.api.resources import PACKAGE_SOURCES, PACKAGES, Resource, untyped
from cozystack.kube import Client
from cozystack.kube.clock import Clock, within
from cozystack.kube.errors import KubeError, NotFound
from cozystack.operator.view import View
from cozystack.operator.webhook.certificates import Certificates
from cozystack.operator.webhook.keeping import Keeper
from cozystack.operator.webhook.registration import NAME, Registrar
from cozystack.operator.webhook.server import Server
from cozystack.planner import Catalogue, Settings
from cozystack.runtime import Controller, Log, Registry, Service, supervise

_SELF_REVIEWS: Resource[dict[str, Any]] = untyped(
    "authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False
)
PATIENCE = 10.0
"""Seconds that the operator waits for its webhook before it goes for the lease."""
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """``namespace`` is the operator's own; an empty host means all addresses."""

    host: str
    port: int
    namespace: str
    fail_closed: bool = False


class StandbyView(View):
    """Packages and PackageSources, and nothing else."""

    def __init__(self, client: Client, settings: Settings) -> None:
        super().__init__(client, settings, on_affected=lambda affected: None)
        self._informers = [each for each in self._informers if each.resource in (PACKAGES, PACKAGE_SOURCES)]


class Webhook:
    """See the module. ``leading`` returns the operator's own view once it leads and the view is filled."""

    def __init__(
        self,
        client: Client,
        options: WebhookOptions,
        settings: Settings,
        *,
        leading: Callable[[], Awaitable[Catalogue]],
        clock: Clock,
        random: Random,
        log: Log,
        registry: Registry,
    ) -> None:
        self.port = 0
        """The port that is listened on; 0 before."""
        self._client = client
        self._options = options
        self._settings = settings
        self._leading = leading
        self._clock = clock
        self._random = random
        self._log = log
        self._own = ""
        self._view: Catalogue | None = None
        self._certificates: Certificates | None = None
        self._identified = asyncio.Event()
        self._certified = asyncio.Event()
        self._listening = asyncio.Event()
        self._server = Server(view=lambda: self._view, own=lambda: self._own, clock=clock, log=log, registry=registry)
        self._keeper = Keeper(
            client,
            namespace=options.namespace,
            host=f"{NAME}.{options.namespace}.svc",
            clock=clock,
            log=log,
            on_certificates=self._show,
        )
        self._registration: Controller | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        secrets = self._keeper.secrets
        keeping = self._controller("webhook certificates", self._keeper.reconcile)
        keeping.watch(secrets)
        keeping.trigger(self._keeper.key)
        await supervise(
            [
                Service("watch webhook certificates", secrets.run),
                Service("webhook certificates", keeping.run, keeping.stop),
                Service("webhook identity", self._identify),
                Service("webhook view", self._follow),
                Service("webhook server", self._serve),
            ],
            clock=self._clock,
            signals=False,
        )

    def first(self, run: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """``run``, begun when reviews are answered, or at the latest after a while: nothing waits for ever for a webhook."""

        async def begin() -> None:
            with suppress(TimeoutError):
                await within(self._clock, PATIENCE, self._listening.wait())
            if not self._listening.is_set():
                self._log.warning("the webhook does not listen yet; going on without it", seconds=PATIENCE)
            await run()

        return begin

    def led(self, run: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """``run`` with the registration beside it: what is done under the lease."""

        async def lead() -> None:
            services = [Service("webhook registration", self._register), Service("operator", run)]
            await supervise(services, clock=self._clock, signals=False, finished="operator")

        return lead

    async def _register(self) -> None:
        """Keep the configuration as it should be, until cancelled: what the leader does. Written once the webhook listens."""
        registrar = Registrar(
            self._client,
            namespace=self._options.namespace,
            fail_closed=self._options.fail_closed,
            authorities=lambda: self._certificates.authorities if self._certificates is not None else b"",
            own=lambda: self._own,
            log=self._log,
        )
        controller = self._controller("webhook registration", registrar.reconcile)
        for event in (self._identified, self._certified, self._listening):
            controller.wait_for(_waiting(event))
        controller.watch(registrar.configurations)
        controller.trigger(Key("", NAME))
        self._registration = controller
        try:
            await supervise(
                [
                    Service("watch webhook configuration", registrar.configurations.run),
                    Service("webhook registration", controller.run, controller.stop),
                ],
                clock=self._clock,
                signals=False,
            )
        finally:
            self._registration = None

    def _show(self, certificates: Certificates) -> None:
        if certificates == self._certificates:
            return
        self._server.use(certificates)
        self._certificates = certificates
        self._certified.set()
        if self._registration is not None:
            self._registration.trigger(Key("", NAME))

    async def _identify(self) -> None:
        """Find out who we are for the API server: what we write is never asked about."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
        for delay in _delays():
            try:
                answer = await self._client.create(_SELF_REVIEWS, review)
            except NotFound:
                self._log.warning(
                    "the API server tells nobody who they are: the operator's own writes are reviewed as any others"
                )
                break
            except KubeError as error:
                self._log.warning("the webhook does not know its own account yet", reason=str(error))
                await self._clock.sleep(delay)
            else:
                self._own = ((answer.get("status") or {}).get("userInfo") or {}).get("username", "")
                break
        self._identified.set()
        await asyncio.Event().wait()

    async def _follow(self) -> None:
        """Keep a view: our own until the operator's is filled, then that."""
        leading = asyncio.ensure_future(self._leading())
        standing_by = asyncio.ensure_future(self._stand_by())
        try:
            await asyncio.wait((leading, standing_by), return_when=asyncio.FIRST_COMPLETED)
            if leading.done():
                self._view = leading.result()
            else:
                standing_by.result()
        finally:
            for task in (leading, standing_by):
                task.cancel()
            await asyncio.wait((leading, standing_by))
        await asyncio.Event().wait()

    async def _stand_by(self) -> None:
        await self._kinds_served()
        view = StandbyView(self._client, self._settings)

        async def fill() -> None:
            await view.fill()
            self._view = view.catalogue
            await asyncio.Event().wait()

        await supervise([*view.services(), Service("standby view", fill)], clock=self._clock, signals=False)

    async def _kinds_served(self) -> None:
        """Wait for the CRDs: on a new cluster whoever leads installs them."""
        for delay in _delays():
            try:
                for kind in (PACKAGES, PACKAGE_SOURCES):
                    await self._client.request_json(kind.path(), query={"limit": "1"})
            except KubeError as error:
                self._log.debug("the webhook cannot follow Packages yet", reason=str(error))
                await self._clock.sleep(delay)
            else:
                return

    async def _serve(self) -> None:
        await self._certified.wait()
        host, port = self._options.host or None, self._options.port
        try:
            for delay in _delays():
                try:
                    self.port = await self._server.start(host, port)
                except OSError as error:
                    self._log.warning("the webhook cannot listen, trying again", port=port, reason=str(error), retry_in=delay)
                    await self._clock.sleep(delay)
                else:
                    self._log.info("the webhook listens", port=self.port)
                    self._listening.set()
                    break
            await asyncio.Event().wait()
        finally:
            await self._server.stop()

    def _controller(self, name: str, reconcile: Callable[[Key], Awaitable[Any]]) -> Controller:
        return Controller(name, reconcile, clock=self._clock, random=self._random, workers=1)


def _waiting(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        await event.wait()

    return wait


def _delays() -> Iterator[float]:
    delay = _FIRST_DELAY
    while True:
        yield delay
        delay = min(delay * 2, _LONGEST_DELAY)
