"""Deployments and their ReplicaSets.

A rolling update makes the new ReplicaSet whole, waits for its Pods, then scales the old ones down; ``Recreate`` goes the other
way round. Surge is not counted finer than that.
"""

from __future__ import annotations

from datetime import datetime

from cozystack.sandbox.workloads.actions import (
    Action,
    Create,
    Obj,
    Patch,
    condition,
    delete,
    is_deleting,
    is_ready,
    owned_by,
    owner,
    phase,
    pod_from,
    short_hash,
    status_action,
)

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"


def reconcile_deployment(deployment: Obj, replica_sets: list[Obj], now: datetime) -> list[Action]:
    """Actions for a Deployment, given the ReplicaSets of its namespace."""
    if is_deleting(deployment):
        return []
    spec, meta = deployment["spec"], deployment["metadata"]
    replicas = spec.get("replicas", 1)
    owned = [item for item in owned_by(deployment, replica_sets) if not is_deleting(item)]
    template_hash = short_hash(spec["template"])
    current = next((item for item in owned if item["metadata"]["labels"].get(HASH_LABEL) == template_hash), None)
    old = [item for item in owned if item is not current]
    recreate = spec.get("strategy", {}).get("type") == "Recreate"
    old_pods_left = any(item.get("status", {}).get("replicas", 0) or item["spec"].get("replicas", 1) for item in old)
    actions: list[Action] = []
    if current is None:
        if not (recreate and old_pods_left):
            revision = 1 + max((_revision(item) for item in old), default=0)
            actions.append(Create(_replica_set(deployment, template_hash, replicas, revision)))
    elif current["spec"].get("replicas") != replicas:
        actions.append(_scale(current, replicas))
    new_ready = current is not None and current.get("status", {}).get("readyReplicas", 0) >= replicas
    for item in old:
        if item["spec"].get("replicas", 1) and (recreate or new_ready):
            actions.append(_scale(item, 0))
    keep = spec.get("revisionHistoryLimit", 10)
    idle = [item for item in old if not item["spec"].get("replicas", 1) and not item.get("status", {}).get("replicas", 0)]
    actions += [delete(item) for item in sorted(idle, key=_revision)[: max(0, len(idle) - keep)]]
    return actions + status_action(deployment, _status(deployment, current, old, replicas, meta.get("generation", 1), now))


def _status(deployment: Obj, current: Obj | None, old: list[Obj], replicas: int, generation: int, now: datetime) -> Obj:
    counts = [item.get("status", {}) for item in ([current] if current else []) + old]
    total = sum(count.get("replicas", 0) for count in counts)
    ready = sum(count.get("readyReplicas", 0) for count in counts)
    updated = current.get("status", {}).get("replicas", 0) if current else 0
    updated_ready = current.get("status", {}).get("readyReplicas", 0) if current else 0
    name = current["metadata"]["name"] if current else deployment["metadata"]["name"]
    available = ready >= replicas
    complete = updated_ready >= replicas and total == updated
    conditions = [
        condition(
            deployment,
            "Available",
            available,
            "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
            f"Deployment {'has' if available else 'does not have'} minimum availability.",
            now,
            updated=True,
        ),
        condition(
            deployment,
            "Progressing",
            True,
            "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated",
            f'ReplicaSet "{name}" {"has successfully progressed" if complete else "is progressing"}.',
            now,
            updated=True,
        ),
    ]
    return {
        "observedGeneration": generation,
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, max(total, replicas) - ready),
        "conditions": conditions,
    }


def _replica_set(deployment: Obj, template_hash: str, replicas: int, revision: int) -> Obj:
    meta, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    labels = {**template.get("metadata", {}).get("labels", {}), HASH_LABEL: template_hash}
    selector = spec["selector"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{template_hash}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {REVISION: str(revision)},
            "ownerReferences": [owner(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "selector": {**selector, "matchLabels": {**selector.get("matchLabels", {}), HASH_LABEL: template_hash}},
            "template": {**template, "metadata": {**template.get("metadata", {}), "labels": labels}},
        },
    }


def _scale(replica_set: Obj, replicas: int) -> Action:
    meta = replica_set["metadata"]
    return Patch("ReplicaSet", meta["namespace"], meta["name"], {"spec": {"replicas": replicas}})


def _revision(replica_set: Obj) -> int:
    return int(replica_set["metadata"].get("annotations", {}).get(REVISION, "0"))


def reconcile_replica_set(replica_set: Obj, pods: list[Obj], now: datetime) -> list[Action]:
    """Actions for a ReplicaSet, given the Pods of its namespace."""
    if is_deleting(replica_set):
        return []
    wanted = replica_set["spec"].get("replicas", 1)
    mine = owned_by(replica_set, pods)
    active = [pod for pod in mine if not is_deleting(pod) and phase(pod) not in ("Succeeded", "Failed")]
    actions: list[Action] = [delete(pod) for pod in mine if phase(pod) in ("Succeeded", "Failed") and not is_deleting(pod)]
    taken = {pod["metadata"]["name"] for pod in mine}
    names = (f"{replica_set['metadata']['name']}-{short_hash([replica_set['metadata']['uid'], n], 5)}" for n in _naturals())
    for name in names:
        if len(active) >= wanted:
            break
        if name in taken:
            continue
        pod = pod_from(replica_set["spec"]["template"], replica_set, name=name)
        active.append(pod)
        actions.append(Create(pod))
    if len(active) > wanted:
        # Pods that do not serve yet go first, then the youngest.
        surplus = sorted(active, key=lambda pod: (is_ready(pod), pod["metadata"].get("creationTimestamp", "")))
        actions += [delete(pod) for pod in surplus[: len(active) - wanted]]
    existing = [pod for pod in mine if pod in active]
    ready = sum(is_ready(pod) for pod in existing)
    return actions + status_action(
        replica_set,
        {
            "observedGeneration": replica_set["metadata"].get("generation", 1),
            "replicas": len(existing),
            "fullyLabeledReplicas": len(existing),
            "readyReplicas": ready,
            "availableReplicas": ready,
        },
    )


def _naturals() -> range:
    return range(1_000_000)
