"""The stand-in of source-watcher: an ArtifactGenerator becomes ExternalArtifacts.

All sources are read once per revision and shared by every generator. An artifact whose content has not changed is left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from cozystack.api.flux import (
    SOURCE_API,
    Artifact,
    ArtifactGenerator,
    ExternalArtifact,
    GitRepository,
    InventoryEntry,
    OCIRepository,
    OutputArtifact,
    SourceStatus,
)
from cozystack.api.meta import Key
from cozystack.api.resources import ARTIFACT_GENERATORS, EXTERNAL_ARTIFACTS, GIT_REPOSITORIES, OCI_REPOSITORIES
from cozystack.flux.copying import CopyError, build
from cozystack.flux.fetch import Fetcher, FetchError
from cozystack.flux.sources import spec_or_request_changed
from cozystack.flux.status import StatusWriter, condition, requested_at, with_conditions
from cozystack.flux.storage import ArtifactStorage
from cozystack.kube import Client, Informer
from cozystack.kube.clock import Clock
from cozystack.kube.errors import NotFound
from cozystack.kube.informer import ChangeKind
from cozystack.oci import OciError, pack_files
from cozystack.runtime import Controller, Done, Log, RequeueAfter, Result

MANAGER = "source-watcher"
GENERATOR_LABEL = "source.extensions.fluxcd.io/generator"
RETRY = 5.0


class Generators:
    def __init__(self, client: Client, storage: ArtifactStorage, *, clock: Clock, log: Log) -> None:
        self._client = client
        self._storage = storage
        self._log = log
        self._fetcher = Fetcher()
        self.generators: Informer[ArtifactGenerator] = Informer(client, ARTIFACT_GENERATORS)
        self.artifacts: Informer[ExternalArtifact] = Informer(client, EXTERNAL_ARTIFACTS)
        self.oci: Informer[OCIRepository] = Informer(client, OCI_REPOSITORIES)
        self.git: Informer[GitRepository] = Informer(client, GIT_REPOSITORIES)
        self.generators.store.index("source", _source_keys)
        self._status = StatusWriter(client, ARTIFACT_GENERATORS, clock=clock, manager=MANAGER)
        self._artifact_status = StatusWriter(client, EXTERNAL_ARTIFACTS, clock=clock, manager=MANAGER)

    def attach(self, controller: Controller) -> None:
        controller.watch(self.generators, when=spec_or_request_changed)
        controller.watch(self.oci, lambda source: self._users("OCIRepository", source.key), when=_artifact_changed)
        controller.watch(self.git, lambda source: self._users("GitRepository", source.key), when=_artifact_changed)
        self.artifacts.on_change(self._drop_files)
        controller.watch(self.artifacts, _owner)

    def _drop_files(self, kind: ChangeKind, old: ExternalArtifact | None, new: ExternalArtifact | None) -> None:
        """Files go with their artifact; should somebody still want it, its generator runs now and stores them again."""
        if kind == "deleted" and old is not None and old.metadata.labels.get("app.kubernetes.io/managed-by") == MANAGER:
            self._storage.drop("ExternalArtifact", old.metadata.namespace, old.metadata.name)

    def _users(self, kind: str, key: Key) -> list[Key]:
        return self.generators.store.keys_by("source", (kind, key))

    async def close(self) -> None:
        await self._fetcher.close()

    async def reconcile(self, key: Key) -> Result:
        generator = self.generators.store.get(key)
        if generator is None or generator.metadata.deletion_timestamp is not None:
            return Done()
        try:
            sources = self._sources(generator)
        except LookupError as error:
            return await self._failed(generator, "SourceNotReady", str(error), None)
        digest = sources_digest(sources)
        try:
            files = {alias: await self._fetcher.files(artifact) for alias, artifact in sources.items()}
            inventory = [await self._make(generator, output, files) for output in generator.spec.artifacts]
        except (CopyError, OciError) as error:
            return await self._failed(generator, "BuildFailed", str(error), None)
        except FetchError as error:
            return await self._failed(generator, "SourceFetchFailed", str(error), RETRY)
        await self._drop_orphans(generator, {output.name for output in generator.spec.artifacts})
        message = f"reconciliation succeeded, generated {len(inventory)} artifact(s)"
        wanted = msgspec.structs.replace(
            generator.status,
            conditions=with_conditions(
                generator.status.conditions,
                (condition(generator, "Ready", True, "Succeeded", message),),
                drop=("Reconciling",),
                now=self._status.now,
            ),
            inventory=tuple(inventory),
            observed_sources_digest=digest,
            last_handled_reconcile_at=requested_at(generator),
        )
        await self._status.write(generator, wanted)
        return Done()

    def _sources(self, generator: ArtifactGenerator) -> dict[str, Artifact]:
        """The artifacts of the sources by alias; raises ``LookupError`` when one is not there yet."""
        found: dict[str, Artifact] = {}
        for source in generator.spec.sources:
            namespace = source.namespace or generator.metadata.namespace
            key = Key(namespace, source.name)
            store: Any = self.oci.store if source.kind == "OCIRepository" else self.git.store
            live = store.get(key) if source.kind in ("OCIRepository", "GitRepository") else None
            if live is None:
                raise LookupError(f"{source.kind}/{key} is not found")
            if live.status.artifact is None:
                raise LookupError(f"{source.kind}/{key} has no artifact yet")
            found[source.alias] = live.status.artifact
        return found

    async def _make(
        self, generator: ArtifactGenerator, output: OutputArtifact, files: Mapping[str, Mapping[str, bytes]]
    ) -> InventoryEntry:
        """Build one artifact and publish it as an ExternalArtifact."""
        content = pack_files(build(output.copy, files).items())
        namespace = generator.metadata.namespace
        path, digest = self._storage.put("ExternalArtifact", namespace, output.name, content)
        revision = f"latest@{digest}"
        key = Key(namespace, output.name)
        live = self.artifacts.store.get(key)
        if live is None or live.metadata.labels.get(GENERATOR_LABEL) != generator.metadata.uid:
            live = await self._client.apply(
                EXTERNAL_ARTIFACTS, _external_artifact(generator, output.name), manager=MANAGER, force=True
            )
        old = live.status.artifact
        url = self._storage.url(path)
        if old is None or old.revision != revision or old.url != url:
            artifact = Artifact(
                url=url,
                revision=revision,
                path=path,
                digest=digest,
                last_update_time=self._status.now,
                size=len(content),
            )
            message = f"stored artifact for revision '{revision}'"
            ready = condition(live, "Ready", True, "Succeeded", message)
            conditions = with_conditions(live.status.conditions, (ready,), now=self._status.now)
            await self._artifact_status.write(
                live,
                SourceStatus(observed_generation=live.status.observed_generation, conditions=conditions, artifact=artifact),
            )
            self._log.info("artifact generated", artifact=str(key), revision=revision, bytes=len(content))
        filename = path.rpartition("/")[2]
        return InventoryEntry(name=output.name, namespace=namespace, digest=digest, filename=filename)

    async def _drop_orphans(self, generator: ArtifactGenerator, wanted: set[str]) -> None:
        for entry in generator.status.inventory:
            if entry.name in wanted:
                continue
            live = self.artifacts.store.get(Key(entry.namespace, entry.name))
            if live is not None and live.metadata.labels.get(GENERATOR_LABEL) == generator.metadata.uid:
                with contextlib.suppress(NotFound):
                    await self._client.delete(EXTERNAL_ARTIFACTS, live.key, uid=live.metadata.uid)

    async def _failed(self, generator: ArtifactGenerator, reason: str, message: str, retry: float | None) -> Result:
        self._log.info("artifacts cannot be generated", generator=str(generator.key), reason=message)
        conditions = with_conditions(
            generator.status.conditions,
            (condition(generator, "Ready", False, reason, message),),
            drop=("Reconciling",),
            now=self._status.now,
        )
        wanted = msgspec.structs.replace(
            generator.status, conditions=conditions, last_handled_reconcile_at=requested_at(generator)
        )
        await self._status.write(generator, wanted)
        return RequeueAfter(retry) if retry else Done()


def _external_artifact(generator: ArtifactGenerator, name: str) -> dict[str, Any]:
    meta = generator.metadata
    return {
        "apiVersion": SOURCE_API,
        "kind": "ExternalArtifact",
        "metadata": {
            "name": name,
            "namespace": meta.namespace,
            "labels": {"app.kubernetes.io/managed-by": MANAGER, GENERATOR_LABEL: meta.uid},
            "ownerReferences": [
                {
                    "apiVersion": ARTIFACT_GENERATORS.api_version,
                    "kind": ARTIFACT_GENERATORS.kind,
                    "name": meta.name,
                    "uid": meta.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "sourceRef": {
                "apiVersion": ARTIFACT_GENERATORS.api_version,
                "kind": ARTIFACT_GENERATORS.kind,
                "name": meta.name,
                "namespace": meta.namespace,
            }
        },
    }


def sources_digest(sources: Mapping[str, Artifact]) -> str:
    """What a generator observed of its sources, by alias; the same text as that of source-watcher, so that both can be read."""
    parts = (f"{alias}=[digest={each.digest},revision={each.revision},url={each.url}]" for alias, each in sources.items())
    return "sha256:" + hashlib.sha256("|".join(sorted(parts)).encode()).hexdigest()


def _source_keys(generator: ArtifactGenerator) -> list[tuple[str, Key]]:
    namespace = generator.metadata.namespace
    return [(source.kind, Key(source.namespace or namespace, source.name)) for source in generator.spec.sources]


def _owner(artifact: ExternalArtifact) -> list[Key]:
    owner = artifact.metadata.controller
    if owner is None or owner.kind != ARTIFACT_GENERATORS.kind:
        return []
    return [Key(artifact.metadata.namespace, owner.name)]


def _artifact_changed(old: Any, new: Any) -> bool:
    if old is None or new is None:
        return True
    return bool(old.status.artifact != new.status.artifact)
