"""The whole operator against the embedded API server, in one process and on virtual time, with a Flux that does as it is told.

``World`` is a cluster: the server with its garbage collector, what a platform has before the first package (CRDs, the system
namespace, the values Secret, the chart source), somebody who writes objects, and operators that can be started, stopped and
killed at any request. ``Flux`` reports only what it is told to report. Objects are plain JSON; keys are ``namespace/name``.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from random import Random
from typing import Any

import msgspec

from cozystack.api import names
from cozystack.api.crds import crds
from cozystack.api.meta import Key
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    EXTERNAL_ARTIFACTS,
    HELM_RELEASES,
    NAMESPACES,
    PACKAGE_SOURCES,
    PACKAGES,
    SECRETS,
    Resource,
    untyped,
)
from cozystack.api.time import format_time
from cozystack.apiserver import crds as crd_storage
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.storage import Storage, Stored, open_storage
from cozystack.kube import Client, Discovery
from cozystack.kube.errors import NotFound
from cozystack.kube.manifests import apply_all
from cozystack.kube.transport import EMPTY, Response
from cozystack.operator.flags import read_options
from cozystack.operator.fluxinstall import flux_crds
from cozystack.operator.main import Operator
from cozystack.runtime import Log, VirtualClock
from support.inprocess import InProcess

Obj = dict[str, Any]

VERSION = "v1.2.3"
OF_INTEREST = (
    PACKAGES,
    PACKAGE_SOURCES,
    ARTIFACT_GENERATORS,
    EXTERNAL_ARTIFACTS,
    HELM_RELEASES,
    NAMESPACES,
    SECRETS,
)
PUBLISHED = 2.0
"""Seconds after which every status tells what is."""
_NOISE = ("uid", "resourceVersion", "creationTimestamp", "managedFields")


class Wire(InProcess):
    """A transport that keeps its lines apart from others' and can go dead.

    ``lives`` is after how many requests it does; with ``swallows`` the last one is still carried out, but nobody hears of it.
    Whoever waits for a dead wire waits for ever, as if the process had been stopped. The answer to the
    request ``held`` comes when ``free`` is set.
    """

    def __init__(self, server: ApiServer, *, lives: int | None = None, swallows: bool = False) -> None:
        super().__init__(server)
        self.dead = False
        self.held = ""
        self.free = asyncio.Event()
        self.refused: dict[str, tuple[int, str, str]] = {}
        """Requests by their line that are answered by code, reason and message of an error."""
        self._lives = lives
        self._swallows = swallows

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        last = self._lives is not None and len(self.sent) >= self._lives
        if self.dead or (last and not self._swallows):
            self.dead = True
            await asyncio.get_running_loop().create_future()
        if f"{method} {path}" in self.refused:
            self.sent.append(f"{method} {path}")
            return failure(*self.refused[f"{method} {path}"])
        answer = await super().request(method, path, query=query, headers=headers, body=body, timeout=timeout)
        if last:
            self.dead = True
            await asyncio.get_running_loop().create_future()
        if f"{method} {path}" == self.held:
            await self.free.wait()
        return answer

    @property
    def writes(self) -> list[str]:
        """What was written, in order; Events apart, which are news and no state."""
        return [
            line for line in self.sent if not line.startswith("GET") and not line.endswith("/events") and "/events/" not in line
        ]


class Running:
    """An operator that was started."""

    def __init__(self, world: World, operator: Operator, wire: Wire, task: asyncio.Future[None]) -> None:
        self.operator = operator
        self.wire = wire
        self.task = task
        self._world = world

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        return Counter({(verb, resource): count for (verb, resource), count in self.operator.client.counts.items()})

    @property
    def writes(self) -> list[str]:
        return self.wire.writes

    async def stop(self) -> None:
        """End it as a signal does."""
        self.task.cancel()
        await self._world.clock.run(asyncio.wait((self.task,)))

    async def kill(self) -> None:
        """End it without another request."""
        self.wire.dead = True
        await self.stop()


_FURNISHED: list[Stored] = []
"""What a furnished cluster holds: to define everything anew takes a tenth of a second, more than most tests."""


def copied(objects: Sequence[Stored]) -> Storage:
    """A store of its own with these objects. Nobody changes objects that are stored, apart from the version that they get."""
    copy = open_storage(None)
    for stored in objects:
        copy.put(stored.resource, stored.namespace, stored.name, _versioned_apart(stored))
    return copy


def _versioned_apart(stored: Stored) -> Obj:
    return {**stored.object, "metadata": dict(stored.object["metadata"])}


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()

        def now() -> datetime:
            return self.clock.now()

        self.server = ApiServer(open_storage(None), clock=now)
        self.client = self.connect(Wire(self.server))
        self.flux = Flux(self)
        self._lifecycle = Lifecycle(self.server.objects)
        self.operators: list[Running] = []

    def connect(self, wire: Wire) -> Client:
        return Client(wire, clock=self.clock, random=Random(1))  # noqa: S311

    async def found(self) -> None:
        """The cluster as Helm leaves it: the operator's namespace, and nothing else."""
        self._lifecycle.start()
        await self.put(plain("v1", "Namespace", names.SYSTEM_NAMESPACE, labels={names.SYSTEM_LABEL: "true"}))

    async def furnish(self) -> None:
        """What packages need: CRDs, chart source, values Secret. The first cluster of a process is the model of all others."""
        if _FURNISHED:
            await self._resemble(_FURNISHED)
            return
        await self._equip()
        await self.settle()
        storage = self.server.storage
        _FURNISHED.extend(stored for resource in storage.resources() for stored in storage.objects(resource))

    async def _resemble(self, model: Sequence[Stored]) -> None:
        there = self.server.storage
        for stored in model:
            if stored.resource == crd_storage.KEY:
                self.server.objects.registry.set_crd(stored.object)
            if there.get(stored.resource, stored.namespace, stored.name) is None:
                there.put(stored.resource, stored.namespace, stored.name, _versioned_apart(stored))
        self._lifecycle.start()
        await self.settle()

    async def _equip(self) -> None:
        await self.found()
        await apply_all(self.client, Discovery(self.client), [*crds(), *flux_crds()], manager="setup")
        await self.put(
            plain(
                "source.toolkit.fluxcd.io/v1",
                "OCIRepository",
                "charts",
                names.SYSTEM_NAMESPACE,
                spec={"url": "oci://registry.example.org/charts", "interval": "5m"},
            )
        )
        await self.put(values_secret("a: 1"))

    # Operators

    def start(self, *flags: str, version: str = VERSION, lives: int | None = None, swallows: bool = False) -> Running:
        """Run an operator without leader election."""
        operator, wire = self.operator(*flags, version=version, lives=lives, swallows=swallows)
        return self.running(operator, wire, asyncio.ensure_future(operator.run()))

    def operator(
        self, *flags: str, version: str = VERSION, lives: int | None = None, swallows: bool = False
    ) -> tuple[Operator, Wire]:
        wire = Wire(self.server, lives=lives, swallows=swallows)
        operator = Operator(
            self.connect(wire),
            read_options(flags, {}),
            {"COZYSTACK_VERSION": version},
            clock=self.clock,
            log=Log("cozystack.operator"),
            random=Random(1),  # noqa: S311
        )
        return operator, wire

    def running(self, operator: Operator, wire: Wire, task: asyncio.Future[None]) -> Running:
        running = Running(self, operator, wire, task)
        self.operators.append(running)
        return running

    async def close(self) -> None:
        for running in self.operators:
            if not running.task.done():
                await running.kill()
        await self.client.transport.close()
        await self.clock.settle()

    # Backups of the API server

    def backup(self) -> Storage:
        """Everything as it is now, in a store whose versions begin anew."""
        storage = self.server.storage
        return copied([stored for resource in storage.resources() for stored in storage.objects(resource)])

    async def restore(self, storage: Storage) -> None:
        """Let the API server come back with an earlier state; everybody connects to it again."""
        before = self.server
        self._serve(storage)
        before.end_watches()
        await self.settle(1)

    def _serve(self, storage: Storage) -> None:
        self.server = ApiServer(storage, clock=self.clock.now)
        self._lifecycle = Lifecycle(self.server.objects)
        self._lifecycle.start()
        for wire in (self.client.transport, *(running.wire for running in self.operators)):
            assert isinstance(wire, Wire)
            wire.server = self.server

    # Time

    async def settle(self, seconds: float = 0.0) -> None:
        """Let everything happen that can happen now (or within ``seconds``), garbage collection included."""
        await self.clock.advance(seconds)
        version = -1
        while version != self.server.storage.version:
            version = self.server.storage.version
            self._lifecycle.settle()
            await self.clock.settle()

    async def install(self, seconds: float = 0.0) -> None:
        """Let Flux do everything that there is to do, and what follows from it; each of its rounds takes ``seconds``."""
        await self.settle(seconds)
        while await self.flux.work():
            await self.settle(seconds)

    # Objects

    async def put(self, *objects: Obj) -> None:
        """Create objects, or change what these say of them."""
        discovery = Discovery(self.client)
        for obj in objects:
            resource = await discovery.resource(obj["apiVersion"], obj["kind"])
            await self.client.apply(resource, obj, manager="user", force=True)

    async def edit(self, resource: Resource[Any], name: str, patch: Obj, *, subresource: str = "") -> None:
        await self.client.patch(json_of(resource), key(name), patch, subresource=subresource, manager="user")

    async def delete(self, resource: Resource[Any], name: str) -> None:
        await self.client.delete(resource, key(name))

    async def get(self, resource: Resource[Any], name: str) -> Obj:
        """The object whole; raises ``NotFound``."""
        return await self.client.get(json_of(resource), key(name))

    async def exists(self, resource: Resource[Any], name: str) -> bool:
        try:
            await self.get(resource, name)
        except NotFound:
            return False
        return True

    async def names(self, resource: Resource[Any]) -> list[str]:
        found = (await self.client.list(json_of(resource))).items
        return sorted(path_of(obj) for obj in found)

    async def version(self, resource: Resource[Any], name: str) -> str:
        version: str = (await self.get(resource, name))["metadata"]["resourceVersion"]
        return version

    async def status(self, name: str) -> Obj:
        """The status of a Package, once it is published: one that only tells of progress may be held back for a moment."""
        await self.settle(PUBLISHED)
        status: Obj = (await self.get(PACKAGES, name)).get("status", {})
        return status

    async def ready(self, name: str) -> tuple[str, str]:
        """Status and reason of a Package's Ready condition."""
        return condition_of(await self.status(name), "Ready")

    async def state(self) -> dict[str, Obj]:
        """All objects of interest, without what differs from one run to another though nothing differs."""
        found = {}
        for resource in OF_INTEREST:
            for obj in (await self.client.list(json_of(resource))).items:
                found[f"{resource.kind} {path_of(obj)}"] = without_noise(obj)
        return found


class Flux:
    """Source-watcher and helm-controller, as far as their objects tell. Nothing happens by itself."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def build(self, *sources: str, content: str = "1") -> None:
        """Make every artifact of these PackageSources' generators, from charts with that ``content``."""
        client = self._world.client
        for source in sources:
            generator = await self._world.get(ARTIFACT_GENERATORS, f"{names.SYSTEM_NAMESPACE}/{source}")
            for artifact in generator["spec"]["artifacts"]:
                name = artifact["name"]
                obj = plain(
                    "source.toolkit.fluxcd.io/v1",
                    "ExternalArtifact",
                    name,
                    names.SYSTEM_NAMESPACE,
                    spec={
                        "sourceRef": {
                            "apiVersion": "source.extensions.fluxcd.io/v1beta1",
                            "kind": "ArtifactGenerator",
                            "name": source,
                            "namespace": names.SYSTEM_NAMESPACE,
                        }
                    },
                )
                obj["metadata"]["ownerReferences"] = [
                    owner_of(generator, "source.extensions.fluxcd.io/v1beta1", "ArtifactGenerator")
                ]
                await client.apply(json_of(EXTERNAL_ARTIFACTS), obj, manager="source-watcher", force=True)
                digest = digest_of(name, content)
                status = {
                    "artifact": {
                        "digest": digest,
                        "lastUpdateTime": self._now(),
                        "path": f"externalartifact/{name}.tar.gz",
                        "revision": f"latest@{digest}",
                        "url": f"http://flux.example.org/{name}.tar.gz",
                    }
                }
                await self._report(EXTERNAL_ARTIFACTS, path_of(obj), status)
            await self.generated(source)

    async def generated(self, source: str, status: str = "True", reason: str = "Succeeded", message: str = "built") -> None:
        """Report a generator, whatever its artifacts are."""
        name = f"{names.SYSTEM_NAMESPACE}/{source}"
        generator = await self._world.get(ARTIFACT_GENERATORS, name)
        await self._report(
            ARTIFACT_GENERATORS, name, {"conditions": [self._condition(generator, "Ready", status, reason, message)]}
        )

    async def lose(self, source: str) -> None:
        """Build everything, and lose the write that says so."""
        name = f"{names.SYSTEM_NAMESPACE}/{source}"
        generator = await self._world.get(ARTIFACT_GENERATORS, name)
        artifacts = [artifact["name"] for artifact in generator["spec"]["artifacts"]]
        inventory = [
            {"name": each, "namespace": names.SYSTEM_NAMESPACE, "digest": digest_of(each), "filename": "1.tar.gz"}
            for each in artifacts
        ]
        unsaid = self._condition(generator, "Ready", "Unknown", "Progressing", "building")
        status = {"conditions": [unsaid], "inventory": inventory, "observedSourcesDigest": digest_of("sources")}
        await self._report(ARTIFACT_GENERATORS, name, status)

    async def deploy(self, *releases: str) -> None:
        """Report releases as installed from the current artifacts."""
        for name in releases:
            release = await self._world.get(HELM_RELEASES, name)
            artifact = await self._world.get(
                EXTERNAL_ARTIFACTS, f"{names.SYSTEM_NAMESPACE}/{release['spec']['chartRef']['name']}"
            )
            digest = artifact["status"]["artifact"]["digest"]
            generation = release["metadata"]["generation"]
            history = {
                "name": release["metadata"]["name"],
                "namespace": release["metadata"]["namespace"],
                "chartName": "chart",
                "chartVersion": f"1.0.0+{digest[7:19]}",
                "configDigest": digest_of("values"),
                "digest": digest_of(name),
                "firstDeployed": self._now(),
                "lastDeployed": self._now(),
                "status": "deployed",
                "version": 1,
            }
            await self._report(
                HELM_RELEASES,
                name,
                {
                    "observedGeneration": generation,
                    "lastAttemptedGeneration": generation,
                    "lastAttemptedRevisionDigest": digest,
                    "history": [history],
                    "conditions": [self._condition(release, "Ready", "True", "InstallSucceeded", "installed")],
                    **self._handled(release),
                },
            )

    async def wait(self, *releases: str) -> None:
        """Report that releases wait for others; a request to look again is handled, and in vain."""
        for name in releases:
            release = await self._world.get(HELM_RELEASES, name)
            waits = self._condition(release, "Ready", "False", "DependencyNotReady", "dependency is not ready")
            generation = release["metadata"]["generation"]
            status = {"observedGeneration": generation, "conditions": [waits], **self._handled(release)}
            await self._report(HELM_RELEASES, name, status)

    async def fail(self, release: str, message: str = "the chart cannot be rendered") -> None:
        live = await self._world.get(HELM_RELEASES, release)
        failed = self._condition(live, "Ready", "False", "InstallFailed", message)
        status = {"observedGeneration": live["metadata"]["generation"], "conditions": [failed], **self._handled(live)}
        await self._report(HELM_RELEASES, release, status)

    async def reconcile(self, release: str) -> None:
        """Begin a reconciliation that will change nothing, as versions of helm-controller do that say so in Ready."""
        live = await self._world.get(HELM_RELEASES, release)
        conditions = [
            self._condition(live, "Reconciling", "True", "Progressing", "reconciling"),
            self._condition(live, "Ready", "Unknown", "Progressing", "reconciling"),
        ]
        await self._report(HELM_RELEASES, release, {"conditions": conditions})

    async def work(self) -> bool:
        """One round for everything there is: build, and install what waits for nothing; whether there was anything to do."""
        world = self._world
        before = world.server.storage.version
        for name in await world.names(ARTIFACT_GENERATORS):
            generator = await world.get(ARTIFACT_GENERATORS, name)
            if not observed(generator):
                await self.build(key(name).name)
        releases = {name: await world.get(HELM_RELEASES, name) for name in await world.names(HELM_RELEASES)}
        for name, release in releases.items():
            chart = f"{names.SYSTEM_NAMESPACE}/{release['spec']['chartRef']['name']}"
            if observed(release) or not await world.exists(EXTERNAL_ARTIFACTS, chart):
                continue
            waited_for = [releases.get(f"{ref['namespace']}/{ref['name']}") for ref in release["spec"].get("dependsOn", ())]
            if all(other is not None and observed(other) for other in waited_for):
                await self.deploy(name)
        return world.server.storage.version != before

    def _now(self) -> str:
        return format_time(self._world.clock.now())

    def _condition(self, obj: Obj, kind: str, status: str, reason: str, message: str) -> Obj:
        return {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": self._now(),
            "observedGeneration": obj["metadata"]["generation"],
        }

    def _handled(self, release: Obj) -> Obj:
        requested = release["metadata"].get("annotations", {}).get(names.REQUESTED_AT_ANNOTATION)
        return {"lastHandledReconcileAt": requested} if requested else {}

    async def _report(self, resource: Resource[Any], name: str, status: Obj) -> None:
        await self._world.client.patch(json_of(resource), key(name), {"status": status}, subresource="status", manager="flux")


def failure(code: int, reason: str, message: str) -> Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code}
    return Response(code, {"Content-Type": "application/json"}, msgspec.json.encode(status))


# Objects


def plain(api_version: str, kind: str, name: str, namespace: str = "", **content: Any) -> Obj:
    """An object; labels and annotations go where they belong."""
    metadata: Obj = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata |= {field: content.pop(field) for field in ("labels", "annotations") if field in content}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def component(name: str, namespace: str = "", **install: Any) -> Obj:
    """A component whose chart is in a folder of its name; without a namespace it is not installed."""
    found: Obj = {"name": name, "path": f"system/{name}"}
    if namespace:
        found["install"] = {"namespace": namespace, **install}
    return found


def source(name: str, /, *components: Obj, depends_on: Sequence[str] = (), skip_values: bool = False, **variant: Any) -> Obj:
    """A PackageSource with one variant."""
    annotations = {names.SKIP_VALUES_ANNOTATION: "true"} if skip_values else {}
    return plain(
        "cozystack.io/v1alpha1",
        "PackageSource",
        name,
        annotations=annotations,
        spec={
            "sourceRef": {"kind": "OCIRepository", "name": "charts", "namespace": names.SYSTEM_NAMESPACE},
            "variants": [{"name": "default", "dependsOn": list(depends_on), "components": list(components), **variant}],
        },
    )


def package(name: str, **spec: Any) -> Obj:
    return plain("cozystack.io/v1alpha1", "Package", name, spec=spec)


def values_secret(text: str, **metadata: Any) -> Obj:
    return plain(
        "v1",
        "Secret",
        names.VALUES_SECRET,
        names.SYSTEM_NAMESPACE,
        type="Opaque",
        data={names.VALUES_KEY: base64.b64encode(text.encode()).decode()},
        **metadata,
    )


def available_flux(generation: int = 1) -> Obj:
    """The status of Flux's Deployment when it runs."""
    return {"status": {"observedGeneration": generation, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1}}


def json_of(resource: Resource[Any]) -> Resource[Obj]:
    """The same resource with its objects whole, as plain JSON."""
    return untyped(resource.group, resource.version, resource.kind, resource.plural, namespaced=resource.namespaced)


def key(text: str) -> Key:
    namespace, _, name = text.rpartition("/")
    return Key(namespace, name)


def path_of(obj: Obj) -> str:
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]


def owner_of(obj: Obj, api_version: str, kind: str) -> Obj:
    metadata = obj["metadata"]
    return {"apiVersion": api_version, "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": True}


def digest_of(*parts: str) -> str:
    return "sha256:" + sha256("/".join(parts).encode()).hexdigest()


def condition_of(status: Obj, kind: str) -> tuple[str, str]:
    """Status and reason of a condition; empty when there is none."""
    found = next((each for each in status.get("conditions", ()) if each["type"] == kind), None)
    return (found["status"], found["reason"]) if found else ("", "")


def observed(obj: Obj) -> bool:
    """Whether Flux has reported this generation ready."""
    conditions = obj.get("status", {}).get("conditions", ())
    return any(
        each["type"] == "Ready" and each["status"] == "True" and each["observedGeneration"] == obj["metadata"]["generation"]
        for each in conditions
    )


def without_noise(obj: Obj) -> Obj:
    """An object without identity, times and digests that are made of them."""
    clean: Obj = _timeless(obj)
    metadata = clean["metadata"]
    for field in _NOISE:
        metadata.pop(field, None)
    for owner in metadata.get("ownerReferences", ()):
        owner["uid"] = "uid"
    annotations = metadata.get("annotations", {})
    for name in (names.OWN_PREFIX + "applied", names.REQUESTED_AT_ANNOTATION):
        annotations.pop(name, None)
    return clean


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        times = ("lastTransitionTime", "lastUpdateTime", "firstDeployed", "lastDeployed", "lastHandledReconcileAt")
        return {name: _timeless(each) for name, each in value.items() if name not in times}
    if isinstance(value, list):
        return [_timeless(each) for each in value]
    return value
