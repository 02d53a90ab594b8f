"""The view that plans are computed from: all objects that matter, indexed so that no question walks them.

An edit replaces one object, updates the indexes by what the old and the new one contribute, and re-evaluates the Packages that
look at it. As long as the state of a Package changes by that, those who depend on it are looked at too; ranks keep this in
order, so that hardly anything is evaluated twice. What was evaluated is what has to be planned again: that set is returned,
and is the fan-out of an event. Objects that were passed in must not be changed afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from typing import TypeAlias, TypeVar

import msgspec

from cozystack.api import names
from cozystack.api.core import Namespace
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import Artifact, ArtifactGenerator, ExternalArtifact, GitRepository, HelmRelease, OCIRepository
from cozystack.api.meta import Key
from cozystack.planner.artifacts import artifact_claims
from cozystack.planner.dependencies import DependencyGraph
from cozystack.planner.index import Relation
from cozystack.planner.namespaces import decide
from cozystack.planner.packages import ABSENT, PackageState, evaluate
from cozystack.planner.plan import NamespacePlan, PackagePlan
from cozystack.planner.problems import MissingSource, MissingVariant
from cozystack.planner.readiness import awaits_dependencies, flux_ready
from cozystack.planner.releases import desired_release, owner_name
from cozystack.planner.selection import Selection, select
from cozystack.planner.settings import Settings

K = TypeVar("K")
V = TypeVar("V")

Repository: TypeAlias = OCIRepository | GitRepository
_RepositoryKey: TypeAlias = tuple[str, str, str]


class Affected(msgspec.Struct, frozen=True, gc=False):
    """What has to be planned again."""

    sources: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()

    def __or__(self, other: Affected) -> Affected:
        return Affected(self.sources | other.sources, self.packages | other.packages, self.namespaces | other.namespaces)

    def __bool__(self) -> bool:
        return bool(self.sources or self.packages or self.namespaces)


class _Footprint(msgspec.Struct, frozen=True, gc=False):
    """What a Package contributes to the indexes."""

    depends_on: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    artifacts: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    privileged: tuple[str, ...] = ()


_NOTHING = _Footprint()


class Catalogue:
    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._sources: dict[str, PackageSource] = {}
        self._packages: dict[str, Package] = {}
        self._releases: dict[Key, HelmRelease] = {}
        self._generators: dict[str, ArtifactGenerator] = {}
        self._artifacts: dict[str, ExternalArtifact] = {}
        self._repositories: dict[_RepositoryKey, Repository] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._secrets: dict[str, bool] = {}
        self._data: dict[Key, tuple[str, ...]] = {}

        self._selections: dict[str, Selection | MissingSource | MissingVariant] = {}
        self._footprints: dict[str, _Footprint] = {}
        self._desired: dict[str, tuple[HelmRelease, ...]] = {}
        self._states: dict[str, PackageState] = {}
        self._plans: dict[str, PackagePlan] = {}
        self._graph = DependencyGraph()

        self._installs: Relation[str, str] = Relation()
        self._claims: Relation[Key, str] = Relation()
        self._artifact_users: Relation[str, str] = Relation()
        self._artifact_makers: Relation[str, str] = Relation()
        self._made: dict[str, dict[str, tuple[str, ...]]] = {}
        self._repository_users: Relation[_RepositoryKey, str] = Relation()
        self._owned: Relation[str, Key] = Relation()
        self._chart_users: Relation[str, Key] = Relation()
        self._waiters: Relation[Key, Key] = Relation()
        self._privileged: Relation[str, Key] = Relation()
        self._privileged_wishes: Relation[str, str] = Relation()
        self._namespace_plans: dict[str, NamespacePlan] = {}

        self._dirty_sources: set[str] = set()
        self._dirty_packages: set[str] = set()
        self._dirty_namespaces: set[str] = set()
        self._batch = False

    # Questions about single objects

    def source(self, name: str) -> PackageSource | None:
        return self._sources.get(name)

    def package(self, name: str) -> Package | None:
        return self._packages.get(name)

    def release(self, key: Key) -> HelmRelease | None:
        return self._releases.get(key)

    def generator(self, name: str) -> ArtifactGenerator | None:
        return self._generators.get(name)

    def artifact(self, name: str) -> Artifact | None:
        """What the ExternalArtifact of that name holds now."""
        found = self._artifacts.get(name)
        return found.status.artifact if found is not None else None

    def repository(self, kind: str, namespace: str, name: str) -> Repository | None:
        return self._repositories.get((kind, namespace, name))

    @property
    def knows_repositories(self) -> bool:
        """Whether an absent repository means anything."""
        return bool(self._repositories)

    def namespace(self, name: str) -> Namespace | None:
        return self._namespaces.get(name)

    def has_values_secret(self, namespace: str) -> bool:
        return namespace in self._secrets

    def lacks_values_key(self, namespace: str) -> bool:
        """Whether the values Secret is there without the key that releases read."""
        return self._secrets.get(namespace) is False

    def release_data(self, key: Key) -> tuple[str, ...] | None:
        """What would be lost with a release; ``None`` when nobody has looked."""
        return self._data.get(key)

    @property
    def sources(self) -> Mapping[str, PackageSource]:
        return self._sources

    @property
    def packages(self) -> Mapping[str, Package]:
        return self._packages

    @property
    def releases(self) -> Mapping[Key, HelmRelease]:
        return self._releases

    @property
    def namespaces(self) -> Mapping[str, Namespace]:
        return self._namespaces

    @property
    def target_namespaces(self) -> Iterable[str]:
        """The namespaces that Packages install into."""
        return self._installs

    # Questions about relations

    def selection(self, name: str) -> Selection | MissingSource | MissingVariant | None:
        """What Package ``name`` selects; ``None`` when there is no such Package."""
        return self._selections.get(name)

    def desired(self, name: str) -> tuple[HelmRelease, ...]:
        """The releases of Package ``name`` as they should be, in the order of its components."""
        found = self._desired.get(name)
        if found is None:
            found = self._desired[name] = self._desire(name)
        return found

    def state(self, name: str) -> PackageState:
        return self._states.get(name, ABSENT)

    def dependencies(self, name: str) -> tuple[str, ...]:
        return self._graph.dependencies(name)

    def dependents(self, name: str) -> frozenset[str] | set[str]:
        """The Packages that depend on ``name``, whether it exists or not."""
        return self._graph.dependents(name)

    def loop(self, name: str) -> tuple[str, ...]:
        return self._graph.loop(name)

    def companions(self, name: str) -> frozenset[str]:
        """All that wait for ``name`` while it waits for them."""
        return self._graph.companions(name)

    def loops(self) -> tuple[tuple[str, ...], ...]:
        """The members of each set of Packages that wait for each other."""
        return tuple(sorted(tuple(sorted(component)) for component in self._graph.components))

    def installs_into(self, namespace: str) -> frozenset[str] | set[str]:
        """The Packages that install into a namespace."""
        return self._installs[namespace]

    def is_privileged(self, namespace: str) -> bool:
        """Whether a Package wants a privileged release in a namespace, or one is still there."""
        return bool(self._privileged_wishes[namespace] or self._privileged[namespace])

    def namespace_plan(self, name: str) -> NamespacePlan:
        """What is decided about a namespace, its problems left out (``plan_namespace`` has them)."""
        return self._namespace_plans.get(name) or decide(self, name)

    def releases_of(self, package: str) -> frozenset[Key] | set[Key]:
        """The releases that carry the label of a Package or are owned by it."""
        return self._owned[package]

    def claimants(self, key: Key) -> frozenset[str] | set[str]:
        """The Packages that want a release of that name."""
        return self._claims[key]

    def claimed_by(self, key: Key) -> str:
        """The one that gets it: whoever has it, else the first by name; empty when nobody wants it."""
        claimants = self._claims[key]
        live = self._releases.get(key)
        if live is not None and owner_name(live) in claimants:
            return owner_name(live)
        return min(claimants, default="")

    def claims(self, key: Key) -> tuple[str, ...]:
        """Who wants a release, as package/component, the one that gets it first."""
        first = self.claimed_by(key)
        found = []
        for name in sorted(self._claims[key], key=lambda name: (name != first, name)):
            selection = self._selections[name]
            if isinstance(selection, Selection):
                found += [f"{name}/{installed.component.name}" for installed in selection.installs if installed.key == key]
        return tuple(found)

    def artifacts_of(self, source: str) -> Mapping[str, tuple[str, ...]]:
        """The artifacts that a PackageSource wants to make, each with the source/variant/component that do."""
        return self._made.get(source, {})

    def artifact_claimants(self, artifact: str) -> frozenset[str] | set[str]:
        """The PackageSources that make an artifact of that name."""
        return self._artifact_makers[artifact]

    def artifact_maker(self, artifact: str) -> str:
        """The one that may: whoever makes it now, else the first by name; empty when nobody does."""
        makers = self._artifact_makers[artifact]
        if len(makers) > 1:
            live = self._artifacts.get(artifact)
            owner = live.spec.source_ref.name if live is not None and live.spec.source_ref is not None else ""
            if owner in makers:
                return owner
        return min(makers, default="")

    def artifact_claims(self, artifact: str) -> tuple[str, ...]:
        """Who makes an artifact, as source/variant/component, the one that may first."""
        first = self.artifact_maker(artifact)
        makers = sorted(self._artifact_makers[artifact], key=lambda name: (name != first, name))
        return tuple(claim for name in makers for claim in self._made[name][artifact])

    def sources_using(self, kind: str, namespace: str, name: str) -> frozenset[str] | set[str]:
        """The PackageSources whose charts come from an OCIRepository or GitRepository."""
        return self._repository_users[kind, namespace, name]

    def plan(self, name: str) -> PackagePlan:
        """The plan of Package ``name``; raises ``LookupError`` when there is none."""
        if name in self._dirty_packages and not self._batch:
            self._settle()
        if name not in self._plans:
            raise LookupError(f"there is no Package {name}")
        return self._plans[name]

    # Edits

    @contextmanager
    def batch(self, only: Collection[str] | None = None) -> Iterator[list[Affected]]:
        """Many edits, evaluated once at the end; the list then holds what they affect together, in one entry.

        With ``only``, no other Packages are evaluated than these, for whoever knows that no more will be asked for. The rest
        is when a plan of it is asked for after all, or with the next edit outside such a batch.
        """
        result: list[Affected] = []
        self._batch = True
        try:
            yield result
        finally:
            self._batch = False
            self._dirty_packages |= self._graph.rebuild()
            result.append(self._settle(only))

    def set_source(self, source: PackageSource) -> Affected:
        return self._replace_source(source.metadata.name, source)

    def remove_source(self, name: str) -> Affected:
        return self._replace_source(name, None)

    def set_package(self, package: Package) -> Affected:
        return self._replace_package(package.metadata.name, package)

    def remove_package(self, name: str) -> Affected:
        return self._replace_package(name, None)

    def set_release(self, release: HelmRelease) -> Affected:
        return self._replace_release(release.key, release)

    def remove_release(self, key: Key) -> Affected:
        return self._replace_release(key, None)

    def set_generator(self, generator: ArtifactGenerator) -> Affected:
        return self._replace_generator(generator.key, generator)

    def remove_generator(self, name: str) -> Affected:
        return self._replace_generator(Key(names.SYSTEM_NAMESPACE, name), None)

    def set_artifact(self, artifact: ExternalArtifact) -> Affected:
        return self._replace_artifact(artifact.key, artifact)

    def remove_artifact(self, name: str) -> Affected:
        return self._replace_artifact(Key(names.SYSTEM_NAMESPACE, name), None)

    def set_repository(self, repository: Repository) -> Affected:
        kind = "OCIRepository" if isinstance(repository, OCIRepository) else "GitRepository"
        return self._replace_repository((kind, repository.metadata.namespace, repository.metadata.name), repository)

    def remove_repository(self, kind: str, key: Key) -> Affected:
        return self._replace_repository((kind, key.namespace, key.name), None)

    def set_namespace(self, namespace: Namespace) -> Affected:
        return self._replace_namespace(namespace.metadata.name, namespace)

    def remove_namespace(self, name: str) -> Affected:
        return self._replace_namespace(name, None)

    def set_values_secret(self, namespace: str, *, has_key: bool = True) -> Affected:
        """The values Secret is in ``namespace``, with the key that releases read or without."""
        if self._secrets.get(namespace) is has_key:
            return self._settle()
        self._secrets[namespace] = has_key
        return self._touch_values(namespace)

    def remove_values_secret(self, namespace: str) -> Affected:
        if namespace not in self._secrets:
            return self._settle()
        del self._secrets[namespace]
        return self._touch_values(namespace)

    def set_release_data(self, key: Key, holds: Iterable[str] | None) -> Affected:
        """What would be lost with a release; ``None`` forgets it."""
        if holds is None:
            self._data.pop(key, None)
        else:
            self._data[key] = tuple(holds)
        self._dirty_packages |= self._owners(key)
        return self._settle()

    def put(self, value: object) -> Affected:
        """Any object that the planner knows, by its type; raises ``TypeError`` for others."""
        match value:
            case PackageSource():
                return self.set_source(value)
            case Package():
                return self.set_package(value)
            case HelmRelease():
                return self.set_release(value)
            case ArtifactGenerator():
                return self.set_generator(value)
            case ExternalArtifact():
                return self.set_artifact(value)
            case OCIRepository() | GitRepository():
                return self.set_repository(value)
            case Namespace():
                return self.set_namespace(value)
            case _:
                raise TypeError(f"the planner does not know {type(value).__name__}")

    # Replacing one object

    def _replace_source(self, name: str, source: PackageSource | None) -> Affected:
        old = _put(self._sources, name, source)
        before = self._made.get(name, {})
        after = artifact_claims(source) if source is not None else {}
        if before != after:
            for artifact in before.keys() | after.keys():
                self._touch_makers(artifact)
            self._artifact_makers.replace(name, before, after)
            _put(self._made, name, after or None)
            for artifact in before.keys() | after.keys():
                self._touch_makers(artifact)
        self._repository_users.replace(name, _repository_keys(old), _repository_keys(source))
        self._dirty_sources.add(name)
        if (old is None) != (source is None):
            self._dirty_packages |= self._graph.dependents(name)
        self._select(name)
        return self._settle()

    def _replace_package(self, name: str, package: Package | None) -> Affected:
        was_going = self._is_going(name)
        old = _put(self._packages, name, package)
        if package is None or was_going != self._is_going(name):
            # What it depends on, and is on its way out as well, waits for it now, or does no more.
            self._dirty_packages.update(each for each in self.dependencies(name) if self._is_going(each))
        if old is None or package is None or not _same_wish(old, package):
            self._select(name)
        if (old is None) != (package is None):
            self._dirty_packages |= self._graph.dependents(name)
        self._dirty_packages.add(name)
        return self._settle()

    def _is_going(self, name: str) -> bool:
        package = self._packages.get(name)
        return package is not None and package.metadata.deletion_timestamp is not None

    def _replace_release(self, key: Key, release: HelmRelease | None) -> Affected:
        old = self._releases.get(key)
        self._dirty_packages |= self._owners(key)
        _put(self._releases, key, release)
        self._owned.replace(key, _owners(old), _owners(release))
        self._dirty_packages |= self._owners(key)
        self._chart_users.replace(key, _charts(old), _charts(release))
        self._waiters.replace(key, _references(old), _references(release))
        was_privileged, privileged = _is_privileged(old), _is_privileged(release)
        if was_privileged != privileged:
            self._privileged.replace(key, [key.namespace] * was_privileged, [key.namespace] * privileged)
            self._dirty_namespaces.add(key.namespace)
        if (old is not None and flux_ready(old)) != (release is not None and flux_ready(release)):
            for waiter in self._waiters[key]:
                if awaits_dependencies(self._releases[waiter]):
                    self._dirty_packages |= self._owners(waiter)
        if release is None:
            self._data.pop(key, None)
        return self._settle()

    def _replace_generator(self, key: Key, generator: ArtifactGenerator | None) -> Affected:
        if key.namespace == names.SYSTEM_NAMESPACE:
            _put(self._generators, key.name, generator)
            self._dirty_sources.add(key.name)
            self._dirty_packages.add(key.name)
        return self._settle()

    def _replace_artifact(self, key: Key, artifact: ExternalArtifact | None) -> Affected:
        if key.namespace == names.SYSTEM_NAMESPACE:
            self._touch_makers(key.name)
            _put(self._artifacts, key.name, artifact)
            self._touch_makers(key.name)
            self._dirty_packages |= self._artifact_users[key.name]
            for user in self._chart_users[key.name]:
                self._dirty_packages |= self._owners(user)
        return self._settle()

    def _replace_repository(self, key: _RepositoryKey, repository: Repository | None) -> Affected:
        known = self.knows_repositories
        _put(self._repositories, key, repository)
        users: Iterable[str] = self._repository_users[key] if known == self.knows_repositories else self._sources
        self._dirty_sources.update(users)
        self._dirty_packages.update(users)
        return self._settle()

    def _replace_namespace(self, name: str, namespace: Namespace | None) -> Affected:
        _put(self._namespaces, name, namespace)
        self._dirty_namespaces.add(name)
        return self._settle()

    # What looks at what

    def _touch_values(self, namespace: str) -> Affected:
        self._dirty_packages |= self._installs[namespace]
        if namespace == self.settings.values_namespace:
            for name in self._installs:
                if name not in self._secrets:
                    self._dirty_packages |= self._installs[name]
        return self._settle()

    def _touch_makers(self, artifact: str) -> None:
        makers = self._artifact_makers[artifact]
        if len(makers) > 1:
            self._dirty_sources |= makers
            self._dirty_packages |= makers

    def _owners(self, key: Key) -> set[str]:
        """The Packages whose plans look at a release."""
        return {*self._claims[key], *_owners(self._releases.get(key))}

    def _select(self, name: str) -> None:
        """Find out again what Package ``name`` selects, and bring the indexes up to it."""
        package = self._packages.get(name)
        selection = select(package, self._sources.get(name)) if package is not None else None
        _put(self._selections, name, selection)
        old = self._footprints.get(name, _NOTHING)
        new = _footprint(selection, package)
        self._desired.pop(name, None)
        self._dirty_packages.add(name)
        for key in {*old.keys, *new.keys}:
            if len(self._claims[key]) > 1:
                self._dirty_packages |= self._claims[key]
        if old == new:
            return
        _put(self._footprints, name, new if new is not _NOTHING else None)
        if old.depends_on != new.depends_on:
            if self._batch:
                self._graph.connect(name, new.depends_on)
            else:
                self._dirty_packages |= self._graph.replace(name, new.depends_on)
        if old.keys != new.keys:
            for key in {*old.keys} ^ {*new.keys}:
                self._dirty_packages |= self._owners(key)
            self._claims.replace(name, old.keys, new.keys)
            for dependent in self._graph.dependents(name):
                self._desired.pop(dependent, None)
                self._dirty_packages.add(dependent)
        self._artifact_users.replace(name, old.artifacts, new.artifacts)
        self._dirty_namespaces |= {*old.namespaces} | {*new.namespaces}
        self._installs.replace(name, old.namespaces, new.namespaces)
        self._privileged_wishes.replace(name, old.privileged, new.privileged)

    def _desire(self, name: str) -> tuple[HelmRelease, ...]:
        package, selection = self._packages.get(name), self._selections.get(name)
        if package is None or not isinstance(selection, Selection):
            return ()
        foreign: list[Key] = []
        for dependency in selection.depends_on:
            if dependency != name:
                foreign += self._footprints.get(dependency, _NOTHING).keys
        return tuple(desired_release(package, selection, installed, foreign, self.settings) for installed in selection.installs)

    # Evaluation

    def _settle(self, only: Collection[str] | None = None) -> Affected:
        """Evaluate what is dirty, in the order of dependencies, and whatever looks at a state that has changed by that."""
        if self._batch:
            return Affected()
        for namespace in self._dirty_namespaces:
            if only is None:
                self._decide(namespace)
            else:
                # It is decided when somebody looks, and stays to be done.
                self._namespace_plans.pop(namespace, None)
                self._dirty_packages |= self._installs[namespace]
        graph = self._graph
        dirty, self._dirty_packages = self._dirty_packages, set()
        waiting = {name for name in dirty if name in self._packages or name in self._states}
        if only is not None:
            self._dirty_packages.update(waiting.difference(only))
            waiting.intersection_update(only)
        heap = [(graph.rank(name), name) for name in waiting]
        heapify(heap)
        evaluated = set()
        while heap:
            _, name = heappop(heap)
            if name not in waiting:
                continue
            waiting.discard(name)
            evaluated.add(name)
            if self._evaluate(name):
                for dependent in graph.dependents(name):
                    if only is not None and dependent not in only:
                        self._dirty_packages.add(dependent)
                    elif dependent not in waiting:
                        waiting.add(dependent)
                        heappush(heap, (graph.rank(dependent), dependent))
        affected = Affected(frozenset(self._dirty_sources), frozenset(evaluated), frozenset(self._dirty_namespaces))
        self._dirty_sources.clear()
        if only is None:
            self._dirty_namespaces.clear()
        return affected

    def _decide(self, namespace: str) -> None:
        """Plan a namespace; when that has changed, all that install into it have to look again."""
        plan = decide(self, namespace)
        if plan != self._namespace_plans.get(namespace):
            self._dirty_packages |= self._installs[namespace]
        _put(self._namespace_plans, namespace, plan if namespace in self._namespaces or self._installs[namespace] else None)

    def _evaluate(self, name: str) -> bool:
        """Plan Package ``name``; whether its state has changed."""
        old = self._states.get(name)
        package = self._packages.get(name)
        if package is None:
            self._plans.pop(name, None)
            self._states.pop(name, None)
            return old is not None
        self._plans[name], state = evaluate(self, package)
        self._states[name] = state
        return state != old


def _put(table: dict[K, V], key: K, value: V | None) -> V | None:
    """Set ``key``, or forget it for ``None``; returns what was there."""
    old = table.get(key)
    if value is not None:
        table[key] = value
    elif old is not None:
        del table[key]
    return old


def _footprint(selection: Selection | MissingSource | MissingVariant | None, package: Package | None) -> _Footprint:
    if not isinstance(selection, Selection) or package is None:
        return _NOTHING
    going = selection.installs if selection.valid and package.metadata.deletion_timestamp is None else ()
    return _Footprint(
        depends_on=selection.depends_on,
        keys=tuple(installed.key for installed in selection.installs if installed.key.namespace),
        artifacts=tuple(installed.artifact for installed in selection.installs),
        namespaces=tuple(dict.fromkeys(installed.key.namespace for installed in going)),
        privileged=tuple(dict.fromkeys(installed.key.namespace for installed in going if installed.install.privileged)),
    )


def _same_wish(old: Package, new: Package) -> bool:
    """Whether two versions of a Package differ in nothing but labels, annotations and status."""
    return (
        old.metadata.uid == new.metadata.uid
        and (old.metadata.deletion_timestamp is None) == (new.metadata.deletion_timestamp is None)
        and old.spec == new.spec
    )


def _owners(release: HelmRelease | None) -> set[str]:
    """The Packages that a release is labelled for or owned by."""
    if release is None:
        return set()
    return {release.metadata.labels.get(names.PACKAGE_LABEL, ""), owner_name(release)} - {""}


def _references(release: HelmRelease | None) -> Iterator[Key]:
    """The releases that a live release waits for."""
    if release is not None:
        for reference in release.spec.depends_on:
            yield Key(reference.namespace or release.metadata.namespace, reference.name)


def _charts(release: HelmRelease | None) -> list[str]:
    return [release.spec.chart_ref.name] if release is not None and release.spec.chart_ref is not None else []


def _is_privileged(release: HelmRelease | None) -> bool:
    return release is not None and release.metadata.labels.get(names.PRIVILEGED_LABEL) == "true"


def _repository_keys(source: PackageSource | None) -> list[_RepositoryKey]:
    ref = source.spec.source_ref if source is not None else None
    return [(ref.kind, ref.namespace, ref.name)] if ref is not None else []
