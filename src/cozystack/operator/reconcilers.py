"""Carry plans out: one reconciler for Packages, one for PackageSources, one for namespaces.

The planner decides, these write what it says: first namespaces, then releases, then what has to go, then the status (decision
D4). A status is written by its reconciler alone, and only when it says something new.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cozystack.api import names
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import ArtifactGenerator
from cozystack.api.meta import Condition, Key, find_condition, set_condition
from cozystack.api.resources import ARTIFACT_GENERATORS, HELM_RELEASES, NAMESPACES, PACKAGE_SOURCES, PACKAGES, Resource
from cozystack.api.time import format_time
from cozystack.kube import Client
from cozystack.kube.clock import Clock
from cozystack.kube.errors import ApiError, Conflict, KubeError, NotFound
from cozystack.operator.adoption import replace_stale_owner
from cozystack.operator.deletion import Deletion
from cozystack.operator.holdings import holdings
from cozystack.operator.measures import Measures
from cozystack.operator.passing import Passing
from cozystack.operator.refusals import Refusals, is_refusal, with_refusals
from cozystack.operator.takeover import take_over
from cozystack.operator.view import View
from cozystack.operator.waking import WakeUps
from cozystack.planner import (
    NamespacePlan,
    PackagePlan,
    Recovery,
    ReleasePlan,
    payload,
    plan_namespace,
    plan_package,
    plan_recovery,
    plan_source,
    stamp,
)
from cozystack.planner.recovery import FORCED, FORCED_MESSAGE
from cozystack.runtime import Done, EventRecorder, Log, Registry, RequeueAfter, Result

CONFLICT_PAUSE = 5.0
"""Seconds after which a Package that somebody else was writing is looked at again, when no watch tells of it before."""
LOOK_AGAIN = 60.0
"""Seconds after which a release of somebody else that stands in the way is looked at again, when no watch tells of it."""


class Reconcilers:
    def __init__(
        self,
        client: Client,
        view: View,
        *,
        clock: Clock,
        log: Log,
        events: EventRecorder,
        ordered_deletion: bool = True,
        measures: Measures | None = None,
    ) -> None:
        self._client = client
        self._view = view
        self._clock = clock
        self._log = log
        self._events = events
        self._deletion = Deletion(client, view, ordered=ordered_deletion, log=log, events=events, clock=clock)
        self._measures = measures or Measures(Registry(), clock)
        self._wake_ups = WakeUps()
        self._passing = Passing(clock)

    # Packages

    async def package(self, key: Key) -> Result:
        package = self._view.catalogue.package(key.name)
        if package is None:
            self._measures.gone(key.name)
            self._passing.forget((PACKAGES, key.name))
            return Done()
        try:
            return await self._package(key, package)
        finally:
            self._measures.looked_at(key.name)

    async def _package(self, key: Key, package: Package) -> Result:
        catalogue = self._view.catalogue
        plan = plan_package(catalogue, key.name)
        if plan.removal is not None:
            await self._publish_package(package, plan)
            look_again_in = await self._deletion.proceed(catalogue.package(key.name) or package, plan.removal)
            return _earliest(look_again_in)
        if not await self._deletion.guard(package):
            return RequeueAfter(CONFLICT_PAUSE)
        if await self._look_into_moves(plan):
            plan = plan_package(catalogue, key.name)
        taken = await self._take_over(plan)
        refusals = await self._write(plan, taken)
        for removal in plan.removals:
            if removal.due and (removal.reason == "disabled" or not refusals):
                await self._delete_release(plan, removal.key, removal.reason)
        ask_again_in = await self._wake_waiting(plan)
        # What was written has changed the view: the status speaks of the state after it.
        newest = catalogue.package(key.name)
        publish_in = None
        if newest is not None:
            publish_in = await self._publish_package(newest, plan_package(catalogue, key.name), refusals)
        for refusal in refusals.values():
            raise refusal
        look_again_in = LOOK_AGAIN if await self._look_at_strangers(plan) else None
        return _earliest(ask_again_in, publish_in, look_again_in)

    async def _take_over(self, plan: PackagePlan) -> set[Key]:
        """Inherit what another operator owns of our releases; of which ones there was something to inherit."""
        taken = set()
        for release in plan.releases:
            if release.waits_for == "conflict" or not self._is_legacy(release.key):
                continue
            if await take_over(self._client, HELM_RELEASES, release.key, heir=names.PACKAGE_MANAGER):
                self._log.info("release taken over from another operator", package=plan.name, release=str(release.key))
                taken.add(release.key)
        return taken

    async def _write(self, plan: PackagePlan, taken: set[Key]) -> dict[str, ApiError]:
        """Write the namespaces and releases that are due or were ``taken`` over; what the server refused, by object."""
        refusals: dict[str, ApiError] = {}
        for namespace in plan.namespaces:
            try:
                await self._apply_namespace(namespace)
            except ApiError as error:
                if not is_refusal(error):
                    raise
                refusals[f"Namespace/{namespace.name}"] = error
        for release in plan.releases:
            # What was inherited and is not wanted goes by an apply, even if nothing else is to be said.
            due = release.due or (release.action == "none" and release.key in taken)
            # Writing takes time, in which a gate may have closed.
            current = self._planned_now(plan.name, release.key) if due else None
            if current is None or current.waits_for or f"Namespace/{release.key.namespace}" in refusals:
                continue
            try:
                await self._apply_release(plan, current)
            except ApiError as error:
                if not is_refusal(error):
                    raise
                refusals[f"HelmRelease/{release.key}"] = error
        return refusals

    def _planned_now(self, package: str, key: Key) -> ReleasePlan | None:
        """What is planned for a release as things are now; nothing when it is not wanted any more."""
        if self._view.catalogue.package(package) is None:
            return None
        plan = plan_package(self._view.catalogue, package)
        return next((release for release in plan.releases if release.key == key), None)

    async def _look_at_strangers(self, plan: PackagePlan) -> bool:
        """See what became of releases in our way that carry no label of ours, and so are not watched; whether there are any."""
        strangers = False
        for release in plan.releases:
            live = self._view.catalogue.release(release.key)
            if release.waits_for != "conflict" or live is None or names.PACKAGE_LABEL in live.metadata.labels:
                continue
            strangers = True
            found = await self._client.find(HELM_RELEASES, release.key)
            if found is None:
                self._view.forget(live)
            elif found.metadata.resource_version != live.metadata.resource_version:
                self._view.put(found)
        return strangers

    def _is_legacy(self, key: Key) -> bool:
        entry = self._view.releases.store.entry(key)
        return entry is not None and entry.legacy

    async def _look_into_moves(self, plan: PackagePlan) -> bool:
        """Find out what the releases that are to move hold; whether anything was learned."""
        learned = False
        for move in plan.moves:
            live = self._view.catalogue.release(move.old)
            if move.holds is None and not move.permitted and live is not None:
                holds = await holdings(self._client, live)
                if holds is not None:
                    self._view.set_release_data(move.old, holds)
                    learned = True
        return learned

    async def _apply_release(self, plan: PackagePlan, release: ReleasePlan) -> None:
        if release.action == "create":
            # The watch sees labelled releases only: one that somebody else made under this name is found here.
            found = await self._client.find(HELM_RELEASES, release.key)
            if found is not None:
                self._view.put(found)
                return
        wanted, live = payload(release.desired), self._view.catalogue.release(release.key)
        manager = names.PACKAGE_MANAGER
        if await replace_stale_owner(self._client, HELM_RELEASES, live, release.desired, manager=manager):
            self._log.info("release adopted from an earlier Package of the name", release=str(release.key), package=plan.name)
        if live is not None:
            # If it is gone, or another one by now, the server refuses: neither is to be made or taken by an update.
            wanted["metadata"]["uid"] = live.metadata.uid
        applied = await self._client.apply(HELM_RELEASES, wanted, manager=names.PACKAGE_MANAGER, force=True)
        self._log.info(
            "release written",
            package=plan.name,
            release=str(release.key),
            action=release.action,
            changes=",".join(release.changes),
        )
        self._view.put(applied)

    async def _delete_release(self, plan: PackagePlan, key: Key, reason: str) -> None:
        live = self._view.catalogue.release(key)
        if live is None or live.metadata.deletion_timestamp is not None:
            return
        try:
            await self._client.delete(HELM_RELEASES, key, propagation="Background", uid=live.metadata.uid)
        except (NotFound, Conflict):
            return
        self._log.info("release deleted", package=plan.name, release=str(key), reason=reason)

    async def _wake_waiting(self, plan: PackagePlan) -> float | None:
        """Wake the releases whose dependencies are ready; in how many seconds the next of them is to be asked again."""
        for release in plan.releases:
            if release.state.phase != "Waiting":
                self._wake_ups.forget(release.key)
        pauses = []
        for wake_up in plan.wake_ups:
            now = self._clock.monotonic()
            pause = self._wake_ups.due_in(wake_up.key, now)
            if pause:
                pauses.append(pause)
                continue
            again = self._wake_ups.asked(wake_up.key, now)
            await self._wake(wake_up.key, again=again)
            self._measures.woken(plan.name, again=again)
        return min(pauses, default=None)

    async def _wake(self, key: Key, *, again: bool) -> None:
        now = self._clock.now().isoformat().replace("+00:00", "Z")
        patch = {"metadata": {"annotations": {names.REQUESTED_AT_ANNOTATION: now}}}
        try:
            woken = await self._client.patch(HELM_RELEASES, key, patch, manager=names.PACKAGE_MANAGER)
        except NotFound:
            return
        self._log.info("release woken: its dependencies are ready", release=str(key), again=again)
        self._view.put(woken)

    async def _publish_package(self, package: Package, plan: PackagePlan, refusals: Refusals | None = None) -> float | None:
        """Bring the status up to the plan; seconds after which to try again when it is held back."""
        wanted = with_refusals(plan.status, package, refusals or {})
        conditions = stamp(wanted.conditions, package.status.conditions, format_time(self._clock.now()))
        wanted = msgspec.structs.replace(wanted, conditions=conditions)
        self._measures.published(plan.name, wanted)
        return await self._publish(PACKAGES, package, wanted)

    # PackageSources

    async def source(self, key: Key) -> Result:
        catalogue = self._view.catalogue
        source = catalogue.source(key.name)
        if source is None or source.metadata.deletion_timestamp is not None:
            self._passing.forget((PACKAGE_SOURCES, key.name))
            return Done()
        plan = plan_source(catalogue, key.name)
        if plan.generator is not None and plan.action != "none":
            live, manager = catalogue.generator(key.name), names.PACKAGE_SOURCE_MANAGER
            await replace_stale_owner(self._client, ARTIFACT_GENERATORS, live, plan.generator, manager=manager)
            applied = await self._client.apply(ARTIFACT_GENERATORS, payload(plan.generator), manager=manager, force=True)
            self._log.info("artifact generator written", source=key.name, action=plan.action)
            self._view.put(applied)
        elif plan.delete_stale:
            await self._delete_generator(key.name)
        return await self._follow_generator(source)

    async def _follow_generator(self, source: PackageSource) -> Result:
        """Publish what the generator says; help it when its last word was lost (specification, operator 3.7 to 3.9)."""
        catalogue = self._view.catalogue
        plan = plan_source(catalogue, source.metadata.name)
        status, again = plan.status, None
        live = catalogue.generator(source.metadata.name)
        if live is not None and plan.generator is not None:
            recovery = plan_recovery(live, self._clock.now())
            if recovery.action == "force":
                await self._force(live, recovery)
            elif recovery.action == "none" and recovery.tracked:
                await self._end_recovery(live)
            lost = recovery.condition(live, source.metadata.generation)
            if lost is not None:
                others = tuple(condition for condition in status.conditions if condition.type != "Ready")
                status = msgspec.structs.replace(status, conditions=(lost, *others))
            again = recovery.again
        conditions = stamp(status.conditions, source.status.conditions, format_time(self._clock.now()))
        status = msgspec.structs.replace(status, conditions=conditions)
        return _earliest(again, await self._publish(PACKAGE_SOURCES, source, status))

    async def _force(self, live: ArtifactGenerator, recovery: Recovery) -> None:
        """Make source-watcher build again: a Ready that is False makes it work, the request makes it look."""
        now = format_time(self._clock.now())
        forced = Condition("Ready", "False", FORCED, FORCED_MESSAGE, observed_generation=live.metadata.generation)
        conditions = msgspec.to_builtins(set_condition(live.status.conditions, forced, now))
        status = {"metadata": {"resourceVersion": live.metadata.resource_version}, "status": {"conditions": conditions}}
        manager = names.PACKAGE_SOURCE_MANAGER
        await self._client.patch(ARTIFACT_GENERATORS, live.key, status, subresource="status", manager=manager)
        annotations = {
            names.REQUESTED_AT_ANNOTATION: now,
            names.RECOVERY_ATTEMPTS_ANNOTATION: str(recovery.attempts),
            names.RECOVERY_LAST_ANNOTATION: now,
        }
        patch = {"metadata": {"annotations": annotations}}
        written = await self._client.patch(ARTIFACT_GENERATORS, live.key, patch, manager=manager)
        self._view.put(written)
        self._log.warning(
            "artifact generator has lost its last word, asked to build again",
            generator=str(live.key),
            attempt=recovery.attempts,
        )

    async def _end_recovery(self, live: ArtifactGenerator) -> None:
        gone = {names.RECOVERY_ATTEMPTS_ANNOTATION: None, names.RECOVERY_LAST_ANNOTATION: None}
        patch = {"metadata": {"annotations": gone}}
        try:
            written = await self._client.patch(ARTIFACT_GENERATORS, live.key, patch, manager=names.PACKAGE_SOURCE_MANAGER)
            self._view.put(written)
        except KubeError as error:
            self._log.warning("annotations of a recovery stay for now", generator=str(live.key), reason=str(error))

    async def _delete_generator(self, name: str) -> None:
        live = self._view.catalogue.generator(name)
        if live is None:
            return
        try:
            await self._client.delete(ARTIFACT_GENERATORS, live.key, uid=live.metadata.uid)
        except (NotFound, Conflict):
            return
        self._log.info("artifact generator deleted: its source makes nothing any more", source=name)

    # Namespaces

    async def namespace(self, key: Key) -> Result:
        await self._apply_namespace(plan_namespace(self._view.catalogue, key.name))
        return Done()

    async def _apply_namespace(self, plan: NamespacePlan) -> None:
        if plan.desired is None or plan.action == "none" or plan.terminating:
            return
        # Another Package may have written it since this was planned.
        current = plan_namespace(self._view.catalogue, plan.name)
        if current.desired is None or current.action == "none":
            return
        applied = await self._client.apply(NAMESPACES, payload(current.desired), manager=names.PACKAGE_MANAGER, force=True)
        self._log.info("namespace written", namespace=plan.name, action=current.action)
        self._view.put(applied)

    # Both kinds

    async def _publish(self, resource: Resource[Any], obj: Any, wanted: Any) -> float | None:
        """Write a status, unless it is there; seconds after which to try again when it is held back."""
        place = (resource, obj.key.name)
        if wanted == obj.status:
            self._passing.forget(place)
            return None
        left = self._passing.left(place, obj.status.conditions, wanted.conditions)
        if left > 0:
            return left
        self._passing.forget(place)
        published = await self._patch_status(resource, obj.key, obj.status, wanted)
        if published is not None:
            self._view.put(published)
            self._tell(resource, published, obj.status.conditions, published.status.conditions)
        return None

    async def _patch_status(self, resource: Resource[Any], key: Key, live: Any, wanted: Any) -> Any:
        """The object after its status was brought to ``wanted``; nothing when the object is gone."""
        patch = merge_patch_between(msgspec.to_builtins(live), msgspec.to_builtins(wanted))
        try:
            return await self._client.patch(
                resource, key, {"status": patch}, subresource="status", manager=names.OPERATOR_MANAGER
            )
        except NotFound:
            return None

    def _tell(self, resource: Resource[Any], obj: Any, old: tuple[Condition, ...], new: tuple[Condition, ...]) -> None:
        """An Event for people when readiness turns."""
        before, after = find_condition(old, "Ready"), find_condition(new, "Ready")
        if after is None or (before is not None and (before.status, before.reason) == (after.status, after.reason)):
            return
        if after.status == "Unknown":
            return
        kind = "Normal" if after.status == "True" else "Warning"
        self._events.emit(resource, obj, kind, after.reason, after.message)  # type: ignore[arg-type]


def _earliest(*seconds: float | None) -> Result:
    """Run again at the first of these times, if there is one."""
    asked = [each for each in seconds if each is not None]
    return RequeueAfter(min(asked)) if asked else Done()


def merge_patch_between(live: Any, wanted: Any) -> Any:
    """The smallest merge patch that turns ``live`` into ``wanted``."""
    if not isinstance(live, dict) or not isinstance(wanted, dict):
        return wanted
    patch: dict[str, Any] = {name: None for name in live if name not in wanted}
    for name, value in wanted.items():
        if name not in live:
            patch[name] = value
        elif live[name] != value:
            patch[name] = merge_patch_between(live[name], value)
    return patch
