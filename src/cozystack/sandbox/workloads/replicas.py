"""ReplicaSets: as many Pods of a template as asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import count

from cozystack.sandbox.workloads.actions import (
    Action,
    Obj,
    available,
    condition,
    create_pod,
    delete_pod,
    has_ended,
    is_deleting,
    is_ready,
    phase,
    pod_from,
    ready_since,
    short_hash,
    status_action,
    with_condition,
)
from cozystack.sandbox.workloads.claiming import claimed

_COMPONENT = "replicaset-controller"
_COST = "controller.kubernetes.io/pod-deletion-cost"


def reconcile_replica_set(replica_set: Obj, pods: list[Obj], now: datetime, refused: str = "") -> list[Action]:
    """Actions for a ReplicaSet, given the Pods of its namespace, and why its last Pod could not be made."""
    if is_deleting(replica_set):
        return []
    spec, meta = replica_set["spec"], replica_set["metadata"]
    wanted = spec.get("replicas", 1)
    mine, actions = claimed(replica_set, [pod for pod in pods if not has_ended(pod)])
    active = [pod for pod in mine if not is_deleting(pod)]
    taken = {pod["metadata"]["name"] for pod in pods}
    names = (name for n in count() if (name := f"{meta['name']}-{short_hash([meta['uid'], n], 5)}") not in taken)
    for _ in range(wanted - len(active)):
        pod = pod_from(spec["template"], replica_set, name=next(names), prefix=f"{meta['name']}-")
        actions.append(create_pod(pod, replica_set, _COMPONENT))
    surplus = _first_to_go(active)[: max(0, len(active) - wanted)]
    actions += [delete_pod(pod, replica_set, _COMPONENT) for pod in surplus]
    steady, again = available(active, spec.get("minReadySeconds", 0), now)
    labels = (spec["template"].get("metadata", {}).get("labels") or {}).items()
    failure = condition(replica_set, "ReplicaFailure", True, "FailedCreate", refused, now) if refused else None
    conditions = with_condition(replica_set.get("status", {}).get("conditions", []), failure, "ReplicaFailure")
    status = {
        "observedGeneration": meta.get("generation", 1),
        "replicas": len(active),
        "fullyLabeledReplicas": sum(labels <= (pod["metadata"].get("labels") or {}).items() for pod in active),
        "readyReplicas": sum(map(is_ready, active)),
        "availableReplicas": steady,
        "terminatingReplicas": len(mine) - len(active),
        "conditions": conditions or None,
    }
    return [*actions, *status_action(replica_set, status, always=("replicas", "terminatingReplicas")), *again]


def _first_to_go(pods: list[Obj]) -> list[Obj]:
    """Pods in the order in which they are given up: those that serve least, then the youngest."""
    youngest_first = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)
    return sorted(youngest_first, key=lambda pod: tuple(_worth(pod)))


def _worth(pod: Obj) -> Iterator[float]:
    yield bool(pod["spec"].get("nodeName"))
    yield ("Pending", "Unknown", "Running").index(phase(pod))
    yield is_ready(pod)
    yield int(pod["metadata"].get("annotations", {}).get(_COST, "0"))
    since = ready_since(pod)
    yield -since.timestamp() if since is not None else 0.0
    yield -max((entry.get("restartCount", 0) for entry in pod.get("status", {}).get("containerStatuses", ())), default=0)
