"""The steps between two versions of the platform, in either direction: which run, what they touch, whether there is a way back.

A repository declares its steps in ``core/platform/migrations.yaml``; the ledger of a cluster holds what ran there, and the way
back as it was declared then. So a rollback is judged by what really ran, also when the version that brought it is out of reach.
A step that nobody describes (one of an image's own folder, or of a release that declares none) is named all the same, and has
no way back.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from cozystack.planner.ledger import Ledger, StepId
from cozystack.planner.migrations import Refused, Seen, decide, frontier, pending


class DeclaredStep(msgspec.Struct, frozen=True, rename="camel"):
    """A step as a repository declares it. ``way_back`` None: there is none; unset: nothing is said about it."""

    number: int
    name: str
    about: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    way_back: str | UnsetType | None = UNSET


class Declared(msgspec.Struct, frozen=True):
    """What a version of the platform says of its migrations; ``enabled`` with the values that it is installed with."""

    target: int
    oldest: int = 0
    steps: tuple[DeclaredStep, ...] = ()
    enabled: bool = True


class PlannedStep(msgspec.Struct, frozen=True, rename="camel"):
    """One step that will run, or that has run. ``described`` is False where only its number (and its name) is known."""

    number: int
    name: str
    about: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    way_back: str | None = None
    described: bool = True

    def __str__(self) -> str:
        return f"{self.number} {self.name}".rstrip()


class MigrationPlan(msgspec.Struct, frozen=True, rename="camel"):
    """``run``: the steps that the new version runs before any package moves. ``behind``: those that were done and that the new,
    older, version does not know; they are not undone. ``refused`` is the sentence why it would stop there."""

    version: int | None
    target: int
    enabled: bool = True
    run: tuple[PlannedStep, ...] = ()
    behind: tuple[PlannedStep, ...] = ()
    refused: str = ""
    advice: str = ""

    @property
    def back(self) -> bool:
        """Whether this is a rollback: the cluster is at a later version than the one that it is to have."""
        return self.version is not None and self.target < self.version

    @property
    def one_way(self) -> tuple[PlannedStep, ...]:
        """The steps that no older version can be relied on after."""
        return tuple(step for step in (*self.run, *self.behind) if step.way_back is None)

    @property
    def empty(self) -> bool:
        return not (self.run or self.behind or self.refused)


def plan_migrations(seen: Seen, new: Declared, running: Declared | None = None) -> MigrationPlan:
    """What ``new`` means for the migrations of a cluster, or of the version that ``running`` describes.

    ``running`` describes steps that ``new`` does not know; None where it cannot be fetched.
    """
    version = _version(seen)
    known = [StepId(step.number, step.name) for step in new.steps]
    steps = sorted({*known, *_undescribed(seen.ledger, known, version, new)})
    action = decide(seen, steps, new.target, oldest=new.oldest)
    refusal = action if isinstance(action, Refused) else Refused("", "")
    described = _descriptions(seen.ledger, running, new)
    run: tuple[PlannedStep, ...] = ()
    behind: tuple[PlannedStep, ...] = ()
    if version is not None:
        if not refusal.reason:
            run = tuple(_planned(step, described) for step in pending(seen.ledger, version, steps, new.target))
        behind = tuple(_planned(step, described) for step in _done(seen.ledger, running, known, version, new.target))
    return MigrationPlan(
        version, new.target, new.enabled, run, behind, refused=refusal.reason if new.enabled else "", advice=refusal.advice
    )


def _version(seen: Seen) -> int | None:
    """The version as the runner would see it; None on a cluster without one, or with one that is no number."""
    if seen.version is not None and not (seen.version.isascii() and seen.version.isdecimal()):
        return None
    version = None if seen.version is None else int(seen.version)
    return version if seen.ledger is None else frontier(seen.ledger, version)


def _undescribed(ledger: Ledger | None, known: Sequence[StepId], version: int | None, new: Declared) -> set[StepId]:
    """A step for every number that is to be done and that nobody declares, by its name in the ledger if it was begun.

    Below the oldest version that can be started from there are none, so such a cluster is refused.
    """
    if version is None:
        return set()
    numbers = {step.number for step in known} | (ledger.settled_numbers if ledger is not None else frozenset())
    begun = {step.number: step for step in ledger.records} if ledger is not None else {}
    return {
        begun.get(number, StepId(number, "")) for number in range(max(version, new.oldest), new.target) if number not in numbers
    }


def _done(ledger: Ledger | None, running: Declared | None, known: Sequence[StepId], version: int, target: int) -> list[StepId]:
    """The steps from the target to the version that the target does not know, except those that were skipped.

    What was begun and failed may have changed something, and counts.
    """
    records = ledger.records if ledger is not None else {}
    names = {step.name for step in known}
    found = {step for step in records if step.number >= target}
    found |= {StepId(step.number, step.name) for step in running.steps if target <= step.number < version} if running else set()
    numbers = {step.number for step in found}
    found |= {StepId(number, "") for number in range(target, version) if number not in numbers}
    skipped = {step for step, record in records.items() if record.outcome == "skipped"}
    return sorted(step for step in found - skipped if step.name not in names)


def _descriptions(ledger: Ledger | None, running: Declared | None, new: Declared) -> dict[str, PlannedStep]:
    """What is known of steps, by name: the new version knows best, and for what it does not know, the ledger."""
    found: dict[str, PlannedStep] = {}
    for version in (running, new):
        for step in version.steps if version is not None else ():
            if step.way_back is not UNSET or step.about:
                way_back = None if step.way_back is UNSET else step.way_back
                found[step.name] = PlannedStep(step.number, step.name, step.about, step.reads, step.writes, way_back)
    mine = {step.name for step in new.steps}
    for known, record in (ledger.records if ledger is not None else {}).items():
        if record.way_back is not UNSET and known.name not in mine:
            planned = found.get(known.name, PlannedStep(known.number, known.name))
            found[known.name] = msgspec.structs.replace(planned, way_back=record.way_back)
    return found


def _planned(step: StepId, described: dict[str, PlannedStep]) -> PlannedStep:
    found = described.get(step.name) if step.name else None
    if found is None:
        return PlannedStep(step.number, step.name, described=False)
    return msgspec.structs.replace(found, number=step.number)


__all__ = ["Declared", "DeclaredStep", "MigrationPlan", "PlannedStep", "plan_migrations"]
