"""What to say to a Package or PackageSource that somebody is about to write: refusals and warnings.

The object is looked at as if it were there already: a ``Proposal`` is the view with that one object in it, and the plan made
from it is the plan that will be made afterwards. The view itself does not change.

Refused is only what no later object can cure: fields, names and paths that are wrong by themselves, and a loop that the object
closes without the help of others. Everything else is a warning, since objects come in any order: Packages before their sources,
an edge of a loop before the edit that opens it. What was wrong before the change stays a warning too, so that an object can be
mended bit by bit. A change that leaves the spec as it is, or of an object on its way out, is nobody's business here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec

from cozystack.api import names
from cozystack.api.cozystack import Package, PackageSource
from cozystack.planner.artifacts import artifact_claims, static_problems
from cozystack.planner.catalogue import Catalogue
from cozystack.planner.index import Relation
from cozystack.planner.packages import evaluate
from cozystack.planner.problems import (
    AnyProblem,
    ArtifactNameCollision,
    DeletingPackage,
    DependencyCycle,
    DependencyNotReady,
    FailingRelease,
    InvalidName,
    InvalidPath,
    InvalidValues,
    MissingValuesKey,
    MissingValuesSecret,
    ReleaseNameClash,
    SourceNotReady,
    StalledSource,
    SuspendedRelease,
    UnownedRelease,
    package_ref,
    release_ref,
    source_ref,
)
from cozystack.planner.selection import Selection, select, values_problem
from cozystack.planner.sentences import describe, unblock
from cozystack.planner.sources import plan_source

K = TypeVar("K")
M = TypeVar("M")
O = TypeVar("O", Package, PackageSource)  # noqa: E741

# How things stand, which an edit of a spec neither causes nor changes.
_STANDING = (
    DeletingPackage,
    DependencyNotReady,
    FailingRelease,
    MissingValuesKey,
    MissingValuesSecret,
    StalledSource,
    SuspendedRelease,
    UnownedRelease,
)


class Finding(msgspec.Struct, frozen=True):
    """One refusal or warning: the type of the problem, a sentence with what is wrong and what would fix it, the field."""

    reason: str
    message: str
    field: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """Refused when there are refusals."""

    refusals: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()


_FINE = Verdict()


def judge_package(view: Catalogue | None, old: Package | None, new: Package) -> Verdict:
    """What is wrong with a Package that is created (``old`` is ``None``) or changed; without a view, with it alone."""
    planned = _planned_package(Proposal(view, package=new), new) if view is not None and not _passes(old, new) else ()
    return _verdict(old, new, _package_faults, planned)


def judge_source(view: Catalogue | None, old: PackageSource | None, new: PackageSource) -> Verdict:
    """What is wrong with a PackageSource that is created or changed, and what becomes of the Package that selects from it."""
    planned: Iterable[AnyProblem] = ()
    if view is not None and not _passes(old, new):
        proposal = Proposal(view, source=new)
        package = view.package(new.metadata.name)
        planned = [*plan_source(proposal, new.metadata.name).problems, *_shared_artifacts(proposal, new)]
        if package is not None and package.metadata.deletion_timestamp is None:
            planned += _planned_package(proposal, package)
    return _verdict(old, new, _source_faults, planned)


def _passes(old: O | None, new: O) -> bool:
    return new.metadata.deletion_timestamp is not None or (old is not None and old.spec == new.spec)


def _verdict(old: O | None, new: O, faults: Callable[[O], Iterator[Finding]], planned: Iterable[AnyProblem]) -> Verdict:
    if _passes(old, new):
        return _FINE
    found = dict.fromkeys(faults(new))
    before = set(faults(old)) if old is not None else set()
    refusals = tuple(fault for fault in found if fault not in before)
    warnings: dict[Finding, None] = {fault: None for fault in found if fault in before}
    for problem in planned:
        if _is_told(problem):
            warnings[_finding(problem)] = None
    return Verdict(refusals, tuple(warning for warning in warnings if warning not in refusals))


def _is_told(problem: AnyProblem) -> bool:
    if isinstance(problem, SourceNotReady):
        return problem.reason == "NotFound"
    return not isinstance(problem, _STANDING)


def _planned_package(proposal: Proposal, package: Package) -> list[AnyProblem]:
    return [*evaluate(proposal, package)[0].problems, *_shared_releases(proposal, package)]


# A plan tells of a name only those who do not get it; before it is taken, whoever asks for it has to know.


def _shared_releases(proposal: Proposal, package: Package) -> Iterator[AnyProblem]:
    name = package.metadata.name
    selection = proposal.selection(name)
    for installed in selection.installs if isinstance(selection, Selection) else ():
        key = installed.key
        if proposal.claimants(key) - {name}:
            yield ReleaseNameClash(subject=release_ref(key.namespace, key.name), package=name, claims=proposal.claims(key))


def _shared_artifacts(proposal: Proposal, source: PackageSource) -> Iterator[AnyProblem]:
    name = source.metadata.name
    for artifact in artifact_claims(source):
        if proposal.artifact_claimants(artifact) - {name}:
            claims = proposal.artifact_claims(artifact)
            yield ArtifactNameCollision(subject=source_ref(name), artifact=artifact, claims=claims)


# What is wrong with an object by itself


def _package_faults(package: Package) -> Iterator[Finding]:
    name = package.metadata.name
    if not names.is_label_value(name):
        yield _finding(InvalidName(subject=package_ref(name), field="metadata.name", value=name, rule="label"))
    for component in sorted(package.spec.components):
        fault = values_problem(package, component)
        if fault is not None:
            yield _finding(fault)


def _source_faults(source: PackageSource) -> Iterator[Finding]:
    name = source.metadata.name
    for problem in static_problems(source):
        if problem.severity == "blocking":
            yield _finding(problem)
    for artifact, claims in artifact_claims(source).items():
        if len(claims) > 1:
            yield _finding(ArtifactNameCollision(subject=source_ref(name), artifact=artifact, claims=claims))
    for variant in source.spec.variants:
        if name in variant.depends_on:
            loop = DependencyCycle(subject=package_ref(name), members=(name,))
            field = f"spec.variants[{variant.name}].dependsOn"
            yield Finding("DependencyCycle", f"{describe(loop)}; remove {name} from {field} of PackageSource/{name}", field)


def wrong_field(field: str, message: str) -> Finding:
    """A field that cannot be what it is."""
    return Finding("WrongField", message, field)


def _finding(problem: AnyProblem) -> Finding:
    field = problem.field if isinstance(problem, InvalidName | InvalidPath | InvalidValues) else ""
    return Finding(type(problem).__name__, f"{describe(problem)}; {unblock(problem)}", field)


# The view with one more object


class Proposal(Catalogue):
    """A view in which one object is replaced or added. It shares everything else with ``base`` and is only for reading."""

    def __init__(self, base: Catalogue, *, package: Package | None = None, source: PackageSource | None = None) -> None:
        vars(self).update(vars(base))
        name = self._name = (package or source).metadata.name  # type: ignore[union-attr]
        if package is not None:
            self._packages = {**base._packages, name: package}
        if source is not None:
            made = artifact_claims(source)
            self._sources = {**base._sources, name: source}
            self._made = {**base._made, name: made}
            self._artifact_makers = _With(base._artifact_makers, name, made)
        self._desired = {}
        selection = None
        if name in self._packages:
            selection = select(self._packages[name], self._sources.get(name))
            self._selections = {**base._selections, name: selection}
            installs = selection.installs if isinstance(selection, Selection) else ()
            self._claims = _With(base._claims, name, [each.key for each in installs if each.key.namespace])
        self._depends_on = selection.depends_on if isinstance(selection, Selection) else ()
        same = self._depends_on == base.dependencies(name)
        self._closed = base.loop(name) if same else closed_loop(base, name, self._depends_on)

    def dependencies(self, name: str) -> tuple[str, ...]:
        return self._depends_on if name == self._name else super().dependencies(name)

    def loop(self, name: str) -> tuple[str, ...]:
        return self._closed if name == self._name else super().loop(name)

    def companions(self, name: str) -> frozenset[str]:
        return frozenset(self._closed) if name == self._name else super().companions(name)


class _With(Relation[K, M]):
    """A relation in which one member belongs to other keys."""

    def __init__(self, base: Relation[K, M], member: M, keys: Iterable[K]) -> None:
        self._members = base._members
        self._member = member
        self._keys = frozenset(keys)

    def __getitem__(self, key: K) -> set[M] | frozenset[M]:
        members = frozenset(super().__getitem__(key)) - {self._member}
        return members | {self._member} if key in self._keys else members


def closed_loop(view: Catalogue, name: str, depends_on: tuple[str, ...]) -> tuple[str, ...]:
    """A short loop that there would be if ``name`` depended on ``depends_on``; each member depends on the next.

    Searched from both ends at once, the smaller side first: most Packages have few others either above or below them.
    """
    if name in depends_on:
        return (name,)
    above: dict[str, str] = dict.fromkeys(depends_on, name)
    below: dict[str, str] = dict.fromkeys(sorted(view.dependents(name)), name)
    upper, lower = list(above), list(below)
    met = next((node for node in upper if node in below), "")
    while upper and lower and not met:
        if len(upper) <= len(lower):
            upper, met = _step(upper, view.dependencies, above, below, name)
        else:
            lower, met = _step(lower, view.dependents, below, above, name)
    if not met:
        return ()
    # From ``name`` up to where the searches met, then on to ``name`` again; turned to begin with the smallest member.
    loop = [name, *reversed(_path(met, above, name)), *_path(met, below, name)[1:]]
    least = loop.index(min(loop))
    return (*loop[least:], *loop[:least])


def _step(
    frontier: list[str],
    neighbours: Callable[[str], Iterable[str]],
    seen: dict[str, str],
    other: dict[str, str],
    name: str,
) -> tuple[list[str], str]:
    """The next nodes on one side, and the first of them that the other side has seen."""
    following = []
    for node in frontier:
        for neighbour in sorted(neighbours(node)):
            if neighbour not in seen and neighbour != name:
                seen[neighbour] = node
                following.append(neighbour)
    return following, next((node for node in following if node in other), "")


def _path(node: str, came_from: dict[str, str], end: str) -> list[str]:
    """From ``node`` back to ``end``, which is left out."""
    path = []
    while node != end:
        path.append(node)
        node = came_from[node]
    return path
