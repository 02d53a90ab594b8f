"""Updates of an installed platform, end to end: the operator, Helm, the runner and its steps are real."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.sandbox import running
from support.scenarios import (
    SYSTEM,
    Version,
    config_map,
    ledger,
    leftovers,
    outcomes,
    packages,
    revisions,
    upgraded,
    version,
)
from support.stages import update_that_fails_and_is_repaired, update_with_a_step

pytestmark = pytest.mark.xdist_group("scenarios")

Platform = tuple[Version, Path]


def test_a_step_runs_before_any_component_moves(platform: Platform, tmp_path: Path) -> None:
    update_with_a_step(*platform, tmp_path / "second")


@pytest.mark.slow
def test_a_step_that_fails_keeps_everything_where_it_is_until_it_is_repaired(platform: Platform, tmp_path: Path) -> None:
    update_that_fails_and_is_repaired(*platform, tmp_path)


@pytest.mark.slow
def test_three_updates_with_a_step_each_and_packages_that_come_and_go(platform: Platform, tmp_path: Path) -> None:
    current, state = platform
    for number in (58, 59, 60):
        before = revisions(state)
        current = current.next(tmp_path / str(number))
        current.step()
        expected = {"cozystack-platform": 1, "goldpinger": 1}
        current.change("goldpinger")
        if number == 59:
            current.add_anvil()
            expected["anvil"] = 1
        if number == 60:
            current.remove("grafana-operator")
            before.pop("grafana-operator")
        ran = current.up(state)
        assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
        assert version(state) == str(number)
        assert upgraded(before, revisions(state)) == expected
    assert outcomes(state) == {"witness-57": "done", "witness-58": "done", "witness-59": "done"}
    assert packages(state) & {"anvil", "grafana-operator"} == {"anvil"}
    assert "grafana-operator" not in revisions(state)
    assert leftovers(state) == []


@pytest.mark.slow
def test_three_versions_at_once_run_their_steps_in_order(platform: Platform, tmp_path: Path) -> None:
    first, state = platform
    before = revisions(state)
    current = first
    for number in (58, 59, 60):
        current = current.next(tmp_path / str(number))
        current.step()
    ran = current.up(state)
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    assert list(outcomes(state)) == ["witness-57", "witness-58", "witness-59"]
    assert (version(state), upgraded(before, revisions(state))) == ("60", {"cozystack-platform": 1})


@pytest.mark.slow
def test_a_script_in_the_originals_form_runs_too(platform: Platform, tmp_path: Path) -> None:
    first, state = platform
    second = first.next(tmp_path / "second")
    second.script(
        """#!/bin/sh
set -eu
write() {
  kubectl -n "$NAMESPACE" create configmap "$1" --from-literal=version="$2" --dry-run=client -o yaml | kubectl apply -f-
}
write witness "from $CURRENT_VERSION to $TARGET_VERSION"
write cozystack-version 58
"""
    )
    ran = second.up(state)
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    assert (version(state), outcomes(state)) == ("58", {"script-57": "done"})
    assert config_map(state, "witness") == {"version": "from 57 to 58"}


@pytest.mark.slow
def test_a_step_that_takes_longer_than_a_release_may_is_not_run_twice(platform: Platform, tmp_path: Path) -> None:
    """packages-M2: the attempt of the release fails, the runner goes on, and the next attempt waits for it."""
    first, state = platform
    hurried = first.next(tmp_path / "hurried", steps=0)
    hurried.set_installer(helmReleaseUpgradeTimeout="4s", helmReleaseRetryInterval="1s")
    with running(state, *hurried.arguments()) as sandbox:
        sandbox.until("installer")
        release = ("-n", SYSTEM, "wait", "--timeout=55s", "helmrelease/cozystack-platform")
        sandbox.kubectl(*release, "--for=jsonpath={.spec.upgrade.timeout}=4s")
        sandbox.kubectl(*release, "--for=condition=Ready")
    before = revisions(state)
    second = hurried.next(tmp_path / "second")
    second.step(parts=6, pause=1.5)
    with running(state, *second.arguments()) as sandbox:
        sandbox.until("installer")
        sandbox.kubectl(
            *("-n", SYSTEM, "wait", "--timeout=55s", "configmap/cozystack-version"), "--for=jsonpath={.data.version}=58"
        )
        sandbox.kubectl(*release, "--for=condition=Ready")
    (record,) = ledger(state).records.values()
    assert (record.outcome, record.attempts) == ("done", 1)
    after = upgraded(before, revisions(state))
    assert (after.pop("cozystack-platform") > 1, after) == (True, {})
    assert leftovers(state) == []
