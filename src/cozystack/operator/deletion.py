"""Take a Package away in order (D5): releases in reverse order of their dependencies, then the Package itself.

A finalizer of ours holds the Package until its releases are gone. It is put on before the first release is written and goes
when nothing is left, when the user asked to keep the releases (``orphan``), or when ordered deletion is turned off. Nothing
is waited for that is not there: a dependency or a PackageSource that is missing holds nobody.

Somebody who deletes several Packages sends one request after the other, in whatever order. So a Package that others depend on
waits a moment for these to be marked as well, before its releases go; then it waits for them, or for nobody.
"""

from __future__ import annotations

from cozystack.api import names
from cozystack.api.cozystack import Package
from cozystack.api.meta import Key
from cozystack.api.resources import HELM_RELEASES, PACKAGES
from cozystack.kube import Client, Clock
from cozystack.kube.errors import Conflict, NotFound
from cozystack.operator.view import View
from cozystack.planner import RemovalPlan
from cozystack.runtime import EventRecorder, Log

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
MORE_MAY_GO = 1.0
"""Seconds in which the Packages that depend on one that goes may be deleted too."""


class Deletion:
    def __init__(self, client: Client, view: View, *, ordered: bool, log: Log, events: EventRecorder, clock: Clock) -> None:
        self._client = client
        self._view = view
        self._ordered = ordered
        self._log = log
        self._events = events
        self._clock = clock
        self._seen_going: dict[str, float] = {}
        self._warned: set[str] = set()
        self._asked: set[str] = set()

    async def guard(self, package: Package) -> bool:
        """Bring the finalizer of a Package that stays to what the flag says; whether the rest may go on now."""
        guarded = names.PACKAGE_FINALIZER in package.metadata.finalizers
        if guarded == self._ordered:
            return True
        return await self._set_finalizer(package, wanted=self._ordered)

    async def proceed(self, package: Package, plan: RemovalPlan) -> float | None:
        """Do what can be done now for a Package that is being deleted; seconds after which to look again, if any."""
        finalizers = package.metadata.finalizers
        if names.PACKAGE_FINALIZER not in finalizers:
            return None
        if ORPHAN in finalizers:
            self._log.info("package goes, its releases stay", package=plan.name)
            await self._set_finalizer(package, wanted=False)
            return None
        if not self._ordered or plan.done:
            if await self._set_finalizer(package, wanted=False):
                self._log.info("package is gone", package=plan.name)
            self._warned.discard(package.metadata.uid)
            self._seen_going.pop(package.metadata.uid, None)
            self._asked.clear()
            return None
        if FOREGROUND in finalizers:
            self._warn_of_foreground(package)
        pause = self._pause(package)
        if pause > 0:
            return pause
        for key in plan.releases:
            await self._delete(plan, key)
        return None

    def _pause(self, package: Package) -> float:
        """How long dependents that stay may still be deleted; by our own clock, since others may be wrong."""
        catalogue, name = self._view.catalogue, package.metadata.name
        now = self._clock.monotonic()
        since = self._seen_going.setdefault(package.metadata.uid, now)
        stays = any(
            (other := catalogue.package(dependent)) is not None and other.metadata.deletion_timestamp is None
            for dependent in catalogue.dependents(name)
            if dependent != name
        )
        return since + MORE_MAY_GO - now if stays else 0.0

    async def _delete(self, plan: RemovalPlan, key: Key) -> None:
        live = self._view.catalogue.release(key)
        if live is None or live.metadata.deletion_timestamp is not None or live.metadata.uid in self._asked:
            return
        try:
            await self._client.delete(HELM_RELEASES, key, propagation="Background", uid=live.metadata.uid)
        except (NotFound, Conflict):
            return
        # The watch tells of it in a moment; until then it is not asked again.
        self._asked.add(live.metadata.uid)
        self._log.info("release deleted", package=plan.name, release=str(key), reason="its package goes")

    def _warn_of_foreground(self, package: Package) -> None:
        if package.metadata.uid in self._warned:
            return
        self._warned.add(package.metadata.uid)
        message = "Foreground deletion removes all releases at once: their reverse order cannot be kept"
        self._events.emit(PACKAGES, package, "Warning", "ForegroundDeletion", message)

    async def _set_finalizer(self, package: Package, *, wanted: bool) -> bool:
        """Whether the Package is there and has (or has not) the finalizer now; when it changed meanwhile it comes again."""
        kept = [each for each in package.metadata.finalizers if each != names.PACKAGE_FINALIZER]
        finalizers = [*kept, names.PACKAGE_FINALIZER] if wanted else kept
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": package.metadata.resource_version}}
        try:
            written = await self._client.patch(PACKAGES, package.key, patch, manager=names.OPERATOR_MANAGER)
        except (NotFound, Conflict):
            return False
        if written.metadata.deletion_timestamp is None or written.metadata.finalizers:
            self._view.put(written)
        return True
