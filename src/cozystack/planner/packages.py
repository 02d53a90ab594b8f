"""The plan of a Package: releases, removals, moves, wake-ups and status (specification, operator 4; D1-D10).

``evaluate`` computes a plan and, with it, what other Packages need to know of this one: whether it is settled, and if not, the
root causes. It looks at the states of the Packages that are depended on, never at their plans, so that a change travels from
state to state only as far as states change.

The gate holds back what would install something anew: releases to be created, specs to be changed. Everything else (removals,
labels, wake-ups, the status of what runs) goes on behind a closed gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from cozystack.api import names
from cozystack.api.cozystack import Package
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key
from cozystack.planner.conditions import Facts, blocked_by, dependency_status, leaving_status, package_status
from cozystack.planner.moves import find_move
from cozystack.planner.namespaces import is_system
from cozystack.planner.plan import Gate, Move, PackagePlan, Phase, ReleasePlan, Removal, Wait, WakeUp
from cozystack.planner.problems import (
    AnyProblem,
    ArtifactNameCollision,
    DeletingPackage,
    DependencyCycle,
    DependencyNotReady,
    FailingRelease,
    MissingDependency,
    MissingSource,
    MissingValuesKey,
    MissingValuesSecret,
    MissingVariant,
    MoveRefused,
    NamespaceTerminating,
    NamespaceUnlabelled,
    PausedPackage,
    Ref,
    ReleaseNameClash,
    ReleaseOwnedByOther,
    SuspendedRelease,
    UnownedRelease,
    blocking,
    package_ref,
    release_ref,
    source_ref,
)
from cozystack.planner.readiness import MISSING, awaits_dependencies, flux_ready, release_state
from cozystack.planner.releases import belongs_to, foreign_fields, owner_name, reads_values, release_changes
from cozystack.planner.removal import plan_removal
from cozystack.planner.selection import Installed, Selection
from cozystack.planner.sources import source_state

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue

CHAIN_MAX = 24
ROOTS_MAX = 4


class Root(msgspec.Struct, frozen=True, gc=False):
    """A root cause, and the Packages that lead to it: the one that is blocked first, the one at fault last."""

    problem: AnyProblem
    chain: tuple[str, ...]

    def seen_from(self, name: str) -> Root:
        chain = (name, *self.chain)
        if len(chain) > CHAIN_MAX:
            chain = (*chain[: CHAIN_MAX - 2], "…", chain[-1])
        return Root(self.problem, chain)


class PackageState(msgspec.Struct, frozen=True, gc=False):
    """What others need to know. ``settled``: the gates of those who depend on it may open; if not, ``roots`` say why."""

    settled: bool
    roots: tuple[Root, ...] = ()


ABSENT = PackageState(settled=False)


def evaluate(view: Catalogue, package: Package) -> tuple[PackagePlan, PackageState]:
    selection = view.selection(package.metadata.name)
    if package.metadata.deletion_timestamp is not None or selection is None:
        return _leaving(view, package)
    if not isinstance(selection, Selection):
        return _unselected(view, package, selection)
    return _Evaluation(view, package, selection).result()


def is_paused(package: Package) -> bool:
    return package.metadata.annotations.get(names.PAUSED_ANNOTATION) == "true"


def _leaving(view: Catalogue, package: Package) -> tuple[PackagePlan, PackageState]:
    name = package.metadata.name
    removal = plan_removal(view, name)
    plan = PackagePlan(
        name=name,
        generation=package.metadata.generation,
        variant=package.variant,
        gate=Gate(open=False),
        status=leaving_status(package, removal),
        problems=removal.problems,
        removal=removal,
    )
    return plan, PackageState(False, (Root(DeletingPackage(subject=package_ref(name)), (name,)),))


def _unselected(view: Catalogue, package: Package, problem: MissingSource | MissingVariant) -> tuple[PackagePlan, PackageState]:
    """Nothing is known of what should be; what there is stays as it is."""
    name = package.metadata.name
    published = {Key(release.namespace, release.name): release for release in package.status.releases}
    releases = []
    for key in sorted(view.releases_of(name)):
        live = view.release(key)
        if live is not None and belongs_to(live, name):
            artifact = view.artifact(live.spec.chart_ref.name) if live.spec.chart_ref is not None else None
            state = release_state(live, artifact, published.get(key))
            releases.append((key, state))
    if isinstance(problem, MissingSource):
        kept = tuple(str(release_ref(key.namespace, key.name)) for key, _ in releases)
        problem = msgspec.structs.replace(problem, kept=kept)
    facts = Facts(package=package, problems=(problem,), present=tuple(releases))
    plan = PackagePlan(
        name=name,
        generation=package.metadata.generation,
        variant=package.variant,
        gate=Gate(open=False),
        problems=(problem,),
        status=package_status(facts, package.status.dependencies, blocked_by((problem,), name)),
    )
    return plan, PackageState(False, (Root(problem, (name,)),))


class _Evaluation:
    """One evaluation, step by step; the order of the methods is the order of thought."""

    def __init__(self, view: Catalogue, package: Package, selection: Selection) -> None:
        self.view = view
        self.package = package
        self.name = package.metadata.name
        self.selection = selection
        self.paused = is_paused(package)
        self.published = {Key(release.namespace, release.name): release for release in package.status.releases}
        self.problems: list[AnyProblem] = list(selection.problems)
        self.warnings: list[AnyProblem] = []

    def result(self) -> tuple[PackagePlan, PackageState]:
        view, name, selection = self.view, self.name, self.selection
        self.conflicts = dict(self._conflicts())
        self.problems += self.conflicts.values()
        self.invalid = bool(blocking(self.problems))
        self.waiting_for = tuple(
            dependency for dependency in selection.depends_on if dependency == name or not view.state(dependency).settled
        )
        orphans = list(self._orphans())
        moves = tuple(self._moves(orphans))
        releases = self._releases({move.new: move for move in moves})
        removals = tuple(self._removals(orphans, moves, releases))
        held = any(release.waits_for == "dependencies" for release in releases)
        if not selection.installs:
            held = bool(self.waiting_for)
        pending = held or any(release.action in ("create", "update") for release in releases)
        self._release_problems(releases, pending)
        ready_source = self._source_problems()
        in_loop = view.loop(name)
        if not releases:
            settled = not self.invalid and not self.waiting_for and not in_loop
            settled = settled and (ready_source or view.settings.gate == "written")
        else:
            settled = not self.invalid and not any(release.action in ("create", "update") for release in releases)
            settled = settled and (view.settings.gate == "written" or all(release.state.ready for release in releases))
        own = tuple(dict.fromkeys(self.problems))
        gate_problems, roots = self._gate_problems(in_loop, held)
        problems = (*own, *gate_problems, *dict.fromkeys(self.warnings))
        blockers = (*blocking(own), *gate_problems) if held else blocking(own)
        facts = Facts(
            package=self.package,
            problems=tuple(blockers),
            warnings=tuple(self.warnings),
            releases=releases,
            removals=removals,
            present=tuple((release.key, release.state) for release in releases if release.state is not MISSING),
            waiting_for=self.waiting_for if held else (),
            paused=self.paused,
            ready_source=ready_source,
            pending=pending,
        )
        plan = PackagePlan(
            name=name,
            generation=self.package.metadata.generation,
            variant=selection.variant.name,
            gate=Gate(open=not self.waiting_for, waiting_for=self.waiting_for),
            namespaces=()
            if self.invalid or self.paused
            else tuple(
                view.namespace_plan(namespace)
                for namespace in sorted({installed.key.namespace for installed in selection.installs})
            ),
            releases=releases,
            removals=removals,
            moves=moves,
            wake_ups=tuple(self._wake_ups(releases)),
            problems=problems,
            status=package_status(
                facts,
                dependency_status(
                    self.package,
                    {dependency: view.state(dependency).settled for dependency in selection.depends_on},
                    held=held,
                ),
                blocked_by(tuple(blockers), name),
            ),
        )
        if settled:
            return plan, PackageState(True)
        return plan, PackageState(False, self._roots(blocking(own), roots))

    # Validation

    def _conflicts(self) -> Iterator[tuple[Key, AnyProblem]]:
        """Releases that are somebody else's, or whose charts are."""
        view, name = self.view, self.name
        source = self.selection.source.metadata.name
        for installed in self.selection.installs:
            key = installed.key
            live = view.release(key)
            claimants = view.claimants(key)
            if len(claimants) > 1 and view.claimed_by(key) != name:
                subject = release_ref(key.namespace, key.name)
                yield key, ReleaseNameClash(subject=subject, package=name, claims=view.claims(key))
            elif live is not None and not belongs_to(live, name):
                owner = live.metadata.controller
                label = live.metadata.labels.get(names.PACKAGE_LABEL)
                shown = f"{owner.kind}/{owner.name}" if owner is not None else (f"Package/{label}" if label else "")
                subject = release_ref(key.namespace, key.name)
                yield key, ReleaseOwnedByOther(subject=subject, package=name, owner=shown)
            elif view.artifact_maker(installed.artifact) not in ("", source):
                claims = view.artifact_claims(installed.artifact)
                yield key, ArtifactNameCollision(subject=source_ref(source), artifact=installed.artifact, claims=claims)

    # Releases that are there and not wanted

    def _orphans(self) -> Iterator[HelmRelease]:
        wanted = {installed.key for installed in self.selection.installs}
        for key in sorted(self.view.releases_of(self.name)):
            live = self.view.release(key)
            if live is None or key in wanted or live.metadata.labels.get(names.PACKAGE_LABEL) != self.name:
                continue
            if owner_name(live) == self.name:
                yield live
            elif live.metadata.controller is None:
                subject = release_ref(key.namespace, key.name)
                self.warnings.append(UnownedRelease(subject=subject, package=self.name))

    def _moves(self, orphans: list[HelmRelease]) -> Iterator[Move]:
        disabled = {installed.key for installed in self.selection.disabled}
        missing = [installed for installed in self.selection.installs if self.view.release(installed.key) is None]
        allowed = self.package.metadata.annotations.get(names.ALLOW_MOVE_ANNOTATION) == "true"
        for live in orphans:
            if live.key in disabled:
                continue
            target = find_move(self.view, self.selection, live, missing)
            if target is None and not self.view.claimants(live.key):
                continue
            holds = self.view.release_data(live.key)
            move = Move(
                component=target.component.name if target is not None else "",
                old=live.key,
                new=target.key if target is not None else live.key,
                holds=holds,
                permitted=allowed or holds == (),
            )
            if not move.permitted:
                self.problems.append(
                    MoveRefused(
                        subject=release_ref(live.key.namespace, live.key.name),
                        package=self.name,
                        component=move.component or live.key.name,
                        target=release_ref(move.new.namespace, move.new.name),
                        holds=holds or (),
                    )
                )
            yield move

    def _removals(
        self, orphans: list[HelmRelease], moves: tuple[Move, ...], releases: tuple[ReleasePlan, ...]
    ) -> Iterator[Removal]:
        disabled = {installed.key for installed in self.selection.disabled}
        by_key = {release.key: release for release in releases}
        moving = {move.old: move for move in moves}
        for live in orphans:
            key = live.key
            wait: Wait = "paused" if self.paused else "deleting" if live.metadata.deletion_timestamp is not None else ""
            if key in disabled:
                yield Removal(key=key, reason="disabled", waits_for=wait)
                continue
            wait = wait or ("invalid" if self.invalid else "")
            move = moving.get(key)
            if move is None:
                yield Removal(key=key, reason="orphan", waits_for=wait)
                continue
            target = by_key.get(move.new)
            if not move.permitted:
                wait = wait or "move"
            elif target is not None and target.waits_for != "move":
                wait = wait or target.waits_for
            yield Removal(key=key, reason="move", waits_for=wait)

    # Releases that are wanted

    def _releases(self, moving: dict[Key, Move]) -> tuple[ReleasePlan, ...]:
        plans = []
        for installed, desired in zip(self.selection.installs, self.view.desired(self.name), strict=True):
            live = self.view.release(installed.key)
            if live is None:
                state = MISSING
            elif installed.key in self.conflicts:
                state, live = MISSING, None
            else:
                state = release_state(live, self.view.artifact(installed.artifact), self.published.get(installed.key))
            action, changes = release_changes(desired, live)
            wait: Wait = ""
            if live is not None and live.metadata.deletion_timestamp is not None:
                action, changes, wait = "create", (), "deleting"
            if action != "none":
                wait = wait or self._wait(installed, metadata_only=action == "metadata", creates=live is None, moving=moving)
            plans.append(
                ReleasePlan(
                    component=installed.component.name,
                    desired=desired,
                    action=action,
                    changes=changes,
                    foreign=foreign_fields(desired, live) if live is not None else (),
                    waits_for=wait,
                    state=state,
                )
            )
        return tuple(plans)

    def _wait(self, installed: Installed, *, metadata_only: bool, creates: bool, moving: dict[Key, Move]) -> Wait:
        key = installed.key
        if self.paused:
            return "paused"
        if key in self.conflicts:
            return "conflict"
        if self.invalid:
            return "invalid"
        if metadata_only:
            return ""
        if self.waiting_for:
            return "dependencies"
        if self.view.namespace_plan(key.namespace).terminating:
            return "namespace"
        if creates and reads_values(self.selection) and not self.view.has_values_secret(key.namespace):
            return "values-secret"
        return "move" if key in moving else ""

    def _wake_ups(self, releases: tuple[ReleasePlan, ...]) -> Iterator[WakeUp]:
        """Releases that wait for others which are ready, unless they are being woken already or are about to be written."""
        if self.paused:
            return
        for release in releases:
            live = self.view.release(release.key)
            if release.due or live is None or not awaits_dependencies(live) or not _is_to_be_woken(release.state.phase, live):
                continue
            requested = live.metadata.annotations.get(names.REQUESTED_AT_ANNOTATION, "")
            if requested and requested != live.status.last_handled_reconcile_at:
                continue
            if all(self._flux_ready(live, reference.namespace, reference.name) for reference in live.spec.depends_on):
                yield WakeUp(key=release.key, again=bool(requested))

    def _flux_ready(self, live: HelmRelease, namespace: str, name: str) -> bool:
        other = self.view.release(Key(namespace or live.metadata.namespace, name))
        return other is not None and flux_ready(other)

    # Problems

    def _release_problems(self, releases: tuple[ReleasePlan, ...], pending: bool) -> None:
        name = self.name
        if self.paused and pending:
            self.problems.append(PausedPackage(subject=package_ref(name)))
        for release in releases:
            subject = release_ref(release.key.namespace, release.key.name)
            if release.state.phase == "Failed":
                self.problems.append(
                    FailingRelease(subject=subject, package=name, reason=release.state.reason, message=release.state.message)
                )
            elif release.state.phase == "Suspended":
                self.warnings.append(SuspendedRelease(subject=subject, package=name))
            namespace = release.key.namespace
            if release.waits_for == "namespace":
                self.problems.append(NamespaceTerminating(subject=Ref("Namespace", namespace), package=name))
            elif release.waits_for == "values-secret" and not self._secret_is_coming(namespace):
                secret = Ref("Secret", self.view.settings.values_secret, namespace)
                self.problems.append(MissingValuesSecret(subject=secret, release=subject))
            if self.view.lacks_values_key(namespace) and reads_values(self.selection):
                secret = Ref("Secret", self.view.settings.values_secret, namespace)
                self.warnings.append(MissingValuesKey(subject=secret, release=subject, key=names.VALUES_KEY))
            if namespace in self.view.settings.unlabelled_namespaces:
                self.warnings.append(NamespaceUnlabelled(subject=Ref("Namespace", namespace), package=name))

    def _secret_is_coming(self, namespace: str) -> bool:
        """Whether the values Secret is copied into the namespace as soon as that is labelled."""
        settings = self.view.settings
        copied = is_system(namespace) and namespace not in settings.unlabelled_namespaces
        return copied and namespace != settings.values_namespace and self.view.has_values_secret(settings.values_namespace)

    def _source_problems(self) -> bool:
        """Whether the charts are built; when some of them are missing, why."""
        ready, problems = source_state(self.view, self.selection.source)
        built = all(self.view.artifact(installed.artifact) is not None for installed in self.selection.installs)
        if not built or (not self.selection.installs and not ready):
            self.problems += problems
        return ready

    def _gate_problems(self, in_loop: tuple[str, ...], held: bool) -> tuple[tuple[AnyProblem, ...], list[Root]]:
        """What closes the gate, and the root causes that come with it."""
        name = self.name
        companions = self.view.companions(name)
        problems: list[AnyProblem] = []
        roots: list[Root] = []
        waits: list[AnyProblem] = []
        if in_loop:
            problems.append(DependencyCycle(subject=package_ref(name), members=in_loop))
        for dependency in self.waiting_for:
            if self.view.package(dependency) is None:
                provided_by = (dependency,) if self.view.source(dependency) is not None else ()
                problems.append(MissingDependency(subject=package_ref(name), missing=dependency, provided_by=provided_by))
            elif held and dependency not in companions:
                found = [root.seen_from(name) for root in self.view.state(dependency).roots]
                roots += found
                if not found:
                    waits.append(DependencyNotReady(subject=package_ref(name), dependency=dependency, chain=(name, dependency)))
        own = [Root(problem, (name,)) for problem in problems] if held else []
        seen = _distinct([*own, *roots])[:ROOTS_MAX]
        problems += (
            DependencyNotReady(subject=package_ref(name), dependency=root.chain[1], chain=root.chain, cause=root.problem)
            for root in seen
            if len(root.chain) > 1
        )
        return (*problems, *waits), seen

    def _roots(self, own: tuple[AnyProblem, ...], roots: list[Root]) -> tuple[Root, ...]:
        return tuple(_distinct([*(Root(problem, (self.name,)) for problem in own), *roots])[:ROOTS_MAX])


def _is_to_be_woken(phase: Phase, live: HelmRelease) -> bool:
    """A release that waits, also one that runs while its new generation waits to be tried; never one that merely reconciles."""
    untried = live.status.last_attempted_generation not in (0, live.metadata.generation)
    return phase == "Waiting" or (phase == "Ready" and untried)


def _distinct(roots: list[Root]) -> list[Root]:
    """One root for each problem, the first."""
    found: dict[AnyProblem, Root] = {}
    for root in roots:
        found.setdefault(root.problem, root)
    return list(found.values())
