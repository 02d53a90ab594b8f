"""Statuses that only tell of progress, held back for a moment: often they are over before anybody could read them.

That something is ready, has failed or is refused is written at once. That it is under way, or waits for something, is written
when it has been so for ``MOMENT`` seconds, whatever became of the details meanwhile. What then changes of it is written when it
has been so for ``LATER``, so that a Package that waits for many, one after the other, is not written for each. Progress that
passes costs no write. Nothing is decided by what was published late: plans look at the objects themselves.
"""

from __future__ import annotations

from collections.abc import Hashable

from cozystack.api.meta import Condition, find_condition
from cozystack.kube.clock import Clock

MOMENT, LATER = 1.0, 10.0
_WAITING = frozenset(("DependenciesNotReady", "PackageSourceNotFound"))


class Passing:
    """What is held back, by object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[Hashable, float] = {}

    def left(self, key: Hashable, told: tuple[Condition, ...], conditions: tuple[Condition, ...]) -> float:
        """Seconds until a status with these conditions may be written, in the place of those ``told``; 0 when it may be now."""
        if not passes(conditions):
            return 0.0
        now = self._clock.monotonic()
        pause = LATER if _says_the_same(told, conditions) else MOMENT
        return max(0.0, self._since.setdefault(key, now) + pause - now)

    def forget(self, key: Hashable) -> None:
        """There is nothing to write, or it was written."""
        self._since.pop(key, None)


def passes(conditions: tuple[Condition, ...]) -> bool:
    """Whether a status tells of progress and nothing else."""
    found = {condition.type: condition for condition in conditions}
    ready, accepted = found.get("Ready"), found.get("Accepted")
    if ready is None or accepted is None or accepted.status == "False" or "Reconciling" not in found:
        return False
    return ready.status == "Unknown" or ready.reason in _WAITING


def _says_the_same(told: tuple[Condition, ...], conditions: tuple[Condition, ...]) -> bool:
    """Readiness is the same for the same reason and generation: only details have changed."""
    before, after = find_condition(told, "Ready"), find_condition(conditions, "Ready")
    if before is None or after is None:
        return False
    return (before.status, before.reason, before.observed_generation) == (after.status, after.reason, after.observed_generation)
