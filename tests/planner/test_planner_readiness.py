"""When a release is ready: what helm-controller writes, in the order in which it writes it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cozystack.api.cozystack import ReleaseStatus
from cozystack.api.flux import Artifact, HelmRelease, HelmReleaseStatus
from cozystack.planner import release_state
from cozystack.planner.readiness import awaits_dependencies, flux_ready, published_ready
from support.cases import OLD, SHA, artifact, condition, release, release_status

CURRENT = artifact("chart").status.artifact
RUNS = ReleaseStatus("db", "ns", "True")
FAILED = ReleaseStatus("db", "ns", "False")


def made(state: str, **changes: Any) -> HelmRelease:
    return release({"name": "ns/db", "state": state, **changes})


def with_status(found: HelmRelease, **changes: Any) -> HelmRelease:
    status = msgspec.convert(msgspec.to_builtins(found.status) | changes, HelmReleaseStatus)
    return msgspec.structs.replace(found, status=status)


@pytest.mark.parametrize(
    ("state", "phase", "ready"),
    [
        ("ready", "Ready", True),
        ("reconciling", "Ready", True),
        ("unknown", "Ready", True),
        ("waiting-deployed", "Ready", True),
        ("outdated", "Progressing", False),
        ("unsettled", "Progressing", False),
        ("new", "Progressing", False),
        ("waiting", "Waiting", False),
        ("failed", "Failed", False),
        ("retrying", "Failed", False),
    ],
)
def test_state_follows_from_content_not_from_activity(state: str, phase: str, ready: bool) -> None:
    found = release_state(made(state), CURRENT)
    assert (found.phase, found.ready) == (phase, ready)


def test_a_changed_generation_is_ready_only_when_the_last_field_is_written() -> None:
    """The seven writes of an upgrade, as measured: Ready turns True while history and observedGeneration are still old."""
    old = made("ready")
    old.metadata.generation = 2
    ready = [condition("Ready", "True", "UpgradeSucceeded", generation=2)]
    upgraded = [{"chartVersion": f"1.0.0+{SHA[:12]}", "status": "deployed", "version": 2}]
    steps = [
        old,
        with_status(old, conditions=[condition("Ready", "Unknown", "Progressing", generation=2)]),
        with_status(old, conditions=[condition("Reconciling", "True", "Progressing", generation=2), *ready]),
        with_status(old, conditions=ready, history=upgraded),
        with_status(old, conditions=ready, history=upgraded, observedGeneration=2),
    ]
    assert [release_state(step, CURRENT, RUNS).phase for step in steps] == ["Progressing"] * 4 + ["Ready"]


def test_a_new_artifact_is_running_only_when_history_was_made_from_it() -> None:
    attempted = with_status(made("outdated"), lastAttemptedRevisionDigest=f"sha256:{SHA}")
    assert release_state(attempted, CURRENT, RUNS).phase == "Progressing"
    history = [{"chartVersion": "1.0.0", "status": "deployed", "ociDigest": f"sha256:{OLD}"}]
    assert release_state(with_status(made("ready"), history=history), CURRENT, RUNS).phase == "Progressing"
    history = [{"chartVersion": "1.0.0", "status": "deployed", "ociDigest": f"sha256:{SHA}"}]
    assert release_state(with_status(made("ready"), history=history), CURRENT, RUNS).phase == "Ready"


def test_changed_values_are_running_only_when_history_was_made_from_them() -> None:
    history = [{"chartVersion": "1.0.0", "status": "deployed", "configDigest": "old"}]
    found = with_status(made("ready"), history=history, lastAttemptedConfigDigest="new")
    assert release_state(found, CURRENT, RUNS).phase == "Progressing"
    assert release_state(with_status(found, lastAttemptedConfigDigest="old"), CURRENT, RUNS).phase == "Ready"


@pytest.mark.parametrize("revision", [f"sha256:{SHA}", f"latest@sha256:{SHA}"])
def test_a_revision_may_be_a_digest_or_end_in_one(revision: str) -> None:
    assert release_state(made("ready"), Artifact(url="", revision=revision)).ready


def test_without_digests_nothing_counts_as_current() -> None:
    found = with_status(made("ready"), lastAttemptedRevisionDigest="")
    assert not release_state(found, Artifact(url="", revision="1.0.0")).ready


def test_while_the_artifact_is_replaced_the_published_state_stays() -> None:
    assert release_state(made("ready"), None, RUNS).phase == "Ready"
    assert release_state(made("ready"), None, FAILED).phase == "Progressing"
    assert release_state(made("ready"), None).phase == "Progressing"


def test_a_failed_release_that_is_tried_again_stays_failed() -> None:
    again = with_status(made("failed"), conditions=[condition("Ready", "Unknown", "Progressing")])
    assert release_state(again, CURRENT, FAILED).phase == "Failed"
    assert release_state(again, CURRENT, RUNS).phase == "Progressing"


def test_a_failure_of_an_earlier_generation_is_over() -> None:
    found = with_status(made("failed"), lastAttemptedGeneration=1)
    assert release_state(found, CURRENT, FAILED).phase == "Failed"
    found.metadata.generation = 2
    assert release_state(found, CURRENT, FAILED).phase == "Progressing"


def test_a_stalled_release_has_failed() -> None:
    found = with_status(made("new"), conditions=[condition("Stalled", "True", "RetriesExceeded", "gave up")])
    state = release_state(found, CURRENT)
    assert (state.phase, state.reason, state.message) == ("Failed", "RetriesExceeded", "gave up")


def test_a_suspended_release_counts_by_what_is_deployed() -> None:
    assert release_state(made("outdated", suspend=True), CURRENT).ready
    assert not release_state(made("new", suspend=True), CURRENT).ready
    assert published_ready(release_state(made("outdated", suspend=True), CURRENT)) == "True"
    assert published_ready(release_state(made("new", suspend=True), CURRENT)) == "Unknown"


def test_a_release_that_is_being_deleted_is_not_ready() -> None:
    assert release_state(made("ready", deleting=True), CURRENT, RUNS).phase == "Progressing"


def test_helm_controller_takes_the_condition_literally() -> None:
    assert flux_ready(made("ready"))
    assert not flux_ready(made("unknown"))
    assert not flux_ready(made("unsettled"))
    assert not flux_ready(made("new"))
    assert awaits_dependencies(made("waiting"))
    assert not awaits_dependencies(made("failed"))
    assert release_status("new") == {}
