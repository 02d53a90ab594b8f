"""From a Package to the cause of its state, link by link.

The planner says which Package is at fault and what it knows of it; this goes on from there: to the release and its objects, to
the Pod and what its last Event says, to the source that was not fetched, to the controller that does not run. Causes come
before plain waiting, what happens by itself comes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from cozystack.api.cozystack import Package
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key, find_condition
from cozystack.planner.diagnosis.controllers import controller_down, operator_down
from cozystack.planner.diagnosis.evidence import Evidence, Obj, condition
from cozystack.planner.diagnosis.leaving import leaving
from cozystack.planner.diagnosis.links import BY_ITSELF, Diagnosis, Link, of_fault, of_problem, one_line, state_of
from cozystack.planner.diagnosis.messages import read
from cozystack.planner.diagnosis.workloads import faults
from cozystack.planner.packages import is_paused
from cozystack.planner.plan import PackagePlan
from cozystack.planner.problems import (
    DeletingPackage,
    DependencyNotReady,
    FailingRelease,
    NamespaceTerminating,
    PausedPackage,
    Problem,
    SourceNotReady,
    StalledSource,
    kind_name,
    package_ref,
    release_ref,
    root_cause,
)
from cozystack.planner.sentences import describe, unblock

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue

_VAGUE = frozenset({"timed-out", "hook-failed"})
"""What Helm says when something else is at fault."""
_HOOK = "helm.sh/hook"


def diagnose(view: Catalogue, evidence: Evidence, name: str) -> tuple[Diagnosis, ...]:
    """Why Package ``name`` is as it is, the worst first; nothing when it is ready and all is well.

    Raises ``LookupError`` when there is neither a Package nor a PackageSource of that name.
    """
    package = view.package(name)
    if package is None:
        if view.source(name) is None:
            raise LookupError(f"there is no Package {name}")
        says = "the package is offered and not installed"
        link = Link(f"PackageSource/{name}", says)
        fix = f"install it: cozypkg add {name}"
        return (Diagnosis(cause="not-installed", chain=(link,), message=says, unblock=fix, waits=True),)
    if package.metadata.deletion_timestamp is not None:
        return _sorted([*operator_down(view, evidence, view.plan(name)), *leaving(view, evidence, name)])
    found = [*operator_down(view, evidence, view.plan(name)), *_paused(package, view.plan(name))]
    waiting: list[tuple[str, tuple[Link, ...]]] = [(name, ())]
    seen = {name}
    for package_name, above in waiting:
        own: list[Diagnosis] = []
        for problem in view.plan(package_name).problems:
            chain = problem.chain if isinstance(problem, DependencyNotReady) else (package_name,)
            links = (
                *above,
                *(Link(f"Package/{each}", f"waits for Package {following}") for each, following in pairwise(chain)),
            )
            root = root_cause(problem)
            if not isinstance(root, DependencyNotReady):
                own += _of_problem(view, evidence, root, (*links, Link(f"Package/{chain[-1]}", state_of(view, chain[-1]))))
            elif chain[-1] not in seen and view.package(chain[-1]) is not None:
                # The planner knows nothing that is wrong there. The objects may: it is asked in turn, the nearest first.
                seen.add(chain[-1])
                waiting.append((chain[-1], links))
        if all(each.warning for each in own):
            own += _on_its_way(view, evidence, package_name, above)
        found += own
    return _sorted(found)


def _sorted(found: Iterable[Diagnosis]) -> tuple[Diagnosis, ...]:
    return tuple(sorted(_distinct(found), key=lambda each: (each.warning, each.waits, len(each.chain))))


def _paused(package: Package, plan: PackagePlan) -> Iterator[Diagnosis]:
    """A Package that nobody looks after is no less ready for it; it is told all the same."""
    if is_paused(package) and not any(isinstance(problem, PausedPackage) for problem in plan.problems):
        problem = PausedPackage(subject=package_ref(plan.name))
        yield msgspec.structs.replace(of_problem(problem, (Link(str(problem.subject)),)), warning=True)


def _distinct(found: Iterable[Diagnosis]) -> list[Diagnosis]:
    """One diagnosis for each cause at each object, that with the shortest chain."""
    best: dict[tuple[str, str], Diagnosis] = {}
    for each in found:
        key = (each.cause, each.object)
        if key not in best or len(each.chain) < len(best[key].chain):
            best[key] = each
    if any((each.waits and each.cause != "not-installed-yet") or not each.waits for each in best.values()):
        # What is not there yet waits for something else that is told.
        return [each for each in best.values() if each.cause != "not-installed-yet"]
    return list(best.values())


def _of_problem(view: Catalogue, evidence: Evidence, root: Problem, at_fault: tuple[Link, ...]) -> Iterator[Diagnosis]:
    if isinstance(root, FailingRelease):
        yield from _failing(view, evidence, root, at_fault)
    elif isinstance(root, SourceNotReady | StalledSource):
        yield _source(evidence, root, at_fault)
    elif isinstance(root, NamespaceTerminating):
        yield _terminating(evidence, root, at_fault)
    elif isinstance(root, DeletingPackage):
        held = [each for each in leaving(view, evidence, root.subject.name, at_fault[:-1]) if not each.waits]
        yield from held or (of_problem(root, at_fault),)
    else:
        yield of_problem(root, at_fault)


def _failing(view: Catalogue, evidence: Evidence, problem: FailingRelease, above: tuple[Link, ...]) -> Iterator[Diagnosis]:
    key = Key(problem.subject.namespace, problem.subject.name)
    message = _message(view.release(key), problem.message)
    links = (*above, Link(str(problem.subject), message))
    reading = read(message)
    found = [fault for fault in faults(evidence, _objects(evidence, key)) if fault.rank < BY_ITSELF]
    decisive = reading is not None and reading.cause not in _VAGUE
    if decisive and reading is not None:
        yield Diagnosis(
            cause=reading.cause,
            chain=links,
            message=message,
            unblock=reading.advice,
            commands=(f"kubectl -n {key.namespace} describe helmrelease {key.name}",),
        )
        return
    for fault in found:
        yield of_fault(fault, links)
    if not found:
        yield Diagnosis(
            cause=reading.cause if reading is not None else "release-failed",
            chain=links,
            message=message or describe(problem),
            unblock=reading.advice if reading is not None else unblock(problem),
            commands=(f"kubectl -n {key.namespace} describe helmrelease {key.name}",),
        )


def _message(release: HelmRelease | None, otherwise: str) -> str:
    """The fullest thing that a release says of its failure: ``Released`` keeps it while ``Ready`` sums up."""
    conditions = release.status.conditions if release is not None else ()
    said = [otherwise]
    for kind in ("Released", "Ready", "TestSuccess"):
        found = find_condition(conditions, kind)
        if found is not None and found.status == "False" and found.message:
            said.append(found.message)
    readings = [text for text in said if (reading := read(text)) is not None and reading.cause not in _VAGUE]
    return one_line((readings or [text for text in said if text] or [""])[0])


def _objects(evidence: Evidence, key: Key) -> list[Obj]:
    """The objects of a release, and those of its hooks, which Helm marks otherwise."""
    hooks = [
        job for job in evidence.all("Job", key.namespace) if _HOOK in ((job.get("metadata") or {}).get("annotations") or {})
    ]
    own = evidence.of_release(key)
    return [*own, *(job for job in hooks if job not in own)]


def _source(evidence: Evidence, problem: SourceNotReady | StalledSource, above: tuple[Link, ...]) -> Diagnosis:
    message = one_line(f"{problem.reason}: {problem.message}" if problem.reason else problem.message)
    links = [*above, Link(str(problem.subject), "its charts are not built")]
    links.append(Link(str(problem.origin), message))
    reading = read(message)
    if problem.reason == "NotFound" and reading is None:
        return Diagnosis(cause="missing-repository", chain=tuple(links), message=message, unblock=f"create {problem.origin}")
    where = f"-n {problem.origin.namespace} " if problem.origin.namespace else ""
    return Diagnosis(
        cause=reading.cause if reading is not None else kind_name(type(problem)),
        chain=tuple(links),
        message=message,
        unblock=reading.advice if reading is not None else unblock(problem),
        commands=(f"kubectl {where}describe {problem.origin.kind.lower()} {problem.origin.name}",),
    )


def _terminating(evidence: Evidence, problem: NamespaceTerminating, above: tuple[Link, ...]) -> Diagnosis:
    namespace = evidence.find("Namespace", "", problem.subject.name)
    held = []
    if namespace is not None:
        for kind in ("NamespaceFinalizersRemaining", "NamespaceContentRemaining", "NamespaceDeletionDiscoveryFailure"):
            found = condition(namespace, kind)
            if found.get("status") == "True" and found.get("message"):
                held.append(str(found["message"]))
    says = describe(problem) + (f": {held[0]}" if held else "")
    advice = "remove what still has finalizers in it, or the controller's reason to keep them" if held else unblock(problem)
    return Diagnosis(
        cause="namespace-terminating", chain=(*above, Link(str(problem.subject), says)), message=says, unblock=advice
    )


def _on_its_way(view: Catalogue, evidence: Evidence, name: str, above: tuple[Link, ...]) -> Iterator[Diagnosis]:
    """A Package with no problem that is not ready: what its releases are doing, and what keeps them from it."""
    package = view.package(name)
    if package is None:
        return
    plan = view.plan(name)
    unready = [release for release in plan.releases if not release.state.ready]
    if not unready and plan.settled:
        return
    here = (*above, Link(f"Package/{name}", state_of(view, name)))
    waiting: list[Diagnosis] = []
    for release in unready:
        live = view.release(release.key)
        where = str(release_ref(release.key.namespace, release.key.name))
        if live is None:
            says = "it is not there yet"
            waiting.append(
                Diagnosis(cause="not-installed-yet", chain=(*here, Link(where, says)), message=says, unblock="wait", waits=True)
            )
            continue
        says = _said(live)
        links = (*here, Link(where, says))
        reading = read(says)
        found = faults(evidence, _objects(evidence, release.key))
        wrong = [fault for fault in found if fault.rank < BY_ITSELF]
        if wrong:
            yield from (of_fault(fault, links) for fault in wrong)
        elif reading is not None and reading.cause not in _VAGUE:
            yield Diagnosis(cause=reading.cause, chain=links, message=says, unblock=reading.advice)
        elif _unseen(live) and (dead := controller_down(evidence, "helm-controller", links)) is not None:
            yield dead
        elif found:
            waiting += (of_fault(fault, links) for fault in found)
        else:
            waiting.append(Diagnosis(cause="in-progress", chain=links, message=says, unblock="wait", waits=True))
    source = view.source(name)
    if any(view.artifact(release.desired.spec.chart_ref.name) is None for release in unready if release.desired.spec.chart_ref):
        links = (*here, Link(f"PackageSource/{name}", "its charts are not built yet")) if source is not None else here
        for controller in ("source-controller", "source-watcher"):
            dead = controller_down(evidence, controller, links)
            if dead is not None:
                yield dead
                return
    yield from waiting


def _unseen(release: HelmRelease) -> bool:
    return release.status.observed_generation < release.metadata.generation and not release.status.conditions


def _said(release: HelmRelease) -> str:
    """What a release says of itself."""
    for kind in ("Ready", "Reconciling"):
        found = find_condition(release.status.conditions, kind)
        if found is not None and found.message:
            return one_line(found.message)
    return "helm-controller has not looked at it yet" if not release.status.conditions else "it is being worked on"
