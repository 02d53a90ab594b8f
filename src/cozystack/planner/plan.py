"""What a plan consists of: values that say what should be, what is to be done about it, and what stands in the way.

Objects in a plan are complete as they are to be applied. Conditions carry no time: whoever publishes a status stamps them
(``stamp``). ``action`` compares with the live object; ``waits_for`` says why an action is held back.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from cozystack.api.core import Namespace
from cozystack.api.cozystack import PackageSourceStatus, PackageStatus
from cozystack.api.flux import ArtifactGenerator, HelmRelease
from cozystack.api.meta import Condition, Key, drop_condition, find_condition, set_condition
from cozystack.planner.problems import AnyProblem

Action: TypeAlias = Literal["none", "create", "update", "metadata"]
"""``metadata``: only labels, annotations or owners differ, so that nothing is installed anew."""

Wait: TypeAlias = Literal["", "deleting", "paused", "invalid", "conflict", "dependencies", "move", "namespace", "values-secret"]

Phase: TypeAlias = Literal["Missing", "Waiting", "Progressing", "Ready", "Failed", "Suspended"]

CONDITIONS = ("Ready", "Reconciling", "Stalled", "Accepted", "Held", "Leftover")
"""The condition types that are ours, in the order in which they are shown."""


class ReleaseState(msgspec.Struct, frozen=True, gc=False):
    """How a release is, as far as others care. ``ready``: it counts as running."""

    phase: Phase
    ready: bool = False
    revision: str = ""
    reason: str = ""
    message: str = ""


class ReleasePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One release that is wanted. ``changes`` are the fields to be written, ``foreign`` those that others set; they stay."""

    component: str
    desired: HelmRelease
    action: Action
    changes: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    waits_for: Wait = ""
    state: ReleaseState

    @property
    def key(self) -> Key:
        return self.desired.key

    @property
    def due(self) -> bool:
        """Whether it is to be written now."""
        return self.action != "none" and not self.waits_for


class NamespacePlan(msgspec.Struct, frozen=True, kw_only=True):
    """``desired`` is ``None`` for a namespace that is there and is not to be labelled, or is none of ours."""

    name: str
    desired: Namespace | None
    action: Action
    terminating: bool = False
    problems: tuple[AnyProblem, ...] = ()


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A release that goes: its component is disabled, or nothing wants it, or it moves."""

    key: Key
    reason: Literal["disabled", "orphan", "move"]
    waits_for: Wait = ""

    @property
    def due(self) -> bool:
        return not self.waits_for


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A component whose release changes its name or namespace.

    ``holds`` is what would be lost with the old release; ``None`` until somebody has looked (``Catalogue.set_release_data``).
    """

    component: str
    old: Key
    new: Key
    holds: tuple[str, ...] | None
    permitted: bool


class WakeUp(msgspec.Struct, frozen=True, kw_only=True):
    """A release that waits for dependencies which are ready now. ``again``: it was woken before and has seen nothing."""

    key: Key
    again: bool = False


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the Packages that are depended on let this one proceed; ``waiting_for`` names those that do not."""

    open: bool
    waiting_for: tuple[str, ...] = ()


class RemovalPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a Package that is being deleted goes: which releases now, and what it waits for.

    ``done``: nothing is left, its finalizer can go.
    """

    name: str
    releases: tuple[Key, ...] = ()
    waiting_for_releases: tuple[Key, ...] = ()
    waiting_for_packages: tuple[str, ...] = ()
    problems: tuple[AnyProblem, ...] = ()
    done: bool = False


class PackagePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one Package; ``status`` is complete but for the times of its conditions."""

    name: str
    generation: int
    variant: str
    gate: Gate
    namespaces: tuple[NamespacePlan, ...] = ()
    releases: tuple[ReleasePlan, ...] = ()
    removals: tuple[Removal, ...] = ()
    moves: tuple[Move, ...] = ()
    wake_ups: tuple[WakeUp, ...] = ()
    removal: RemovalPlan | None = None
    """Set while the Package is being deleted."""
    problems: tuple[AnyProblem, ...] = ()
    status: PackageStatus

    @property
    def settled(self) -> bool:
        """Nothing is left to be written or removed."""
        return not self.removals and all(release.action == "none" for release in self.releases)

    @property
    def at_rest(self) -> bool:
        """It is ready, and nothing is being done about it."""
        ready = find_condition(self.status.conditions, "Ready")
        reconciling = find_condition(self.status.conditions, "Reconciling")
        return ready is not None and ready.status == "True" and reconciling is None


class SourcePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one PackageSource.

    ``delete_stale``: a generator of ours is there and must go.
    """

    name: str
    generation: int
    generator: ArtifactGenerator | None
    action: Action
    delete_stale: bool = False
    problems: tuple[AnyProblem, ...] = ()
    status: PackageSourceStatus


def stamp(conditions: tuple[Condition, ...], published: tuple[Condition, ...], now: str) -> tuple[Condition, ...]:
    """``published`` brought up to ``conditions``: ours are replaced, stamped and dropped, others stay as they are."""
    wanted = {condition.type for condition in conditions}
    for kind in CONDITIONS:
        if kind not in wanted and find_condition(published, kind) is not None:
            published = drop_condition(published, kind)
    for condition in conditions:
        published = set_condition(published, condition, now)
    return published
