"""The plan of a PackageSource: its ArtifactGenerator, its status, its problems (specification, operator 3; D1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cozystack.api import names
from cozystack.api.cozystack import PackageSource, PackageSourceStatus
from cozystack.api.flux import ArtifactGenerator, GitRepository, OCIRepository
from cozystack.api.meta import Condition, find_condition
from cozystack.planner.artifacts import desired_generator, static_problems
from cozystack.planner.plan import Action, SourcePlan
from cozystack.planner.problems import (
    AnyProblem,
    ArtifactNameCollision,
    Problem,
    Ref,
    SourceNotReady,
    StalledSource,
    source_ref,
)
from cozystack.planner.recovery import FORCED
from cozystack.planner.releases import metadata_changes
from cozystack.planner.sentences import describe

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue

_FAULTS_TOLD = 8
"""In a condition, which holds 32,768 characters."""


def plan_source(view: Catalogue, name: str) -> SourcePlan:
    """Everything about PackageSource ``name``; raises ``LookupError`` when there is none."""
    source = view.source(name)
    if source is None:
        raise LookupError(f"there is no PackageSource {name}")
    live = view.generator(name)
    ours = live is not None and _is_ours(source, live)
    if source.metadata.deletion_timestamp is not None:
        return SourcePlan(name=name, generation=source.metadata.generation, generator=None, action="none", status=source.status)
    problems: list[AnyProblem] = [*own_problems(view, name)]
    desired = desired_generator(source, lambda artifact: view.artifact_maker(artifact) == name)
    action = generator_action(desired, live)
    problems += source_state(view, source)[1]
    return SourcePlan(
        name=name,
        generation=source.metadata.generation,
        generator=desired,
        action=action,
        delete_stale=desired is None and ours and (source.spec.source_ref is None or _builds_nothing(source)),
        problems=tuple(problems),
        status=_status(source, desired, live, action, tuple(problems)),
    )


def own_problems(view: Catalogue, name: str) -> tuple[AnyProblem, ...]:
    """What is wrong with PackageSource ``name`` by itself or beside others, whatever its charts are like."""
    source = view.source(name)
    if source is None or source.metadata.deletion_timestamp is not None:
        return ()
    return (*static_problems(source), *_collisions(view, source))


def source_state(view: Catalogue, source: PackageSource) -> tuple[bool, list[AnyProblem]]:
    """Whether the artifacts of ``source`` are built, and what stands in the way; nothing does while they are being built."""
    name = source.metadata.name
    live = view.generator(name)
    ready = find_condition(live.status.conditions, "Ready") if live is not None else None
    if live is None or ready is None:
        return _builds_nothing(source), _origin_problems(view, source)
    if ready.status == "True":
        return ready.observed_generation in (0, live.metadata.generation), []
    origin = _origin_problems(view, source)
    stalled = find_condition(live.status.conditions, "Stalled")
    if stalled is not None and stalled.status == "True":
        where = Ref("ArtifactGenerator", name, names.SYSTEM_NAMESPACE)
        return False, [StalledSource(subject=source_ref(name), origin=where, reason=stalled.reason, message=stalled.message)]
    if origin or ready.status != "False" or ready.reason == FORCED:
        return False, origin
    where = Ref("ArtifactGenerator", name, names.SYSTEM_NAMESPACE)
    return False, [SourceNotReady(subject=source_ref(name), origin=where, reason=ready.reason, message=ready.message)]


def generator_action(desired: ArtifactGenerator | None, live: ArtifactGenerator | None) -> Action:
    """What has to be done to the live generator; its lists are replaced whole, so that the order counts."""
    if desired is None:
        return "none"
    if live is None:
        return "create"
    if desired.spec != live.spec:
        return "update"
    return "metadata" if metadata_changes(desired, live) else "none"


def _is_ours(source: PackageSource, live: ArtifactGenerator) -> bool:
    owner = live.metadata.controller
    if owner is not None:
        return owner.kind == "PackageSource" and owner.name == source.metadata.name
    return live.metadata.labels.get(names.PACKAGE_SOURCE_LABEL) == source.metadata.name


def _collisions(view: Catalogue, source: PackageSource) -> list[AnyProblem]:
    """Artifacts whose names are used more than once, by this source or by another that came first."""
    name = source.metadata.name
    problems: list[AnyProblem] = []
    for artifact, own in view.artifacts_of(name).items():
        makers = view.artifact_claimants(artifact)
        if len(own) == 1 and len(makers) == 1:
            continue
        first = view.artifact_maker(artifact)
        if first != name or len(own) > 1:
            claims = view.artifact_claims(artifact)
            problems.append(ArtifactNameCollision(subject=source_ref(name), artifact=artifact, claims=claims))
    return problems


def _origin_problems(view: Catalogue, source: PackageSource) -> list[AnyProblem]:
    """What Flux says about the OCIRepository or GitRepository, when it has failed."""
    ref = source.spec.source_ref
    if ref is None:
        return []
    repository: OCIRepository | GitRepository | None = view.repository(ref.kind, ref.namespace, ref.name)
    origin = Ref(ref.kind, ref.name, ref.namespace)
    subject = source_ref(source.metadata.name)
    if repository is None:
        if not view.knows_repositories:
            return []
        return [SourceNotReady(subject=subject, origin=origin, reason="NotFound", message=f"{origin} does not exist")]
    ready = find_condition(repository.status.conditions, "Ready")
    if ready is None or ready.status != "False" or repository.status.artifact is not None:
        return []
    return [SourceNotReady(subject=subject, origin=origin, reason=ready.reason, message=ready.message)]


def _builds_nothing(source: PackageSource) -> bool:
    return not any(variant.components for variant in source.spec.variants)


def _status(
    source: PackageSource,
    desired: ArtifactGenerator | None,
    live: ArtifactGenerator | None,
    action: Action,
    problems: tuple[Problem, ...],
) -> PackageSourceStatus:
    generation = source.metadata.generation
    own = [problem for problem in problems if problem.severity == "blocking" and problem.own_spec]
    ready = _ready(source, desired, live, own)
    conditions = [ready]
    if action != "none" or (ready.status == "Unknown" and desired is not None):
        conditions.append(Condition("Reconciling", "True", "Progressing", "The artifacts are being built", "", generation))
    if own:
        more = f"; and {len(own) - _FAULTS_TOLD} more" if len(own) > _FAULTS_TOLD else ""
        faults = "; ".join(describe(problem) for problem in own[:_FAULTS_TOLD]) + more
        conditions.append(Condition("Stalled", "True", "InvalidSpec", faults, "", generation))
        conditions.append(Condition("Accepted", "False", "InvalidSpec", faults, "", generation))
    else:
        conditions.append(Condition("Accepted", "True", "Accepted", "The specification is understood", "", generation))
    return PackageSourceStatus(
        conditions=tuple(conditions),
        variants=",".join(variant.name for variant in source.spec.variants),
        observed_generation=generation,
    )


def _ready(
    source: PackageSource, desired: ArtifactGenerator | None, live: ArtifactGenerator | None, own: list[Problem]
) -> Condition:
    """The table of the specification, operator 3.6, with two rows more: nothing to build, and nothing that can be built."""
    generation = source.metadata.generation
    if source.spec.source_ref is None:
        return Condition("Ready", "Unknown", "SourceRefNotSet", "SourceRef is not configured", "", generation)
    if desired is None:
        if own:
            return Condition("Ready", "False", "InvalidSpec", describe(own[0]), "", generation)
        return Condition("Ready", "True", "NoArtifacts", "There is nothing to build", "", generation)
    if live is None:
        return Condition("Ready", "Unknown", "ArtifactGeneratorNotFound", "ArtifactGenerator not found", "", generation)
    ready = find_condition(live.status.conditions, "Ready")
    if ready is None:
        message = "ArtifactGenerator Ready condition not found"
        return Condition("Ready", "Unknown", "ArtifactGeneratorNotReady", message, "", generation)
    return Condition("Ready", ready.status, ready.reason, ready.message, ready.last_transition_time, generation)
