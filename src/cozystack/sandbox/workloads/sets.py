"""StatefulSets, one Pod after the other, and DaemonSets, one Pod on the one node."""

from __future__ import annotations

import copy
from datetime import datetime

from cozystack.sandbox.workloads.actions import (
    NODE,
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
    owner,
    pod_from,
    short_hash,
    status_action,
)
from cozystack.sandbox.workloads.revisions import kept_revisions, revision_name, template_of

REVISION_LABEL = "controller-revision-hash"
NODE_LABELS = {
    "kubernetes.io/hostname": NODE,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
    "node-role.kubernetes.io/control-plane": "",
}
_STATEFUL, _DAEMON = "statefulset-controller", "daemonset-controller"


def reconcile_stateful_set(
    stateful_set: Obj, pods: list[Obj], claims: list[Obj], revisions: list[Obj], now: datetime
) -> list[Action]:
    """Actions for a StatefulSet: Pods by ordinal, each after the one before is available, and their claims.

    Pods below the partition of a rolling update are made of the template of the last revision that was complete.
    """
    if is_deleting(stateful_set):
        return []
    spec, meta = stateful_set["spec"], stateful_set["metadata"]
    replicas, first = spec.get("replicas", 1), (spec.get("ordinals") or {}).get("start", 0)
    revision = revision_name(stateful_set)
    current = stateful_set.get("status", {}).get("currentRevision") or revision
    mine = {pod["metadata"]["name"]: pod for pod in owned_by(stateful_set, pods)}
    wanted = [f"{meta['name']}-{ordinal}" for ordinal in range(first, first + replicas)]
    parallel = spec.get("podManagementPolicy") == "Parallel"
    strategy = spec.get("updateStrategy") or {}
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    old_template = template_of(owned_by(stateful_set, revisions), current)
    seconds = spec.get("minReadySeconds", 0)
    known_claims = {claim["metadata"]["name"] for claim in claims}
    actions: list[Action] = []
    whole = True
    for name in wanted:
        pod = mine.get(name)
        if pod is not None and has_ended(pod) and not is_deleting(pod):
            actions += _deleted(stateful_set, pod)
        elif pod is None:
            for claim in spec.get("volumeClaimTemplates", ()):
                claim_name = f"{claim['metadata']['name']}-{name}"
                if claim_name not in known_claims:
                    actions += _claimed(stateful_set, _claim(stateful_set, claim, claim_name), name)
            old = _ordinal_of(name) < partition and old_template is not None and current != revision
            template = old_template if old and old_template is not None else spec["template"]
            actions.append(Create(_stateful_pod(stateful_set, template, name, current if old else revision)))
            text = f"create Pod {name} in StatefulSet {meta['name']} successful"
            actions.append(Note(stateful_set, _STATEFUL, "SuccessfulCreate", text))
        steady = pod is not None and not is_deleting(pod) and available([pod], seconds, now)[0] == 1
        whole = whole and steady
        if not parallel and not steady:
            break
    surplus = sorted((pod for name, pod in mine.items() if name not in wanted), key=_ordinal)
    if parallel:
        actions += [a for pod in surplus if not is_deleting(pod) for a in _deleted(stateful_set, pod)]
    elif surplus and whole and not is_deleting(surplus[-1]):
        actions += _deleted(stateful_set, surplus[-1])
    live = [mine[name] for name in wanted if name in mine and not is_deleting(mine[name])]
    outdated = [pod for pod in live if pod["metadata"]["labels"].get(REVISION_LABEL) != revision]
    to_update = [pod for pod in outdated if _ordinal(pod) >= partition]
    if strategy.get("type", "RollingUpdate") == "RollingUpdate" and to_update and not surplus and len(live) == replicas:
        last = max(to_update, key=_ordinal)
        before = [pod for pod in live if _ordinal(pod) > _ordinal(last)] if parallel else live
        if all(map(is_ready, before)):
            actions += _deleted(stateful_set, last)
    steady_pods, again = available(live, seconds, now)
    ready = sum(map(is_ready, live))
    updated = len(live) - len(outdated)
    done = updated == replicas and ready == replicas and len(live) == replicas
    shown = revision if done else current
    used = {revision, shown, *(pod["metadata"]["labels"].get(REVISION_LABEL, "") for pod in live)}
    status = {
        "observedGeneration": meta.get("generation", 1),
        "replicas": len(live),
        "readyReplicas": ready,
        "availableReplicas": steady_pods,
        "currentReplicas": sum(pod["metadata"]["labels"].get(REVISION_LABEL) == shown for pod in live),
        "updatedReplicas": updated,
        "currentRevision": shown,
        "updateRevision": revision,
        "collisionCount": 0,
    }
    return [*kept_revisions(stateful_set, revisions, used), *actions, *status_action(stateful_set, status), *again]


def _deleted(stateful_set: Obj, pod: Obj) -> list[Action]:
    text = f"delete Pod {pod['metadata']['name']} in StatefulSet {stateful_set['metadata']['name']} successful"
    return [delete(pod), Note(stateful_set, _STATEFUL, "SuccessfulDelete", text)]


def _claimed(stateful_set: Obj, claim: Obj, pod: str) -> list[Action]:
    text = f"create Claim {claim['metadata']['name']} Pod {pod} in StatefulSet {stateful_set['metadata']['name']} success"
    return [Create(claim), Note(stateful_set, _STATEFUL, "SuccessfulCreate", text)]


def _stateful_pod(stateful_set: Obj, template: Obj, name: str, revision: str) -> Obj:
    spec = stateful_set["spec"]
    names = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())]
    volumes = [v for v in template.get("spec", {}).get("volumes", ()) if v["name"] not in names]
    volumes += [{"name": each, "persistentVolumeClaim": {"claimName": f"{each}-{name}"}} for each in names]
    extra = {"volumes": volumes} if volumes else {}
    if spec.get("serviceName"):
        extra["subdomain"] = spec["serviceName"]
    labels = {
        "apps.kubernetes.io/pod-index": str(_ordinal_of(name)),
        "statefulset.kubernetes.io/pod-name": name,
        REVISION_LABEL: revision,
    }
    return pod_from(template, stateful_set, name=name, labels=labels, hostname=name, **extra)


def _claim(stateful_set: Obj, template: Obj, name: str) -> Obj:
    """A claim outlives its StatefulSet, unless that is told to take it along."""
    claim = copy.deepcopy(template)
    labels = {**stateful_set["spec"]["selector"].get("matchLabels", {}), **claim["metadata"].get("labels", {})}
    metadata: Obj = {"name": name, "namespace": stateful_set["metadata"]["namespace"], "labels": labels}
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    if policy.get("whenDeleted") == "Delete":
        metadata["ownerReferences"] = [owner(stateful_set)]
    claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
    claim.pop("status", None)
    return claim


def _ordinal(pod: Obj) -> int:
    return _ordinal_of(pod["metadata"]["name"])


def _ordinal_of(name: str) -> int:
    return int(name.rpartition("-")[2])


def reconcile_daemon_set(daemon_set: Obj, pods: list[Obj], revisions: list[Obj], now: datetime) -> list[Action]:
    """Actions for a DaemonSet: a Pod on the node, where its node selector matches."""
    if is_deleting(daemon_set):
        return []
    spec, meta = daemon_set["spec"], daemon_set["metadata"]
    revision = revision_name(daemon_set)
    template_hash = revision.rpartition("-")[2]
    selector = spec["template"].get("spec", {}).get("nodeSelector", {})
    desired = int(all(NODE_LABELS.get(key) == value for key, value in selector.items()))
    every = owned_by(daemon_set, pods)
    mine = [pod for pod in every if not is_deleting(pod)]
    on_delete = (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
    fresh = [pod for pod in mine if pod["metadata"]["labels"].get(REVISION_LABEL) == template_hash]
    keep = [pod for pod in (mine if on_delete else fresh) if not has_ended(pod)][:desired]
    actions: list[Action] = []
    for pod in mine:
        if pod not in keep:
            text = f"Deleted pod: {pod['metadata']['name']}"
            actions += [delete(pod), Note(daemon_set, _DAEMON, "SuccessfulDelete", text)]
    leaving = [pod for pod in every if pod not in keep]
    if not keep and desired and not leaving:
        name = f"{meta['name']}-{short_hash([meta['uid'], template_hash], 5)}"
        actions.append(Create(pod_from(spec["template"], daemon_set, name=name, labels={REVISION_LABEL: template_hash})))
        actions.append(Note(daemon_set, _DAEMON, "SuccessfulCreate", f"Created pod: {name}"))
    steady, again = available(keep, spec.get("minReadySeconds", 0), now)
    status = {
        "observedGeneration": meta.get("generation", 1),
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": len(keep),
        "updatedNumberScheduled": sum(pod in fresh for pod in keep),
        "numberReady": sum(map(is_ready, keep)),
        "numberAvailable": steady,
        "numberUnavailable": desired - steady,
        "numberMisscheduled": 0,
    }
    return [*kept_revisions(daemon_set, revisions, set()), *actions, *status_action(daemon_set, status), *again]
