"""How a Package that is being deleted goes (D5): releases in reverse order of their live ``spec.dependsOn``.

A release goes when no other release of the Package waits for it. The Package itself waits for dependents that are going too,
and for no others. A loop is broken at its first name. A suspended release would leave its objects behind, so it is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key
from cozystack.planner import graph
from cozystack.planner.plan import RemovalPlan
from cozystack.planner.problems import SuspendedRelease, release_ref
from cozystack.planner.releases import owner_name

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue


def plan_removal(view: Catalogue, name: str) -> RemovalPlan:
    """What to remove next of Package ``name``; raises ``LookupError`` when there is none."""
    if view.package(name) is None:
        raise LookupError(f"there is no Package {name}")
    owned = _owned(view, name)
    waiting_for_packages = _going_dependents(view, name)
    if waiting_for_packages:
        return RemovalPlan(name=name, waiting_for_releases=tuple(sorted(owned)), waiting_for_packages=waiting_for_packages)
    going = {key for key, release in owned.items() if release.metadata.deletion_timestamp is not None}
    suspended = [key for key, release in sorted(owned.items()) if release.spec.suspend and key not in going]
    now = tuple(key for key in _last(owned) if key not in going and key not in suspended)
    return RemovalPlan(
        name=name,
        releases=now,
        waiting_for_releases=tuple(sorted(owned.keys() - set(now))),
        problems=tuple(SuspendedRelease(subject=release_ref(key.namespace, key.name), package=name) for key in suspended),
        done=not owned,
    )


def _owned(view: Catalogue, name: str) -> dict[Key, HelmRelease]:
    found = {key: view.release(key) for key in view.releases_of(name)}
    return {key: release for key, release in found.items() if release is not None and owner_name(release) == name}


def _last(owned: dict[Key, HelmRelease]) -> list[Key]:
    """The releases that no other waits for; of those that wait for each other, the first."""
    edges = {
        key: [Key(reference.namespace or key.namespace, reference.name) for reference in release.spec.depends_on]
        for key, release in owned.items()
    }
    dependents = graph.invert(edges)
    last = []
    for component in graph.strong_components(lambda key: [k for k in edges[key] if k in edges], sorted(owned)):
        if all(dependent in component for key in component for dependent in dependents.get(key, ())):
            last.append(min(component))
    return sorted(last)


def _going_dependents(view: Catalogue, name: str) -> tuple[str, ...]:
    """Dependents that are being deleted as well and come first; in a loop the first name goes first."""
    companions = view.companions(name)
    going = []
    for dependent in view.dependents(name):
        package = view.package(dependent)
        if dependent == name or package is None or package.metadata.deletion_timestamp is None:
            continue
        if dependent in companions and name == _first_to_go(view, companions):
            continue
        going.append(dependent)
    return tuple(sorted(going))


def _first_to_go(view: Catalogue, companions: frozenset[str]) -> str:
    leaving = (name for name in companions if (p := view.package(name)) is not None and p.metadata.deletion_timestamp)
    return min(leaving, default="")
