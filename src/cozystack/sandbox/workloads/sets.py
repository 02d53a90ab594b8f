"""StatefulSets, one Pod after the other, and DaemonSets, one Pod on the one node."""

from __future__ import annotations

import copy
from datetime import datetime

from cozystack.sandbox.workloads.actions import (
    NODE,
    Action,
    Create,
    Obj,
    delete,
    is_deleting,
    is_ready,
    owned_by,
    phase,
    pod_from,
    short_hash,
    status_action,
)

REVISION_LABEL = "controller-revision-hash"
NODE_LABELS = {
    "kubernetes.io/hostname": NODE,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
    "node-role.kubernetes.io/control-plane": "",
}


def reconcile_stateful_set(stateful_set: Obj, pods: list[Obj], claims: list[Obj], now: datetime) -> list[Action]:
    """Actions for a StatefulSet: Pods by ordinal, each after the one before is ready, and their claims."""
    if is_deleting(stateful_set):
        return []
    spec, meta = stateful_set["spec"], stateful_set["metadata"]
    replicas = spec.get("replicas", 1)
    revision = f"{meta['name']}-{short_hash(spec['template'])}"
    mine = {pod["metadata"]["name"]: pod for pod in owned_by(stateful_set, pods)}
    wanted = [f"{meta['name']}-{ordinal}" for ordinal in range(replicas)]
    parallel = spec.get("podManagementPolicy") == "Parallel"
    known_claims = {claim["metadata"]["name"] for claim in claims}
    actions: list[Action] = []
    for name in wanted:
        pod = mine.get(name)
        if pod is not None and phase(pod) in ("Succeeded", "Failed") and not is_deleting(pod):
            actions.append(delete(pod))
        elif pod is None:
            for claim in spec.get("volumeClaimTemplates", ()):
                claim_name = f"{claim['metadata']['name']}-{name}"
                if claim_name not in known_claims:
                    actions.append(Create(_claim(stateful_set, claim, claim_name)))
            actions.append(Create(_stateful_pod(stateful_set, name, revision)))
        if not parallel and (pod is None or not is_ready(pod)):
            break
    surplus = [pod for name, pod in mine.items() if name not in wanted and not is_deleting(pod)]
    actions += [delete(pod) for pod in sorted(surplus, key=_ordinal)[-1:]]
    live = [mine[name] for name in wanted if name in mine and not is_deleting(mine[name])]
    outdated = [pod for pod in live if pod["metadata"]["labels"].get(REVISION_LABEL) != revision]
    rolling = spec.get("updateStrategy", {}).get("type", "RollingUpdate") == "RollingUpdate"
    if rolling and outdated and all(is_ready(pod) for pod in live) and len(live) == replicas:
        actions.append(delete(max(outdated, key=_ordinal)))
    ready = sum(is_ready(pod) for pod in live)
    updated = len(live) - len(outdated)
    old_revision = stateful_set.get("status", {}).get("currentRevision", revision)
    current = revision if updated == replicas and ready == replicas else old_revision
    return actions + status_action(
        stateful_set,
        {
            "observedGeneration": meta.get("generation", 1),
            "replicas": len(live),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": updated if current == revision else len(outdated),
            "updatedReplicas": updated,
            "currentRevision": current,
            "updateRevision": revision,
            "collisionCount": 0,
        },
    )


def _stateful_pod(stateful_set: Obj, name: str, revision: str) -> Obj:
    spec = stateful_set["spec"]
    volumes = list(spec["template"].get("spec", {}).get("volumes", ()))
    for claim in spec.get("volumeClaimTemplates", ()):
        volume = claim["metadata"]["name"]
        volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": f"{volume}-{name}"}})
    extra = {"volumes": volumes} if volumes else {}
    return pod_from(
        spec["template"],
        stateful_set,
        name=name,
        labels={"statefulset.kubernetes.io/pod-name": name, REVISION_LABEL: revision},
        hostname=name,
        **extra,
    )


def _claim(stateful_set: Obj, template: Obj, name: str) -> Obj:
    claim = copy.deepcopy(template)
    labels = {**stateful_set["spec"]["selector"].get("matchLabels", {}), **claim["metadata"].get("labels", {})}
    claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    claim["metadata"] = {"name": name, "namespace": stateful_set["metadata"]["namespace"], "labels": labels}
    claim.pop("status", None)
    return claim


def _ordinal(pod: Obj) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])


def reconcile_daemon_set(daemon_set: Obj, pods: list[Obj], now: datetime) -> list[Action]:
    """Actions for a DaemonSet: a Pod on the node, where its node selector matches."""
    if is_deleting(daemon_set):
        return []
    spec, meta = daemon_set["spec"], daemon_set["metadata"]
    revision = short_hash(spec["template"])
    selector = spec["template"].get("spec", {}).get("nodeSelector", {})
    desired = int(all(NODE_LABELS.get(key) == value for key, value in selector.items()))
    mine = [pod for pod in owned_by(daemon_set, pods) if not is_deleting(pod)]
    fresh = [
        p for p in mine if p["metadata"]["labels"].get(REVISION_LABEL) == revision and phase(p) not in ("Succeeded", "Failed")
    ]
    keep = fresh[:desired]
    actions: list[Action] = [delete(pod) for pod in mine if pod not in keep]
    leaving = [pod for pod in owned_by(daemon_set, pods) if pod not in keep]
    if not keep and desired and not leaving:
        name = f"{meta['name']}-{short_hash([meta['uid'], revision], 5)}"
        actions.append(Create(pod_from(spec["template"], daemon_set, name=name, labels={REVISION_LABEL: revision})))
    ready = sum(is_ready(pod) for pod in keep)
    return actions + status_action(
        daemon_set,
        {
            "observedGeneration": meta.get("generation", 1),
            "desiredNumberScheduled": desired,
            "currentNumberScheduled": len(keep),
            "updatedNumberScheduled": len(keep),
            "numberReady": ready,
            "numberAvailable": ready,
            "numberUnavailable": desired - ready,
            "numberMisscheduled": 0,
        },
    )
