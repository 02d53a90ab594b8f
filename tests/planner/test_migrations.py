"""What to do next, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.planner.ledger import Baseline, Ledger, Record, StepId
from cozystack.planner.migrations import Advance, Execute, Finished, Refused, Seen, StartLedger, decide, pending

STEPS = [StepId(56, "a"), StepId(57, "b"), StepId(58, "c")]


def ledger(baseline: int, **outcomes: str) -> Ledger:
    numbers = {step.name: step for step in STEPS}
    return Ledger(Baseline(baseline), {numbers[name]: Record(outcome) for name, outcome in outcomes.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        (Seen(None, None), StartLedger(59, "fresh")),
        (Seen("57", None), StartLedger(57, "found")),
        (Seen("99", None), StartLedger(99, "found")),
        (Seen(None, ledger(59)), Advance(59)),
        (Seen("56", ledger(56)), Execute(STEPS[0])),
        (Seen("56", ledger(56, a="running")), Execute(STEPS[0])),
        (Seen("56", ledger(56, a="failed")), Execute(STEPS[0])),
        (Seen("56", ledger(56, a="done")), Advance(57)),
        (Seen("56", ledger(56, a="skipped")), Advance(57)),
        (Seen("56", ledger(56, a="done", b="done")), Advance(58)),
        (Seen("57", ledger(56, a="done")), Execute(STEPS[1])),
        (Seen("59", ledger(56, a="done", b="done", c="done")), Finished(59)),
        (Seen("70", ledger(70)), Finished(70)),
    ],
)
def test_one_action_follows_from_what_is_there(seen: Seen, action: object) -> None:
    assert decide(seen, STEPS, 59) == action


def test_an_installation_that_has_lost_both_objects_is_not_taken_for_a_new_one() -> None:
    """packages-M4."""
    action = decide(Seen(None, None, installed=True), STEPS, 59)
    assert isinstance(action, Refused)
    assert "cozystack-migrate stamp" in action.advice


def test_a_lost_version_is_derived_from_the_ledger() -> None:
    """packages-M4."""
    assert decide(Seen(None, ledger(56, a="done", b="done")), STEPS, 59) == Advance(58)


def test_a_version_that_was_set_back_is_raised_without_running_anything_twice() -> None:
    """packages-M5."""
    assert decide(Seen("56", ledger(56, a="done", b="done", c="done")), STEPS, 59) == Advance(59)


def test_a_step_whose_number_another_branch_used_runs_all_the_same() -> None:
    """packages-M3: a release branch had a step 57 of its own, so the version says 58, and ours never ran."""
    other = Ledger(Baseline(56), {StepId(56, "a"): Record("done"), StepId(57, "backport"): Record("done")})
    assert decide(Seen("58", other), STEPS, 58) == Execute(STEPS[1])


@pytest.mark.parametrize("text", ["", "seven", "-1", "5.6", "٥٦"])
def test_a_version_that_is_no_number_stops_everything(text: str) -> None:
    """packages-M8."""
    action = decide(Seen(text, None), STEPS, 59)
    assert isinstance(action, Refused)
    assert f'"{text}", which is not a number' in action.reason


def test_a_cluster_that_is_too_old_is_told_so() -> None:
    """packages-M6."""
    action = decide(Seen("12", None), STEPS, 59, oldest=56)
    assert isinstance(action, Refused)
    assert action.reason == "the cluster is at 12, and this release migrates from 56 on"


def test_a_step_that_is_not_in_the_image_stops_before_it() -> None:
    action = decide(Seen("56", ledger(56)), [STEPS[0], STEPS[2]], 59)
    assert isinstance(action, Refused)
    assert action.reason == "there is no step 57, and the cluster is to go from 56 to 59"


def test_an_older_release_finds_nothing_to_do() -> None:
    assert decide(Seen("59", ledger(56, a="done", b="done", c="done")), STEPS[:1], 57) == Finished(59)


@given(
    version=st.integers(50, 62),
    baseline=st.integers(50, 62),
    outcomes=st.dictionaries(st.sampled_from(STEPS), st.sampled_from(["done", "failed", "running", "skipped"])),
    target=st.integers(50, 59),
)
def test_from_any_state_it_ends_and_never_goes_backwards(
    version: int, baseline: int, outcomes: dict[StepId, str], target: int
) -> None:
    records = {step: Record(outcome) for step, outcome in outcomes.items()}  # type: ignore[arg-type]
    now, held = version, Ledger(Baseline(baseline), records)
    for _ in range(20):
        match decide(Seen(str(now), held), STEPS, target):
            case Advance(number):
                assert number > now
                now = number
            case Execute(step):
                assert held.baseline.number <= step.number < target
                assert not held.settled(step.name)
                held = Ledger(held.baseline, {**held.records, step: Record("done")})
            case Finished(number):
                assert number == now >= target
                assert pending(held, now, STEPS, target) == ()
                return
            case Refused():
                assert any(number not in {step.number for step in STEPS} for number in range(now, target))
                return
            case StartLedger():
                raise AssertionError("there is a ledger")
    raise AssertionError("it does not end")
