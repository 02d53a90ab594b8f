"""What to do next: one action, from what the cluster holds. A pure function, so that nothing is lost when the runner is killed.

The runner does the action and asks again, until the action is ``Finished`` or ``Refused``. Whatever it was doing when it was
killed, the objects say what is left; at worst the step that ran is run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cozystack.planner.ledger import Ledger, StepId


@dataclass(frozen=True, slots=True)
class Seen:
    """What the cluster holds: the text of the version, the ledger (both None when they are not there).

    ``installed`` says whether a release of the platform has been here: only asked when there is neither version nor ledger.
    """

    version: str | None
    ledger: Ledger | None
    installed: bool = False


@dataclass(frozen=True, slots=True)
class StartLedger:
    """Begin a ledger at ``number``: ``fresh`` for a new cluster, ``found`` for one that had a version before."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Raise the version to ``number``, or write it where it is missing."""

    number: int


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a step."""

    step: StepId


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing is left to do. ``version`` may be above the target: a version is never lowered."""

    version: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing may be done before a person has done something: a sentence that says what is wrong, and one with what to do."""

    reason: str
    advice: str


Action: TypeAlias = StartLedger | Advance | Execute | Finished | Refused


def decide(seen: Seen, steps: Sequence[StepId], target: int, *, oldest: int = 0) -> Action:
    """The next action. ``steps`` are all there are, by number; ``oldest`` is the lowest number that can be started from."""
    refusal = _unreadable(seen)
    if refusal is not None:
        return refusal
    version = None if seen.version is None else int(seen.version)
    if seen.ledger is None:
        if version is None:
            return StartLedger(target, "fresh")
        return _too_old(version, target, oldest) or StartLedger(version, "found")
    return _with_ledger(seen.ledger, version, steps, target, oldest)


def pending(ledger: Ledger | None, version: int, steps: Sequence[StepId], target: int) -> tuple[StepId, ...]:
    """The steps that are to run, in order: those from the baseline to the target whose name is not settled."""
    start = version if ledger is None else ledger.baseline.number
    return tuple(step for step in steps if start <= step.number < target and (ledger is None or not ledger.settled(step.name)))


def _with_ledger(ledger: Ledger, version: int | None, steps: Sequence[StepId], target: int, oldest: int) -> Action:
    behind = frontier(ledger, version)
    if version is None or behind > version:
        return Advance(behind)
    waiting = pending(ledger, version, steps, target)
    numbers = {step.number for step in steps} | ledger.settled_numbers
    missing = next((number for number in range(version, target) if number not in numbers), None)
    if missing is not None:
        return _too_old(version, target, oldest) or Refused(
            f"there is no step {missing}, and the cluster is to go from {version} to {target}",
            "use an image that has it: that of the release that is installed",
        )
    return Execute(waiting[0]) if waiting else Finished(version)


def frontier(ledger: Ledger, version: int | None) -> int:
    """The lowest number that is not done, as far as version and ledger know; without a version, what is done tells it."""
    done = ledger.settled_numbers
    if version is None:
        return max((number + 1 for number in done), default=ledger.baseline.number)
    number = max(version, ledger.baseline.number)
    while number in done:
        number += 1
    return number


def _unreadable(seen: Seen) -> Refused | None:
    if seen.version is not None and not (seen.version.isascii() and seen.version.isdecimal()):
        return Refused(
            f'ConfigMap cozystack-version says version "{seen.version}", which is not a number',
            "correct it: it is the number of the first step that has not been done",
        )
    if seen.version is None and seen.ledger is None and seen.installed:
        return Refused(
            "ConfigMap cozystack-version is gone, and so is the ledger, though the platform is installed",
            "tell the number of the release that is installed: cozystack-migrate stamp NUMBER",
        )
    return None


def _too_old(version: int, target: int, oldest: int) -> Refused | None:
    if version < oldest and version < target:
        return Refused(
            f"the cluster is at {version}, and this release migrates from {oldest} on",
            f"upgrade to a release first that brings the cluster to {oldest}",
        )
    return None
