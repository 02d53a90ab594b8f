"""The stand-ins against the embedded API server: one process, virtual time, artifacts and registries on loopback.

Virtual time does not see sockets and threads, so the bench lets it pass only when no reconcile runs or is about to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from cozystack.api.core import Namespace
from cozystack.api.flux import Artifact, ExternalArtifact, HelmRelease
from cozystack.api.meta import Condition, Key, Object, ObjectMeta, find_condition
from cozystack.api.names import REQUESTED_AT_ANNOTATION
from cozystack.api.resources import EXTERNAL_ARTIFACTS, HELM_RELEASES, NAMESPACES, Resource
from cozystack.flux.generator import Generators
from cozystack.flux.helmreleases import HelmReleases
from cozystack.flux.sources import Sources
from cozystack.flux.storage import ArtifactStorage
from cozystack.helm import HelmEngine
from cozystack.kube import Client, Discovery, Informer
from cozystack.kube.manifests import apply_all
from cozystack.oci import pack_files
from cozystack.runtime import Controller, Log, Result, VirtualClock
from support.inprocess import InProcess, connect

NS = "apps"
T = TypeVar("T", bound=Object)


def key(name: str) -> Key:
    return Key(NS, name)


def flux_crds() -> list[dict[str, Any]]:
    folder = resources.files("cozystack.operator") / "manifests"
    used = ("artifactgenerators", "externalartifacts", "gitrepositories", "helmreleases", "ocirepositories")
    return [json.loads(file.read_text()) for file in folder.iterdir() if file.name.startswith(used)]


class Bench:
    """A cluster with Flux's kinds, and the stand-ins that a test starts."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.client: Client = connect(self.clock)
        self.storage = ArtifactStorage(folder / "artifacts")
        self.work = folder / "charts"
        self.log = Log("cozystack.flux")
        self._controllers: list[Controller] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._closers: list[Callable[[], Awaitable[None]]] = []

    async def prepare(self) -> None:
        await self.client.create(NAMESPACES, Namespace(metadata=ObjectMeta(name=NS)))
        await apply_all(self.client, Discovery(self.client), flux_crds(), manager="setup")
        await self.storage.serve("127.0.0.1", 0)

    async def close(self) -> None:
        await self.stop()
        await self.storage.close()
        await self.client.transport.close()

    async def stop(self) -> None:
        """End every stand-in, as a process that is killed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for closer in self._closers:
            await closer()
        self._tasks, self._closers, self._controllers = [], [], []

    # Time

    async def quiet(self) -> None:
        """Return when nothing is left to do at this moment."""
        await self.clock.settle()
        while any(controller.queued or controller.running for controller in self._controllers):
            await asyncio.sleep(0)
            await self.clock.settle()

    async def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.clock.advance(1)
            await self.quiet()

    # Stand-ins

    async def sources(self) -> Sources:
        sources = Sources(self.client, self.storage, clock=self.clock, log=self.log)
        oci, git = self._controller("oci", sources.reconcile_oci), self._controller("git", sources.reconcile_git)
        sources.attach(oci, git)
        await self._start(sources.oci, sources.git)
        return sources

    async def generators(self) -> Generators:
        generators = Generators(self.client, self.storage, clock=self.clock, log=self.log)
        generators.attach(self._controller("generator", generators.reconcile))
        self._closers.append(generators.close)
        await self._start(generators.generators, generators.artifacts, generators.oci, generators.git)
        return generators

    async def releases(self, engine: HelmEngine) -> HelmReleases:
        releases = HelmReleases(self.client, engine, kubeconfig="", work=self.work, clock=self.clock, log=self.log)
        releases.attach(self._controller("helmrelease", releases.reconcile))
        self._closers.append(releases.close)
        self._run(releases.watcher.run())
        await self._start(releases.releases, releases.artifacts, releases.secrets, releases.config_maps)
        return releases

    def _controller(self, name: str, reconcile: Callable[[Key], Awaitable[Result]]) -> Controller:
        controller = Controller(name, reconcile, clock=self.clock, random=Random(0))  # noqa: S311 - the same each time
        self._controllers.append(controller)
        return controller

    async def _start(self, *informers: Informer[Any]) -> None:
        for informer in informers:
            self._run(informer.run())
        for controller in self._controllers:
            self._run(controller.run())
        await self.quiet()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    # What is in the cluster

    @property
    def writes(self) -> list[str]:
        """The writing requests since ``forget_writes``: method and path."""
        assert isinstance(self.client.transport, InProcess)
        return [line for line in self.client.transport.sent if not line.startswith("GET")]

    def forget_writes(self) -> None:
        assert isinstance(self.client.transport, InProcess)
        self.client.transport.sent.clear()

    async def apply(self, resource: Resource[T], name: str, spec: dict[str, Any]) -> T:
        """Create an object or change its spec as a user does, and let everybody react."""
        obj = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": name, "namespace": NS},
            "spec": spec,
        }
        await self.client.apply(resource, obj, manager="user", force=True)
        await self.quiet()
        return await self.client.get(resource, key(name))

    async def change(self, resource: Resource[T], name: str, patch: dict[str, Any], *, subresource: str = "") -> T:
        await self.client.patch(resource, key(name), patch, subresource=subresource, manager="user")
        await self.quiet()
        return await self.client.get(resource, key(name))

    async def change_untyped(self, resource: Resource[Any], name: str, patch: dict[str, Any], *, subresource: str = "") -> None:
        await self.client.patch(resource, key(name), patch, subresource=subresource, manager="user")
        await self.quiet()

    async def request(self, resource: Resource[T], name: str, at: str) -> T:
        return await self.change(resource, name, {"metadata": {"annotations": {REQUESTED_AT_ANNOTATION: at}}})

    async def delete(self, resource: Resource[Any], name: str) -> None:
        await self.client.delete(resource, key(name))
        await self.quiet()

    async def artifact(self, name: str, files: dict[str, bytes]) -> Artifact:
        """Publish files as an ExternalArtifact."""
        path, digest = self.storage.put("ExternalArtifact", NS, name, pack_files(files.items()))
        artifact = Artifact(
            url=self.storage.url(path),
            revision=f"latest@{digest}",
            path=path,
            digest=digest,
            last_update_time="2026-01-01T00:00:00Z",
        )
        if await self.client.find(EXTERNAL_ARTIFACTS, key(name)) is None:
            await self.client.create(EXTERNAL_ARTIFACTS, ExternalArtifact(metadata=ObjectMeta(name=name, namespace=NS)))
        status = {
            "artifact": {
                "url": artifact.url,
                "revision": artifact.revision,
                "path": path,
                "digest": digest,
                "lastUpdateTime": artifact.last_update_time,
            }
        }
        await self.change(EXTERNAL_ARTIFACTS, name, {"status": status}, subresource="status")
        return artifact

    async def release(self, name: str) -> HelmRelease:
        return await self.client.get(HELM_RELEASES, key(name))


def said(obj: Any, kind: str = "Ready") -> tuple[str, str, str] | None:
    """Status, reason and message of a condition."""
    found: Condition | None = find_condition(obj.status.conditions, kind)
    return (found.status, found.reason, found.message) if found is not None else None
