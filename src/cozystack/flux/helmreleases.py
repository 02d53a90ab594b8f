"""The stand-in of helm-controller: a HelmRelease becomes a release of real Helm.

As the real one it checks ``dependsOn`` when a release is reconciled and then on a timer, never by watching; a changed
``reconcile.fluxcd.io/requestedAt`` reconciles at once. Helm itself waits for hooks alone; the objects of a release are
waited for by events, so a release that takes long holds nothing up. What it does not do: drift detection, tests,
post-renderers, remediation by rollback or uninstall (a failure is always tried again), charts from other sources than
ExternalArtifacts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from cozystack.api.duration import parse_duration
from cozystack.api.flux import Artifact, ExternalArtifact, HelmRelease, HelmReleaseStatus, HistoryEntry
from cozystack.api.meta import Condition, Key, find_condition
from cozystack.api.names import REQUESTED_AT_ANNOTATION
from cozystack.api.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    EXTERNAL_ARTIFACTS,
    HELM_RELEASES,
    SECRETS,
)
from cozystack.api.yaml import load_all
from cozystack.flux.charts import ChartFiles, ChartFolderError, chart_of
from cozystack.flux.fetch import Fetcher, FetchError
from cozystack.flux.health import ExpressionError
from cozystack.flux.sources import spec_or_request_changed
from cozystack.flux.status import StatusWriter, condition, requested_at, with_conditions
from cozystack.flux.values import ValuesError, compose, digest_of_values
from cozystack.flux.watching import Target, Watcher, targets_of
from cozystack.helm import HelmEngine, HelmError, Release, ReleaseNotFound, ReleaseRequest
from cozystack.helm import Target as HelmTarget
from cozystack.kube import Client, Discovery, Informer, key_of
from cozystack.kube.clock import Clock
from cozystack.kube.errors import Conflict, KubeError, NotFound
from cozystack.kube.manifests import apply_all
from cozystack.oci import OciError
from cozystack.runtime import Controller, Done, Log, RequeueAfter, Result

MANAGER = "helm-controller"
FINALIZER = "finalizers.fluxcd.io"
WATCH_LABEL = "reconcile.fluxcd.io/watch=Enabled"
FORCE_AT = "reconcile.fluxcd.io/forceAt"
TIMEOUT, RETRY = 300.0, 300.0
KEPT_HISTORY = 5

Action = Literal["install", "upgrade"]
_DONE = {"install": "InstallSucceeded", "upgrade": "UpgradeSucceeded"}
_FAILED = {"install": "InstallFailed", "upgrade": "UpgradeFailed"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a release is to be made from."""

    artifact: Artifact
    config: str
    """Digest of the values."""

    @property
    def digest(self) -> str:
        """Of the artifact, as it stands in its revision."""
        return self.artifact.revision.rpartition("@")[2]

    @property
    def mark(self) -> str:
        """By which a release is recognized after a restart."""
        return hashlib.sha256(f"{self.digest} {self.config}".encode()).hexdigest()[:32]


@dataclass(slots=True)
class Waiting:
    """A release that Helm has made and whose objects are not ready yet."""

    uid: str
    wanted: Wanted
    action: Action
    release: Release
    targets: list[Target]
    deadline: float


class HelmReleases:
    """Reconciles HelmReleases; ``attach`` it to a controller. ``work`` is a folder for charts while Helm reads them."""

    def __init__(
        self, client: Client, engine: HelmEngine, *, kubeconfig: str, work: Path, clock: Clock, log: Log, requeue: float = 30.0
    ) -> None:
        self._client = client
        self._engine = engine
        self._kubeconfig = kubeconfig
        self._work = work
        self._clock = clock
        self._log = log
        self._requeue = requeue
        self._fetcher = Fetcher(capacity=32)
        self._discovery = Discovery(client)
        self.releases: Informer[HelmRelease] = Informer(client, HELM_RELEASES)
        self.artifacts: Informer[ExternalArtifact] = Informer(client, EXTERNAL_ARTIFACTS)
        self.secrets: Informer[Any] = Informer(client, SECRETS, label_selector=WATCH_LABEL)
        self.config_maps: Informer[Any] = Informer(client, CONFIG_MAPS, label_selector=WATCH_LABEL)
        self.releases.store.index("chart", _chart_keys)
        self.releases.store.index("values", _values_keys)
        self.watcher = Watcher(client, self._wake)
        self._status = StatusWriter(client, HELM_RELEASES, clock=clock, manager=MANAGER)
        self._waiting: dict[Key, Waiting] = {}
        self._written: dict[Key, HelmRelease] = {}
        self._retry_at: dict[Key, tuple[Wanted, float]] = {}
        self._trigger: Callable[[Key], None] = lambda _: None

    def attach(self, controller: Controller) -> None:
        self._trigger = controller.trigger
        by = self.releases.store.keys_by
        controller.watch(self.releases, when=spec_or_request_changed)
        controller.watch(self.artifacts, lambda artifact: by("chart", artifact.key), when=_artifact_changed)
        controller.watch(self.secrets, lambda secret: by("values", ("Secret", secret.key)))
        controller.watch(self.config_maps, lambda config: by("values", ("ConfigMap", config.key)))

    async def close(self) -> None:
        await self._fetcher.close()

    def _wake(self, key: Key) -> None:
        self._trigger(key)

    async def reconcile(self, key: Key) -> Result:
        release = self._live(key)
        if release is None:
            self._forget(key)
            self._written.pop(key, None)
            return Done()
        if release.metadata.deletion_timestamp is not None:
            return await self._delete(release)
        if release.spec.suspend:
            self._forget(key)
            return Done()
        if FINALIZER not in release.metadata.finalizers:
            release = await self._with_finalizer(release)
            if release is None:
                return Done()
        missing = self._unready_dependency(release)
        if missing:
            message = f"dependencies do not meet ready condition: {missing}"
            await self._not_ready(release, "DependencyNotReady", message)
            return RequeueAfter(self._requeue)
        artifact = self._artifact(release)
        if isinstance(artifact, str):
            await self._not_ready(release, "ArtifactNotReady", artifact)
            return Done()
        try:
            values = await compose(release, self._read)
        except ValuesError as error:
            await self._not_ready(release, "ValuesError", str(error))
            return RequeueAfter(_seconds(release.spec.interval, RETRY))
        return await self._bring(release, Wanted(artifact, digest_of_values(values)), values)

    # Towards the wanted state

    async def _bring(self, release: HelmRelease, wanted: Wanted, values: dict[str, Any]) -> Result:
        key = release.key
        waiting, forced = self._waiting.get(key), _forced(release)
        if waiting is not None:
            if waiting.uid == release.metadata.uid and waiting.wanted == wanted and not forced:
                return await self._watch_objects(release, waiting)
            self._forget(key)
        if _deployed(release, wanted) and not forced and await self._is_ours(release):
            return await self._settle(release)
        left = self._retry_left(release, wanted)
        if left > 0 and not forced:
            await self._handled(release)
            return RequeueAfter(left)
        self._retry_at.pop(key, None)
        try:
            chart = chart_of(await self._fetcher.files(wanted.artifact), wanted.digest)
        except (FetchError, OciError) as error:
            await self._not_ready(release, "ArtifactFailed", str(error))
            return RequeueAfter(10.0)
        except ChartFolderError as error:
            await self._not_ready(release, "ArtifactFailed", str(error))
            return Done()
        return await self._run(release, wanted, values, chart)

    async def _is_ours(self, release: HelmRelease) -> bool:
        """Whether Helm's newest revision is the one that we made.

        Somebody may have rolled it back while we were told to keep out. Only then, or on request, Helm is asked.
        """
        status = release.status
        seen = status.observed_generation == release.metadata.generation
        if seen and status.last_handled_reconcile_at == requested_at(release):
            return True
        try:
            live = await self._engine.status(self._target(release))
        except HelmError:
            return True
        return live is not None and live.revision == status.history[0].version

    async def _run(self, release: HelmRelease, wanted: Wanted, values: dict[str, Any], chart: ChartFiles) -> Result:
        """Let Helm install or upgrade, then wait for the objects."""
        forced = _forced(release)
        target = self._target(release)
        action: Action = "install"
        made: Release | None = None
        try:
            live = await self._engine.status(target)
            if live is not None and live.status.startswith("pending-"):
                live = await self._unlock(target, live)
            if live is not None and live.status != "uninstalled":
                action = "upgrade"
                if live.status == "deployed" and live.mark == wanted.mark and not forced:
                    # Made before a restart, and not yet seen ready.
                    action = "install" if live.revision == 1 else "upgrade"
                    made = live
            started = await self._started(release, wanted, chart, action)
            if started is None:
                return Done()
            release = started
            if made is None:
                made = await self._helm(release, wanted, values, chart, action, target, replace=live is not None)
        except HelmError as error:
            return await self._fail(release, wanted, action, chart, str(error))
        except KubeError as error:
            return await self._fail(release, wanted, action, chart, f"the chart's CRDs cannot be applied: {error}")
        spec = release.spec.install if action == "install" else release.spec.upgrade
        targets = []
        if not (spec is not None and spec.disable_wait):
            targets = await asyncio.to_thread(targets_of, made.manifest, target.namespace, release.spec.health_check_exprs)
        waiting = Waiting(release.metadata.uid, wanted, action, made, targets, self._clock.monotonic() + target.timeout)
        self._waiting[release.key] = waiting
        self.watcher.wait(release.key, targets)
        return await self._watch_objects(release, waiting)

    async def _helm(
        self,
        release: HelmRelease,
        wanted: Wanted,
        values: dict[str, Any],
        chart: ChartFiles,
        action: Action,
        target: HelmTarget,
        *,
        replace: bool,
    ) -> Release:
        spec, install = release.spec, release.spec.install
        crds = _crd_policy(release, action)
        with contextlib.ExitStack() as stack:
            folder = await asyncio.to_thread(stack.enter_context, chart.folder(self._work))
            request = ReleaseRequest(
                target=target,
                chart=str(folder),
                values=values,
                max_history=KEPT_HISTORY if isinstance(spec.max_history, msgspec.UnsetType) else spec.max_history,
                mark=wanted.mark,
                create_namespace=action == "install" and install is not None and install.create_namespace,
                skip_crds=crds != "Create",
                disable_hooks=_disables_hooks(release, action),
                replace=action == "install" and (replace or (install is not None and install.replace)),
            )
            if crds == "CreateReplace" or (crds == "Create" and action == "upgrade"):
                await self._apply_crds(await self._engine.crds(folder), only_new=crds == "Create")
            self._log.info(f"helm {action}", release=str(release.key), chart=chart.name, version=chart.version)
            return await (self._engine.install(request) if action == "install" else self._engine.upgrade(request))

    async def _apply_crds(self, manifests: list[str], *, only_new: bool) -> None:
        """Apply the CRDs of a chart's ``crds`` folder, which Helm itself never touches on an upgrade."""
        crds = [document.value for text in manifests for document in load_all(text) if isinstance(document.value, dict)]
        if only_new:
            crds = [crd for crd in crds if await self._client.find(CUSTOM_RESOURCE_DEFINITIONS, key_of(crd)) is None]
        await apply_all(self._client, self._discovery, crds, manager=MANAGER)

    async def _unlock(self, target: HelmTarget, live: Release) -> Release | None:
        """Clear what an operation that was killed has left: a pending revision that would lock the release for ever."""
        self._log.info(
            "clearing an operation that was interrupted", release=f"{target.namespace}/{target.name}", was=live.status
        )
        if live.revision == 1:
            with contextlib.suppress(ReleaseNotFound):
                await self._engine.uninstall(target)
        else:
            await self._engine.rollback(target)
        return await self._engine.status(target)

    async def _watch_objects(self, release: HelmRelease, waiting: Waiting) -> Result:
        """Look at the objects of a release that Helm has made: ready, failed, or wait on."""
        exprs = release.spec.health_check_exprs
        pending: list[str] = []
        for target in waiting.targets:
            try:
                found = await self.watcher.look(target, exprs)
            except ExpressionError as error:
                return await self._unhealthy(release, waiting, str(error))
            if found.state == "Failed":
                return await self._unhealthy(release, waiting, f"{target}: {found.message}")
            if found.state != "Current":
                pending.append(f"{target}: {found.message}")
        if not pending:
            return await self._succeed(release, waiting)
        left = waiting.deadline - self._clock.monotonic()
        if left <= 0:
            more = f" (and {len(pending) - 3} more)" if len(pending) > 3 else ""
            return await self._unhealthy(release, waiting, f"timed out waiting for {'; '.join(pending[:3])}{more}")
        return RequeueAfter(left)

    async def _unhealthy(self, release: HelmRelease, waiting: Waiting, why: str) -> Result:
        made = waiting.release
        return await self._fail(release, waiting.wanted, waiting.action, None, why, made=made)

    # Away

    async def _delete(self, release: HelmRelease) -> Result:
        key = release.key
        self._forget(key)
        if FINALIZER not in release.metadata.finalizers:
            return Done()
        if not release.spec.suspend:
            target = self._target(release)
            try:
                with contextlib.suppress(ReleaseNotFound):
                    await self._engine.uninstall(target)
            except HelmError as error:
                await self._not_ready(release, "UninstallFailed", f"Helm uninstall failed: {error}")
                return RequeueAfter(10.0)
            self._log.info("helm uninstall", release=str(key))
        left = [each for each in release.metadata.finalizers if each != FINALIZER]
        await self._patch_finalizers(release, left)
        return Done()

    # What the release needs

    def _live(self, key: Key) -> HelmRelease | None:
        """The newest state that we know of: the store may be a moment behind our own writes."""
        stored = self.releases.store.get(key)
        written = self._written.get(key)
        if stored is None or written is None or written.metadata.uid != stored.metadata.uid:
            return stored
        if int(written.metadata.resource_version) > int(stored.metadata.resource_version):
            return written
        del self._written[key]
        return stored

    def _unready_dependency(self, release: HelmRelease) -> str:
        """What is wrong with the first dependency that is not ready; empty when all are."""
        for dependency in release.spec.depends_on:
            key = Key(dependency.namespace or release.metadata.namespace, dependency.name)
            live = self.releases.store.get(key)
            if live is None:
                return f"unable to get '{key}' dependency: not found"
            if dependency.ready_expr:
                return f"dependency '{key}' has a readyExpr, which this stand-in does not evaluate"
            ready = find_condition(live.status.conditions, "Ready")
            observed = live.status.observed_generation == live.metadata.generation
            if not observed or ready is None or ready.status != "True":
                return f"dependency '{key}' is not ready"
        return ""

    def _artifact(self, release: HelmRelease) -> Artifact | str:
        """The artifact of the chart, or what is missing."""
        ref = release.spec.chart_ref
        if ref is None or ref.kind != "ExternalArtifact":
            return f"charts come from ExternalArtifacts here, not from {ref.kind if ref else 'spec.chart'}"
        key = Key(ref.namespace or release.metadata.namespace, ref.name)
        source = self.artifacts.store.get(key)
        if source is None:
            return f"ExternalArtifact '{key}' is not found"
        if source.status.artifact is None:
            return f"ExternalArtifact '{key}' has no artifact yet"
        return source.status.artifact

    async def _read(self, kind: str, key: Key) -> dict[str, str] | None:
        if kind == "Secret":
            secret = await self._client.find(SECRETS, key)
            return secret.data if secret is not None else None
        config = await self._client.find(CONFIG_MAPS, key)
        return config.data if config is not None else None

    def _target(self, release: HelmRelease) -> HelmTarget:
        spec = release.spec
        namespace = spec.target_namespace or release.metadata.namespace
        fallback = _seconds(spec.timeout, TIMEOUT)
        action = spec.upgrade if release.status.history else spec.install
        timeout = _seconds(action.timeout if action is not None else "", fallback)
        name = spec.release_name or release.metadata.name
        return HelmTarget(name, spec.storage_namespace or namespace, self._kubeconfig, timeout)

    def _retry_left(self, release: HelmRelease, wanted: Wanted) -> float:
        """Seconds until what has failed is tried again; 0 when something has changed since."""
        failed = self._retry_at.get(release.key)
        status = release.status
        changed = status.observed_generation != release.metadata.generation
        if failed is None or failed[0] != wanted or changed or status.last_handled_reconcile_at != requested_at(release):
            return 0.0
        return failed[1] - self._clock.monotonic()

    def _forget(self, key: Key) -> None:
        self._waiting.pop(key, None)
        self.watcher.forget(key)

    # What is said about it

    async def _write(self, release: HelmRelease, status: HelmReleaseStatus) -> HelmRelease | None:
        """The object with its new status; nothing when it is gone."""
        written: HelmRelease | None = await self._status.write(release, status)
        if written is not None:
            self._written[release.key] = written
        return written

    def _conditions(self, release: HelmRelease, *new: Condition, drop: tuple[str, ...] = ()) -> tuple[Condition, ...]:
        return with_conditions(release.status.conditions, new, drop=drop, now=self._status.now)

    async def _started(self, release: HelmRelease, wanted: Wanted, chart: ChartFiles, action: Action) -> HelmRelease | None:
        message = f"Running '{action}' action with timeout of {int(self._target(release).timeout)}s"
        return await self._write(
            release,
            msgspec.structs.replace(
                release.status,
                conditions=self._conditions(
                    release,
                    condition(release, "Reconciling", True, "Progressing", message),
                    condition(release, "Ready", None, "Progressing", message),
                    drop=("Stalled",),
                ),
                last_attempted_generation=release.metadata.generation,
                last_attempted_revision=chart.version,
                last_attempted_revision_digest=wanted.digest,
                last_attempted_config_digest=wanted.config,
                last_attempted_release_action=action,
                last_handled_reconcile_at=requested_at(release),
                last_handled_force_at=release.metadata.annotations.get(FORCE_AT, ""),
                storage_namespace=self._target(release).namespace,
            ),
        )

    async def _succeed(self, release: HelmRelease, waiting: Waiting) -> Result:
        self._forget(release.key)
        made, reason = waiting.release, _DONE[waiting.action]
        message = (
            f"Helm {waiting.action} succeeded for release {made.namespace}/{made.name}.v{made.revision} "
            f"with chart {made.chart_name}@{made.chart_version}"
        )
        entry = _entry(made, "deployed", waiting.wanted, self._status.now)
        status = msgspec.structs.replace(
            release.status,
            conditions=self._conditions(
                release,
                condition(release, "Released", True, reason, message),
                condition(release, "Ready", True, reason, message),
                drop=("Reconciling", "Stalled"),
            ),
            history=_history(entry, release.status.history),
            observed_generation=release.metadata.generation,
            install_failures=0,
            upgrade_failures=0,
            failures=0,
            last_handled_reconcile_at=requested_at(release),
        )
        await self._write(release, status)
        self._log.info("release ready", release=str(release.key), revision=made.revision)
        return RequeueAfter(_seconds(release.spec.interval, RETRY))

    async def _settle(self, release: HelmRelease) -> Result:
        """Nothing to do: say so, if anything else was said."""
        ready = find_condition(release.status.conditions, "Ready")
        new: tuple[Condition, ...] = ()
        if ready is None or ready.status != "True" or ready.observed_generation != release.metadata.generation:
            newest = release.status.history[0]
            reason = "InstallSucceeded" if newest.version == 1 else "UpgradeSucceeded"
            message = f"release in sync: {newest.namespace}/{newest.name}.v{newest.version} with {newest.chart_version}"
            new = (condition(release, "Ready", True, reason, message),)
        status = msgspec.structs.replace(
            release.status,
            conditions=self._conditions(release, *new, drop=("Reconciling", "Stalled")),
            observed_generation=release.metadata.generation,
            last_attempted_generation=release.metadata.generation,
            last_handled_reconcile_at=requested_at(release),
        )
        await self._write(release, status)
        return RequeueAfter(_seconds(release.spec.interval, RETRY))

    async def _fail(
        self,
        release: HelmRelease,
        wanted: Wanted,
        action: Action,
        chart: ChartFiles | None,
        why: str,
        *,
        made: Release | None = None,
    ) -> Result:
        self._forget(release.key)
        target = self._target(release)
        made_of = (
            f"{chart.name}@{chart.version}" if chart else f"{made.chart_name}@{made.chart_version}" if made else "its chart"
        )
        message = f"Helm {action} failed for release {target.namespace}/{target.name} with chart {made_of}: {why}"
        self._log.warning(f"helm {action} failed", release=str(release.key), reason=why)
        if made is None:
            with contextlib.suppress(HelmError):
                made = await self._engine.status(target)
            if made is not None and made.status != "failed":
                made = None
        history = release.status.history
        if made is not None:
            history = _history(_entry(made, "failed", wanted, self._status.now), history)
        status = release.status
        status = msgspec.structs.replace(
            status,
            conditions=self._conditions(
                release,
                condition(release, "Released", False, _FAILED[action], message),
                condition(release, "Ready", False, _FAILED[action], message),
                drop=("Reconciling",),
            ),
            history=history,
            observed_generation=release.metadata.generation,
            failures=status.failures + 1,
            install_failures=status.install_failures + (action == "install"),
            upgrade_failures=status.upgrade_failures + (action == "upgrade"),
            last_handled_reconcile_at=requested_at(release),
        )
        await self._write(release, status)
        spec = release.spec.install if action == "install" else release.spec.upgrade
        delay = _seconds(spec.strategy.retry_interval if spec is not None and spec.strategy is not None else "", RETRY)
        self._retry_at[release.key] = (wanted, self._clock.monotonic() + delay)
        return RequeueAfter(delay)

    async def _not_ready(self, release: HelmRelease, reason: str, message: str) -> None:
        """Say what is waited for. What runs stays released: only Ready changes."""
        status = msgspec.structs.replace(
            release.status,
            conditions=self._conditions(release, condition(release, "Ready", False, reason, message), drop=("Reconciling",)),
            observed_generation=release.metadata.generation,
            last_handled_reconcile_at=requested_at(release),
        )
        await self._write(release, status)

    async def _handled(self, release: HelmRelease) -> None:
        status = msgspec.structs.replace(release.status, last_handled_reconcile_at=requested_at(release))
        await self._write(release, status)

    async def _with_finalizer(self, release: HelmRelease) -> HelmRelease | None:
        return await self._patch_finalizers(release, [*release.metadata.finalizers, FINALIZER])

    async def _patch_finalizers(self, release: HelmRelease, finalizers: list[str]) -> HelmRelease | None:
        """The object with these finalizers; nothing when it changed meanwhile, and will come again."""
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": release.metadata.resource_version}}
        try:
            written = await self._client.patch(HELM_RELEASES, release.key, patch, manager=MANAGER)
        except NotFound:
            return None
        except Conflict:
            self._written.pop(release.key, None)
            self._trigger(release.key)
            return None
        self._written[release.key] = written
        return written


def _deployed(release: HelmRelease, wanted: Wanted) -> bool:
    """Whether the newest revision was made from what is wanted."""
    if not release.status.history:
        return False
    newest = release.status.history[0]
    return newest.status == "deployed" and newest.oci_digest == wanted.digest and newest.config_digest == wanted.config


def _forced(release: HelmRelease) -> bool:
    asked = release.metadata.annotations.get(FORCE_AT, "")
    fresh = asked != "" and asked == release.metadata.annotations.get(REQUESTED_AT_ANNOTATION, "")
    return fresh and asked != release.status.last_handled_force_at


def _entry(made: Release, status: str, wanted: Wanted, now: str) -> HistoryEntry:
    content = f"{made.namespace}/{made.name}.v{made.revision} {wanted.digest} {wanted.config}\n{made.manifest}"
    return HistoryEntry(
        digest="sha256:" + hashlib.sha256(content.encode()).hexdigest(),
        name=made.name,
        namespace=made.namespace,
        version=made.revision,
        status=status,
        chart_name=made.chart_name,
        chart_version=made.chart_version,
        app_version=made.app_version,
        config_digest=wanted.config,
        first_deployed=made.first_deployed or now,
        last_deployed=made.last_deployed or now,
        oci_digest=wanted.digest,
    )


def _history(newest: HistoryEntry, older: tuple[HistoryEntry, ...]) -> tuple[HistoryEntry, ...]:
    """Newest first: back to the last one that was deployed before, and no further, as helm-controller keeps it."""
    kept = []
    for entry in older:
        if entry.version == newest.version:
            continue
        if entry.status == "deployed" and newest.status == "deployed":
            kept.append(msgspec.structs.replace(entry, status="superseded"))
            break
        kept.append(entry)
    return (newest, *kept[: KEPT_HISTORY - 1])


def _crd_policy(release: HelmRelease, action: Action) -> str:
    """Create, CreateReplace or Skip."""
    spec = release.spec.install if action == "install" else release.spec.upgrade
    named = spec.crds if spec is not None else ""
    return named or ("Create" if action == "install" else "Skip")


def _disables_hooks(release: HelmRelease, action: Action) -> bool:
    spec = release.spec.install if action == "install" else release.spec.upgrade
    return spec is not None and spec.disable_hooks


def _seconds(text: str, otherwise: float) -> float:
    return parse_duration(text).total_seconds() if text else otherwise


def _chart_keys(release: HelmRelease) -> list[Key]:
    ref = release.spec.chart_ref
    return [Key(ref.namespace or release.metadata.namespace, ref.name)] if ref is not None else []


def _values_keys(release: HelmRelease) -> list[tuple[str, Key]]:
    return [(each.kind, Key(release.metadata.namespace, each.name)) for each in release.spec.values_from]


def _artifact_changed(old: ExternalArtifact | None, new: ExternalArtifact | None) -> bool:
    return old is None or new is None or old.status.artifact != new.status.artifact
