"""Bring a platform up, from an empty folder or from where it stopped, and keep it running.

The steps are those of the documentation: an API server, the packages in a registry, Helm installs the installer, its operator
does the rest. What is different from a cluster is started by ``Cluster``; from there on nothing here helps, it only looks.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from cozystack import __version__
from cozystack.api import names, yaml
from cozystack.api.meta import Key
from cozystack.api.resources import HELM_RELEASES, LEASES, PACKAGES
from cozystack.api.time import parse_time
from cozystack.helm import HelmEngine, HelmError, ReleaseRequest, Target, deep_merge, open_helm
from cozystack.kube import Informer
from cozystack.kube.clock import Clock
from cozystack.kube.errors import KubeError, NotFound
from cozystack.oci import Reference, RegistryClient, digest_of, pack
from cozystack.oci.repository import pack_repository
from cozystack.planner import Catalogue, PlatformPlan
from cozystack.runtime import Log
from cozystack.sandbox.cluster import Cluster
from cozystack.sandbox.errors import SandboxError
from cozystack.sandbox.progress import Progress, Summary, is_built, plan_of, read_catalogue, summarize, unready
from cozystack.sandbox.repository import INSTALLER, Source, check_folder, own_packages, parse_source, push
from cozystack.sandbox.state import Settings, State, choose_ports
from cozystack.sandbox.terminal import Terminal

MANAGER = "cozystack-sandbox"
DEFAULT_VARIANT = "isp-full-generic"
RELEASE = "cozystack"
REPOSITORY = "cozystack-packages"
LEASE = Key(names.SYSTEM_NAMESPACE, "cozystack-operator.cozystack.io")
CALM = 4.0
"""Seconds without any change after which a platform in which something has failed counts as stuck."""


@dataclass(frozen=True, slots=True)
class Options:
    """What ``cozystack up`` was asked for; empty strings mean as before, or the default."""

    state: State
    once: bool = False
    variant: str = ""
    source: str = ""
    source_ref: str = ""
    insecure: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    timeout: float = 300.0
    port: int = 0
    helm: Literal["", "auto", "native", "binary"] = ""
    helm_binary: Path | None = None


async def up(options: Options, terminal: Terminal, *, clock: Clock, log: Log) -> Summary:
    """Bring the platform up and, unless ``once``, keep it until a signal; raises ``SandboxError``.

    The summary is that of the moment at which the platform became ready, or of the failure.
    """
    with options.state.locked():
        sandbox = Sandbox(options, terminal, clock=clock, log=log)
        return await sandbox.run()


class Sandbox:
    """One run of ``cozystack up``."""

    def __init__(self, options: Options, terminal: Terminal, *, clock: Clock, log: Log) -> None:
        self._options = options
        self._state = options.state
        self._terminal = terminal
        self._clock = clock
        self._log = log
        self._progress = Progress(clock.monotonic)
        self._progress.tell = lambda line: terminal.tell(self._progress.elapsed, line)
        self._stopping = asyncio.Event()
        self._digest = ""
        self._began = clock.now()
        self._cluster: Cluster

    async def run(self) -> Summary:
        settings = self._state.read()
        source = parse_source(
            self._options.source or settings.source, ref=self._options.source_ref, insecure=self._options.insecure
        )
        if source.kind == "folder":
            await asyncio.to_thread(check_folder, Path(source.location))
        settings.ports = choose_ports(settings, api=self._options.port)
        settings.variant = self._options.variant or settings.variant or DEFAULT_VARIANT
        settings.source = source.location
        if self._options.helm:
            settings.helm = self._options.helm
            settings.helm_binary = str(self._options.helm_binary or "")
        self._state.write(settings)
        self._listen()
        async with AsyncExitStack() as stack:
            work = asyncio.ensure_future(self._bring_up(settings, source, stack))
            stopped = asyncio.ensure_future(self._stopping.wait())
            with self._terminal.showing(self._progress):
                await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
                self._terminal.print("stopping")
                return self._summary(None, ready=False, reason="it was stopped")
            stopped.cancel()
            summary = work.result()
            self._terminal.summary(summary, self._progress)
            if not self._options.once:
                self._terminal.print("\nThe sandbox runs until Ctrl-C (or `cozystack down`).")
                await self._keep()
                self._terminal.print("stopping")
            return summary

    def _listen(self) -> None:
        def on_signal() -> None:
            if self._stopping.is_set():
                os._exit(130)
            self._stopping.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)

    async def _keep(self) -> None:
        """Stay until told to stop, or until a stand-in fails."""
        stopped = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((stopped, self._running), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._running.done():
            self._running.result()

    # Up

    async def _bring_up(self, settings: Settings, source: Source, stack: AsyncExitStack) -> Summary:
        progress = self._progress
        progress.step("API server")
        helm = asyncio.ensure_future(self._open_helm(settings))
        stack.push_async_callback(_close_helm, helm)
        packed = asyncio.ensure_future(asyncio.to_thread(_pack, source))
        cluster = self._cluster = Cluster(
            self._state,
            settings.ports,
            clock=self._clock,
            log=self._log,
            helm=settings.helm,
            helm_binary=_path(settings.helm_binary),
        )
        stack.push_async_callback(cluster.close)
        await cluster.start()
        self._running = asyncio.ensure_future(cluster.run())
        stack.push_async_callback(_cancelled, self._running)
        flags = await self._publish(source, await packed)
        await self._install(await helm, source, flags)
        await _close_helm(helm)
        await self._follow(stack)
        return await self._platform(settings, source)

    async def _open_helm(self, settings: Settings) -> HelmEngine:
        kind = settings.helm
        try:
            return await open_helm(
                kind if kind in ("native", "binary") else "auto",  # type: ignore[arg-type]
                state=self._state.folder / "helm",
                binary=_path(settings.helm_binary),
            )
        except HelmError as error:
            raise SandboxError(str(error)) from error

    async def _publish(self, source: Source, layer: bytes) -> dict[str, Any]:
        """Put the packages where Flux finds them; what to tell the installer."""
        if source.kind != "folder":
            return {
                "platformSourceUrl": source.location,
                "platformSourceRef": source.ref,
                "platformSourceInsecure": source.insecure,
            }
        self._progress.step("packages in the registry")
        reference = Reference(self._cluster.registry_host, REPOSITORY, f"sandbox-{digest_of(layer)[7:19]}")
        async with RegistryClient() as registry:
            self._digest = await push(Path(source.location), reference, registry, layer=layer)
        return {
            "platformSourceUrl": f"oci://{reference.repository}",
            "platformSourceRef": f"digest={self._digest}",
            "platformSourceInsecure": True,
        }

    async def _install(self, helm: HelmEngine, source: Source, flags: dict[str, Any]) -> None:
        """Install the installer, or upgrade it when the chart or its values have changed."""
        self._progress.step("installer")
        folder = Path(source.location) if source.kind == "folder" else own_packages()
        if folder is None or not (folder / INSTALLER / "Chart.yaml").is_file():
            folder = own_packages()
        if folder is None:
            raise SandboxError(f"there is no chart {INSTALLER} to install the operator with")
        chart = folder / INSTALLER
        url = self._cluster.url.removeprefix("https://").rpartition(":")
        values = {
            "cozystackOperator": {"variant": "generic", **flags},
            "cozystack": {"apiServerHost": url[0], "apiServerPort": url[2]},
        }
        content = yaml.dump(values).encode() + await asyncio.to_thread(pack, chart) + __version__.encode()
        mark = hashlib.sha256(content).hexdigest()[:32]
        target = Target(RELEASE, names.SYSTEM_NAMESPACE, str(self._state.kubeconfig), timeout=60.0)
        request = ReleaseRequest(
            target=target,
            chart=str(chart),
            values=values,
            create_namespace=True,
            mark=mark,
        )
        try:
            live = await helm.status(target)
            if live is not None and live.status.startswith("pending-") and live.revision == 1:
                await helm.uninstall(target)
                live = None
            if live is None:
                await helm.install(request)
            elif live.mark != mark or live.status != "deployed":
                if live.status.startswith("pending-"):
                    await helm.rollback(target)
                await helm.upgrade(request)
        except HelmError as error:
            raise SandboxError(f"Helm cannot install {chart}: {error}") from error

    async def _platform(self, settings: Settings, source: Source) -> Summary:
        """Wait for the operator, ask for the platform, wait until it is ready."""
        deadline = self._progress.start + self._options.timeout
        progress = self._progress
        progress.step("operator holds the lease")
        try:
            await self._until(self._lease_is_held, deadline)
            progress.step("CRDs and Flux")
            await self._until(self._has_crds, deadline)
        except TimeoutError:
            reason = f"after {self._options.timeout:.0f} s the operator was not at work yet; {self._operator_words()}"
            return self._summary(None, ready=False, reason=reason)
        await self._ask_for_platform(settings, source)
        await self._until(self._has_flux, deadline)
        progress.step(f"platform, variant {settings.variant}")
        plan, reason = await self._until_ready(deadline)
        progress.end_step()
        return self._summary(plan, ready=not reason, reason=reason)

    async def _follow(self, stack: AsyncExitStack) -> None:
        """Feed the progress from now on. Watches of kinds that are not served yet begin when they are."""
        packages = Informer(self._cluster.client, PACKAGES)
        releases = Informer(self._cluster.client, HELM_RELEASES)
        packages.on_change(self._progress.on_package)
        releases.on_change(self._progress.on_release)

        async def when_served(informer: Informer[Any], crd: str) -> None:
            await self._until(lambda: self._is_established(crd), None)
            await informer.run()

        for informer, crd in ((packages, "packages.cozystack.io"), (releases, "helmreleases.helm.toolkit.fluxcd.io")):
            stack.push_async_callback(_cancelled, asyncio.ensure_future(when_served(informer, crd)))

    async def _until(self, check: Callable[[], bool], deadline: float | None) -> None:
        """Wait until ``check`` holds, looking at every change of the server's state; raises ``TimeoutError``."""
        subscription = self._cluster.api.storage.subscribe("")
        try:
            while not check():
                left = None if deadline is None else deadline - self._clock.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self._check_stand_ins()
                with suppress(TimeoutError):
                    await asyncio.wait_for(subscription.wait(), 1.0 if left is None else min(left, 1.0))
        finally:
            subscription.close()

    def _check_stand_ins(self) -> None:
        if self._running.done():
            self._running.result()
            raise SandboxError("the stand-ins of the sandbox have ended by themselves")

    def _object(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        stored = self._cluster.api.storage.get(resource, namespace, name)
        return stored.object if stored is not None else None

    def _lease_is_held(self) -> bool:
        """Whether an operator of this run has the lease: one that was killed with an earlier run may still seem to."""
        lease = self._object(f"{LEASES.group}/leases", LEASE.namespace, LEASE.name)
        spec = (lease or {}).get("spec") or {}
        renewed = spec.get("renewTime")
        return bool(spec.get("holderIdentity")) and renewed is not None and parse_time(renewed) >= self._began_whole

    @property
    def _began_whole(self) -> datetime:
        return self._began.replace(microsecond=0)

    def _is_established(self, crd: str) -> bool:
        found = self._object("apiextensions.k8s.io/customresourcedefinitions", "", crd)
        conditions = ((found or {}).get("status") or {}).get("conditions") or ()
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    def _has_crds(self) -> bool:
        return self._is_established("packages.cozystack.io") and self._is_established("packagesources.cozystack.io")

    def _has_flux(self) -> bool:
        deployment = self._object("apps/deployments", names.FLUX_NAMESPACE, "flux")
        return bool(((deployment or {}).get("status") or {}).get("availableReplicas"))

    def _operator_words(self) -> str:
        """What the operator last said, for whoever wonders why nothing happens."""
        for pod in self._cluster.pods():
            if pod["metadata"].get("namespace") == names.SYSTEM_NAMESPACE and "cozystack-operator" in pod["metadata"]["name"]:
                words = self._cluster.kubelet.last_words(pod).splitlines()
                return f"its log ends with: {words[-1]}" if words else "it has said nothing"
        return "it has no Pod"

    async def _ask_for_platform(self, settings: Settings, source: Source) -> None:
        """Create the Package of the platform, or change it as this run asks."""
        values: dict[str, Any] = {"publishing": {"apiServerEndpoint": self._cluster.url}}
        if source.kind == "git":
            values["sourceRef"] = {"kind": "GitRepository"}
        values = deep_merge(values, self._options.values)
        package = {
            "apiVersion": PACKAGES.api_version,
            "kind": "Package",
            "metadata": {"name": names.PLATFORM_PACKAGE},
            "spec": {"variant": settings.variant, "components": {"platform": {"values": values}}},
        }
        try:
            live = await self._cluster.client.find(PACKAGES, Key("", names.PLATFORM_PACKAGE))
            if live is not None and not self._options.variant and not self._options.values:
                return
            await self._cluster.client.apply(PACKAGES, package, manager=MANAGER, force=True)
        except KubeError as error:
            raise SandboxError(f"the Package {names.PLATFORM_PACKAGE} is refused: {error}") from error

    async def _until_ready(self, deadline: float) -> tuple[PlatformPlan | None, str]:
        """The plan of the platform, and why it is not ready (nothing when it is)."""
        progress = self._progress
        while True:
            with suppress(TimeoutError):
                await self._until(progress.all_say_ready, min(deadline, self._clock.monotonic() + 0.5))
            if progress.all_say_ready():
                catalogue = await self._catalogue()
                if self._is_current(catalogue):
                    plan = plan_of(catalogue, progress.took)
                    if not unready(plan):
                        return plan, ""
                await self._clock.sleep(0.1)
            calm = self._clock.monotonic() - progress.changed_at
            if calm > CALM and progress.stuck():
                return plan_of(await self._catalogue(), progress.took), self._why()
            if self._clock.monotonic() >= deadline:
                why = f"{self._options.timeout:.0f} s have passed; {self._why()}"
                return plan_of(await self._catalogue(), progress.took), why

    async def _catalogue(self) -> Catalogue:
        try:
            return await read_catalogue(self._cluster.client)
        except NotFound:
            return Catalogue()

    def _is_current(self, catalogue: Catalogue) -> bool:
        """Whether what runs was made from the packages of this run: the operator, the sources and what is built from them."""
        if not self._lease_is_held() or not self._cluster.kubelet.all_running():
            return False
        return is_built(catalogue, self._digest)

    def _why(self) -> str:
        """The reason that explains most: the first failure, else the first that waits."""
        rows = self._progress.rows()
        if names.PLATFORM_PACKAGE not in self._progress.packages:
            return f"the Package {names.PLATFORM_PACKAGE} is not there"
        for state in ("failed", "waiting", "working"):
            found = [row for row in rows if row.state == state]
            if found:
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                return f"{found[0].name}: {found[0].because}{more}"
        return "what runs is not made from the newest packages yet"

    def _summary(self, plan: PlatformPlan | None, *, ready: bool, reason: str = "") -> Summary:
        running = hasattr(self, "_cluster")
        return summarize(
            self._progress,
            plan,
            ready=ready,
            reason=reason,
            kubeconfig=str(self._state.kubeconfig) if running else "",
            server=self._cluster.url if running else "",
        )


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _pack(source: Source) -> bytes:
    return pack_repository(Path(source.location)) if source.kind == "folder" else b""


async def _cancelled(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, KubeError):
        await task


async def _close_helm(opening: asyncio.Future[HelmEngine]) -> None:
    opening.cancel()
    with suppress(asyncio.CancelledError, SandboxError):
        await (await opening).close()
