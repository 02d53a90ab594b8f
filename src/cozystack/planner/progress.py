"""How far a platform has come, from what the operator has published: a state a Package, what each waits for, how long still.

Nothing is planned anew, so that this is quick enough to be drawn at every change of five hundred Packages. Times are seconds
since the epoch; whoever asks brings the present.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from cozystack.api.cozystack import Package
from cozystack.api.meta import Key, find_condition
from cozystack.api.time import parse_time
from cozystack.planner import graph

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue

State: TypeAlias = Literal["ready", "progressing", "waiting", "failed", "held", "deleting", "unknown"]

STATES: tuple[State, ...] = ("failed", "held", "deleting", "progressing", "waiting", "unknown", "ready")
"""What needs a look comes first."""


class Standing(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One Package. ``reason``: what it waits for, or what is wrong; ``since``: when its state last changed, 0 if unknown."""

    name: str
    variant: str
    state: State
    reason: str = ""
    wave: int = 0
    """Counted from 1; 0 for members of cycles and who waits for them."""
    releases: int = 0
    releases_ready: int = 0
    since: float = 0.0


class Progress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``remaining`` is an estimate in seconds from how long the same kind of release took, ``None`` where nothing is known."""

    packages: tuple[Standing, ...]
    counts: dict[str, int]
    waves: int
    remaining: float | None = None

    @property
    def done(self) -> bool:
        return all(standing.state == "ready" for standing in self.packages)


def standing(package: Package, *, wave: int = 0) -> Standing:
    """How one Package is."""
    state, reason, since = _state(package)
    releases = package.status.releases
    return Standing(
        name=package.metadata.name,
        variant=package.variant,
        state=state,
        reason=reason,
        wave=wave,
        releases=len(releases),
        releases_ready=sum(release.ready == "True" for release in releases),
        since=since,
    )


def _state(package: Package) -> tuple[State, str, float]:
    conditions = package.status.conditions
    ready = find_condition(conditions, "Ready")
    since = parse_time(ready.last_transition_time).timestamp() if ready is not None and ready.last_transition_time else 0.0
    blocked = package.status.blocked_by[0].message if package.status.blocked_by else ""
    message = ready.message if ready is not None else ""
    if package.metadata.deletion_timestamp is not None:
        return "deleting", message or blocked, parse_time(package.metadata.deletion_timestamp).timestamp()
    if ready is None:
        return "unknown", "the operator has not looked at it yet", since
    if ready.observed_generation not in (0, package.metadata.generation):
        return "progressing", "the operator has not seen its last change yet", since
    held = find_condition(conditions, "Held")
    if held is not None and held.status == "True":
        return "held", held.message, parse_time(held.last_transition_time).timestamp() if held.last_transition_time else since
    if ready.status == "True":
        return "ready", message, since
    stalled = find_condition(conditions, "Stalled")
    if stalled is not None and stalled.status == "True":
        return "failed", blocked or stalled.message or message, since
    reconciling = find_condition(conditions, "Reconciling")
    cause = reconciling.reason if reconciling is not None and reconciling.status == "True" else ready.reason
    if cause in _WAITING:
        return "waiting", blocked or message, since
    return ("progressing" if ready.status == "Unknown" else "failed"), blocked or message, since


_WAITING = frozenset({"DependenciesNotReady", "MissingSource", "PackageSourceNotFound"})


def progress(view: Catalogue, *, durations: Mapping[Key, float] | None = None) -> Progress:
    """All Packages, those that need a look first, then by wave and name."""
    waves = graph.waves({name: view.dependencies(name) for name in view.packages})
    number = {name: index for index, wave in enumerate(waves, start=1) for name in wave}
    standings = [standing(package, wave=number.get(name, 0)) for name, package in view.packages.items()]
    standings.sort(key=lambda each: (STATES.index(each.state), each.wave, each.name))
    counts = Counter(each.state for each in standings)
    return Progress(
        packages=tuple(standings),
        counts={state: counts[state] for state in STATES if counts[state]},
        waves=len(waves),
        remaining=_remaining(view, standings, durations or {}),
    )


def _remaining(view: Catalogue, standings: list[Standing], durations: Mapping[Key, float]) -> float | None:
    """The longest chain of Packages that are still to come, each as long as its slowest release took, or the usual one."""
    left = {each.name for each in standings if each.state in ("progressing", "waiting", "unknown")}
    if not left or not durations:
        return None
    usual = sorted(durations.values())[len(durations) // 2]

    def seconds(name: str) -> float:
        return max((durations.get(key, usual) for key in view.releases_of(name)), default=usual)

    edges = {name: [needed for needed in view.dependencies(name) if needed in left] for name in left}
    return round(graph.critical_path(edges, seconds)[0], 1)


__all__ = ["STATES", "Progress", "Standing", "State", "progress", "standing"]
