"""When a release that was woken in vain is asked again: soon, then later and later.

helm-controller may handle a request before it has seen that the dependencies are ready, and then waits for its own timer.
Asking again is the cure; asking again at once, over and over, would drive both programs in a circle.
"""

from __future__ import annotations

from cozystack.api.meta import Key

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class WakeUps:
    """What was asked of each release since it began to wait. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._asked: dict[Key, tuple[int, float]] = {}

    def due_in(self, key: Key, now: float) -> float:
        """Seconds until ``key`` may be asked; nothing is owed to one that was not asked yet."""
        if key not in self._asked:
            return 0.0
        times, last = self._asked[key]
        pause: float = min(FIRST_PAUSE * 2 ** min(times - 1, 10), LONGEST_PAUSE)
        return max(0.0, last + pause - now)

    def asked(self, key: Key, now: float) -> bool:
        """Note that ``key`` was asked; whether it was asked before."""
        times, _ = self._asked.get(key, (0, 0.0))
        self._asked[key] = (times + 1, now)
        return times > 0

    def forget(self, key: Key) -> None:
        """It does not wait any more."""
        self._asked.pop(key, None)
