"""What the API server refuses to write, told in the status of the Package (specification, operator 4.11).

The planner cannot know of it: a policy of the cluster, a quota, a field that the schema does not allow. One object that is
refused holds back no other. What may succeed by itself (a conflict, a busy server) is no refusal.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cozystack.api.cozystack import BlockedBy, Package, PackageStatus
from cozystack.api.meta import Condition
from cozystack.kube.errors import ApiError, Conflict, NotFound
from cozystack.planner.conditions import BLOCKERS_MAX

Refusals = Mapping[str, ApiError]
"""What the server answered, by the object as Kind/namespace/name."""

_REASONS = {"HelmRelease": "HelmReleaseFailed", "Namespace": "NamespaceFailed"}


def is_refusal(error: ApiError) -> bool:
    return not error.retryable and not isinstance(error, Conflict | NotFound)


def with_refusals(status: PackageStatus, package: Package, refusals: Refusals) -> PackageStatus:
    """``status`` as it is to be published when some objects could not be written."""
    if not refusals:
        return status
    blockers = [_blocker(package, name, error) for name, error in refusals.items()]
    more = f" (and {len(blockers) - 1} more)" if len(blockers) > 1 else ""
    first = blockers[0]
    ready = Condition("Ready", "False", first.reason, first.message + more, "", package.metadata.generation)
    others = tuple(condition for condition in status.conditions if condition.type != "Ready")
    blocked_by = (*blockers, *status.blocked_by)[:BLOCKERS_MAX]
    return msgspec.structs.replace(status, conditions=(ready, *others), blocked_by=blocked_by)


def _blocker(package: Package, name: str, error: ApiError) -> BlockedBy:
    kind, _, path = name.partition("/")
    return BlockedBy(
        reason=_REASONS[kind],
        message=f"Failed to write {kind} {path}: {error.message}",
        object=name,
        chain=(package.metadata.name,),
        unblock="Change what the API server names, or what refuses it; it is tried again with growing pauses",
    )
