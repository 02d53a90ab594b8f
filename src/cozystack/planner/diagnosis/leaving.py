"""Why a Package that is being deleted is still there: who holds it.

It goes after the Packages that depend on it and are going too; its releases go in reverse order of their dependencies, each
when helm-controller has uninstalled it; what carries a finalizer of somebody else waits for them. Each of these is told with
what would let it go on, and what merely takes its time is told as that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from cozystack.api import names
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import find_condition
from cozystack.planner.diagnosis.controllers import controller_down
from cozystack.planner.diagnosis.evidence import Evidence, Obj, ref
from cozystack.planner.diagnosis.links import Diagnosis, Link, of_problem, one_line, state_of
from cozystack.planner.diagnosis.messages import read
from cozystack.planner.problems import release_ref
from cozystack.planner.sentences import listed

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue

_FLUX = "finalizers.fluxcd.io"
_COLLECTED = ("foregroundDeletion", "orphan")
"""Finalizers of Kubernetes itself, which the garbage collector takes off."""


def leaving(view: Catalogue, evidence: Evidence, name: str, above: tuple[Link, ...] = ()) -> Iterator[Diagnosis]:
    """What Package ``name``, which is being deleted, waits for; nothing when it is gone the next moment."""
    where = f"Package/{name}"
    package, removal = view.packages[name], view.plan(name).removal
    if removal is None or any(link.object == where for link in above):
        return
    for other in removal.waiting_for_packages:
        yield from leaving(view, evidence, other, (*above, Link(where, f"goes after Package {other}, which depends on it")))
    if removal.waiting_for_packages:
        return
    here = (*above, Link(where, state_of(view, name) or "it is being deleted"))
    for problem in removal.problems:
        # Elsewhere a release that is suspended is no fault; here it is what everything waits for.
        yield msgspec.structs.replace(of_problem(problem, here), warning=False)
    told = {str(problem.subject) for problem in removal.problems}
    for key in sorted({*removal.releases, *removal.waiting_for_releases}):
        live = view.release(key)
        if live is not None and str(release_ref(key.namespace, key.name)) not in told:
            yield from _release(evidence, live, here, due=key in removal.releases)
    if removal.done:
        yield from _finalizers(where, package.metadata.finalizers, here, ours=names.PACKAGE_FINALIZER, by="the operator")


def _release(evidence: Evidence, release: HelmRelease, above: tuple[Link, ...], *, due: bool) -> Iterator[Diagnosis]:
    key = release.key
    where = str(release_ref(key.namespace, key.name))
    if release.metadata.deletion_timestamp is None:
        says = "the operator deletes it next" if due else "it goes when those that depend on it are gone"
        yield _waits("deletion-order", (*above, Link(where, says)))
        return
    failed = _failure(release)
    if failed:
        reading = read(failed)
        yield Diagnosis(
            cause=reading.cause if reading is not None else "uninstall-failed",
            chain=(*above, Link(where, failed)),
            message=failed,
            unblock=reading.advice if reading is not None else "mend what the message names; Flux tries to uninstall it again",
            commands=(f"kubectl -n {key.namespace} describe helmrelease {key.name}",),
        )
    links = (*above, Link(where, "it is being uninstalled"))
    stuck = [each for each in evidence.of_release(key) if _is_stuck(each)]
    for each in stuck:
        metadata = each["metadata"]
        yield from _finalizers(ref(each), metadata["finalizers"], (*links, Link(ref(each), "it is being deleted")))
    if failed or stuck:
        return
    if _FLUX in release.metadata.finalizers and (dead := controller_down(evidence, "helm-controller", links)) is not None:
        yield dead
        return
    yield from _finalizers(where, release.metadata.finalizers, links, ours=_FLUX, by="helm-controller")


def _failure(release: HelmRelease) -> str:
    """What helm-controller says of an uninstallation that has failed; empty when it has not."""
    ready = find_condition(release.status.conditions, "Ready")
    if ready is None or ready.status != "False" or ready.reason != "UninstallFailed":
        return ""
    return one_line(ready.message)


def _is_stuck(obj: Obj) -> bool:
    metadata = obj.get("metadata") or {}
    return bool(metadata.get("deletionTimestamp") and metadata.get("finalizers"))


def _finalizers(
    where: str, finalizers: Iterable[str], chain: tuple[Link, ...], *, ours: str = "", by: str = ""
) -> Iterator[Diagnosis]:
    """Who holds an object, the last of ``chain``, by its finalizers; ``ours`` is that of ``by``, who works on it."""
    present = list(finalizers)
    foreign = [each for each in present if each not in (ours, *_COLLECTED)]
    if foreign:
        says = f"held by the finalizer{'s' if len(foreign) > 1 else ''} {listed(foreign)}"
        kind, _, rest = where.partition("/")
        namespace, _, name = rest.rpartition("/")
        yield Diagnosis(
            cause="foreign-finalizer",
            chain=(*chain[:-1], Link(where, says)),
            message=says,
            unblock="let the controller that put it there finish; if there is none any more, take the finalizer off by hand",
            commands=(f"kubectl {f'-n {namespace} ' if namespace else ''}edit {kind.lower()} {name}",),
        )
    elif ours in present:
        yield _waits("in-progress", (*chain[:-1], Link(where, f"{by} is at work on it")))
    elif present:
        yield _waits("garbage-collection", (*chain[:-1], Link(where, "Kubernetes removes what belongs to it first")))


def _waits(cause: str, chain: tuple[Link, ...]) -> Diagnosis:
    return Diagnosis(cause=cause, chain=chain, message=chain[-1].says, unblock="wait", waits=True)
