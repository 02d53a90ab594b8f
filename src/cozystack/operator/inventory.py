"""What an operator has installed, so that a later one can remove what it does not install any more.

A ConfigMap holds one line an object, by step. An object is written down before it is applied and struck out when it is gone, so
a crash in between loses nothing. Removed is only what is written down, still has our field manager, and is not in use; never a
CRD or a Namespace (decision D6). What cannot be removed now is tried again, with growing pauses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from cozystack.api import names
from cozystack.api.core import ConfigMap
from cozystack.api.meta import JSON, Key, ObjectMeta
from cozystack.api.resources import ARTIFACT_GENERATORS, CONFIG_MAPS, HELM_RELEASES, PACKAGE_SOURCES
from cozystack.kube import Client, Discovery
from cozystack.kube.errors import Conflict, NotFound, UnknownKind
from cozystack.operator.webhook.registration import LABELS
from cozystack.runtime import Log

INVENTORY = Key(names.SYSTEM_NAMESPACE, "cozystack-operator-installed")
NEVER_REMOVED = ("CustomResourceDefinition", "Namespace")
_SOURCES = ("OCIRepository", "GitRepository")


def line_of(manifest: Mapping[str, JSON]) -> str:
    """An object as it is written down: ``apps/v1 Deployment cozy-fluxcd/flux``."""
    metadata = manifest["metadata"]
    return f"{manifest['apiVersion']} {manifest['kind']} {Key(metadata.get('namespace', ''), metadata['name'])}"


class Inventory:
    def __init__(self, client: Client, discovery: Discovery, *, log: Log) -> None:
        self._client = client
        self._discovery = discovery
        self._log = log
        self._left: dict[str, list[str]] = {}

    async def begin(self, step: str, manifests: Iterable[Mapping[str, JSON]]) -> None:
        """Write down what a step is about to apply; what it does not apply any more is left over. Raises ``KubeError``."""
        wanted = {line_of(each) for each in manifests if each["kind"] not in NEVER_REMOVED}
        before = await self._read(step)
        if not wanted <= before:
            await self._write(step, before | wanted)
        self._left[step] = sorted(before - wanted)

    async def remove_leftovers(self) -> bool:
        """Remove what is left over and not in use; whether nothing is left. Raises ``KubeError``."""
        for step, lines in self._left.items():
            gone = {line for line in lines if await self._is_removed(line)}
            if gone:
                self._left[step] = [line for line in lines if line not in gone]
                await self._write(step, await self._read(step) - gone)
        return not any(self._left.values())

    async def _is_removed(self, line: str) -> bool:
        """Whether an object is gone, or is none of ours any more."""
        try:
            api_version, kind, place = line.split(" ")
            namespace, _, name = place.rpartition("/")
            resource = await self._discovery.resource(api_version, kind)
        except (ValueError, UnknownKind):
            return True
        if kind in NEVER_REMOVED:
            return True
        live = await self._client.find(resource, Key(namespace, name))
        if live is None or not _is_ours(live):
            return True
        if kind in _SOURCES and await self._is_used(kind, namespace, name):
            return False
        try:
            await self._client.delete(resource, Key(namespace, name), uid=live["metadata"]["uid"])
        except (NotFound, Conflict):
            return False
        self._log.info("removed: an earlier version installed it", kind=kind, name=name, namespace=namespace)
        return True

    async def _is_used(self, kind: str, namespace: str, name: str) -> bool:
        """Whether charts come from this source."""
        wanted = (kind, namespace, name)
        for source in (await self._client.list(PACKAGE_SOURCES)).items:
            reference = source.spec.source_ref
            if reference is not None and (reference.kind, reference.namespace, reference.name) == wanted:
                return True
        for generator in (await self._client.list(ARTIFACT_GENERATORS)).items:
            own = generator.metadata.namespace
            if any((each.kind, each.namespace or own, each.name) == wanted for each in generator.spec.sources):
                return True
        for release in (await self._client.list(HELM_RELEASES)).items:
            chart = release.spec.chart_ref
            own = release.metadata.namespace
            if chart is not None and (chart.kind, chart.namespace or own, chart.name) == wanted:
                return True
        return False

    async def _read(self, step: str) -> set[str]:
        found = await self._client.find(CONFIG_MAPS, INVENTORY)
        return set(found.data.get(step, "").splitlines()) if found is not None else set()

    async def _write(self, step: str, lines: Collection[str]) -> None:
        data = {step: "".join(f"{line}\n" for line in sorted(lines))}
        try:
            await self._client.patch(CONFIG_MAPS, INVENTORY, {"data": data}, manager=names.OPERATOR_MANAGER)
        except NotFound:
            made = ConfigMap(
                api_version="v1",
                kind="ConfigMap",
                metadata=ObjectMeta(name=INVENTORY.name, namespace=INVENTORY.namespace, labels=LABELS),
                data=data,
            )
            await self._client.create(CONFIG_MAPS, made, manager=names.OPERATOR_MANAGER)


def _is_ours(live: Mapping[str, Any]) -> bool:
    return any(entry.get("manager") == names.OPERATOR_MANAGER for entry in live["metadata"].get("managedFields") or ())
