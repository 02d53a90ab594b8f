"""The recovery state machine against the specification, operator 3.7 to 3.9 and its timeline in 10.4."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cozystack.api import names
from cozystack.api.flux import ArtifactGenerator, ArtifactGeneratorSpec, ArtifactGeneratorStatus, InventoryEntry
from cozystack.api.meta import Condition, ObjectMeta
from cozystack.api.time import format_time
from cozystack.planner.recovery import FORCED, Recovery, pause, plan_recovery

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def generator(
    ready: Condition | None = None, *, attempts: str = "", last: datetime | str = "", built: bool = True
) -> ArtifactGenerator:
    """Generation 3, made at noon; with everything built unless it says otherwise."""
    annotations = {}
    if attempts:
        annotations[names.RECOVERY_ATTEMPTS_ANNOTATION] = attempts
    if last:
        annotations[names.RECOVERY_LAST_ANNOTATION] = last if isinstance(last, str) else format_time(last)
    return ArtifactGenerator(
        metadata=ObjectMeta(
            name="acme.db",
            namespace="cozy-system",
            generation=3,
            creation_timestamp=format_time(NOON),
            annotations=annotations,
        ),
        spec=ArtifactGeneratorSpec(sources=(), artifacts=()),
        status=ArtifactGeneratorStatus(
            conditions=(ready,) if ready is not None else (),
            inventory=(InventoryEntry(name="acme-db", namespace="cozy-system"),) if built else (),
            observed_sources_digest="sha256:1" if built else "",
        ),
    )


def unknown(generation: int = 3, **fields: Any) -> Condition:
    return Condition("Ready", "Unknown", "Progressing", "building", format_time(NOON), generation, **fields)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_the_timeline_of_the_specification() -> None:
    ready, attempts, last = unknown(), "", ""
    seen = []
    now = 10.0
    while True:
        plan = plan_recovery(generator(ready, attempts=attempts, last=last), at(now))
        seen.append((now, plan.action, plan.attempts))
        if plan.action == "force":
            attempts, last = str(plan.attempts), format_time(at(now))
            ready = Condition("Ready", "False", FORCED, "", last, 3)
        if plan.again is None or plan.attempts > 6:
            break
        now += plan.again
    assert seen == [
        (10.0, "none", 0),
        (30.0, "none", 0),
        (31.0, "force", 1),
        (61.0, "force", 2),
        (121.0, "force", 3),
        (241.0, "force", 4),
        (481.0, "force", 5),
        (721.0, "give-up", 5),
        # Weakness operator-S11: not for ever.
        (481.0 + 3600, "force", 6),
        (481.0 + 3600 + 240, "give-up", 6),
        (481.0 + 7200, "force", 7),
    ]


def test_attempts_that_somebody_made_up_are_no_trouble() -> None:
    forced = Condition("Ready", "False", FORCED, "", format_time(at(31)), 3)
    plan = plan_recovery(generator(forced, attempts="9" * 9, last=at(31)), at(41))
    assert (plan.action, plan.again) == ("wait", 230.0)
    assert plan_recovery(generator(forced, attempts="7", last="never"), at(41)).action == "force"


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 30), (1, 30), (2, 60), (3, 120), (4, 240), (5, 240), (9, 240)])
def test_pauses_double_up_to_four_minutes(attempt: int, seconds: int) -> None:
    assert pause(attempt) == timedelta(seconds=seconds)


def test_between_attempts_it_waits_for_the_rest_of_the_pause() -> None:
    forced = Condition("Ready", "False", FORCED, "", format_time(at(31)), 3)
    plan = plan_recovery(generator(forced, attempts="2", last=at(31)), at(41))
    assert plan == Recovery(action="wait", attempts=2, again=50.0, tracked=True)


@pytest.mark.parametrize(
    "ready",
    [
        Condition("Ready", "True", "Succeeded", "", format_time(NOON), 3),
        Condition("Ready", "False", "BuildFailed", "", format_time(NOON), 3),
        unknown(generation=2),
    ],
)
def test_what_the_generator_says_itself_is_never_overruled(ready: Condition) -> None:
    assert plan_recovery(generator(ready), at(3600)).action == "none"


def test_a_generator_that_has_built_nothing_is_not_stuck() -> None:
    assert plan_recovery(generator(unknown(), built=False), at(3600)) == Recovery(action="none")


def test_without_a_ready_condition_the_grace_period_counts_from_its_creation() -> None:
    assert plan_recovery(generator(), at(30)) == Recovery(action="none", again=1.0)
    assert plan_recovery(generator(), at(30.5)).action == "force"


def test_unknown_after_an_attempt_is_still_the_same_recovery() -> None:
    fresh = Condition("Ready", "Unknown", "Progressing", "", format_time(at(60)), 3)
    plan = plan_recovery(generator(fresh, attempts="1", last=at(50)), at(61))
    assert (plan.action, plan.attempts, plan.again) == ("wait", 1, 19.0)


def test_recovered_annotations_are_marked_for_removal() -> None:
    ready = Condition("Ready", "True", "Succeeded", "", format_time(NOON), 3)
    assert plan_recovery(generator(ready, attempts="3", last=at(10)), at(60)) == Recovery(
        action="none", attempts=3, tracked=True
    )


@pytest.mark.parametrize(
    ("attempts", "last"), [("-1", ""), ("many", ""), ("9" * 5000, ""), ("", "yesterday"), ("²", "2026-01-01")]
)
def test_annotations_that_nobody_can_read_count_as_none(attempts: str, last: str) -> None:
    plan = plan_recovery(generator(unknown(), attempts=attempts, last=last), at(60))
    assert (plan.action, plan.attempts) == ("force", 1)


def test_words_are_those_of_the_specification() -> None:
    live = generator()
    force = Recovery(action="force", attempts=2).condition(live, 7)
    wait = Recovery(action="wait", attempts=2).condition(live, 7)
    over = Recovery(action="give-up", attempts=5).condition(live, 7)
    assert force is not None
    assert wait is not None
    assert over is not None
    assert (force.status, force.reason, force.observed_generation) == ("Unknown", "AwaitingSourceWatcherRecovery", 7)
    assert force.message == (
        "ArtifactGenerator Ready condition lost to fluxcd/pkg#934 patch.Helper race; "
        "forced drift on AG.status.conditions[Ready]=False (attempt 2/5) so source-watcher rebuilds."
    )
    assert wait.message == (
        "ArtifactGenerator Ready condition lost to fluxcd/pkg#934 patch.Helper race; "
        "force-drift 2/5 issued, waiting for source-watcher to rebuild."
    )
    assert (over.status, over.reason) == ("False", "SourceWatcherStalled")
    assert over.message.startswith("ArtifactGenerator cozy-system/acme.db has been stuck with a lost Ready condition through 5")
    assert Recovery(action="none").condition(live, 7) is None
