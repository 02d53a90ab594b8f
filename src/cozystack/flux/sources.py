"""The stand-in of source-controller: OCIRepository and GitRepository become artifacts.

An artifact's revision is ``tag@sha256:...`` for OCI and ``branch@sha1:...`` for Git, as Flux writes them. A source that cannot
be fetched keeps its last artifact and says what is wrong.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cozystack.api.duration import parse_duration
from cozystack.api.flux import Artifact, GitRef, GitRepository, OCIRepository, SourceStatus
from cozystack.api.meta import Key
from cozystack.api.resources import GIT_REPOSITORIES, OCI_REPOSITORIES, SECRETS
from cozystack.flux.status import StatusWriter, condition, requested_at, with_conditions
from cozystack.flux.storage import ArtifactStorage
from cozystack.flux.versions import newest
from cozystack.kube import Client, Informer
from cozystack.kube.clock import Clock
from cozystack.oci import Login, OciError, Reference, RegistryClient, logins_from_docker_config, pack
from cozystack.runtime import Controller, Done, Log, RequeueAfter, Result

MANAGER = "source-controller"
RETRY = 10.0
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")


class SourceError(Exception):
    """A source that cannot be fetched; ``reason`` is what Flux calls it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Sources:
    """Reconciles both kinds; ``attach`` them to a controller each."""

    def __init__(self, client: Client, storage: ArtifactStorage, *, clock: Clock, log: Log) -> None:
        self._client = client
        self._storage = storage
        self._clock = clock
        self._log = log
        self.oci: Informer[OCIRepository] = Informer(client, OCI_REPOSITORIES)
        self.git: Informer[GitRepository] = Informer(client, GIT_REPOSITORIES)
        self._oci_status = StatusWriter(client, OCI_REPOSITORIES, clock=clock, manager=MANAGER)
        self._git_status = StatusWriter(client, GIT_REPOSITORIES, clock=clock, manager=MANAGER)

    def attach(self, oci: Controller, git: Controller) -> None:
        oci.watch(self.oci, when=spec_or_request_changed)
        git.watch(self.git, when=spec_or_request_changed)

    async def reconcile_oci(self, key: Key) -> Result:
        source = self.oci.store.get(key)
        if source is None:
            self._storage.drop("OCIRepository", key.namespace, key.name)
            return Done()
        if source.spec.suspend or source.metadata.deletion_timestamp is not None:
            return Done()
        try:
            artifact = await self._fetch_oci(source)
        except SourceError as error:
            return await self._failed(self._oci_status, source, error)
        return await self._stored(self._oci_status, source, artifact)

    async def reconcile_git(self, key: Key) -> Result:
        source = self.git.store.get(key)
        if source is None:
            self._storage.drop("GitRepository", key.namespace, key.name)
            return Done()
        if source.spec.suspend or source.metadata.deletion_timestamp is not None:
            return Done()
        try:
            artifact = await self._fetch_git(source)
        except SourceError as error:
            return await self._failed(self._git_status, source, error)
        return await self._stored(self._git_status, source, artifact)

    async def _fetch_oci(self, source: OCIRepository) -> Artifact:
        spec = source.spec
        ref = spec.ref
        try:
            reference = Reference.parse(spec.url)
            logins = await self._logins(source)
            async with RegistryClient(logins=logins, insecure=spec.insecure) as registry:
                tag = ref.tag if ref else ""
                if ref and ref.semver and not ref.digest:
                    tag = newest(await registry.tags(reference), ref.semver, ref.semver_filter) or ""
                    if not tag:
                        raise SourceError("OCIArtifactPullFailed", f'no tag of {reference} matches "{ref.semver}"')
                wanted = Reference(reference.host, reference.path, tag or "latest", ref.digest if ref else "")
                digest = await registry.resolve(wanted)
                label = wanted.tag if not wanted.digest else (ref.tag if ref and ref.tag else "")
                revision = f"{label}@{digest}" if label else digest
                old = source.status.artifact
                if old is not None and old.revision == revision and self._storage.has(old.path) and self._same_url(old):
                    return old
                selector = spec.layer_selector
                pulled = await registry.pull(
                    Reference(reference.host, reference.path, "", digest),
                    media_type=selector.media_type if selector else "",
                )
        except OciError as error:
            raise SourceError("OCIArtifactPullFailed", str(error)) from error
        return self._artifact("OCIRepository", source.key, pulled.layer, revision, pulled.annotations)

    async def _logins(self, source: OCIRepository) -> Mapping[str, Login]:
        if source.spec.secret_ref is None:
            return {}
        key = Key(source.metadata.namespace, source.spec.secret_ref.name)
        secret = await self._client.find(SECRETS, key)
        if secret is None:
            raise SourceError("AuthenticationFailed", f"there is no Secret {key}")
        content = secret.data.get(".dockerconfigjson")
        if content is None:
            raise SourceError("AuthenticationFailed", f"the Secret {key} has no .dockerconfigjson")
        return logins_from_docker_config(base64.b64decode(content))

    async def _fetch_git(self, source: GitRepository) -> Artifact:
        environment = await self._git_environment(source)
        url, ref = source.spec.url, source.spec.ref or GitRef()
        if ref.commit and not _COMMIT.fullmatch(ref.commit):
            raise SourceError("GitOperationFailed", f'"{ref.commit}" is not a commit')
        label, wanted = ref.branch or "master", f"refs/heads/{ref.branch or 'master'}"
        if ref.commit:
            label, wanted = ref.branch, wanted if ref.branch else "HEAD"
        elif ref.name:
            label = wanted = ref.name
        elif ref.semver or ref.tag:
            label = ref.tag
            if ref.semver:
                # Every name comes after "--": one that starts with a dash would be an option, and some options run programs.
                tags = await self._git(["ls-remote", "--tags", "--refs", "--", url], environment)
                found = newest([line.rpartition("refs/tags/")[2] for line in tags.splitlines()], ref.semver, "")
                if not found:
                    raise SourceError("GitOperationFailed", f'no tag of {url} matches "{ref.semver}"')
                label = found
            wanted = f"refs/tags/{label}"
        folder = Path(tempfile.mkdtemp(prefix="git-source-"))
        try:
            at = ["-C", str(folder)]
            await self._git(["init", "--quiet", str(folder)], environment)
            depth = [] if ref.commit else ["--depth=1"]
            await self._git([*at, "fetch", "--quiet", *depth, "--", url, wanted], environment)
            await self._git([*at, "checkout", "--quiet", "--detach", ref.commit or "FETCH_HEAD"], environment)
            commit = (await self._git([*at, "rev-parse", "HEAD"], environment)).strip()
            revision = f"{label}@sha1:{commit}" if label else f"sha1:{commit}"
            old = source.status.artifact
            if old is not None and old.revision == revision and self._storage.has(old.path) and self._same_url(old):
                return old
            content = await asyncio.to_thread(pack, folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, True)
        return self._artifact("GitRepository", source.key, content, revision, {})

    async def _git_environment(self, source: GitRepository) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "SSL_CERT_FILE", "GIT_SSL_CAINFO") if name in os.environ}
        kept |= {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
        if source.spec.secret_ref is None:
            return kept
        key = Key(source.metadata.namespace, source.spec.secret_ref.name)
        secret = await self._client.find(SECRETS, key)
        if secret is None:
            raise SourceError("AuthenticationFailed", f"there is no Secret {key}")
        data = {name: base64.b64decode(value).decode() for name, value in secret.data.items()}
        if "bearerToken" in data:
            header = f"Authorization: Bearer {data['bearerToken']}"
        elif "username" in data:
            pair = base64.b64encode(f"{data['username']}:{data.get('password', '')}".encode()).decode()
            header = f"Authorization: Basic {pair}"
        else:
            raise SourceError("AuthenticationFailed", f"the Secret {key} has neither username nor bearerToken")
        return {**kept, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader", "GIT_CONFIG_VALUE_0": header}

    async def _git(self, arguments: list[str], environment: Mapping[str, str]) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=dict(environment),
            )
            output, complaint = await asyncio.wait_for(process.communicate(), 120)
        except FileNotFoundError:
            raise SourceError("GitOperationFailed", "there is no git program on this machine") from None
        except TimeoutError:
            process.kill()
            await process.wait()
            raise SourceError("GitOperationFailed", "git did not end within 120 s") from None
        if process.returncode != 0:
            lines = complaint.decode(errors="replace").strip().splitlines()
            raise SourceError("GitOperationFailed", lines[-1] if lines else "git failed")
        return output.decode()

    def _artifact(self, kind: str, key: Key, content: bytes, revision: str, metadata: dict[str, str]) -> Artifact:
        path, digest = self._storage.put(kind, key.namespace, key.name, content)
        now = self._oci_status.now
        return Artifact(
            url=self._storage.url(path),
            revision=revision,
            path=path,
            digest=digest,
            last_update_time=now,
            size=len(content),
            metadata=metadata,
        )

    def _same_url(self, artifact: Artifact) -> bool:
        return artifact.url == self._storage.url(artifact.path)

    async def _stored(self, writer: StatusWriter, source: Any, artifact: Artifact) -> Result:
        message = f"stored artifact for revision '{artifact.revision}'"
        status: SourceStatus = source.status
        conditions = with_conditions(
            status.conditions,
            (
                condition(source, "Ready", True, "Succeeded", message),
                condition(source, "ArtifactInStorage", True, "Succeeded", message),
            ),
            drop=("Reconciling", "Stalled", "FetchFailed"),
            now=writer.now,
        )
        wanted = msgspec.structs.replace(
            status,
            conditions=conditions,
            artifact=artifact,
            observed_generation=source.metadata.generation,
            last_handled_reconcile_at=requested_at(source),
        )
        if artifact is not status.artifact:
            self._log.info("artifact stored", source=str(source.key), revision=artifact.revision, bytes=artifact.size)
        await writer.write(source, wanted)
        return RequeueAfter(max(1.0, parse_duration(source.spec.interval).total_seconds()))

    async def _failed(self, writer: StatusWriter, source: Any, error: SourceError) -> Result:
        self._log.warning("source cannot be fetched", source=str(source.key), reason=str(error))
        status: SourceStatus = source.status
        conditions = with_conditions(
            status.conditions,
            (
                condition(source, "Ready", False, error.reason, str(error)),
                condition(source, "FetchFailed", True, error.reason, str(error)),
            ),
            drop=("Reconciling",),
            now=writer.now,
        )
        wanted = msgspec.structs.replace(
            status,
            conditions=conditions,
            observed_generation=source.metadata.generation,
            last_handled_reconcile_at=requested_at(source),
        )
        await writer.write(source, wanted)
        return RequeueAfter(RETRY)


def spec_or_request_changed(old: Any, new: Any) -> bool:
    """Whether a change of an object is one for its controller: not of its status alone."""
    if old is None or new is None:
        return True
    return bool(
        old.metadata.generation != new.metadata.generation
        or requested_at(old) != requested_at(new)
        or old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        or old.metadata.uid != new.metadata.uid
    )
