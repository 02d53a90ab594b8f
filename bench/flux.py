"""A Flux that is done at once, so that what is measured is the operator.

It follows ArtifactGenerators, HelmReleases and Packages by watches of its own. A generator whose generation it has not reported
gets its ExternalArtifacts and is reported ready; a release is reported installed, from the artifact that is current, with one
write. Releases that are ``held`` are left to whoever holds them. Requests are bytes over a few connections: there is no client.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from hashlib import sha256
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

from bench.load import Connection, request
from bench.serving import Served
from cozystack.api import names
from cozystack.api.cozystack import Package
from cozystack.api.flux import ArtifactGenerator, HelmRelease
from cozystack.api.meta import JSON, Condition, Key, Object, find_condition
from cozystack.api.resources import ARTIFACT_GENERATORS, EXTERNAL_ARTIFACTS, HELM_RELEASES, PACKAGES, Resource

CONNECTIONS = 8
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
_WATCH_SECONDS = 86_400

T = TypeVar("T", bound=Object)


class _Event(msgspec.Struct, Generic[T]):
    type: str
    object: T


class Line:
    """One connection to the server for one request after the other."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._connection: Connection | None = None

    async def send(self, content: bytes) -> int:
        """The status of the answer."""
        if self._connection is None:
            loop = asyncio.get_running_loop()
            tls = trust(self._server)
            _, self._connection = await loop.create_connection(Connection, "127.0.0.1", self._server.port, ssl=tls)
        return await self._connection.send(content)

    async def write(self, method: str, path: str, body: JSON, content_type: str = "application/json") -> None:
        """Send a write; raises ``RuntimeError`` when it is not carried out."""
        status = await self.send(request(method, path, body, content_type=content_type))
        if status >= 300:
            text = self._connection.body.decode() if self._connection is not None else ""
            raise RuntimeError(f"{method} {path}: {status} {text}")

    @property
    def body(self) -> bytes:
        return self._connection.body if self._connection is not None else b""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class _Watch(asyncio.Protocol):
    """One watch: the lines of its chunked answer, as they come."""

    def __init__(self, content: bytes, on_line: Callable[[bytes], None]) -> None:
        self._content = content
        self._on_line = on_line
        self._buffer = bytearray()
        self._line = bytearray()
        self._opened = False
        self._transport: asyncio.BaseTransport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(self._content)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self._opened:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            assert buffer.startswith(b"HTTP/1.1 200"), bytes(buffer)
            self._opened = True
            del buffer[: end + 4]
        while (end := buffer.find(b"\r\n")) >= 0:
            size = int(buffer[:end], 16)
            begin = end + 2
            if len(buffer) < begin + size + 2:
                return
            self._line += buffer[begin : begin + size]
            del buffer[: begin + size + 2]
            *lines, rest = self._line.split(b"\n")
            self._line = bytearray(rest)
            for line in lines:
                if line:
                    self._on_line(bytes(line))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Flux:
    """Everything by key; use as an asynchronous context manager.

    ``on_release`` and ``on_package`` are called for every event of theirs, with the object (``None`` when it was deleted) and
    the moment at which it was there (``time.perf_counter``).
    """

    def __init__(self, server: Served) -> None:
        self.releases: dict[Key, HelmRelease] = {}
        self.packages: dict[str, Package] = {}
        self.held: set[Key] = set()
        self.on_release: Callable[[HelmRelease, float], None] = lambda release, moment: None
        self.on_package: Callable[[Package, float], None] = lambda package, moment: None
        self._server = server
        self._generators: dict[Key, ArtifactGenerator] = {}
        self._contents: dict[str, str] = {}
        self._watches: list[_Watch] = []
        self._queue: asyncio.Queue[tuple[Callable[[Line, Key], Awaitable[None]], Key]] = asyncio.Queue()
        self._queued: set[Key] = set()
        self._workers: list[asyncio.Task[None]] = []
        self._own = Line(server)

    async def __aenter__(self) -> Flux:
        await self._follow(ARTIFACT_GENERATORS, ArtifactGenerator, self._on_generator)
        await self._follow(HELM_RELEASES, HelmRelease, self._on_release)
        await self._follow(PACKAGES, Package, self._on_package)
        self._workers = [asyncio.create_task(self._work()) for _ in range(CONNECTIONS)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        for watch in self._watches:
            watch.close()
        self._own.close()

    def check(self) -> None:
        """Raise what has made it stop, if anything has."""
        for worker in self._workers:
            if worker.done():
                worker.result()
        if any(watch.ended.done() for watch in self._watches):
            raise RuntimeError("the server has ended a watch of Flux")

    def ready(self, package: str) -> bool:
        """Whether the Package says that its present generation is ready."""
        found = self.packages.get(package)
        if found is None:
            return False
        ready = find_condition(found.status.conditions, "Ready")
        return ready is not None and ready.status == "True" and ready.observed_generation == found.metadata.generation

    # What its controllers report

    async def installed(self, key: Key) -> None:
        await self._install(self._own, key)

    async def reconciling(self, key: Key) -> None:
        """A release that is looked at again: Ready says so until that is over."""
        await self._report(self._own, key, self._condition(key, "Ready", "Unknown", "Progressing", "reconciling"))

    async def waiting(self, key: Key) -> None:
        """A release that waits for another one."""
        await self._report(
            self._own, key, self._condition(key, "Ready", "False", "DependencyNotReady", "a dependency is not ready")
        )

    async def rebuilt(self, artifact: str, content: str) -> None:
        """Another artifact of that name: its chart has changed."""
        self._contents[artifact] = content
        await self._own.write("PATCH", _path(EXTERNAL_ARTIFACTS, _system(artifact), "status"), self._artifact(artifact), MERGE)

    # Its inner life

    async def _follow(self, resource: Resource[Any], kind: type[T], handle: Callable[[str, T, float], None]) -> None:
        decoder = msgspec.json.Decoder(_Event[kind])  # type: ignore[valid-type]

        def on_line(line: bytes) -> None:
            moment = time.perf_counter()
            event = decoder.decode(line)
            handle(event.type, event.object, moment)

        content = request("GET", f"{resource.path()}?watch=true&timeoutSeconds={_WATCH_SECONDS}")
        loop = asyncio.get_running_loop()
        tls = trust(self._server)
        _, watch = await loop.create_connection(lambda: _Watch(content, on_line), "127.0.0.1", self._server.port, ssl=tls)
        self._watches.append(watch)

    def _on_generator(self, event: str, generator: ArtifactGenerator, moment: float) -> None:
        del moment
        if event == "DELETED":
            self._generators.pop(generator.key, None)
            return
        self._generators[generator.key] = generator
        if not _reported(generator):
            self._ask(self._build, generator.key)

    def _on_release(self, event: str, release: HelmRelease, moment: float) -> None:
        if event == "DELETED":
            self.releases.pop(release.key, None)
            return
        self.releases[release.key] = release
        asked = release.metadata.annotations.get(names.REQUESTED_AT_ANNOTATION, "") != release.status.last_handled_reconcile_at
        if (asked or not _reported(release)) and release.key not in self.held:
            self._ask(self._install, release.key)
        self.on_release(release, moment)

    def _on_package(self, event: str, package: Package, moment: float) -> None:
        if event == "DELETED":
            self.packages.pop(package.metadata.name, None)
            return
        self.packages[package.metadata.name] = package
        self.on_package(package, moment)

    def _ask(self, action: Callable[[Line, Key], Coroutine[Any, Any, None]], key: Key) -> None:
        """Have it done once, however often it is asked for before it begins."""
        if key not in self._queued:
            self._queued.add(key)
            self._queue.put_nowait((action, key))

    async def _work(self) -> None:
        line = Line(self._server)
        try:
            while True:
                action, key = await self._queue.get()
                self._queued.discard(key)
                await action(line, key)
        finally:
            line.close()

    async def _build(self, line: Line, key: Key) -> None:
        generator = self._generators.get(key)
        if generator is None or _reported(generator):
            return
        owner = {
            "apiVersion": ARTIFACT_GENERATORS.api_version,
            "kind": "ArtifactGenerator",
            "name": key.name,
            "uid": generator.metadata.uid,
            "controller": True,
        }
        for each in generator.spec.artifacts:
            place = _system(each.name)
            artifact = {
                "apiVersion": EXTERNAL_ARTIFACTS.api_version,
                "kind": "ExternalArtifact",
                "metadata": {"name": place.name, "namespace": place.namespace, "ownerReferences": [owner]},
                "spec": {
                    "sourceRef": {**{name: owner[name] for name in ("apiVersion", "kind", "name")}, "namespace": key.namespace}
                },
            }
            await line.write(
                "PATCH", f"{_path(EXTERNAL_ARTIFACTS, place)}?fieldManager=source-watcher&force=true", artifact, APPLY
            )
            await line.write("PATCH", _path(EXTERNAL_ARTIFACTS, place, "status"), self._artifact(each.name), MERGE)
        ready = Condition("Ready", "True", "Succeeded", "built", _now(), generator.metadata.generation)
        await line.write(
            "PATCH", _path(ARTIFACT_GENERATORS, key, "status"), {"status": {"conditions": _plain((ready,))}}, MERGE
        )

    async def _install(self, line: Line, key: Key) -> None:
        release = self.releases.get(key)
        if release is None or release.spec.chart_ref is None:
            return
        digest = self._digest(release.spec.chart_ref.name)
        ready = self._condition(key, "Ready", "True", "InstallSucceeded", f"Helm install succeeded for release {key}.v1")
        history = {
            "name": key.name,
            "namespace": key.namespace,
            "chartName": "example",
            "chartVersion": f"1.0.0+{digest[7:19]}",
            "configDigest": digest,
            "digest": digest,
            "firstDeployed": ready.last_transition_time,
            "lastDeployed": ready.last_transition_time,
            "status": "deployed",
            "version": 1,
        }
        await self._report(line, key, ready, lastAttemptedRevisionDigest=digest, history=[history])

    async def _report(self, line: Line, key: Key, ready: Condition, **fields: JSON) -> None:
        release = self.releases[key]
        status = {
            "observedGeneration": release.metadata.generation,
            "lastAttemptedGeneration": release.metadata.generation,
            "conditions": _plain((ready,)),
            **fields,
        }
        requested = release.metadata.annotations.get(names.REQUESTED_AT_ANNOTATION)
        if requested:
            status["lastHandledReconcileAt"] = requested
        await line.write("PATCH", _path(HELM_RELEASES, key, "status"), {"status": status}, MERGE)

    def _condition(self, key: Key, kind: str, status: str, reason: str, message: str) -> Condition:
        return Condition(kind, status, reason, message, _now(), self.releases[key].metadata.generation)

    def _digest(self, artifact: str) -> str:
        return "sha256:" + sha256(f"{artifact} {self._contents.get(artifact, '')}".encode()).hexdigest()

    def _artifact(self, artifact: str) -> JSON:
        """The status of an ExternalArtifact, as a merge patch."""
        digest = self._digest(artifact)
        made = {
            "digest": digest,
            "lastUpdateTime": _now(),
            "path": f"externalartifact/{artifact}.tar.gz",
            "revision": f"latest@{digest}",
            "url": f"http://artifacts.example.org/{artifact}.tar.gz",
        }
        return {"status": {"artifact": made}}


def trust(server: Served) -> ssl.SSLContext | None:
    """How to know the server; nothing when it speaks without TLS."""
    return ssl.create_default_context(cadata=server.ca) if server.ca else None


def _reported(obj: ArtifactGenerator | HelmRelease) -> bool:
    ready = find_condition(obj.status.conditions, "Ready")
    return ready is not None and ready.status == "True" and ready.observed_generation == obj.metadata.generation


def _path(resource: Resource[Any], key: Key, subresource: str = "") -> str:
    return resource.path(key.namespace, key.name, subresource)


def _system(name: str) -> Key:
    return Key(names.SYSTEM_NAMESPACE, name)


def _plain(value: object) -> JSON:
    return msgspec.to_builtins(value)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
