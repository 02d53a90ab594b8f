"""The program ``cozystack-operator``.

Takes the lease, brings the cluster up to where packages can be installed, then keeps PackageSources, Packages and the copies of
the values Secret as their plans say, until it is told to stop: then it finishes the running step and gives the lease back.
Exit codes: 0 stopped or help, 1 cannot go on, 2 wrong flags.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from cozystack import __version__
from cozystack.api.duration import format_duration
from cozystack.api.meta import Key
from cozystack.kube import Client, HttpTransport, SystemClock, load_config
from cozystack.kube.clock import Clock
from cozystack.kube.errors import KubeError
from cozystack.operator import handback, labels
from cozystack.operator.bootstrap import Bootstrap
from cozystack.operator.flags import FlagSyntaxError, HelpRequested, Options, OptionsError, read_options, usage
from cozystack.operator.measures import Measures
from cozystack.operator.reconcilers import Reconcilers
from cozystack.operator.replicator import Replicator
from cozystack.operator.telemetry import Report, Send, Telemetry, post, report
from cozystack.operator.view import View
from cozystack.operator.webhook.registration import retire
from cozystack.planner import Affected, Catalogue, Settings
from cozystack.runtime import (
    Access,
    Controller,
    EventRecorder,
    HealthServer,
    LeaderElector,
    LeadershipLost,
    Log,
    Registry,
    Result,
    Service,
    configure,
    count_reconciles,
    count_requests,
    show_controller,
    supervise,
    tune_gc,
)

if TYPE_CHECKING:
    from cozystack.operator.serving import ServingCertificate
    from cozystack.operator.webhook.service import Webhook

LEASE = "cozystack-operator.cozystack.io"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["label-namespace"]:
        return labels.main(arguments[1:], os.environ)
    if arguments[:1] == ["hand-back"]:
        return handback.main(arguments[1:], os.environ, lease=LEASE)
    try:
        options = read_options(arguments, os.environ)
    except HelpRequested:
        sys.stdout.write(usage())
        return 0
    except FlagSyntaxError as error:
        sys.stderr.write(f"{error}\n{usage()}")
        return 2
    except OptionsError as error:
        sys.stderr.writelines(f"cozystack-operator: {fault}\n" for fault in error.faults)
        return 1
    clock = SystemClock()
    level = getattr(logging, options.log_level.upper())
    configure(sys.stderr, clock=clock, style="json" if options.log_format == "json" else "console", level=level)
    log = Log("cozystack.operator")
    try:
        asyncio.run(run(options, os.environ, clock=clock, log=log))
    except LeadershipLost as error:
        log.error("leadership lost", reason=str(error))
        return 1
    except (KubeError, OSError) as error:
        log.error("cannot go on", reason=str(error))
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


async def run(options: Options, environment: Mapping[str, str], *, clock: Clock, log: Log) -> None:
    """Connect, wait for the lease, operate; returns after a signal."""
    kubeconfig = Path(options.kubeconfig) if options.kubeconfig else None
    config = load_config(kubeconfig, None, environment)
    namespace = environment.get("POD_NAMESPACE") or config.namespace
    certificate = _certificate(options, namespace, clock=clock, log=log)
    registry = Registry()
    transport = HttpTransport(config, clock=clock)
    client = Client(
        transport,
        clock=clock,
        user_agent=f"cozystack-operator/{__version__}",
        observe=count_requests(registry),
    )
    elector = _elector(client, options, namespace, environment, log=log) if options.leader_elect else None
    # Under a lease, nothing is written once it is lost, by whatever is still on its way.
    working = client.fenced(lambda: elector.leading) if elector is not None else client
    operator = Operator(working, options, environment, clock=clock, log=log, registry=registry, on_filled=tune_gc)
    listeners = _listeners(options, registry, certificate, client)
    for listener in listeners.values():
        listener.ready("bootstrap", lambda: None if operator.bootstrap.done or not operator.leading else "not finished yet")
    try:
        for (host, port), listener in listeners.items():
            await listener.start(host, port)
        webhook = _webhook(operator, client, options, namespace, registry)
        run_operator = webhook.led(operator.run) if webhook is not None else _without_webhook(operator, namespace)
        if elector is not None:
            run_operator = partial(elector.run, run_operator)
        services = [Service("operator", run_operator)]
        if webhook is not None:
            services = [Service("webhook", webhook.run), Service("operator", webhook.first(run_operator))]
        if certificate is not None:
            services.insert(0, Service("metrics certificate", certificate.run))
        await supervise(services, clock=clock, finished="operator")
    finally:
        for listener in listeners.values():
            await listener.stop()
        await transport.close()


def _certificate(options: Options, namespace: str, *, clock: Clock, log: Log) -> ServingCertificate | None:
    """The certificate of the metrics, if they are to be served over TLS; raises ``OSError`` when it cannot be loaded."""
    if not options.metrics_secure or options.metrics_bind_address == "0":
        return None
    # Imported here: nobody else needs cryptography.
    from cozystack.operator.serving import ServingCertificate

    folder = Path(options.metrics_cert_path) if options.metrics_cert_path else None
    certificate = ServingCertificate(folder=folder, host=f"cozystack-operator.{namespace}.svc", clock=clock, log=log)
    certificate.load()
    return certificate


def _listeners(
    options: Options, registry: Registry, certificate: ServingCertificate | None, client: Client
) -> dict[tuple[str, int], HealthServer]:
    """A server for each address that the flags name: with metrics, with probes, or with both where they are the same."""
    found: dict[tuple[str, int], HealthServer] = {}
    if options.metrics_bind_address != "0":
        tls = access = None
        if certificate is not None:
            tls, access = certificate.context, Access(client, clock=client.clock)
        found[_address(options.metrics_bind_address)] = HealthServer(registry=registry, tls=tls, access=access)
    if options.health_probe_bind_address != "0":
        found.setdefault(_address(options.health_probe_bind_address), HealthServer())
    return found


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host or "0.0.0.0", int(port)  # noqa: S104 - what the flag asks


def _webhook(operator: Operator, client: Client, options: Options, namespace: str, registry: Registry) -> Webhook | None:
    """The admission webhook, if it is asked for."""
    if options.webhook_bind_address == "0":
        return None
    # Imported here: nobody else needs cryptography.
    from cozystack.operator.webhook.service import Webhook, WebhookOptions

    host, _, port = options.webhook_bind_address.rpartition(":")
    return Webhook(
        client,
        WebhookOptions(host=host, port=int(port), namespace=namespace, fail_closed=options.webhook_fail_closed),
        settings_of(options),
        leading=operator.filled_catalogue,
        clock=operator.clock,
        random=Random(),  # noqa: S311 - spreads retries
        log=operator.log,
        registry=registry,
    )


def _without_webhook(operator: Operator, namespace: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await retire(operator.client, namespace=namespace, log=operator.log)
        await operator.run()

    return run


def _elector(client: Client, options: Options, namespace: str, environment: Mapping[str, str], *, log: Log) -> LeaderElector:
    pod, uid = environment.get("POD_NAME") or socket.gethostname(), environment.get("POD_UID", "")
    # A container of this Pod that ran before us is dead: that is what lets the kubelet start us.
    place = f"{pod}_{uid}_" if uid else ""
    identity = f"{place or f'{pod}_'}{os.getpid()}_{Random().getrandbits(32):08x}"  # noqa: S311
    return LeaderElector(
        client,
        namespace=options.leader_election_namespace or namespace,
        name=LEASE,
        identity=identity,
        clock=client.clock,
        random=Random(),  # noqa: S311 - spreads retries
        place=place,
        on_new_leader=lambda leader: log.info("the lease is held", holder=leader, ours=leader == identity),
    )


class Operator:
    """Everything that happens under the lease. ``on_filled`` is called once it knows the cluster."""

    def __init__(
        self,
        client: Client,
        options: Options,
        environment: Mapping[str, str],
        *,
        clock: Clock,
        log: Log,
        registry: Registry | None = None,
        random: Random | None = None,
        on_filled: Callable[[], None] = lambda: None,
        send: Send = post,
    ) -> None:
        self.client = client
        self.clock = clock
        self.log = log
        self.leading = False
        self._catalogue: Catalogue | None = None
        self._filled = asyncio.Event()
        self._on_filled = on_filled
        self._options = options
        self._random = random or Random()  # noqa: S311 - spreads retries
        self._registry = registry or Registry()
        self._observe = count_reconciles(self._registry)
        self._send = send
        self._version = version = environment.get("COZYSTACK_VERSION") or __version__
        self.bootstrap = Bootstrap(
            client, options, clock=clock, random=self._random, environment=environment, version=version, log=log
        )

    async def run(self) -> None:
        """Bootstrap, then reconcile until cancelled."""
        self.leading = True
        self.log.info("operating", version=__version__)
        await self.bootstrap.run()
        self._measures = Measures(self._registry, self.clock)
        view = View(self.client, settings_of(self._options), on_affected=self._trigger, random=self._random)
        instance = os.environ.get("POD_NAME", "cozystack-operator")
        events = EventRecorder(self.client, component="cozystack-operator", instance=instance, clock=self.clock)
        reconcilers = Reconcilers(
            self.client,
            view,
            clock=self.clock,
            log=self.log,
            events=events,
            ordered_deletion=self._options.ordered_deletion,
            measures=self._measures,
        )
        self._packages = self._controller("package", reconcilers.package)
        self._sources = self._controller("packagesource", reconcilers.source)
        self._namespaces = self._controller("namespace", reconcilers.namespace)
        source = Key(self._options.cozy_values_secret_namespace, self._options.cozy_values_secret_name)
        replicator = Replicator(
            self.client,
            view.secrets,
            view.namespaces,
            source=source,
            selector=self._options.cozy_values_namespace_selector,
            log=self.log,
        )
        copies = self._controller("values", replicator.reconcile)
        replicator.watch(copies)
        controllers = [self._sources, self._packages, self._namespaces, copies]
        for controller in controllers:
            show_controller(self._registry, controller)
        view.show(self._registry)

        async def fill() -> None:
            await view.fill()
            self._catalogue = view.catalogue
            self._filled.set()
            self._on_filled()
            self.log.info("watching", packages=len(view.catalogue.packages), sources=len(view.catalogue.sources))
            await asyncio.gather(self.bootstrap.watch_flux(), self.bootstrap.tidy())
            await asyncio.Event().wait()

        await supervise(
            [
                Service("events", events.run),
                *view.services(),
                *(Service(f"controller {c.name}", c.run, c.stop) for c in controllers),
                Service("view", fill),
                *([Service("telemetry", self._telemetry)] if self._reports else []),
            ],
            clock=self.clock,
            signals=False,
        )

    @property
    def _reports(self) -> bool:
        return bool(self._options.telemetry_endpoint) and not self._options.disable_telemetry

    async def _telemetry(self) -> None:
        """Report to whoever the flags name, once everything is known."""
        options, catalogue = self._options, await self.filled_catalogue()

        async def make() -> Report:
            return await report(
                self.client,
                catalogue,
                version=self._version,
                dependency_gate=options.dependency_gate,
                ordered_deletion=options.ordered_deletion,
                webhook=options.webhook_bind_address != "0",
            )

        interval = options.telemetry_interval.total_seconds()
        await Telemetry(
            make, endpoint=options.telemetry_endpoint, interval=interval, clock=self.clock, log=self.log, send=self._send
        ).run()

    async def filled_catalogue(self) -> Catalogue:
        """What the operator knows of the cluster, once it leads and knows everything."""
        await self._filled.wait()
        if self._catalogue is None:
            raise AssertionError("set before the event")
        return self._catalogue

    def _controller(self, name: str, reconcile: Callable[[Key], Awaitable[Result]]) -> Controller:
        return Controller(
            name,
            reconcile,
            clock=self.clock,
            random=self._random,
            workers=self._options.workers,
            observe=self._observe,
        )

    def _trigger(self, affected: Affected) -> None:
        # In one order always, so that a simulation can be repeated.
        for name in sorted(affected.sources):
            self._sources.trigger(Key("", name))
        for name in sorted(affected.packages):
            self._measures.touched(name)
            self._packages.trigger(Key("", name))
        for name in sorted(affected.namespaces):
            self._namespaces.trigger(Key("", name))


def settings_of(options: Options) -> Settings:
    """What the planner has to know of the flags."""
    return Settings(
        interval=format_duration(options.helmrelease_interval),
        retry_interval=format_duration(options.helmrelease_retry_interval),
        install_timeout=format_duration(options.helmrelease_install_timeout),
        upgrade_timeout=format_duration(options.helmrelease_upgrade_timeout),
        max_history=options.helmrelease_max_history,
        gate=options.dependency_gate,
        values_secret=options.cozy_values_secret_name,
        values_namespace=options.cozy_values_secret_namespace,
    )


if __name__ == "__main__":
    sys.exit(main())
