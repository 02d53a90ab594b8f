"""What a change would do: what a view says before and after, and every difference that somebody would want to know beforehand.

The planner decides, nothing is decided twice: the releases that exist (or, where there is no cluster, those that the old
objects ask for, see ``assume_installed``) are put before the new objects, and the plan of that is what the operator would do.
What is left to do here is to say it as one list: releases installed, upgraded, moved and removed, what that destroys, in which
waves, and how long it takes by what it took before.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from cozystack.api import names
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key
from cozystack.api.time import parse_time
from cozystack.planner import graph
from cozystack.planner.catalogue import Affected, Catalogue
from cozystack.planner.plan import PackagePlan, ReleasePlan, Wait
from cozystack.planner.problems import (
    AnyProblem,
    DeletingPackage,
    DependencyCycle,
    DependencyNotReady,
    FailingRelease,
    MissingDependency,
    MissingValuesKey,
    MissingValuesSecret,
    NamespaceTerminating,
    PausedPackage,
    Problem,
    ReleaseOwnedByOther,
    SourceNotReady,
    StalledSource,
    SuspendedRelease,
    root_cause,
)
from cozystack.planner.releases import owner_name, release_changes
from cozystack.planner.selection import Installed, Selection
from cozystack.planner.snapshot import Snapshot

ObjectAction: TypeAlias = Literal["add", "change", "remove"]
ReleaseAction: TypeAlias = Literal["install", "upgrade", "update", "move", "remove"]
"""``upgrade``: Helm runs; ``update``: the HelmRelease changes, and Helm may find nothing to do."""

_STATE = (
    DependencyNotReady,
    SourceNotReady,
    StalledSource,
    FailingRelease,
    SuspendedRelease,
    PausedPackage,
    DeletingPackage,
    NamespaceTerminating,
    MissingValuesSecret,
    MissingValuesKey,
    ReleaseOwnedByOther,
)


_GATE = (DependencyNotReady, MissingDependency, DependencyCycle)


class _Change(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base: written as camelCase JSON, defaults left out."""


class FieldChange(_Change, frozen=True):
    """One value by its path (``values.replicas``); ``UNSET`` on the side where it is not."""

    path: str
    old: Any | UnsetType = UNSET
    new: Any | UnsetType = UNSET


class ObjectChange(_Change, frozen=True):
    """A Package, PackageSource or namespace."""

    kind: Literal["Package", "PackageSource", "Namespace"]
    name: str
    action: ObjectAction
    fields: tuple[FieldChange, ...] = ()


class ReleaseChange(_Change, frozen=True):
    """One release. ``chart``: its chart has other content. ``destroys`` says what is lost, empty when nothing is."""

    namespace: str
    name: str
    package: str
    action: ReleaseAction
    component: str = ""
    fields: tuple[FieldChange, ...] = ()
    chart: bool = False
    moves_to: str = ""
    destroys: str = ""
    held_back: str = ""
    """Why the operator would not do it: a problem's reason."""

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.name)


class Estimate(_Change, frozen=True):
    """Seconds along the critical path; of its ``total`` releases ``known`` were measured, the others count as the median."""

    seconds: float
    known: int
    total: int
    path: tuple[str, ...] = ()


class Comparison(_Change, frozen=True):
    """``waves``: the Packages with something to do, by the step at which they can go."""

    objects: tuple[ObjectChange, ...] = ()
    releases: tuple[ReleaseChange, ...] = ()
    waves: tuple[tuple[str, ...], ...] = ()
    estimate: Estimate | None = None
    new_problems: tuple[AnyProblem, ...] = ()
    solved_problems: tuple[AnyProblem, ...] = ()
    pending: int = 0
    """Releases that the operator is about to change anyway; they are not listed."""

    @property
    def empty(self) -> bool:
        return not self.objects and not self.releases

    @property
    def destructive(self) -> tuple[ReleaseChange, ...]:
        return tuple(change for change in self.releases if change.destroys)

    def count(self, *actions: ReleaseAction) -> int:
        return sum(change.action in actions for change in self.releases)


def is_of_state(problem: Problem) -> bool:
    """Whether a problem is one of how things are just now, rather than of what the objects ask for."""
    return isinstance(problem, _STATE)


def assume_installed(view: Catalogue) -> None:
    """Take the releases that the Packages of ``view`` ask for as there; for the end of the batch that fills it."""
    for name in sorted(view.packages):
        for release, installed in zip(view.desired(name), _installs(view, name), strict=True):
            # Of several that name one release, the first has it; where there is no namespace, there is no release.
            if release.key.namespace and view.claims(release.key)[0] == f"{name}/{installed.component.name}":
                view.set_release(release)


def replace_objects(view: Catalogue, sources: Mapping[str, PackageSource], packages: Mapping[str, Package]) -> Affected:
    """Let ``view`` hold these PackageSources and Packages instead; what that affects."""
    with view.batch() as affected:
        for name in [name for name in view.sources if name not in sources]:
            view.remove_source(name)
        for name in [name for name in view.packages if name not in packages]:
            view.remove_package(name)
        for source in sources.values():
            if view.source(source.metadata.name) is not source:
                view.set_source(source)
        for package in packages.values():
            if view.package(package.metadata.name) is not package:
                view.set_package(package)
    return affected[0]


def compare(
    before: Snapshot,
    after: Catalogue,
    affected: Affected,
    *,
    live: bool,
    changed_charts: Collection[str] = (),
    durations: Mapping[Key, float] | None = None,
) -> Comparison:
    """What leads from ``before`` to ``after``, the same view after changes that ``affected`` so much.

    ``live``: the releases are those of a cluster; otherwise those that were asked for before are taken as there, and nothing is
    pending. ``changed_charts`` are names of artifacts whose content differs. ``durations`` in seconds, of releases that were
    installed before.
    """
    changes = tuple(sorted(_release_changes(before, after, frozenset(changed_charts)), key=lambda change: change.key))
    packages = {change.package for change in changes}
    waves = _waves(after, packages)
    plans_after = {name: after.plan(name) for name in after.packages}
    old = _structural(before.source_problems, before.plans)
    new = _structural(before.source_problems_after(after, affected), plans_after)
    known_before, known_after = frozenset(old), frozenset(new)
    return Comparison(
        objects=tuple(_object_changes(before, after)),
        releases=changes,
        waves=waves,
        estimate=_estimate(after, changes, durations or {}),
        new_problems=tuple(problem for problem in new if problem not in known_before),
        solved_problems=tuple(problem for problem in old if problem not in known_after),
        pending=sum(release.action != "none" for plan in before.plans.values() for release in plan.releases) if live else 0,
    )


def _waves(after: Catalogue, packages: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """The platform's own Package comes before everything: what it brings says what the others are."""
    waves = graph.waves({name: after.dependencies(name) for name in packages if after.package(name) is not None})
    if not any(names.PLATFORM_PACKAGE in wave and len(wave) > 1 for wave in waves):
        return waves
    others = (tuple(name for name in wave if name != names.PLATFORM_PACKAGE) for wave in waves)
    return ((names.PLATFORM_PACKAGE,), *(wave for wave in others if wave))


def field_changes(old: Any, new: Any, path: str) -> Iterator[FieldChange]:
    """Every leaf in which two JSON values differ; maps are gone into, lists are leaves."""
    if old == new and type(old) is type(new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from field_changes(old.get(key, UNSET), new.get(key, UNSET), _join(path, key))
    elif isinstance(new, dict) and new and old is UNSET:
        for key in sorted(new):
            yield from field_changes(UNSET, new[key], _join(path, key))
    elif isinstance(old, dict) and old and new is UNSET:
        for key in sorted(old):
            yield from field_changes(old[key], UNSET, _join(path, key))
    elif old != new:
        yield FieldChange(path=path, old=old, new=new)


def _join(path: str, key: str) -> str:
    plain = key and all(char.isalnum() or char in "-_" for char in key)
    step = key if plain else f"[{key}]"
    return f"{path}.{step}" if path and plain else path + step


def _installs(view: Catalogue, name: str) -> tuple[Installed, ...]:
    selection = view.selection(name)
    return selection.installs if isinstance(selection, Selection) else ()


def _object_changes(before: Snapshot, after: Catalogue) -> Iterator[ObjectChange]:
    yield from _differences("PackageSource", before.sources, after.sources)
    yield from _differences("Package", before.packages, after.packages)
    targets = sorted(after.target_namespaces)
    for name in targets:
        if name not in before.privileged and name not in before.namespaces:
            yield ObjectChange(kind="Namespace", name=name, action="add")
    for name in targets:
        old, new = before.privileged.get(name), after.is_privileged(name)
        if old is not None and old != new:
            field = FieldChange(path="privileged", old=old, new=new)
            yield ObjectChange(kind="Namespace", name=name, action="change", fields=(field,))


def _differences(
    kind: Literal["Package", "PackageSource"],
    before: Mapping[str, Package] | Mapping[str, PackageSource],
    after: Mapping[str, Package] | Mapping[str, PackageSource],
) -> Iterator[ObjectChange]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None:
            yield ObjectChange(kind=kind, name=name, action="add")
        elif new is None:
            yield ObjectChange(kind=kind, name=name, action="remove")
        elif old is not new and old.spec != new.spec:
            fields = tuple(field_changes(_spec(old), _spec(new), ""))
            yield ObjectChange(kind=kind, name=name, action="change", fields=fields)


def _spec(obj: Package | PackageSource) -> dict[str, Any]:
    """The spec with its named lists as maps, so that a difference names the variant and the component."""
    spec: dict[str, Any] = msgspec.to_builtins(obj.spec)
    named: dict[str, Any] = _named(spec)
    return named


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and value and all(isinstance(item, dict) and "name" in item for item in value):
        found = {item["name"]: {key: _named(part) for key, part in item.items() if key != "name"} for item in value}
        return found if len(found) == len(value) else value
    return value


def _release_changes(before: Snapshot, after: Catalogue, charts: frozenset[str]) -> Iterator[ReleaseChange]:
    planned = {release.key: _Pending(plan, release) for plan in before.plans.values() for release in plan.releases}
    for name in sorted(after.packages):
        plan = after.plan(name)
        moved = {move.old: move for move in plan.moves if move.new != move.old}
        arrived = {move.new for move in moved.values()}
        old = before.plans.get(name)
        # Several may want one release: what a Package plans is compared with its own plan first.
        own = {(each.component, each.key): _Pending(old, each) for each in old.releases} if old is not None else {}
        leaving = {each.key: _held_back(old, each.waits_for, each.key) for each in old.removals} if old is not None else {}
        for release in plan.releases:
            if release.key not in arrived:
                pending = own.get((release.component, release.key)) or planned.get(release.key)
                yield from _wanted(after, plan, release, pending, charts)
        for removal in plan.removals:
            held = _held_back(plan, removal.waits_for, removal.key)
            if removal.key in leaving and bool(leaving[removal.key]) <= bool(held):
                continue
            move = moved.get(removal.key)
            yield ReleaseChange(
                namespace=removal.key.namespace,
                name=removal.key.name,
                package=name,
                action="move" if move is not None else "remove",
                component=move.component if move is not None else "",
                moves_to=str(move.new) if move is not None else "",
                destroys=_lost(after, removal.key, _MOVED if move is not None else ""),
                held_back=held,
            )
    for name, package in before.packages.items():
        there = after.package(name)
        if package.metadata.deletion_timestamp is None and (there is None or there.metadata.deletion_timestamp is not None):
            yield from _lost_with(after, name)


def _lost_with(view: Catalogue, package: str) -> Iterator[ReleaseChange]:
    """The releases that go with a Package."""
    for key in view.releases_of(package):
        existing = view.release(key)
        if existing is not None and owner_name(existing) == package:
            destroys = _lost(view, key, "")
            yield ReleaseChange(namespace=key.namespace, name=key.name, package=package, action="remove", destroys=destroys)


@dataclass(frozen=True, slots=True)
class _Pending:
    """What the operator was about to do about a release before, as part of ``plan``."""

    plan: PackagePlan
    release: ReleasePlan


def _wanted(
    after: Catalogue,
    plan: PackagePlan,
    release: ReleasePlan,
    before: _Pending | None,
    charts: frozenset[str],
) -> Iterator[ReleaseChange]:
    reference = release.desired.spec.chart_ref
    chart = reference is not None and reference.name in charts
    if release.waits_for == "conflict":
        # Somebody else has it; that is a problem and no change.
        return
    held = _held_back(plan, release.waits_for, release.key)
    pending = before.release if before is not None else None
    if before is not None and not held and _held_back(before.plan, before.release.waits_for, release.key):
        # It was wanted before as it is now, and nothing but this lets it come.
        pending = None
    if release.action == "create":
        if pending is None or pending.action != "create" or pending.desired.spec != release.desired.spec:
            yield ReleaseChange(
                namespace=release.key.namespace,
                name=release.key.name,
                package=plan.name,
                action="install",
                component=release.component,
                held_back=held,
            )
        return
    live = after.release(release.key)
    already = pending is not None and pending.desired.spec == release.desired.spec
    changed = release.action in ("update", "metadata") and not already
    if live is None or not (changed or chart):
        return
    # Flux leaves it as it is until somebody resumes it.
    held = held or ("Suspended" if live.spec.suspend else "")
    fields = tuple(_fields(pending.desired if pending is not None else live, release.desired)) if changed else ()
    helm = chart or any(field.path.startswith(("values", "chartRef", "valuesFrom")) for field in fields)
    if not fields and not chart:
        return
    yield ReleaseChange(
        namespace=release.key.namespace,
        name=release.key.name,
        package=plan.name,
        action="upgrade" if helm else "update",
        component=release.component,
        fields=fields,
        chart=chart,
        held_back=held,
    )


def _fields(old: HelmRelease, new: HelmRelease) -> Iterator[FieldChange]:
    before, after = msgspec.to_builtins(old.spec), msgspec.to_builtins(new.spec)
    if release_changes(new, old)[0] == "none":
        return
    for name in sorted(before.keys() | after.keys()):
        if name == "dependsOn":
            yield from _references(old, new)
        elif name in after or name in ("values", "valuesFrom", "healthCheckExprs", "waitStrategy"):
            yield from field_changes(before.get(name, UNSET), after.get(name, UNSET), name)


def _references(old: HelmRelease, new: HelmRelease) -> Iterator[FieldChange]:
    """The order of dependencies and who stands twice is no difference (D9)."""
    before = sorted({f"{ref.namespace}/{ref.name}" for ref in old.spec.depends_on})
    after = sorted({f"{ref.namespace}/{ref.name}" for ref in new.spec.depends_on})
    yield from field_changes(before, after, "dependsOn")


def _held_back(plan: PackagePlan, waits_for: Wait, release: Key) -> str:
    """Why the operator would not do something, however long one waits; empty where it only takes its time."""
    if waits_for in ("", "namespace", "values-secret"):
        return ""
    if waits_for == "dependencies":
        roots = (root_cause(problem) for problem in plan.problems if isinstance(problem, _GATE))
        return next((type(root).__name__ for root in roots if not is_of_state(root)), "")
    problems = [problem for problem in plan.problems if not is_of_state(problem)]
    nearest = [problem for problem in problems if problem.subject.name in (plan.name, release.name)] or problems
    return type(nearest[0]).__name__ if nearest else waits_for


_MOVED = "the release and its objects, and installs it anew"


def _lost(view: Catalogue, key: Key, otherwise: str) -> str:
    holds = view.release_data(key)
    if holds:
        return f"the release and {', '.join(holds)}"
    return otherwise or "the release and its objects"


def _structural(sources: Mapping[str, tuple[AnyProblem, ...]], packages: Mapping[str, PackagePlan]) -> list[AnyProblem]:
    """The problems of what the objects ask for, each once."""
    problems = [problem for name in sorted(sources) for problem in sources[name]]
    problems += [problem for name in sorted(packages) for problem in packages[name].problems]
    found = [problem for problem in problems if not is_of_state(problem)]
    return sorted(dict.fromkeys(found), key=lambda problem: (problem.subject, type(problem).__name__))


def _estimate(view: Catalogue, changes: Iterable[ReleaseChange], durations: Mapping[Key, float]) -> Estimate | None:
    working = {change.key for change in changes if change.action in ("install", "upgrade", "move")}
    if not working:
        return None
    edges: dict[Key, list[Key]] = {}
    for name in view.packages:
        for release in view.desired(name):
            if release.key in working:
                edges[release.key] = [Key(ref.namespace, ref.name) for ref in release.spec.depends_on]
    usual = statistics.median(durations.values()) if durations else 0.0
    seconds, path = graph.critical_path(edges, lambda key: durations.get(key, usual) + 1e-6)
    return Estimate(
        seconds=round(seconds, 1),
        known=sum(key in durations for key in path),
        total=len(path),
        path=tuple(str(key) for key in path),
    )


def measured_durations(releases: Iterable[HelmRelease]) -> dict[Key, float]:
    """How long Helm's last action on each release took, in seconds: from its start to the moment at which it was ready.

    Releases that are not ready, or whose condition is older than their last action (nothing changed by it), say nothing.
    """
    found = {}
    for release in releases:
        ready = next((each for each in release.status.conditions if each.type == "Ready"), None)
        newest = release.status.history[0] if release.status.history else None
        if ready is None or ready.status != "True" or newest is None or not newest.last_deployed:
            continue
        seconds = _seconds(ready.last_transition_time) - _seconds(newest.last_deployed)
        if seconds >= 0:
            found[release.key] = seconds
    return found


def _seconds(moment: str) -> float:
    return parse_time(moment).timestamp() if moment else 0.0


__all__ = [
    "Comparison",
    "Estimate",
    "FieldChange",
    "ObjectChange",
    "ReleaseChange",
    "assume_installed",
    "compare",
    "field_changes",
    "is_of_state",
    "measured_durations",
    "replace_objects",
]
