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

from cozystack.api import names
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key, find_condition
from cozystack.planner.diagnosis.evidence import Evidence, Obj, condition, ref
from cozystack.planner.diagnosis.messages import read
from cozystack.planner.diagnosis.workloads import Fault, faults
from cozystack.planner.plan import PackagePlan
from cozystack.planner.problems import (
    DeletingPackage,
    DependencyNotReady,
    FailingRelease,
    NamespaceTerminating,
    Problem,
    SourceNotReady,
    StalledSource,
    kind_name,
    release_ref,
    root_cause,
)
from cozystack.planner.sentences import describe, unblock

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue

_VAGUE = frozenset({"timed-out", "hook-failed"})
"""What Helm says when something else is at fault."""
_BY_ITSELF = 6
"""The rank of faults that are none: things that are on their way."""
_HOOK = "helm.sh/hook"


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """One object, as ``Kind/namespace/name``, and what it says."""

    object: str
    says: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cause. ``chain`` leads from the Package to the object at fault; ``waits``: nothing is wrong, it takes its time."""

    cause: str
    chain: tuple[Link, ...]
    message: str
    unblock: str
    commands: tuple[str, ...] = ()
    waits: bool = False
    warning: bool = False

    @property
    def object(self) -> str:
        return self.chain[-1].object


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
    found = [*_operator(view, evidence, view.plan(name))]
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
                own += _of_problem(view, evidence, root, (*links, Link(f"Package/{chain[-1]}", _state_of(view, chain[-1]))))
            elif chain[-1] not in seen and view.package(chain[-1]) is not None:
                # The planner knows nothing that is wrong there. The objects may: it is asked in turn, the nearest first.
                seen.add(chain[-1])
                waiting.append((chain[-1], links))
        if all(each.warning for each in own):
            own += _on_its_way(view, evidence, package_name, above)
        found += own
    return tuple(sorted(_distinct(found), key=lambda each: (each.warning, each.waits, len(each.chain))))


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
    else:
        yield _plain(root, at_fault)


def _plain(problem: Problem, above: tuple[Link, ...]) -> Diagnosis:
    """What the planner knows is all there is to know."""
    subject, says = str(problem.subject), describe(problem)
    chain = (*above[:-1], Link(above[-1].object, says)) if above[-1].object == subject else (*above, Link(subject, says))
    return Diagnosis(
        cause=kind_name(type(problem)),
        chain=chain,
        message=says,
        unblock=unblock(problem),
        warning=problem.severity == "warning",
        waits=isinstance(problem, DeletingPackage),
    )


def _failing(view: Catalogue, evidence: Evidence, problem: FailingRelease, above: tuple[Link, ...]) -> Iterator[Diagnosis]:
    key = Key(problem.subject.namespace, problem.subject.name)
    message = _message(view.release(key), problem.message)
    links = (*above, Link(str(problem.subject), message))
    reading = read(message)
    found = [fault for fault in faults(evidence, _objects(evidence, key)) if fault.rank < _BY_ITSELF]
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
        yield _diagnosis(fault, links)
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
    return _one_line((readings or [text for text in said if text] or [""])[0])


def _objects(evidence: Evidence, key: Key) -> list[Obj]:
    """The objects of a release, and those of its hooks, which Helm marks otherwise."""
    hooks = [
        job for job in evidence.all("Job", key.namespace) if _HOOK in ((job.get("metadata") or {}).get("annotations") or {})
    ]
    own = evidence.of_release(key)
    return [*own, *(job for job in hooks if job not in own)]


def _diagnosis(fault: Fault, above: tuple[Link, ...]) -> Diagnosis:
    links = tuple(Link(where, says) for where, says in fault.links)
    return Diagnosis(
        cause=fault.cause,
        chain=(*above, *links),
        message=links[-1].says,
        unblock=fault.unblock,
        commands=fault.commands,
        waits=fault.rank >= _BY_ITSELF,
    )


def _source(evidence: Evidence, problem: SourceNotReady | StalledSource, above: tuple[Link, ...]) -> Diagnosis:
    message = _one_line(f"{problem.reason}: {problem.message}" if problem.reason else problem.message)
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
    here = (*above, Link(f"Package/{name}", _state_of(view, name)))
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
        wrong = [fault for fault in found if fault.rank < _BY_ITSELF]
        if wrong:
            yield from (_diagnosis(fault, links) for fault in wrong)
        elif reading is not None and reading.cause not in _VAGUE:
            yield Diagnosis(cause=reading.cause, chain=links, message=says, unblock=reading.advice)
        elif _unseen(live) and (dead := _controller(evidence, "helm-controller", links)) is not None:
            yield dead
        elif found:
            waiting += (_diagnosis(fault, links) for fault in found)
        else:
            waiting.append(Diagnosis(cause="in-progress", chain=links, message=says, unblock="wait", waits=True))
    source = view.source(name)
    if any(view.artifact(release.desired.spec.chart_ref.name) is None for release in unready if release.desired.spec.chart_ref):
        links = (*here, Link(f"PackageSource/{name}", "its charts are not built yet")) if source is not None else here
        for controller in ("source-controller", "source-watcher"):
            dead = _controller(evidence, controller, links)
            if dead is not None:
                yield dead
                return
    yield from waiting


def _operator(view: Catalogue, evidence: Evidence, plan: PackagePlan) -> Iterator[Diagnosis]:
    """Nothing moves when nobody looks: the operator has not seen this generation, and does not run."""
    package = view.packages[plan.name]
    if package.status.observed_generation >= package.metadata.generation and package.status.conditions:
        return
    links = (Link(f"Package/{plan.name}", "the operator has not looked at it"),)
    deployment = evidence.find("Deployment", names.SYSTEM_NAMESPACE, "cozystack-operator")
    if deployment is None:
        return
    status, wanted = deployment.get("status") or {}, (deployment.get("spec") or {}).get("replicas", 1)
    if wanted == 0:
        says = "it is scaled to nothing"
        fix = f"kubectl -n {names.SYSTEM_NAMESPACE} scale deployment cozystack-operator --replicas=1"
        yield Diagnosis(
            cause="operator-down",
            chain=(*links, Link(ref(deployment), says)),
            message=says,
            unblock="start the operator",
            commands=(fix,),
        )
    elif not status.get("readyReplicas"):
        for fault in faults(evidence, [deployment])[:1]:
            found = _diagnosis(fault, links)
            yield msgspec.structs.replace(found, cause="operator-down", waits=False)


def _controller(evidence: Evidence, name: str, above: tuple[Link, ...]) -> Diagnosis | None:
    """A controller of Flux that does not run, wherever it is installed: by itself, or as a container of one Deployment."""
    for deployment in evidence.all("Deployment"):
        spec = deployment.get("spec") or {}
        containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
        if not any(name in (container.get("name"), _program(container)) for container in containers):
            continue
        if spec.get("replicas", 1) == 0:
            says = "it is scaled to nothing"
            return Diagnosis(
                cause="flux-down", chain=(*above, Link(ref(deployment), says)), message=says, unblock=f"start {name}"
            )
        if not (deployment.get("status") or {}).get("readyReplicas"):
            found = faults(evidence, [deployment])
            if found:
                return msgspec.structs.replace(_diagnosis(found[0], above), cause="flux-down", waits=False)
    return None


def _program(container: Obj) -> str:
    return str(container.get("image", "")).rpartition("/")[2].partition(":")[0].partition("@")[0]


def _unseen(release: HelmRelease) -> bool:
    return release.status.observed_generation < release.metadata.generation and not release.status.conditions


def _said(release: HelmRelease) -> str:
    """What a release says of itself."""
    for kind in ("Ready", "Reconciling"):
        found = find_condition(release.status.conditions, kind)
        if found is not None and found.message:
            return _one_line(found.message)
    return "helm-controller has not looked at it yet" if not release.status.conditions else "it is being worked on"


def _state_of(view: Catalogue, name: str) -> str:
    package = view.package(name)
    found = find_condition(package.status.conditions, "Ready") if package is not None else None
    return _one_line(found.message) if found is not None else ""


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 600 else line[:597] + "..."
