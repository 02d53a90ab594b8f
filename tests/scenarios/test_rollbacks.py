"""The ways back: the old artifact, one release, and what the plan says of steps without a way back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.sandbox import environment, running
from support.scenarios import Version, outcomes, revisions, upgraded, version
from support.shapes import differing, shapes
from support.stages import update_that_is_taken_back

pytestmark = pytest.mark.xdist_group("scenarios")

Platform = tuple[Version, Path]


@pytest.mark.slow
def test_the_old_artifact_brings_the_old_packages_back_and_leaves_the_version(platform: Platform, tmp_path: Path) -> None:
    update_that_is_taken_back(*platform, tmp_path / "second")


@pytest.mark.slow
def test_a_step_without_a_way_back_is_named_before_anything_happens(platform: Platform, tmp_path: Path) -> None:
    first, state = platform
    second = first.next(tmp_path / "second")
    second.step(way_back=None)
    with running(state) as sandbox:
        sandbox.until("The sandbox runs until Ctrl-C")
        code, plan = migrate(state, second, "plan")
        assert (code, plan["version"], plan["target"]) == (3, 57, 58)
        (step,) = plan["steps"]
        assert (step["name"], step.get("wayBack"), step["changes"]) == (
            "witness-57",
            None,
            ["create ConfigMap cozy-system/witness: there is none"],
        )
        code, status = migrate(state, second, "status")
        assert (code, status["state"]) == (3, "pending")
        code, status = migrate(state, first, "status")
        assert (code, status["state"]) == (0, "current")
    assert (version(state), outcomes(state)) == ("57", {})


@pytest.mark.slow
def test_a_release_that_was_held_leaves_no_drift_when_it_is_resumed(platform: Platform, tmp_path: Path) -> None:
    """Suspend, roll back, fix, resume: afterwards all is as an installation of the fixed version has it."""
    first, state = platform
    before = revisions(state)
    second = first.next(tmp_path / "second")
    second.step()
    second.change("goldpinger")
    ran = second.up(state)
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    with running(state, *second.arguments()) as sandbox:
        sandbox.until("The sandbox runs until Ctrl-C")
        went = sandbox.cozypkg("rollback", "cozystack.goldpinger", "--yes")
        assert "Rolled HelmRelease cozy-goldpinger/goldpinger back to revision 1, as revision 3" in went
        sandbox.kubectl("wait", "package/cozystack.goldpinger", "--for=condition=Held", "--timeout=30s")
        assert "held" in sandbox.cozypkg("status", "cozystack.goldpinger")
        assert "HelmRelease/cozy-goldpinger/goldpinger is suspended" in sandbox.cozypkg("explain")
    fixed = second.next(tmp_path / "fixed")
    fixed.step()
    fixed.change("goldpinger")
    ran = fixed.up(state)
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    assert upgraded(before, revisions(state)) == {"cozystack-platform": 2, "goldpinger": 1}
    with running(state, *fixed.arguments()) as sandbox:
        sandbox.until("The sandbox runs until Ctrl-C")
        sandbox.cozypkg("resume", "cozystack.goldpinger", "--yes", "--wait", "--timeout", "60s")
    assert upgraded(before, revisions(state)) == {"cozystack-platform": 2, "goldpinger": 3}
    fresh = tmp_path / "fresh"
    ran = fixed.up(fresh)
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    assert differing(shapes(state), shapes(fresh)) == {}


def migrate(state: Path, wanted: Version, command: str) -> tuple[int, dict[str, Any]]:
    """The program as a person would run it, with the steps of a version."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cozystack.migrate.main", command, "--output=json"),
            f"--kubeconfig={state / 'kubeconfig'}",
            f"--migrations={wanted.steps}",
            f"--target={wanted.number}",
        ],
        capture_output=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    return done.returncode, msgspec.json.decode(done.stdout)
