"""The plan of the whole platform: all plans together, the order in which they can go, and what that order costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from cozystack.api.meta import Key
from cozystack.planner import graph
from cozystack.planner.namespaces import plan_namespace
from cozystack.planner.plan import NamespacePlan, PackagePlan, SourcePlan
from cozystack.planner.sources import plan_source

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    sources: int
    packages: int
    releases: int
    settled: int
    creates: int
    updates: int
    removals: int
    moves: int
    held: int
    blocking: int
    warnings: int


class CriticalPath(msgspec.Struct, frozen=True, kw_only=True):
    """The chain of releases that decides how long everything takes, in the unit of the durations that were given."""

    duration: float
    releases: tuple[Key, ...]


class PlatformPlan(msgspec.Struct, frozen=True, kw_only=True):
    """``waves``: Packages by the step at which they can go; members of cycles, and those who wait for them, are in none."""

    sources: dict[str, SourcePlan]
    packages: dict[str, PackagePlan]
    namespaces: dict[str, NamespacePlan]
    waves: tuple[tuple[str, ...], ...]
    cycles: tuple[tuple[str, ...], ...]
    critical_path: CriticalPath
    summary: Summary


def plan_package(view: Catalogue, name: str) -> PackagePlan:
    """Everything about Package ``name``; raises ``LookupError`` when there is none."""
    return view.plan(name)


def plan_platform(view: Catalogue, durations: Mapping[Key, float] | None = None) -> PlatformPlan:
    """All plans, and the graph; ``durations`` of releases (any unit), 1 for those that it does not name."""
    sources = {name: plan_source(view, name) for name in sorted(view.sources)}
    packages = {name: view.plan(name) for name in sorted(view.packages)}
    namespaces = {name: plan_namespace(view, name) for name in sorted(view.target_namespaces)}
    known = durations or {}
    duration, path = graph.critical_path(_release_graph(packages), lambda key: known.get(key, 1.0))
    return PlatformPlan(
        sources=sources,
        packages=packages,
        namespaces=namespaces,
        waves=graph.waves({name: view.dependencies(name) for name in packages}),
        cycles=view.loops(),
        critical_path=CriticalPath(duration=duration, releases=path),
        summary=_summary(sources, packages),
    )


def _release_graph(packages: Mapping[str, PackagePlan]) -> dict[Key, list[Key]]:
    return {
        release.key: [Key(reference.namespace, reference.name) for reference in release.desired.spec.depends_on]
        for plan in packages.values()
        for release in plan.releases
        if release.waits_for != "conflict"
    }


def _summary(sources: Mapping[str, SourcePlan], packages: Mapping[str, PackagePlan]) -> Summary:
    releases = [release for plan in packages.values() for release in plan.releases]
    problems = [problem for source in sources.values() for problem in source.problems]
    problems += (problem for package in packages.values() for problem in package.problems)
    blocking = sum(problem.severity == "blocking" for problem in problems)
    return Summary(
        sources=len(sources),
        packages=len(packages),
        releases=len(releases),
        settled=sum(plan.settled for plan in packages.values()),
        creates=sum(release.action == "create" for release in releases),
        updates=sum(release.action == "update" for release in releases),
        removals=sum(len(plan.removals) for plan in packages.values()),
        moves=sum(len(plan.moves) for plan in packages.values()),
        held=sum(bool(release.waits_for) for release in releases),
        blocking=blocking,
        warnings=len(problems) - blocking,
    )
