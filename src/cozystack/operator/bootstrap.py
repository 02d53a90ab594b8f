"""Bring a bare cluster to the point where packages can be installed: CRDs, Flux, the platform's source.

Runs under the lease, so two operators never fight over what is installed, and again after every change of leader; each step
applies only what differs. Nothing is downgraded: what a newer operator has installed is left alone (decision D6). What an older
one installed and this one does not is removed afterwards. A step that fails is tried again with a growing delay, with its
progress in the log. Specification: operator 2.2, 6.1, 6.2.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import msgspec

from cozystack.api import names
from cozystack.api.crds import crds
from cozystack.api.meta import JSON, Key
from cozystack.api.resources import CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, Resource, untyped
from cozystack.kube import Client, Discovery
from cozystack.kube.clock import Clock
from cozystack.kube.errors import KubeError
from cozystack.kube.manifests import apply_all
from cozystack.operator.flags import Options
from cozystack.operator.fluxinstall import DEPLOYMENT_NAME, FLUX_VERSION, flux_crds, flux_objects
from cozystack.operator.inventory import Inventory
from cozystack.operator.platform import package_source, source_object
from cozystack.runtime import Log

VERSION_ANNOTATION = "operator.cozystack.io/version"
VERSION_LABEL = "app.kubernetes.io/version"
_UNTYPED_CRDS: Resource[dict[str, Any]] = Resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False, dict[str, Any]
)
_UNTYPED_DEPLOYMENTS: Resource[dict[str, Any]] = untyped("apps", "v1", "Deployment", "deployments")
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_FIRST_LOOK, _LONGEST_LOOK = 5.0, 600.0


class Bootstrap:
    """The steps, in order. ``version`` is that of this operator; ``environment`` that of its process."""

    def __init__(
        self,
        client: Client,
        options: Options,
        *,
        clock: Clock,
        random: Random,
        environment: Mapping[str, str],
        version: str,
        log: Log,
    ) -> None:
        self._client = client
        self._discovery = Discovery(client)
        self._options = options
        self._clock = clock
        self._random = random
        self._environment = environment
        self._version = version
        self._log = log
        self._inventory = Inventory(client, self._discovery, log=log)
        self.done = False

    async def run(self) -> None:
        """Every step that the flags ask for; returns when all have succeeded."""
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        if self._options.install_crds:
            steps.append(("custom resource definitions", self._install_crds))
        if self._options.install_flux:
            steps.append(("Flux", self._install_flux))
        if self._options.platform_source is not None:
            steps.append(("platform source", self._install_platform_source))
            if self._options.install_crds:
                steps.append(("platform PackageSource", self._install_platform_package_source))
        for number, (name, step) in enumerate(steps, 1):
            await self._until_done(f"{number}/{len(steps)} {name}", step)
        self.done = True

    async def watch_flux(self) -> None:
        """Say in the log when Flux is available, or that it is not within the time it may take."""
        if not self._options.install_flux:
            return
        limit = self._clock.monotonic() + self._options.flux_ready_timeout.total_seconds()
        warned = False
        while True:
            deployment = None
            try:
                deployment = await self._client.find(DEPLOYMENTS, Key(names.FLUX_NAMESPACE, DEPLOYMENT_NAME))
            except KubeError as error:
                self._log.debug("Flux could not be looked at", reason=str(error))
            if deployment is not None and deployment.status.available_replicas >= deployment.spec.replicas > 0:
                self._log.info("Flux is available")
                return
            if not warned and self._clock.monotonic() > limit:
                warned = True
                self._log.warning(
                    "Flux is not available yet; nothing can be installed before it is",
                    look=f"kubectl -n {names.FLUX_NAMESPACE} describe deployment {DEPLOYMENT_NAME}",
                )
            await self._clock.sleep(2.0)

    async def tidy(self) -> None:
        """Remove what an older version installed and this one does not; returns when nothing of it is left."""
        delay = _FIRST_LOOK
        while True:
            try:
                if await self._inventory.remove_leftovers():
                    return
            except KubeError as error:
                self._log.warning("what an earlier version installed cannot be removed yet", reason=str(error))
            await self._clock.sleep(delay)
            delay = min(delay * 2, _LONGEST_LOOK)

    async def _until_done(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        delay, started = _FIRST_DELAY, self._clock.monotonic()
        while True:
            try:
                await step()
            except KubeError as error:
                wait = delay * (1 - 0.5 * self._random.random())
                self._log.warning("bootstrap step failed, trying again", step=name, reason=str(error), retry_in=f"{wait:.1f}s")
                await self._clock.sleep(wait)
                delay = min(delay * 2, _LONGEST_DELAY)
            else:
                self._log.info("bootstrap step done", step=name, seconds=round(self._clock.monotonic() - started, 2))
                return

    async def _install_crds(self) -> None:
        wanted = copy.deepcopy(crds())
        for crd in wanted:
            crd["metadata"]["annotations"] = {VERSION_ANNOTATION: self._version}
        await self._apply_crds(wanted, lambda crd: crd["metadata"].get("annotations", {}).get(VERSION_ANNOTATION, ""))

    async def _install_flux(self) -> None:
        key = Key(names.FLUX_NAMESPACE, DEPLOYMENT_NAME)
        deployment: dict[str, Any] = await self._client.find(_UNTYPED_DEPLOYMENTS, key) or {}
        installed = deployment.get("metadata", {}).get("labels", {}).get(VERSION_LABEL, "")
        if is_newer(installed, FLUX_VERSION):
            self._log.info("Flux left as a newer operator installed it", version=installed)
            return
        await self._apply_crds(flux_crds(), lambda crd: crd["metadata"].get("labels", {}).get(VERSION_LABEL, ""))
        objects = flux_objects(
            registry=self._options.flux_registry,
            api_host=self._environment.get("KUBERNETES_SERVICE_HOST", ""),
            api_port=self._environment.get("KUBERNETES_SERVICE_PORT", ""),
        )
        await self._inventory.begin("flux", objects)
        if deployment.get("spec", {}).get("strategy", {}).get("rollingUpdate") is not None:
            # Ours recreates its Pod, and a strategy that does must not say how to roll: an apply cannot take that away.
            recreate = {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
            await self._client.patch(_UNTYPED_DEPLOYMENTS, key, recreate, manager=names.OPERATOR_MANAGER)
        await self._apply(objects)

    async def _install_platform_source(self) -> None:
        if self._options.platform_source is not None:
            wanted = [source_object(self._options.platform_source)]
            await self._inventory.begin("platform-source", wanted)
            await self._apply(wanted)

    async def _install_platform_package_source(self) -> None:
        if self._options.platform_source is not None:
            await self._apply([msgspec.to_builtins(package_source(self._options.platform_source))])

    async def _apply(self, manifests: list[dict[str, JSON]]) -> None:
        outcomes = await apply_all(self._client, self._discovery, manifests, manager=names.OPERATOR_MANAGER)
        for outcome in outcomes:
            if outcome.changed:
                meta = outcome.object["metadata"]
                self._log.info("applied", kind=outcome.object["kind"], name=meta["name"], namespace=meta.get("namespace", ""))

    async def _apply_crds(self, crds: list[dict[str, JSON]], version_of: Callable[[dict[str, JSON]], str]) -> None:
        """Bring each CRD up, unless it is there in a later version, and return when the server serves all of them."""
        wanted = []
        for crd in crds:
            name = crd["metadata"]["name"]
            live = await self._client.find(_UNTYPED_CRDS, Key("", name))
            if live is None:
                wanted.append(crd)
            elif is_newer(version_of(live), version_of(crd)):
                self._log.info("CRD left as a newer operator installed it", crd=name, version=version_of(live))
            else:
                wanted.append(keep_what_is_there(crd, live))
        await self._apply(wanted)
        await self._established([crd["metadata"]["name"] for crd in crds])

    async def _established(self, crd_names: list[str]) -> None:
        """Return when the server serves every CRD; say once why one is not."""
        for name in crd_names:
            told = ""
            while True:
                crd = await self._client.find(CUSTOM_RESOURCE_DEFINITIONS, Key("", name))
                conditions = crd.status.conditions if crd is not None else ()
                if any(c.type == "Established" and c.status == "True" for c in conditions):
                    break
                refused = next((c for c in conditions if c.type == "NamesAccepted" and c.status == "False"), None)
                if refused is not None and refused.message != told:
                    told = refused.message
                    self._log.warning("CRD is not accepted", crd=name, reason=told)
                await self._clock.sleep(0.5)


def is_newer(installed: str, ours: str) -> bool:
    """Whether ``installed`` is a later version than ``ours``; a text that is no version is never newer."""
    left, right = _numbers(installed), _numbers(ours)
    return left is not None and right is not None and left > right


def _numbers(version: str) -> tuple[int, ...] | None:
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(?:[-+].*)?", version)
    return tuple(int(number) for number in found.groups()) if found else None


def keep_what_is_there(crd: dict[str, JSON], live: dict[str, JSON]) -> dict[str, JSON]:
    """``crd`` with what ``live`` has beyond it (decision D6): properties of its versions, and whole versions that are served,
    or that objects are stored in.
    """
    there = {version["name"]: version for version in live.get("spec", {}).get("versions", ())}
    stored = live.get("status", {}).get("storedVersions", ())
    versions = [_with_properties_of(version, there.pop(version["name"], None)) for version in crd["spec"]["versions"]]
    versions += [
        {**version, "storage": False} for version in there.values() if version.get("served") or version["name"] in stored
    ]
    return {**crd, "spec": {**crd["spec"], "versions": versions}}


def _with_properties_of(version: dict[str, JSON], live: dict[str, JSON] | None) -> dict[str, JSON]:
    schema = version.get("schema", {}).get("openAPIV3Schema")
    there = (live or {}).get("schema", {}).get("openAPIV3Schema")
    if not schema or not there:
        return version
    return {**version, "schema": {"openAPIV3Schema": _joined(schema, there)}}


def _joined(schema: JSON, live: JSON) -> JSON:
    """``schema`` with the properties that ``live`` has beyond it, at every depth."""
    if not isinstance(schema, dict) or not isinstance(live, dict):
        return schema
    joined = {**schema}
    if "properties" in schema and "properties" in live:
        ours, theirs = schema["properties"], live["properties"]
        joined["properties"] = {
            **{name: _joined(property_, theirs.get(name)) for name, property_ in ours.items()},
            **{name: property_ for name, property_ in theirs.items() if name not in ours},
        }
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            joined[inner] = _joined(schema[inner], live.get(inner))
    return joined
