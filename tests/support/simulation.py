"""A platform that is edited, broken and restarted at random, by a seed; then left alone, it must come to what its objects say.

One run is a function of its seed: the real operator and API server, a model of Flux, virtual time, one source of randomness.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from cozystack.api import names
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    CONFIG_MAPS,
    EXTERNAL_ARTIFACTS,
    HELM_RELEASES,
    NAMESPACES,
    PACKAGE_SOURCES,
    PACKAGES,
    SECRETS,
    Resource,
)
from cozystack.kube.errors import ApiError, ConnectionFailed
from cozystack.kube.transport import EMPTY, Response, ResponseStream
from support.operator import (
    Obj,
    Running,
    Wire,
    World,
    component,
    condition_of,
    json_of,
    observed,
    path_of,
    plain,
    source,
)

FOREIGN = "elsewhere/foreign"
_FAILURES = (409, 429, 500, 503)


@dataclass(slots=True)
class Faults:
    """How often requests fail: before they are carried out, after, and streams in the middle."""

    rate: float = 0.0
    random: Random = field(default_factory=lambda: Random(0))  # noqa: S311

    def strikes(self) -> bool:
        return self.rate > 0 and self.random.random() < self.rate


class FaultyWire(Wire):
    """A line on which requests fail, answers get lost, and watches break or are told that their version is gone."""

    faults: Faults

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
        if self.faults.strikes() and "/leases/" not in path:
            if self.faults.random.random() < 0.3:
                await super().request(method, path, query=query, headers=headers, body=body, timeout=timeout)
                raise ConnectionFailed("the answer was lost")
            if self.faults.random.random() < 0.3:
                raise ConnectionFailed("the line is down")
            code = self.faults.random.choice(_FAILURES)
            return _failure(code)
        return await super().request(method, path, query=query, headers=headers, body=body, timeout=timeout)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> AsyncIterator[ResponseStream]:
        if self.faults.strikes():
            yield ResponseStream(410, {}, _once(_failure(410).body))
            return
        async with super().stream(method, path, query=query, headers=headers, body=body, timeout=timeout) as stream:
            yield ResponseStream(stream.status, stream.headers, self._broken(stream))

    async def _broken(self, stream: ResponseStream) -> AsyncIterator[bytes]:
        async for line in stream.lines():
            if self.faults.strikes():
                raise ConnectionFailed("the watch broke")
            yield line + b"\n"


class Simulation:
    """One run. ``log`` holds what was done, in order."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311
        self.world = World()
        self.faults = Faults(random=self.random)
        self.sources: dict[str, Obj] = {}
        self.packages: dict[str, Obj] = {}
        self.log: list[str] = []
        self.operator: Running | None = None

    # The play

    async def play(self, steps: int) -> None:
        """Found a platform and let ``steps`` things happen to it."""
        await self.world.furnish()
        await self._plant_foreign()
        self._start()
        for number in range(self.random.randint(2, 6)):
            await self._add(f"acme.p{number}")
        for _ in range(steps):
            await self._step()
            await self.world.settle(self.random.choice((0.0, 0.0, 0.5, 3.0, 40.0)))
            if self.random.random() < 0.6:
                await self._flux()
        self.log.append("faults end")
        self.faults.rate = 0.0
        if self.operator is None:
            self._start()
        await self._fill_gaps()

    async def _fill_gaps(self) -> None:
        """Make again what others depend on: behind a gap, what runs stays, and what never ran is not made."""
        await self.rest()
        needed = {each for name in self.packages for each in self.sources[name]["spec"]["variants"][0]["dependsOn"]}
        while gaps := needed - self.packages.keys():
            for name in sorted(gaps):
                self.packages[name] = plain("cozystack.io/v1alpha1", "Package", name, spec={})
                await self._put(self.packages[name], f"package {name}, which others need")
                needed |= set(self.sources[name]["spec"]["variants"][0]["dependsOn"])

    async def rest(self) -> None:
        """Let everything happen that is still to happen; fails when it never ends."""
        for _ in range(60):
            before = self.world.server.storage.version
            await self.world.settle(310)
            worked = await self._flux()
            await self.world.settle()
            if not worked and self.world.server.storage.version == before:
                return
        raise AssertionError("it never comes to rest:\n" + "\n".join(self.log))

    async def close(self) -> None:
        await self.world.close()

    async def _step(self) -> None:
        actions = (
            (self._edit_values, 4),
            (self._toggle_component, 3),
            (self._delete_package, 1),
            (self._add_again, 2),
            (self._change_dependencies, 2),
            (self._delete_source, 1),
            (self._meddle_with_release, 2),
            (self._new_charts, 2),
            (self._restart, 2),
            (self._kill, 2),
            (self._storm, 2),
            (self._meddle_with_namespace, 1),
            (self._fail_release, 1),
        )
        action = self.random.choices([each for each, _ in actions], [weight for _, weight in actions])[0]
        await action()

    async def _flux(self) -> bool:
        """One round of Flux; whether there was anything to do."""
        worked = await self.world.flux.work()
        for name in await self.world.names(HELM_RELEASES):
            release = await self.world.get(HELM_RELEASES, name)
            chart = f"{names.SYSTEM_NAMESPACE}/{release['spec']['chartRef']['name']}"
            if observed(release) and await self.world.exists(EXTERNAL_ARTIFACTS, chart):
                artifact = (await self.world.get(EXTERNAL_ARTIFACTS, chart)).get("status", {}).get("artifact", {})
                if artifact.get("digest") != release["status"]["lastAttemptedRevisionDigest"]:
                    await self.world.flux.deploy(name)
                    worked = True
        return worked

    # What users do

    async def _add(self, name: str) -> None:
        number = len(self.sources)
        components = [
            component(f"{name[5:]}-{letter}", self.random.choice((f"ns-{number}", "shared")), **self._install(index, name))
            for index, letter in enumerate("ab"[: self.random.randint(1, 2)])
        ]
        self.sources[name] = source(name, *components, depends_on=self._some_dependencies(name))
        self.packages[name] = plain("cozystack.io/v1alpha1", "Package", name, spec={})
        await self._put(self.sources[name], f"source {name}")
        await self._put(self.packages[name], f"package {name}")

    def _install(self, index: int, name: str) -> Obj:
        install: Obj = {"privileged": True} if self.random.random() < 0.2 else {}
        return {**install, "dependsOn": [f"{name[5:]}-a"]} if index else install

    def _some_dependencies(self, name: str) -> list[str]:
        # Packages of a loop keep what they had before it closed, so what they come to depends on how they got there.
        others = [each for each in self.sources if each < name]
        return self.random.sample(others, k=min(len(others), self.random.randint(0, 2)))

    async def _put(self, obj: Obj, what: str) -> None:
        self.log.append(f"apply {what}")
        await self.world.put(obj)

    def _any(self) -> str | None:
        return self.random.choice(sorted(self.packages)) if self.packages else None

    async def _edit_values(self) -> None:
        name = self._any()
        if name is not None:
            chart = self.random.choice(self.sources[name]["spec"]["variants"][0]["components"])["name"]
            overrides = self.packages[name]["spec"].setdefault("components", {}).setdefault(chart, {})
            overrides["values"] = {"size": self.random.randint(1, 9)}
            await self._put(self.packages[name], f"values of {name}")

    async def _toggle_component(self) -> None:
        name = self._any()
        if name is not None:
            chart = self.random.choice(self.sources[name]["spec"]["variants"][0]["components"])["name"]
            overrides = self.packages[name]["spec"].setdefault("components", {}).setdefault(chart, {})
            overrides["enabled"] = not overrides.get("enabled", True)
            await self._put(self.packages[name], f"{name}/{chart} enabled={overrides['enabled']}")

    async def _delete_package(self) -> None:
        name = self._any()
        if name is not None:
            self.log.append(f"delete package {name}")
            del self.packages[name]
            await self._delete(PACKAGES, name)

    async def _add_again(self) -> None:
        gone = sorted(self.sources.keys() - self.packages.keys())
        if gone:
            name = self.random.choice(gone)
            # One that is still on its way out cannot be made anew; a user would try again, and so does a later step.
            if not await self.world.exists(PACKAGES, name):
                self.packages[name] = plain("cozystack.io/v1alpha1", "Package", name, spec={})
                await self._put(self.sources[name], f"source {name}")
                await self._put(self.packages[name], f"package {name} again")

    async def _change_dependencies(self) -> None:
        name = self._any()
        if name is not None:
            self.sources[name]["spec"]["variants"][0]["dependsOn"] = self._some_dependencies(name)
            await self._put(self.sources[name], f"{name} depends on {self.sources[name]['spec']['variants'][0]['dependsOn']}")

    async def _delete_source(self) -> None:
        name = self._any()
        if name is not None:
            self.log.append(f"delete source {name} for a while")
            await self._delete(PACKAGE_SOURCES, name)
            await self.world.settle(self.random.choice((0.0, 5.0)))
            await self._put(self.sources[name], f"source {name}")

    async def _delete(self, resource: Any, name: str) -> None:
        try:
            await self.world.delete(resource, name)
        except ApiError:
            self.log.append(f"  {name} was not there")

    async def _new_charts(self) -> None:
        name = self._any()
        if name is not None and await self.world.exists(ARTIFACT_GENERATORS, f"{names.SYSTEM_NAMESPACE}/{name}"):
            self.log.append(f"new charts for {name}")
            await self.world.flux.build(name, content=str(self.random.randint(1, 99)))

    # What goes wrong

    async def _meddle_with_release(self) -> None:
        releases = [name for name in await self.world.names(HELM_RELEASES) if name != FOREIGN]
        if releases:
            name = self.random.choice(releases)
            if self.random.random() < 0.5:
                self.log.append(f"somebody deletes release {name}")
                await self._delete(HELM_RELEASES, name)
            else:
                self.log.append(f"somebody edits release {name}")
                await self.world.edit(HELM_RELEASES, name, {"spec": {"interval": "9m0s"}})

    async def _meddle_with_namespace(self) -> None:
        self.log.append("somebody takes labels off a namespace")
        if await self.world.exists(NAMESPACES, "shared"):
            await self.world.edit(NAMESPACES, "shared", {"metadata": {"labels": {names.SYSTEM_LABEL: None}}})

    async def _fail_release(self) -> None:
        releases = [name for name in await self.world.names(HELM_RELEASES) if name != FOREIGN]
        if releases:
            name = self.random.choice(releases)
            self.log.append(f"release {name} fails")
            await self.world.flux.fail(name)

    async def _storm(self) -> None:
        self.faults.rate = self.random.choice((0.0, 0.0, 0.05, 0.3))
        self.log.append(f"faults: {self.faults.rate:.0%} of requests")

    async def _restart(self) -> None:
        self.log.append("operator restarts")
        if self.operator is not None:
            await self.operator.stop()
        self._start()

    async def _kill(self) -> None:
        if self.operator is None:
            self._start()
            return
        self.log.append("operator is killed")
        await self.operator.kill()
        self.operator = None

    def _start(self) -> None:
        self.log.append("operator starts")
        operator, _ = self.world.operator()
        wire = FaultyWire(self.world.server)
        wire.faults = self.faults
        operator.client.transport = wire
        self.operator = self.world.running(operator, wire, asyncio.ensure_future(operator.run()))

    async def _plant_foreign(self) -> None:
        """A release with a copied label that belongs to somebody else."""
        owner = plain("v1", "ConfigMap", "owner", "elsewhere")
        await self.world.put(plain("v1", "Namespace", "elsewhere"), owner)
        live = (await self.world.client.list(json_of(CONFIG_MAPS), namespace="elsewhere")).items[-1]
        foreign = plain(
            "helm.toolkit.fluxcd.io/v2",
            "HelmRelease",
            "foreign",
            "elsewhere",
            labels={names.PACKAGE_LABEL: "acme.p0"},
            spec={"interval": "5m", "chartRef": {"kind": "ExternalArtifact", "name": "x", "namespace": names.SYSTEM_NAMESPACE}},
        )
        owner_reference = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": live["metadata"]["name"],
            "uid": live["metadata"]["uid"],
            "controller": True,
        }
        foreign["metadata"]["ownerReferences"] = [owner_reference]
        await self.world.put(foreign)

    # What came of it

    async def outcome(self) -> dict[str, Any]:
        """What the platform is, without what depends on how it got there: specs, labels, owners, readiness."""
        found: dict[str, Any] = {}
        resource: Resource[Any]
        for resource in (PACKAGES, PACKAGE_SOURCES, ARTIFACT_GENERATORS, HELM_RELEASES):
            for obj in (await self.world.client.list(json_of(resource))).items:
                metadata = obj["metadata"]
                owners = [(each["kind"], each["name"]) for each in metadata.get("ownerReferences", ())]
                ready = condition_of(obj.get("status", {}), "Ready")
                found[f"{resource.kind} {path_of(obj)}"] = (obj.get("spec"), metadata.get("labels"), owners, ready)
        for resource in (NAMESPACES, SECRETS):
            for obj in (await self.world.client.list(json_of(resource))).items:
                found[f"{resource.kind} {path_of(obj)}"] = (obj["metadata"].get("labels"), obj.get("data"))
        for obj in (await self.world.client.list(json_of(EXTERNAL_ARTIFACTS))).items:
            found[f"ExternalArtifact {path_of(obj)}"] = None
        return found


async def fresh(played: Simulation) -> dict[str, Any]:
    """What the same objects come to when they are applied to an empty cluster and nothing goes wrong."""
    simulation = Simulation(0)
    try:
        await simulation.world.furnish()
        await simulation._plant_foreign()
        simulation._start()
        for name, obj in played.sources.items():
            if await played.world.exists(PACKAGE_SOURCES, name):
                await simulation.world.put(obj)
        for obj in played.packages.values():
            await simulation.world.put(obj)
        await simulation.rest()
        return await simulation.outcome()
    finally:
        await simulation.close()


def _failure(code: int) -> Response:
    reasons = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reasons[code], "code": code, "message": "no"}
    headers = {"Content-Type": "application/json"}
    if code == 429:
        headers["Retry-After"] = "1"
    return Response(code, headers, msgspec.json.encode(status))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
