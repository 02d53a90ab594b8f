"""What a view said at one moment, kept while the view goes on.

Plans, selections and releases are values: an edit puts others in their place and changes none. So a snapshot copies tables and
nothing in them. With it one view serves both sides of a change: it is asked, edited, and asked again, and an edit costs what it
affects. Two views of the same platform would take twice the time and twice the memory for the same answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import HelmRelease
from cozystack.planner.catalogue import Affected, Catalogue
from cozystack.planner.plan import PackagePlan
from cozystack.planner.problems import AnyProblem, MissingSource, MissingVariant
from cozystack.planner.selection import Selection
from cozystack.planner.sources import own_problems


class Snapshot:
    """The answers of a view, of all its Packages and PackageSources. See there for what each question means."""

    def __init__(self, view: Catalogue) -> None:
        self.sources: Mapping[str, PackageSource] = dict(view.sources)
        self.packages: Mapping[str, Package] = dict(view.packages)
        self.plans: Mapping[str, PackagePlan] = {name: view.plan(name) for name in sorted(view.packages)}
        """By name, in order."""
        self.source_problems = _source_problems(view, view.sources)
        """What is wrong with each PackageSource by itself or beside others, whatever its charts are like just now."""
        self.privileged: Mapping[str, bool] = {name: view.is_privileged(name) for name in view.target_namespaces}
        """The namespaces that Packages install into."""
        self.namespaces = frozenset(view.namespaces)
        """The namespaces that exist."""
        self._selections = {name: view.selection(name) for name in view.packages}
        self._desired = {name: view.desired(name) for name in view.packages}
        self._dependencies = {name: view.dependencies(name) for name in view.packages}

    def selection(self, name: str) -> Selection | MissingSource | MissingVariant | None:
        return self._selections.get(name)

    def desired(self, name: str) -> tuple[HelmRelease, ...]:
        return self._desired.get(name, ())

    def dependencies(self, name: str) -> tuple[str, ...]:
        return self._dependencies.get(name, ())

    def source_problems_after(self, view: Catalogue, affected: Affected) -> Mapping[str, tuple[AnyProblem, ...]]:
        """``source_problems`` of the same view after edits that affected no more than ``affected``."""
        same = {
            name: found for name, found in self.source_problems.items() if name in view.sources and name not in affected.sources
        }
        return {**same, **_source_problems(view, affected.sources & view.sources.keys())}


def _source_problems(view: Catalogue, names: Iterable[str]) -> dict[str, tuple[AnyProblem, ...]]:
    return dict(_found(view, names))


def _found(view: Catalogue, names: Iterable[str]) -> Iterator[tuple[str, tuple[AnyProblem, ...]]]:
    for name in names:
        problems = own_problems(view, name)
        if problems:
            yield name, problems
