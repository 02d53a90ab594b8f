"""The ways back: the old artifact, one release, and what the plan says of steps without a way back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.sandbox import environment, running
from support.scenarios import Version, outcomes, version
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
