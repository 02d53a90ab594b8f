"""What ``cozystack-migrate run`` would do, without doing it; and where the cluster stands."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cozystack.kube import Client, Clock
from cozystack.kube.errors import KubeError
from cozystack.migrate.access import Cluster, Undeclared
from cozystack.migrate.runner import read
from cozystack.migrate.step import Step
from cozystack.planner.ledger import Ledger, StepId
from cozystack.planner.migrations import Refused, Seen, decide, frontier, pending


class PlannedStep(msgspec.Struct, rename="camel", omit_defaults=True):
    """One step that would run. ``way_back`` is None when an older release cannot live with its work."""

    number: int
    name: str
    about: str
    changes: list[str] = []
    left: list[str] = []
    way_back: str | None = None
    fault: str = ""
    again: bool = False


class Planned(msgspec.Struct, rename="camel"):
    """From which version to which; ``refused`` is the sentence why nothing would run."""

    version: int | None
    target: int
    steps: list[PlannedStep] = []
    refused: str = ""
    advice: str = ""

    @property
    def one_way(self) -> list[PlannedStep]:
        return [step for step in self.steps if step.way_back is None]


class StepStatus(msgspec.Struct, rename="camel", omit_defaults=True):
    """One step as the ledger and this program know it. ``changed_since`` says that its code is another now."""

    number: int
    name: str
    outcome: str
    attempts: int = 0
    started: str = ""
    finished: str = ""
    error: str = ""
    changed: list[str] = []
    left: list[str] = []
    reason: str = ""
    changed_since: bool = False


class Status(msgspec.Struct, rename="camel", omit_defaults=True):
    """``state`` is ``current``, ``pending``, ``running``, ``failed`` or ``refused``."""

    state: str
    version: int | None
    target: int
    baseline: int | None = None
    steps: list[StepStatus] = []
    refused: str = ""
    advice: str = ""


async def plan(client: Client, steps: Sequence[Step], *, target: int, namespace: str, clock: Clock, oldest: int = 0) -> Planned:
    """Every step that would run, with what it would change as things are now. Writes nothing."""
    held = await read(client, namespace)
    seen = held.seen
    version = _number(seen)
    refusal = first_refusal(seen, [step.id for step in steps], target, oldest)
    if refusal is not None:
        return Planned(version, target, refused=refusal.reason, advice=refusal.advice)
    if version is None:
        return Planned(None, target)
    chosen = set(pending(seen.ledger, version, [step.id for step in steps], target))
    planned = []
    for step in steps:
        if step.id in chosen:
            cluster = Cluster(client, step.accesses, namespace, clock, step=f"step {step.id}")
            planned.append(await _planned(step, cluster, again=bool(seen.ledger and seen.ledger.record(step.id.name))))
    return Planned(version, target, planned)


async def status(client: Client, steps: Sequence[Step], *, target: int, namespace: str, oldest: int = 0) -> Status:
    """Where the cluster stands. Writes nothing."""
    held = await read(client, namespace)
    seen = held.seen
    version = _number(seen)
    refusal = first_refusal(seen, [step.id for step in steps], target, oldest)
    waiting = pending(seen.ledger, version or 0, [step.id for step in steps], target) if version is not None else ()
    known = {step.id: step for step in steps}
    found = [_status(step_id, seen.ledger, known.get(step_id)) for step_id in _all(seen.ledger, waiting)]
    outcomes = {each.outcome for each in found}
    if refusal is not None:
        state = "refused"
    elif "failed" in outcomes or "running" in outcomes:
        state = "failed" if "failed" in outcomes else "running"
    else:
        state = "pending" if waiting or version is None else "current"
    return Status(
        state,
        version,
        target,
        baseline=seen.ledger.baseline.number if seen.ledger else None,
        steps=found,
        refused=refusal.reason if refusal else "",
        advice=refusal.advice if refusal else "",
    )


def first_refusal(seen: Seen, steps: Sequence[StepId], target: int, oldest: int) -> Refused | None:
    """Why nothing would run, looking past the ledger that would be begun and the version that would be raised."""
    action = decide(seen, steps, target, oldest=oldest)
    if isinstance(action, Refused):
        return action
    version = _number(seen)
    if version is None:
        return None
    numbers = {step.number for step in steps} | (seen.ledger.settled_numbers if seen.ledger else frozenset())
    missing = next((number for number in range(version, target) if number not in numbers), None)
    return None if missing is None else Refused(f"there is no step {missing}", "use an image that has it")


def _number(seen: Seen) -> int | None:
    """The version as the runner would see it."""
    if seen.version is not None and not (seen.version.isascii() and seen.version.isdecimal()):
        return None
    version = None if seen.version is None else int(seen.version)
    return version if seen.ledger is None else frontier(seen.ledger, version)


async def _planned(step: Step, cluster: Cluster, *, again: bool) -> PlannedStep:
    found = PlannedStep(step.id.number, step.id.name, step.about, way_back=step.way_back, again=again)
    try:
        result = await step.plan(cluster)
    except (KubeError, Undeclared, KeyError, TypeError, ValueError) as error:
        found.fault = f"what it would do cannot be told: {error}"
        return found
    found.changes = [str(change) for change in result.changes]
    found.left = list(result.left)
    return found


def _all(ledger: Ledger | None, waiting: Sequence[StepId]) -> list[StepId]:
    return sorted({*(ledger.records if ledger else ()), *waiting})


def _status(step_id: StepId, ledger: Ledger | None, step: Step | None) -> StepStatus:
    record = ledger.records.get(step_id) if ledger else None
    if record is None:
        return StepStatus(step_id.number, step_id.name, "pending")
    return StepStatus(
        step_id.number,
        step_id.name,
        record.outcome,
        attempts=record.attempts,
        started=record.started,
        finished=record.finished,
        error=record.error,
        changed=[*record.changed, *_more(record.changed_more)],
        left=[*record.left, *_more(record.left_more)],
        reason=record.reason,
        changed_since=step is not None and bool(record.digest) and record.digest != step.digest,
    )


def _more(count: int) -> list[str]:
    return [f"and {count} more"] if count else []
