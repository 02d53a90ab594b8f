"""The status of a Package: conditions by the rules of kstatus, what blocks it, its releases (D1, D2, D10).

``Ready`` speaks of what runs. While changes are held back by a dependency, or by a pause, what ran before stays Ready at the
generation that it was ready for, and ``Reconciling`` says that something is to come. ``Stalled`` means that this object's own
spec has to change; ``Accepted`` that its spec is understood, blocked or not; ``Held`` that somebody stopped it on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cozystack.api.cozystack import BlockedBy, DependencyStatus, Package, PackageStatus, ReleaseStatus
from cozystack.api.meta import Condition, Key, find_condition
from cozystack.planner.plan import ReleasePlan, ReleaseState, Removal, RemovalPlan
from cozystack.planner.problems import (
    ComponentCycle,
    DependencyCycle,
    DependencyNotReady,
    FailingRelease,
    InvalidName,
    InvalidPath,
    InvalidValues,
    MissingDependency,
    MissingSource,
    MissingVariant,
    PausedPackage,
    Problem,
    SuspendedRelease,
    TooManyArtifacts,
    UnknownSibling,
    UnownedRelease,
    root_cause,
)
from cozystack.planner.readiness import published_ready
from cozystack.planner.sentences import describe, listed, unblock

_GATE = (DependencyNotReady, MissingDependency, DependencyCycle)
_REASONS: dict[type[Problem], str] = {
    MissingSource: "PackageSourceNotFound",
    MissingVariant: "VariantNotFound",
    MissingDependency: "DependenciesNotReady",
    DependencyNotReady: "DependenciesNotReady",
    UnknownSibling: "DependsOnFailed",
    ComponentCycle: "DependsOnFailed",
    InvalidName: "InvalidConfiguration",
    InvalidPath: "InvalidConfiguration",
    InvalidValues: "InvalidConfiguration",
    TooManyArtifacts: "InvalidConfiguration",
    FailingRelease: "HelmReleaseFailed",
}
"""Reasons that the original uses; for all others the type of the problem is the reason."""

BLOCKERS_MAX = 4


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the conditions follow from. ``problems`` are those that block, ``present`` the releases that exist."""

    package: Package
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    releases: tuple[ReleasePlan, ...] = ()
    removals: tuple[Removal, ...] = ()
    present: tuple[tuple[Key, ReleaseState], ...] = ()
    waiting_for: tuple[str, ...] = ()
    paused: bool = False
    ready_source: bool = False
    pending: bool = False


def package_status(
    facts: Facts, dependencies: Mapping[str, DependencyStatus], blockers: tuple[BlockedBy, ...]
) -> PackageStatus:
    conditions = (_ready(facts), _reconciling(facts), _stalled(facts), _accepted(facts), _held(facts), _leftover(facts))
    return PackageStatus(
        conditions=tuple(condition for condition in conditions if condition is not None),
        dependencies=dict(dependencies),
        observed_generation=facts.package.metadata.generation,
        blocked_by=blockers,
        releases=tuple(
            ReleaseStatus(name=key.name, namespace=key.namespace, ready=published_ready(state), revision=state.revision)
            for key, state in facts.present
        ),
    )


def leaving_status(package: Package, removal: RemovalPlan) -> PackageStatus:
    """The status of a Package that is being deleted: what is left of it, and what its end waits for."""
    generation = package.metadata.generation
    left = {*removal.releases, *removal.waiting_for_releases}
    message = _leaving_message(removal)
    return PackageStatus(
        conditions=(
            Condition("Ready", "Unknown", "Deleting", message, "", generation),
            Condition("Reconciling", "True", "Deleting", message, "", generation),
        ),
        dependencies=package.status.dependencies,
        observed_generation=generation,
        blocked_by=blocked_by(removal.problems, package.metadata.name),
        releases=tuple(release for release in package.status.releases if Key(release.namespace, release.name) in left),
    )


def _leaving_message(removal: RemovalPlan) -> str:
    if removal.waiting_for_packages:
        return f"Being deleted after {listed(removal.waiting_for_packages)}"
    left = len(removal.releases) + len(removal.waiting_for_releases)
    if left:
        return f"Being deleted: {left} {'release is' if left == 1 else 'releases are'} left"
    return "Being deleted"


def dependency_status(package: Package, settled: Mapping[str, bool], *, held: bool) -> dict[str, DependencyStatus]:
    """``status.dependencies``. A dependency that was ready stays so while nothing waits for it: what runs, runs."""
    published = package.status.dependencies
    return {
        name: DependencyStatus(ready or (not held and name in published and published[name].ready))
        for name, ready in settled.items()
    }


def blocked_by(problems: tuple[Problem, ...], name: str) -> tuple[BlockedBy, ...]:
    """``status.blockedBy``: the root cause of each problem, those that only take time last."""
    ordered = sorted(problems, key=lambda problem: isinstance(root_cause(problem), DependencyNotReady))
    return tuple(_blocker(problem, name) for problem in ordered[:BLOCKERS_MAX])


def _blocker(problem: Problem, name: str) -> BlockedBy:
    root = root_cause(problem)
    at_fault = f"Package/{root.dependency}" if isinstance(root, DependencyNotReady) else str(root.subject)
    return BlockedBy(
        reason=type(root).__name__,
        message=describe(root),
        object=at_fault,
        chain=problem.chain if isinstance(problem, DependencyNotReady) else (name,),
        unblock=unblock(root),
    )


def _ready(facts: Facts) -> Condition:
    generation = facts.package.metadata.generation
    own = [problem for problem in facts.problems if not isinstance(problem, (*_GATE, PausedPackage))]
    if own:
        return _false(own, generation)
    held = bool(facts.waiting_for) or (facts.paused and facts.pending)
    if held:
        published = find_condition(facts.package.status.conditions, "Ready")
        if published is not None and published.status == "True" and _still_runs(facts):
            return msgspec.structs.replace(published, last_transition_time="")
        return _false(list(facts.problems), generation)
    if not facts.releases:
        if facts.ready_source:
            return Condition("Ready", "True", "ReconciliationSucceeded", "There is nothing to install", "", generation)
        return Condition("Ready", "Unknown", "Progressing", "The charts are being built", "", generation)
    if not facts.pending and all(release.state.ready for release in facts.releases):
        return Condition("Ready", "True", "ReconciliationSucceeded", _progress(facts), "", generation)
    return Condition("Ready", "Unknown", "Progressing", _progress(facts), "", generation)


def _still_runs(facts: Facts) -> bool:
    """Whether all that ran when the status was last published still does."""
    present = dict(facts.present)
    wanted = {release.key for release in facts.releases}
    before = {Key(release.namespace, release.name) for release in facts.package.status.releases if release.ready == "True"}
    if wanted and not present:
        return False
    return before & wanted <= present.keys() and all(state.ready for state in present.values())


def _reconciling(facts: Facts) -> Condition | None:
    generation = facts.package.metadata.generation
    if any(_is_own_fault(problem) for problem in facts.problems):
        return None
    for problem in facts.problems:
        if isinstance(problem, MissingSource):
            return Condition("Reconciling", "True", _reason(problem), describe(problem), "", generation)
    if facts.waiting_for:
        message = f"Waiting for {listed(facts.waiting_for)}"
        return Condition("Reconciling", "True", "DependenciesNotReady", message, "", generation)
    moving = any(release.state.phase in ("Missing", "Progressing", "Waiting") for release in facts.releases)
    idle = not facts.releases and not facts.ready_source
    if facts.pending or facts.removals or moving or idle:
        return Condition("Reconciling", "True", "Progressing", _progress(facts), "", generation)
    return None


def _stalled(facts: Facts) -> Condition | None:
    faults = [problem for problem in facts.problems if _is_own_fault(problem)]
    if not faults:
        return None
    return Condition("Stalled", "True", _reason(faults[0]), _message(faults), "", facts.package.metadata.generation)


def _accepted(facts: Facts) -> Condition:
    generation = facts.package.metadata.generation
    for problem in facts.problems:
        if isinstance(problem, MissingSource):
            return Condition("Accepted", "Unknown", _reason(problem), describe(problem), "", generation)
        if isinstance(problem, MissingVariant | InvalidName | InvalidValues) and _is_own_fault(problem):
            return Condition("Accepted", "False", _reason(problem), describe(problem), "", generation)
    return Condition("Accepted", "True", "Accepted", "The specification is understood", "", generation)


def _held(facts: Facts) -> Condition | None:
    generation = facts.package.metadata.generation
    if facts.paused:
        return Condition("Held", "True", "Paused", "The Package is paused", "", generation)
    suspended = [str(problem.subject) for problem in facts.warnings if isinstance(problem, SuspendedRelease)]
    if suspended:
        return Condition("Held", "True", "ReleaseSuspended", f"Suspended: {listed(suspended)}", "", generation)
    return None


def _leftover(facts: Facts) -> Condition | None:
    """Releases that carry the Package's label and are neither wanted nor owned: they are left alone (D3), and told."""
    found = [str(problem.subject) for problem in facts.warnings if isinstance(problem, UnownedRelease)]
    if not found:
        return None
    message = f"Neither wanted nor owned, and left alone: {listed(found)}; remove the label or the release"
    return Condition("Leftover", "True", "UnownedRelease", message, "", facts.package.metadata.generation)


def _is_own_fault(problem: Problem) -> bool:
    return problem.own_spec and problem.subject.kind in ("Package", "HelmRelease")


def _false(problems: list[Problem], generation: int) -> Condition:
    return Condition("Ready", "False", _reason(problems[0]), _message(problems), "", generation)


def _reason(problem: Problem) -> str:
    return _REASONS.get(type(problem), type(problem).__name__)


def _message(problems: list[Problem]) -> str:
    rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return describe(problems[0]) + rest


def _progress(facts: Facts) -> str:
    if not facts.releases:
        return "The charts are being built"
    ready = sum(release.state.ready for release in facts.releases)
    return f"{ready} of {len(facts.releases)} releases are ready"
