"""When a release is ready, and what helm-controller thinks of it.

Ready is a fact about content: the generation is observed, the newest history entry is deployed, and it was made from the
artifact that is current. A release that merely reconciles again keeps its state: ``Reconciling``, ``Ready=Unknown`` and a
dependency that is away for a moment change nothing. Where the objects cannot tell (the artifact is being replaced, a failed
release is being retried), the state that was published last decides.
"""

from __future__ import annotations

from cozystack.api.cozystack import ReleaseStatus
from cozystack.api.flux import Artifact, HelmRelease
from cozystack.api.meta import find_condition
from cozystack.planner.plan import ReleaseState

DEPENDENCY_NOT_READY = "DependencyNotReady"
_QUIET = frozenset(
    {DEPENDENCY_NOT_READY, "Progressing", "ProgressingWithRetry", "SourceNotReady", "ArtifactNotReady", "Suspended"}
)
"""Reasons of ``Ready=False`` that are no failure: helm-controller waits for something."""

_PUBLISHED = {"Ready": "True", "Failed": "False"}

MISSING = ReleaseState(phase="Missing")


def release_state(release: HelmRelease, artifact: Artifact | None, published: ReleaseStatus | None = None) -> ReleaseState:
    """The state of a release, given the current artifact of its chart and what was last published about it."""
    status = release.status
    newest = status.history[0] if status.history else None
    deployed = newest is not None and newest.status == "deployed"
    revision = newest.chart_version if newest is not None else ""
    if release.metadata.deletion_timestamp is not None:
        return ReleaseState("Progressing", revision=revision, reason="Deleting")
    if release.spec.suspend:
        return ReleaseState("Suspended", ready=deployed, revision=revision)
    failure = _failure(release)
    if failure is not None:
        return ReleaseState("Failed", revision=revision, reason=failure[0], message=failure[1])
    if _settled(release, artifact, published):
        return ReleaseState("Ready", ready=True, revision=revision)
    ready = find_condition(status.conditions, "Ready")
    if ready is not None and ready.status == "False" and ready.reason == DEPENDENCY_NOT_READY:
        return ReleaseState("Waiting", revision=revision, reason=ready.reason, message=ready.message)
    tried = status.last_attempted_generation in (0, release.metadata.generation)
    if tried and newest is not None and newest.status == "failed" and published is not None and published.ready == "False":
        return ReleaseState("Failed", revision=revision, reason="ReleaseFailed")
    return ReleaseState("Progressing", revision=revision)


def published_ready(state: ReleaseState) -> str:
    """``status.releases[].ready``."""
    if state.phase == "Suspended":
        return "True" if state.ready else "Unknown"
    return _PUBLISHED.get(state.phase, "Unknown")


def flux_ready(release: HelmRelease) -> bool:
    """Whether helm-controller lets dependents of ``release`` proceed."""
    ready = find_condition(release.status.conditions, "Ready")
    observed = release.status.observed_generation == release.metadata.generation
    return observed and ready is not None and ready.status == "True"


def awaits_dependencies(release: HelmRelease) -> bool:
    """Whether helm-controller says that it waits for other releases."""
    ready = find_condition(release.status.conditions, "Ready")
    return ready is not None and ready.status == "False" and ready.reason == DEPENDENCY_NOT_READY


def _settled(release: HelmRelease, artifact: Artifact | None, published: ReleaseStatus | None) -> bool:
    status = release.status
    if status.observed_generation != release.metadata.generation or not status.history:
        return False
    newest = status.history[0]
    if newest.status != "deployed":
        return False
    if newest.config_digest and status.last_attempted_config_digest not in ("", newest.config_digest):
        return False
    if artifact is None:
        return published is not None and published.ready == "True"
    current = {artifact_digest(artifact), artifact.revision, artifact.digest} - {""}
    if status.last_attempted_revision_digest not in current:
        return False
    if newest.oci_digest:
        return newest.oci_digest in current
    build = newest.chart_version.partition("+")[2]
    return not _is_hex(build) or any(digest.rpartition(":")[2].startswith(build) for digest in current)


def artifact_digest(artifact: Artifact) -> str:
    """The digest in an artifact's revision, which helm-controller reports: what follows the last ``@``."""
    return artifact.revision.rpartition("@")[2]


def _is_hex(text: str) -> bool:
    return len(text) >= 7 and all(char in "0123456789abcdef" for char in text)


def _failure(release: HelmRelease) -> tuple[str, str] | None:
    """Reason and message of a failure of the current generation, or ``None``.

    While a failed release is tried again, ``Ready`` is Unknown and ``Released`` still tells what went wrong.
    """
    status = release.status
    generation = release.metadata.generation
    for kind in ("Ready", "Released"):
        condition = find_condition(status.conditions, kind)
        if condition is None or condition.status != "False" or condition.observed_generation not in (0, generation):
            continue
        if condition.reason not in _QUIET:
            return condition.reason, condition.message
    stalled = find_condition(status.conditions, "Stalled")
    if stalled is not None and stalled.status == "True" and stalled.observed_generation in (0, generation):
        return stalled.reason, stalled.message
    return None
