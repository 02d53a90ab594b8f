"""ReplicaSets: as many Pods of a template as asked for."""

from __future__ import annotations

from datetime import datetime
from itertools import count

from cozystack.sandbox.workloads.actions import (
    Action,
    Create,
    Note,
    Obj,
    available,
    delete,
    has_ended,
    is_deleting,
    is_ready,
    owned_by,
    pod_from,
    short_hash,
    status_action,
)

_COMPONENT = "replicaset-controller"


def reconcile_replica_set(replica_set: Obj, pods: list[Obj], now: datetime) -> list[Action]:
    """Actions for a ReplicaSet, given the Pods of its namespace."""
    if is_deleting(replica_set):
        return []
    spec, meta = replica_set["spec"], replica_set["metadata"]
    wanted = spec.get("replicas", 1)
    mine = owned_by(replica_set, pods)
    active = [pod for pod in mine if not is_deleting(pod) and not has_ended(pod)]
    actions: list[Action] = [delete(pod) for pod in mine if has_ended(pod) and not is_deleting(pod)]
    taken = {pod["metadata"]["name"] for pod in mine}
    names = (name for n in count() if (name := f"{meta['name']}-{short_hash([meta['uid'], n], 5)}") not in taken)
    for _ in range(wanted - len(active)):
        pod = pod_from(spec["template"], replica_set, name=next(names))
        text = f"Created pod: {pod['metadata']['name']}"
        actions += [Create(pod), Note(replica_set, _COMPONENT, "SuccessfulCreate", text)]
    if len(active) > wanted:
        # Pods that do not serve yet go first, then the youngest.
        youngest_first = sorted(active, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), reverse=True)
        for pod in sorted(youngest_first, key=is_ready)[: len(active) - wanted]:
            text = f"Deleted pod: {pod['metadata']['name']}"
            actions += [delete(pod), Note(replica_set, _COMPONENT, "SuccessfulDelete", text)]
    steady, again = available(active, spec.get("minReadySeconds", 0), now)
    status = {
        "observedGeneration": meta.get("generation", 1),
        "replicas": len(active),
        "fullyLabeledReplicas": len(active),
        "readyReplicas": sum(map(is_ready, active)),
        "availableReplicas": steady,
    }
    return [*actions, *status_action(replica_set, status), *again]
