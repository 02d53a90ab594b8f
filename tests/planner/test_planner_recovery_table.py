"""The original's own assertions about the recovery, row by row (specification, operator 9.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cozystack.api import names
from cozystack.api.flux import ArtifactGenerator, ArtifactGeneratorSpec, ArtifactGeneratorStatus, InventoryEntry
from cozystack.api.meta import Condition, ObjectMeta
from cozystack.api.time import format_time
from cozystack.planner.recovery import AWAITING, FORCED, STALLED, plan_recovery

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BUILT = (InventoryEntry(name="a", namespace="cozy-system"),)


def ago(seconds: float) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def ready(status: str, seconds: float, *, reason: str = "Progressing", generation: int = 2) -> Condition:
    return Condition("Ready", status, reason, "", ago(seconds), generation)


def generator(
    condition: Condition | None = None,
    *,
    made: float = 3600,
    attempts: str = "",
    last: float | str | None = None,
    inventory: tuple[InventoryEntry, ...] = BUILT,
    digest: str = "sha256:1",
) -> ArtifactGenerator:
    annotations = {}
    if attempts:
        annotations[names.RECOVERY_ATTEMPTS_ANNOTATION] = attempts
    if last is not None:
        annotations[names.RECOVERY_LAST_ANNOTATION] = last if isinstance(last, str) else ago(last)
    return ArtifactGenerator(
        metadata=ObjectMeta(
            name="a", namespace="cozy-system", generation=2, creation_timestamp=ago(made), annotations=annotations
        ),
        spec=ArtifactGeneratorSpec(sources=(), artifacts=()),
        status=ArtifactGeneratorStatus(
            conditions=(condition,) if condition is not None else (), inventory=inventory, observed_sources_digest=digest
        ),
    )


@pytest.mark.parametrize(
    ("live", "stuck"),
    [
        (generator(inventory=(), digest=""), False),
        (generator(digest=""), False),
        (generator(inventory=()), False),
        (generator(made=10), False),
        (generator(made=30), False),
        (generator(ready("Unknown", 10)), False),
        (generator(ready("Unknown", 3600, generation=1)), False),
        (generator(ready("True", 3600)), False),
        (generator(ready("False", 3600, reason="BuildFailed")), False),
        (generator(made=31), True),
        (generator(ready("Unknown", 31)), True),
    ],
)
def test_a_generator_is_stuck_when_it_has_built_all_and_kept_silent_for_the_grace_period(
    live: ArtifactGenerator, stuck: bool
) -> None:
    assert (plan_recovery(live, NOW).action != "none") is stuck


@pytest.mark.parametrize(
    ("attempts", "last", "action", "again"),
    [
        ("", None, "force", 30.0),
        ("1", 10, "wait", 20.0),
        ("1", 45, "force", 60.0),
        ("3", 30, "wait", 90.0),
        ("5", 600, "give-up", 3000.0),
        ("8", 600, "give-up", 3000.0),
        ("5", 3600, "force", 240.0),
        ("5", 1, "wait", 239.0),
        ("1", 30, "force", 60.0),
        ("5", 240, "give-up", 3360.0),
    ],
)
@pytest.mark.parametrize("marker", ["our own marker", "progressing"])
def test_what_is_done_follows_from_the_attempts_and_the_time_of_the_last(
    attempts: str, last: float | None, action: str, again: float | None, marker: str
) -> None:
    """After giving up it is tried once an hour (weakness S11)."""
    condition = ready("False", 5, reason=FORCED, generation=1) if marker == "our own marker" else ready("Unknown", 3600)
    plan = plan_recovery(generator(condition, attempts=attempts, last=last), NOW)
    assert (plan.action, plan.again) == (action, again)


@pytest.mark.parametrize(
    ("attempts", "last", "read"),
    [
        ("", None, 0),
        ("3", 10, 3),
        ("x", 10, 0),
        ("-1", 10, 0),
        ("1.5", 10, 0),
        ("²", 10, 0),
        ("3", "yesterday", 3),
    ],
)
def test_marks_that_cannot_be_read_count_as_none(attempts: str, last: float | str | None, read: int) -> None:
    assert plan_recovery(generator(ready("True", 10), attempts=attempts, last=last), NOW).attempts == read


@pytest.mark.parametrize(("seconds", "again"), [(0, 30.0), (5, 25.0), (10, 20.0), (30, 1.0), (29.5, 1.0)])
def test_the_end_of_the_grace_period_is_waited_for(seconds: float, again: float) -> None:
    assert plan_recovery(generator(ready("Unknown", seconds)), NOW).again == again
    assert plan_recovery(generator(made=seconds), NOW).again == again


@pytest.mark.parametrize("attempts", ["", "2"])
def test_nothing_is_timed_where_nothing_is_stuck(attempts: str) -> None:
    """Weakness S1: the original looks every second at what has built nothing yet."""
    assert plan_recovery(generator(inventory=(), attempts=attempts), NOW).again is None
    assert plan_recovery(generator(ready("True", 3600), attempts=attempts), NOW).again is None


def test_a_transition_newer_than_the_last_force_does_not_reset_the_attempts() -> None:
    plan = plan_recovery(generator(ready("Unknown", 1), attempts="2", last=70), NOW)
    assert (plan.action, plan.attempts) == ("force", 3)


def test_our_own_marker_is_told_as_unknown_and_never_as_failed() -> None:
    live = generator(ready("False", 5, reason=FORCED), attempts="1", last=5)
    plan = plan_recovery(live, NOW)
    told = plan.condition(live, 7)
    assert told is not None
    assert (plan.action, plan.again, told.status, told.reason, told.observed_generation) == (
        "wait",
        25.0,
        "Unknown",
        AWAITING,
        7,
    )


def test_giving_up_is_told_as_failed() -> None:
    live = generator(ready("False", 5, reason=FORCED), attempts="5", last=600)
    told = plan_recovery(live, NOW).condition(live, 7)
    assert told is not None
    assert (told.status, told.reason) == ("False", STALLED)


@pytest.mark.parametrize(("ahead", "action", "again"), [(86400, "force", 60.0), (31, "force", 60.0), (20, "wait", 50.0)])
def test_a_clock_that_ran_ahead_does_not_hold_the_recovery_up_for_long(ahead: float, action: str, again: float) -> None:
    """Weakness S12: the time of the last attempt lies in the future after a change of the leader."""
    plan = plan_recovery(generator(ready("Unknown", 3600), attempts="1", last=-ahead), NOW)
    assert (plan.action, plan.again) == (action, again)
