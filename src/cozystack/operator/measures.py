"""What the operator measures of its own work, beside what every program measures."""

from __future__ import annotations

from cozystack.api.cozystack import PackageStatus
from cozystack.kube.clock import Clock
from cozystack.runtime import Registry


class Measures:
    """See ``docs/metrics.md``. ``touched`` is told of every change that concerns a Package, ``woken`` of what followed."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._clock = clock
        self._touched: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self._wakes = registry.histogram(
            "cozystack_wake_seconds", "From the event that made a dependency ready to the wake-up of a release, acknowledged"
        )
        self._lost = registry.counter("cozystack_wakes_repeated_total", "Wake-ups that were asked for again")
        self._blocked = registry.gauge("cozystack_packages_blocked", "Packages that are blocked, by reason", ("reason",))
        self._ready = registry.gauge("cozystack_packages", "Packages by whether they are ready", ("ready",))
        self._states: dict[str, str] = {}

    def touched(self, package: str) -> None:
        """Something changed that a Package looks at; the first change since it was last looked at counts."""
        self._touched.setdefault(package, self._clock.monotonic())

    def looked_at(self, package: str) -> None:
        self._touched.pop(package, None)

    def woken(self, package: str, *, again: bool) -> None:
        """A release of the Package was woken."""
        if again:
            self._lost.inc()
        elif package in self._touched:
            self._wakes.observe(self._clock.monotonic() - self._touched[package])

    def published(self, package: str, status: PackageStatus) -> None:
        """The status of a Package, as it is now."""
        ready = next((condition.status for condition in status.conditions if condition.type == "Ready"), "Unknown")
        self._count(package, status.blocked_by[0].reason if status.blocked_by else "", ready)

    def gone(self, package: str) -> None:
        self._count(package, "", "")
        self._touched.pop(package, None)

    def _count(self, package: str, reason: str, ready: str) -> None:
        before = self._reasons.pop(package, "")
        if reason:
            self._reasons[package] = reason
        if before != reason:
            if before:
                self._blocked.inc(-1, reason=before)
            if reason:
                self._blocked.inc(reason=reason)
        was = self._states.pop(package, "")
        if ready:
            self._states[package] = ready
        if was != ready:
            if was:
                self._ready.inc(-1, ready=was)
            if ready:
                self._ready.inc(ready=ready)
