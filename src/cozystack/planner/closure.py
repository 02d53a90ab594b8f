"""What has to be installed for Packages to run, and what cannot stay when Packages go.

``closure`` starts from the Packages that are asked for, chooses a variant for each, and follows what that variant depends on;
what is installed keeps its variant, and what it ignores is not followed. ``plan_deletion`` goes the other way, over what is
installed: whoever needs what goes has to go before it. Neither asks for anything that the view does not hold, and both give
the same answer for the same view: what depends on nothing of the rest comes first, ties by name, roots as they were given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from cozystack.api import names
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.meta import find_condition
from cozystack.planner import graph
from cozystack.planner.selection import find_variant
from cozystack.planner.sentences import similar

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue

INSTALLED_AS_ANNOTATION = f"{names.OWN_PREFIX}installed-as"
"""``dependency`` on a Package that nobody asked for: it may go when nothing needs it any more."""
AS_DEPENDENCY = "dependency"

Why: TypeAlias = Literal["asked", "only", "default", "first", "installed", ""]
"""Why a variant was chosen; empty when none could be."""

Kind: TypeAlias = Literal["missing-source", "missing-variant", "undecided", "cycle", "terminating", "wrong-variant", "failed",
                          "source-not-ready", "orphaned"]  # fmt: skip

_WARNINGS = frozenset({"failed", "source-not-ready", "orphaned"})


class Obstacle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands in the way of a closure, or (``blocking`` false) should be known of it."""

    kind: Kind
    package: str
    required_by: str = ""
    variant: str = ""
    names: tuple[str, ...] = ()
    text: str = ""

    @property
    def blocking(self) -> bool:
        return self.kind not in _WARNINGS

    @property
    def sentence(self) -> str:
        because = f" (required by {self.required_by})" if self.required_by else ""
        match self.kind:
            case "missing-source":
                hint = f"; is it {' or '.join(self.names)}?" if self.names else ""
                return f"there is no PackageSource {self.package}{because}{hint}"
            case "missing-variant":
                known = ", ".join(self.names) or "none"
                return f"{self.package} has no variant {self.variant}{because}; it has {known}"
            case "undecided":
                which = ", ".join(self.names)
                return f"{self.package} has several variants{because}, none of them called default: {which}"
            case "cycle":
                return f"Packages need each other: {' → '.join((*self.names, self.names[0]))}"
            case "terminating":
                return f"Package {self.package} is being deleted{because}"
            case "wrong-variant":
                return f"Package {self.package} is installed with variant {self.names[0]}, not {self.variant}"
            case "failed":
                return f"Package {self.package} is installed but not ready{because}: {self.text}"
            case "source-not-ready":
                return f"PackageSource {self.package} is not ready{because}: {self.text}"
            case "orphaned":
                return f"Package {self.package} is installed{because}, but its PackageSource is gone"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One Package of a closure; ``installed``: it is there already. ``required_by``: those in the closure that need it."""

    name: str
    variant: str
    why: Why
    installed: bool = False
    asked: bool = False
    depends_on: tuple[str, ...] = ()
    required_by: tuple[str, ...] = ()


class Closure(msgspec.Struct, frozen=True, kw_only=True):
    """``steps`` in an order in which everything comes after what it depends on."""

    steps: tuple[Step, ...]
    obstacles: tuple[Obstacle, ...]

    @property
    def additions(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if not step.installed)

    @property
    def blocking(self) -> tuple[Obstacle, ...]:
        return tuple(obstacle for obstacle in self.obstacles if obstacle.blocking)

    @property
    def undecided(self) -> str:
        """The first Package whose variant somebody has to choose."""
        return next((obstacle.package for obstacle in self.obstacles if obstacle.kind == "undecided"), "")


def closure(
    view: Catalogue,
    roots: Iterable[str],
    variants: Mapping[str, str],
    *,
    given: Mapping[str, Package] | None = None,
    all_variants: bool = False,
    no_deps: bool = False,
    update: bool = False,
    take_first: bool = False,
) -> Closure:
    """All that ``roots`` need, those included.

    ``variants`` are those that were asked for by name; ``given`` are whole Packages, with variant and ignored dependencies of
    their own. ``update`` lets both change what is installed. ``take_first``: where several variants are there and none is
    called default, the first is meant. ``all_variants`` follows the dependencies of every variant (as the original does,
    cozypkg-A1), ``no_deps`` follows none.
    """
    return _Closure(view, variants, given or {}, all_variants, no_deps, update, take_first).result(list(dict.fromkeys(roots)))


class _Closure:
    def __init__(
        self,
        view: Catalogue,
        variants: Mapping[str, str],
        given: Mapping[str, Package],
        all_variants: bool,
        no_deps: bool,
        update: bool,
        take_first: bool,
    ) -> None:
        self.view = view
        self.variants = {**{name: package.variant for name, package in given.items()}, **variants}
        self.given = given
        self.all_variants = all_variants
        self.no_deps = no_deps
        self.update = update
        self.take_first = take_first
        self.obstacles: list[Obstacle] = []
        self.chosen: dict[str, tuple[str, Why]] = {}
        self.edges: dict[str, tuple[str, ...]] = {}
        self.first_requester: dict[str, str] = {}

    def result(self, roots: list[str]) -> Closure:
        for root in roots:
            self.first_requester.setdefault(root, "")
        waiting = list(roots)
        for name in waiting:
            if name in self.chosen:
                continue
            self._choose(name)
            self.edges[name] = () if self.no_deps else self._dependencies(name)
            for dependency in self.edges[name]:
                if dependency not in self.first_requester:
                    self.first_requester[dependency] = name
                    waiting.append(dependency)
        order: list[str] = []
        for component in graph.strong_components(lambda name: sorted(self.edges[name]), roots):
            order += sorted(component)
            if len(component) > 1 or component[0] in self.edges[component[0]]:
                loop = graph.loops(lambda name: self.edges[name], component)[min(component)]
                self.obstacles.append(Obstacle(kind="cycle", package=loop[0], names=loop))
        requesters = graph.invert(self.edges)
        rank = {name: position for position, name in enumerate(order)}
        steps = (self._step(name, requesters.get(name, ()), name in roots) for name in order)
        return Closure(
            steps=tuple(steps),
            obstacles=tuple(sorted(self.obstacles, key=lambda o: (not o.blocking, rank.get(o.package, 0)))),
        )

    def _step(self, name: str, requesters: Iterable[str], asked: bool) -> Step:
        variant, why = self.chosen[name]
        return Step(
            name=name,
            variant=variant,
            why=why,
            installed=self.view.package(name) is not None,
            asked=asked,
            depends_on=self.edges[name],
            required_by=tuple(sorted(requester for requester in requesters if requester != name)),
        )

    def _choose(self, name: str) -> None:
        self.chosen[name] = self._variant(name)

    def _variant(self, name: str) -> tuple[str, Why]:
        package, source = self.view.package(name), self.view.source(name)
        asked = self.variants.get(name, "")
        if package is not None:
            self._look_at_installed(package, source)
            if not asked or asked == package.variant:
                return package.variant, "installed"
            if not self.update:
                self._hinders("wrong-variant", name, variant=asked, names=(package.variant,))
                return package.variant, "installed"
        if source is None:
            if package is None:
                self._hinders("missing-source", name, names=similar(name, self.view.sources))
            return asked, "asked" if asked else ""
        self._look_at_source(source)
        known = tuple(dict.fromkeys(variant.name for variant in source.spec.variants))
        if asked:
            if asked not in known:
                self._hinders("missing-variant", name, variant=asked, names=known)
            return asked, "asked"
        if not known:
            self._hinders("missing-variant", name, variant=names.DEFAULT_VARIANT)
            return "", ""
        if len(known) == 1:
            return known[0], "only"
        if names.DEFAULT_VARIANT in known:
            return names.DEFAULT_VARIANT, "default"
        if self.take_first:
            return known[0], "first"
        self._hinders("undecided", name, names=known)
        return "", ""

    def _look_at_installed(self, package: Package, source: PackageSource | None) -> None:
        name = package.metadata.name
        if package.metadata.deletion_timestamp is not None:
            self._hinders("terminating", name)
            return
        if source is None:
            self._hinders("orphaned", name)
        ready = find_condition(package.status.conditions, "Ready")
        if ready is not None and ready.status == "False":
            self._hinders("failed", name, text=ready.message or ready.reason)

    def _look_at_source(self, source: PackageSource) -> None:
        ready = find_condition(source.status.conditions, "Ready")
        if ready is not None and ready.status == "False":
            self._hinders("source-not-ready", source.metadata.name, text=ready.message or ready.reason)

    def _dependencies(self, name: str) -> tuple[str, ...]:
        source = self.view.source(name)
        if source is None:
            return ()
        if self.all_variants:
            return tuple(dict.fromkeys(needed for variant in source.spec.variants for needed in variant.depends_on))
        variant = find_variant(source, self.chosen[name][0])
        if variant is None:
            return ()
        package = self.view.package(name)
        if name in self.given and (package is None or self.update):
            package = self.given[name]
        ignored = set(package.spec.ignore_dependencies) if package is not None else set()
        return tuple(dict.fromkeys(needed for needed in variant.depends_on if needed not in ignored))

    def _hinders(self, kind: Kind, name: str, *, variant: str = "", names: tuple[str, ...] = (), text: str = "") -> None:
        required_by = self.first_requester.get(name, "")
        self.obstacles.append(
            Obstacle(kind=kind, package=name, required_by=required_by, variant=variant, names=names, text=text)
        )


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """One Package that goes. ``needs``: which of the others that go it needs, and so goes before them.

    ``because`` is why: it was ``asked`` for, it is a ``dependent`` of what goes, or nothing needs it any more (``unneeded``).
    """

    name: str
    variant: str
    because: Literal["asked", "dependent", "unneeded"]
    needs: tuple[str, ...] = ()
    uid: str = ""
    going: bool = False
    """It is being deleted already."""
    protected: str = ""
    """Why an extra word is needed, if it is."""
    bundle: str = ""
    """The Helm release that made it, and would make it again at its next upgrade."""


class DeletionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """``layers`` in the order in which they go: whoever needs something is in an earlier layer than what it needs.

    ``absent`` was asked for and is not installed. ``held`` maps what was asked for, and cannot go alone, to who needs it.
    """

    layers: tuple[tuple[Deletion, ...], ...]
    absent: tuple[str, ...] = ()
    held: dict[str, tuple[str, ...]] = {}

    @property
    def deletions(self) -> tuple[Deletion, ...]:
        return tuple(deletion for layer in self.layers for deletion in layer)


def dependents(view: Catalogue, roots: Iterable[str]) -> set[str]:
    """The installed Packages that need one of ``roots``, over any number of steps, without the roots themselves."""
    start = set(roots)
    return _reached(start, view.dependents) - start


def unneeded(view: Catalogue, *, without: Collection[str] = ()) -> set[str]:
    """Packages that were only pulled in as dependencies and that nothing needs once ``without`` are gone."""
    left = {name: package for name, package in view.packages.items() if name not in without}
    wanted = {name for name, package in left.items() if not _removable(package)}
    return left.keys() - _reached(wanted, view.dependencies)


def needs(view: Catalogue, name: str) -> tuple[tuple[str, ...], ...]:
    """Why something is installed: from each Package that nothing else needs, the shortest chain that leads to ``name``.

    Shortest chains first, then by name. Where everything that needs it is needed in a loop, each that needs it is a beginning.
    """
    next_on: dict[str, str] = {}
    waiting = [name]
    for node in waiting:
        for dependent in sorted(view.dependents(node)):
            if dependent != name and dependent not in next_on:
                next_on[dependent] = node
                waiting.append(dependent)
    tops = [node for node in next_on if not set(view.dependents(node)) - {node}]
    chains = []
    for top in tops or sorted(set(view.dependents(name)) - {name}):
        chain = [top]
        while chain[-1] != name:
            chain.append(next_on[chain[-1]])
        chains.append(tuple(chain))
    return tuple(sorted(chains, key=lambda chain: (len(chain), chain)))


def plan_deletion(view: Catalogue, roots: Iterable[str], *, cascade: bool = True, autoremove: bool = False) -> DeletionPlan:
    """What goes, and in which order. Without ``cascade`` nothing goes that something else needs."""
    roots = list(dict.fromkeys(roots))
    asked = [name for name in roots if view.package(name) is not None]
    absent = tuple(name for name in roots if view.package(name) is None)
    needing = dependents(view, asked)
    if not cascade and needing:
        held = {name: tuple(sorted(set(view.dependents(name)) - set(asked))) for name in asked}
        return DeletionPlan(layers=(), absent=absent, held={name: who for name, who in held.items() if who})
    gone = {*asked, *needing}
    spare = unneeded(view, without=gone) if autoremove else set()
    gone |= spare
    return DeletionPlan(layers=tuple(_layers(view, gone, set(asked), spare)), absent=absent)


def _layers(view: Catalogue, gone: set[str], asked: set[str], spare: set[str]) -> Iterator[tuple[Deletion, ...]]:
    """Packages that need each other go together."""
    layer_of: dict[str, int] = {}
    for component in graph.strong_components(lambda name: sorted(view.dependents(name) & gone), sorted(gone)):
        before = (layer_of[other] for name in component for other in view.dependents(name) & gone if other not in component)
        layer_of.update(dict.fromkeys(component, 1 + max(before, default=-1)))
    for number in range(1 + max(layer_of.values(), default=-1)):
        members = sorted(name for name, layer in layer_of.items() if layer == number)
        yield tuple(_deletion(view, name, gone, asked, spare) for name in members)


def _deletion(view: Catalogue, name: str, gone: set[str], asked: set[str], spare: set[str]) -> Deletion:
    package = view.packages[name]
    return Deletion(
        name=name,
        variant=package.variant,
        because="asked" if name in asked else "unneeded" if name in spare else "dependent",
        needs=tuple(sorted(needed for needed in view.dependencies(name) if needed in gone and needed != name)),
        uid=package.metadata.uid,
        going=package.metadata.deletion_timestamp is not None,
        protected=protection(package),
        bundle=bundle(package),
    )


def protection(package: Package) -> str:
    """Why a Package needs an extra word before it goes; empty when it needs none."""
    if package.metadata.name == names.PLATFORM_PACKAGE:
        return "it is the platform itself, which holds all PackageSources"
    if package.metadata.labels.get(names.NO_DELETE_LABEL) == "true":
        return f"it carries the label {names.NO_DELETE_LABEL}"
    return ""


def bundle(package: Package) -> str:
    """The Helm release that a Package comes from, empty when a person made it (cozypkg-R5)."""
    if package.metadata.labels.get("app.kubernetes.io/managed-by") != "Helm":
        return ""
    return package.metadata.annotations.get("meta.helm.sh/release-name", "")


def _removable(package: Package) -> bool:
    installed_as = package.metadata.annotations.get(INSTALLED_AS_ANNOTATION)
    return installed_as == AS_DEPENDENCY and not protection(package) and not bundle(package)


def _reached(start: Collection[str], successors: graph.Successors[str]) -> set[str]:
    found = set(start)
    waiting = list(start)
    while waiting:
        for name in successors(waiting.pop()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


__all__ = [
    "AS_DEPENDENCY",
    "INSTALLED_AS_ANNOTATION",
    "Closure",
    "Deletion",
    "DeletionPlan",
    "Obstacle",
    "Step",
    "bundle",
    "closure",
    "dependents",
    "needs",
    "plan_deletion",
    "protection",
    "unneeded",
]
