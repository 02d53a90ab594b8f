"""Recovery of an ArtifactGenerator whose last status write was lost (specification, operator 3.7 to 3.9).

source-watcher may build everything and lose the write that says so (fluxcd/pkg issue 934); then nothing happens for an
hour. After a grace period its Ready condition is forced to False and a reconcile is requested, which makes it build again;
a few times, with growing pauses, and once an hour when that was in vain (weakness operator-S11). Pure: the time is passed in.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from cozystack.api import names
from cozystack.api.flux import ArtifactGenerator
from cozystack.api.meta import Condition, find_condition
from cozystack.api.time import parse_time

GRACE = timedelta(seconds=30)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=4)
MOST_ATTEMPTS = 5
SLOW_PAUSE = timedelta(hours=1)
"""After the attempts that were in vain: as long as source-watcher itself takes to look again."""
FORCED = "SourceWatcherRecoveryForced"
AWAITING = "AwaitingSourceWatcherRecovery"
STALLED = "SourceWatcherStalled"
FORCED_MESSAGE = "cozystack-operator forced drift after fluxcd/pkg#934 stall; source-watcher will rebuild"
_LOST = "ArtifactGenerator Ready condition lost to fluxcd/pkg#934 patch.Helper race"


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about a generator. ``again``: look again after that many seconds, if nothing happens before."""

    action: Literal["none", "force", "wait", "give-up"]
    attempts: int = 0
    again: float | None = None
    tracked: bool = False
    """Our annotations are on it, and have to go once it has recovered."""

    @property
    def _count(self) -> str:
        return f"{self.attempts}/{MOST_ATTEMPTS}" if self.attempts <= MOST_ATTEMPTS else f"{self.attempts}, once an hour"

    def condition(self, generator: ArtifactGenerator, generation: int) -> Condition | None:
        """The Ready condition of the PackageSource meanwhile; nothing when there is nothing to recover."""
        match self.action:
            case "force":
                forced = "forced drift on AG.status.conditions[Ready]=False"
                message = f"{_LOST}; {forced} (attempt {self._count}) so source-watcher rebuilds."
                return Condition("Ready", "Unknown", AWAITING, message, "", generation)
            case "wait":
                issued = f"force-drift {self._count} issued"
                message = f"{_LOST}; {issued}, waiting for source-watcher to rebuild."
                return Condition("Ready", "Unknown", AWAITING, message, "", generation)
            case "give-up":
                message = (
                    f"ArtifactGenerator {generator.key} has been stuck with a lost Ready condition through {MOST_ATTEMPTS} "
                    "force-drift attempts; source-watcher is not recovering. See https://github.com/fluxcd/pkg/issues/934. "
                    "An operator must restart source-watcher or manually inspect the ArtifactGenerator."
                )
                return Condition("Ready", "False", STALLED, message, "", generation)
            case _:
                return None


def plan_recovery(generator: ArtifactGenerator, now: datetime) -> Recovery:
    """What to do about ``generator`` at ``now``."""
    attempts, last = _attempts(generator), _last(generator)
    if last is not None and last > now + pause(attempts):
        # Another leader's clock ran ahead; what it says would hold the recovery up for as long.
        last = None
    tracked = _is_tracked(generator)
    if not _is_lost(generator, attempts, now):
        return Recovery(action="none", attempts=attempts, again=_until_grace_ends(generator, now), tracked=tracked)
    left = (last + pause(attempts) - now).total_seconds() if attempts and last is not None else 0.0
    if left > 0:
        return Recovery(action="wait", attempts=attempts, again=left, tracked=tracked)
    if attempts >= MOST_ATTEMPTS and last is not None and now < last + SLOW_PAUSE:
        again = (last + SLOW_PAUSE - now).total_seconds()
        return Recovery(action="give-up", attempts=attempts, again=again, tracked=tracked)
    return Recovery(action="force", attempts=attempts + 1, again=pause(attempts + 1).total_seconds(), tracked=tracked)


def pause(attempt: int) -> timedelta:
    """How long to wait after attempt ``attempt`` (1 or more)."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(max(1, attempt) - 1, 10)
    return min(doubled, LONGEST_PAUSE)


def _is_lost(generator: ArtifactGenerator, attempts: int, now: datetime) -> bool:
    ready = find_condition(generator.status.conditions, "Ready")
    current = ready is not None and ready.observed_generation == generator.metadata.generation
    if ready is not None and ready.reason == FORCED:
        return True
    if ready is not None and ready.status == "Unknown" and current and attempts > 0:
        return True
    since = stuck_since(generator)
    return since is not None and since + GRACE < now


def stuck_since(generator: ArtifactGenerator) -> datetime | None:
    """When a generator that has built everything stopped to say so; nothing when it has not, or says what is."""
    if not generator.status.inventory or not generator.status.observed_sources_digest:
        return None
    ready = find_condition(generator.status.conditions, "Ready")
    if ready is None:
        text = generator.metadata.creation_timestamp or ""
    elif ready.status == "Unknown" and ready.observed_generation == generator.metadata.generation:
        text = ready.last_transition_time
    else:
        return None
    return _time(text)


def _until_grace_ends(generator: ArtifactGenerator, now: datetime) -> float | None:
    """Seconds to the moment at which a generator that is stuck counts as lost: strictly after its grace period."""
    since = stuck_since(generator)
    return max(1.0, (since + GRACE - now).total_seconds()) if since is not None else None


def _attempts(generator: ArtifactGenerator) -> int:
    text = generator.metadata.annotations.get(names.RECOVERY_ATTEMPTS_ANNOTATION, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _last(generator: ArtifactGenerator) -> datetime | None:
    return _time(generator.metadata.annotations.get(names.RECOVERY_LAST_ANNOTATION, ""))


def _is_tracked(generator: ArtifactGenerator) -> bool:
    ours = {names.RECOVERY_ATTEMPTS_ANNOTATION, names.RECOVERY_LAST_ANNOTATION}
    return bool(ours & generator.metadata.annotations.keys())


def _time(text: str) -> datetime | None:
    try:
        return parse_time(text) if text else None
    except ValueError:
        return None
