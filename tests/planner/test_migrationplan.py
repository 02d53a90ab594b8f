"""The steps between two versions, in either direction."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET, UnsetType

from cozystack.planner.ledger import Baseline, Ledger, Record, StepId
from cozystack.planner.migrationplan import Declared, DeclaredStep, MigrationPlan, PlannedStep, plan_migrations
from cozystack.planner.migrations import Seen


def declared(number: int, *, way_back: str | UnsetType | None = "It stays.", name: str = "") -> DeclaredStep:
    return DeclaredStep(number, name or f"step-{number}", f"Does {number}", ("Deployment",), ("Deployment: patch",), way_back)


def version(number: int, *, first: int = 56, enabled: bool = True) -> Declared:
    """A version of the platform that declares every step from ``first`` on."""
    return Declared(number, 56, tuple(declared(step) for step in range(first, number)), enabled)


def planned(number: int, *, way_back: str | None = "It stays.") -> PlannedStep:
    return PlannedStep(number, f"step-{number}", f"Does {number}", ("Deployment",), ("Deployment: patch",), way_back)


def seen(number: int, records: Mapping[int, Record] | None = None, *, baseline: int = 57) -> Seen:
    """A cluster at a version, with a ledger."""
    found = {StepId(step, f"step-{step}"): record for step, record in (records or {}).items()}
    return Seen(str(number), Ledger(Baseline(baseline), found))


def done(way_back: str | UnsetType | None = UNSET) -> Record:
    return Record("done", way_back=way_back)


def test_an_update_runs_what_is_between_the_stamp_and_the_target() -> None:
    plan = plan_migrations(Seen("57", None), version(59))
    assert plan == MigrationPlan(57, 59, run=(planned(57), planned(58)))
    assert (plan.back, plan.one_way, plan.empty) == (False, (), False)


def test_without_a_change_of_the_number_there_is_nothing_to_say() -> None:
    assert plan_migrations(seen(57), version(57)).empty
    assert plan_migrations(Seen(None, None), version(57)).empty


def test_a_rollback_names_what_was_done_and_is_not_undone() -> None:
    plan = plan_migrations(seen(58, {56: done(), 57: done()}), version(57), version(58))
    assert plan == MigrationPlan(58, 57, behind=(planned(57),))
    assert plan.back


def test_the_ledger_knows_the_way_back_of_what_nobody_can_fetch_any_more() -> None:
    plan = plan_migrations(seen(59, {57: done("It stays."), 58: done(None)}), version(57))
    assert plan.behind == (PlannedStep(57, "step-57", way_back="It stays."), PlannedStep(58, "step-58"))
    assert [str(step) for step in plan.one_way] == ["58 step-58"]


def test_what_ran_counts_even_when_the_running_version_says_otherwise() -> None:
    plan = plan_migrations(seen(58, {57: done(None)}), version(57), version(58))
    assert plan.behind == (planned(57, way_back=None),)


def test_a_cluster_that_was_installed_at_a_version_has_the_state_of_its_steps_too() -> None:
    """Nothing ran there, and an older version would find the same as after the steps."""
    plan = plan_migrations(seen(58, baseline=58), version(57), version(58))
    assert plan.behind == (planned(57),)


def test_steps_that_nobody_describes_have_no_way_back() -> None:
    there_and_back = (plan_migrations(seen(57), Declared(58)), plan_migrations(seen(58, baseline=58), Declared(57)))
    unknown = PlannedStep(57, "", described=False)
    assert [(plan.run, plan.behind) for plan in there_and_back] == [((unknown,), ()), ((), (unknown,))]
    assert [plan.one_way for plan in there_and_back] == [(unknown,), (unknown,)]
    assert str(unknown) == "57"
    old = Declared(58, steps=(DeclaredStep(57, "step-57"),))
    assert plan_migrations(seen(57), old).run == (PlannedStep(57, "step-57", described=False),)


def test_a_step_that_failed_is_run_again_and_counts_on_the_way_back() -> None:
    held = seen(57, {57: Record("failed", way_back=None)})
    assert plan_migrations(held, version(58)).run == (planned(57),)
    assert plan_migrations(held, Declared(58)).run == (PlannedStep(57, "step-57"),)
    assert plan_migrations(held, version(57)).behind == (PlannedStep(57, "step-57"),)


def test_a_step_that_was_skipped_changed_nothing() -> None:
    assert plan_migrations(seen(58, {57: Record("skipped")}), version(57), version(58)).empty


def test_a_step_of_another_branch_is_known_by_its_name() -> None:
    """packages-M3: the older branch has the step too, under another number."""
    branch = Declared(58, 56, (declared(57, name="step-58"),))
    plan = plan_migrations(seen(59, {58: done()}, baseline=58), branch, version(59))
    assert plan.behind == ()
    late = plan_migrations(seen(58, {57: done()}), Declared(59, 56, (declared(57, name="hidden"), declared(58))))
    assert [str(step) for step in late.run] == ["57 hidden", "58 step-58"]


def test_a_version_that_cannot_be_migrated_from_is_refused_beforehand() -> None:
    for held in (Seen("40", None), seen(40, baseline=40)):
        plan = plan_migrations(held, version(58))
        assert (plan.run, plan.refused) == ((), "the cluster is at 40, and this release migrates from 56 on")
    lost = plan_migrations(Seen(None, None, installed=True), version(58))
    assert (lost.version, lost.refused != "", lost.empty) == (None, True, False)
    assert 'version "x", which is not a number' in plan_migrations(Seen("x", None), version(58)).refused


def test_nothing_is_refused_where_migrations_are_off() -> None:
    plan = plan_migrations(Seen("40", None), version(58, enabled=False))
    assert (plan.enabled, plan.refused) == (False, "")
