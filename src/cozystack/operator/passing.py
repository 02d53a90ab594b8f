"""Statuses that only tell of progress, held back for a moment: often they are over before anybody could read them.

That something is ready, has failed or is refused is written at once. That it is under way, or waits for something, is written
when it has been so for ``MOMENT`` seconds, whatever became of the details meanwhile; so it costs one write a moment at most,
and none when it passes. Nothing is decided by what was published late: plans look at the objects themselves.
"""

from __future__ import annotations

from collections.abc import Hashable

from cozystack.api.meta import Condition
from cozystack.kube.clock import Clock

MOMENT = 1.0
_WAITING = frozenset(("DependenciesNotReady", "PackageSourceNotFound"))


class Passing:
    """What is held back, by object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[Hashable, float] = {}

    def left(self, key: Hashable, conditions: tuple[Condition, ...]) -> float:
        """Seconds until a status with these conditions may be written; 0 when it may be now."""
        if not passes(conditions):
            return 0.0
        now = self._clock.monotonic()
        return max(0.0, self._since.setdefault(key, now) + MOMENT - now)

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
