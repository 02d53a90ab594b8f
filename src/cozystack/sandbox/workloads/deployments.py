"""Deployments: one ReplicaSet for each template, and Pods that move from the old ones to the new one.

A rolling update keeps at least ``replicas - maxUnavailable`` Pods available and at most ``replicas + maxSurge`` in all;
``Recreate`` takes every old Pod away first. A ReplicaSet is known by its template: a rollback finds the one of before, and
gives it the next revision. Each ReplicaSet says for how many replicas it was last scaled; where that is not what is wanted
now, somebody has scaled in the middle of a rollout, and all that have Pods get their share of the difference.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cozystack.api.time import format_time, parse_time
from cozystack.sandbox.workloads.actions import (
    Action,
    Again,
    Create,
    Note,
    Obj,
    Patch,
    condition,
    delete,
    is_deleting,
    owner,
    short_hash,
    status_action,
    with_condition,
)
from cozystack.sandbox.workloads.claiming import claimed

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
_COMPONENT = "deployment-controller"
# These speak of the Deployment itself.
_NOT_COPIED = frozenset(("kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MOST))


def reconcile_deployment(deployment: Obj, replica_sets: list[Obj], now: datetime) -> list[Action]:
    """Actions for a Deployment, given the ReplicaSets of its namespace."""
    if is_deleting(deployment):
        return []
    mine, actions = claimed(deployment, replica_sets)
    owned = [item for item in mine if not is_deleting(item)]
    template_hash = short_hash(deployment["spec"]["template"])
    current = next((item for item in owned if item["metadata"]["labels"].get(HASH_LABEL) == template_hash), None)
    old = [item for item in owned if item is not current]
    paused = bool(deployment["spec"].get("paused"))
    if paused or _was_scaled(deployment, owned):
        actions += _scaled_together(deployment, current, old)
    else:
        actions += _rolled_out(deployment, template_hash, current, old)
    if not paused:
        actions += _revisions(deployment, current, old)
    return actions + _status(deployment, current, old, now, paused=paused)


def _rolled_out(deployment: Obj, template_hash: str, current: Obj | None, old: list[Obj]) -> list[Action]:
    """One step on the way from the old ReplicaSets to the new one."""
    wanted = _wanted(deployment)
    surge, unavailable = _fenceposts(deployment)
    recreate = deployment["spec"].get("strategy", {}).get("type") == "Recreate"
    if recreate:
        scaled = [action for item in old if _replicas(item) for action in _scale(deployment, item, 0)]
        if scaled or any(_count(item, "replicas") or _count(item, "terminatingReplicas") for item in old):
            return scaled
        surge = 0
    total = sum(map(_replicas, old)) + (_replicas(current) if current else 0)
    room = max(0, wanted + surge - total)
    if current is None:
        first = wanted if not old else min(wanted, room)
        revision = 1 + max(map(_revision, old), default=0)
        made = _replica_set(deployment, template_hash, first, revision, wanted + surge)
        told = _scaled(deployment, made, 0, first) if first else None
        text = f'Failed to create new replica set "{made["metadata"]["name"]}": '
        return [Create(made, told, Note(deployment, _COMPONENT, "ReplicaSetCreateError", text, warning=True))]
    have = _replicas(current)
    if have > wanted:
        return _scale(deployment, current, wanted)
    if have < wanted and room:
        return _scale(deployment, current, min(wanted, have + room))
    return _old_scaled_down(deployment, current, old, wanted - unavailable)


def _old_scaled_down(deployment: Obj, current: Obj, old: list[Obj], least: int) -> list[Action]:
    """Take old Pods away, as many as may go while ``least`` stay available: those that are not available first."""
    sizes = {item["metadata"]["name"]: _replicas(item) for item in old}
    total = sum(sizes.values()) + _replicas(current)
    waiting = _replicas(current) - _count(current, "availableReplicas")
    most = total - least - waiting
    oldest_first = sorted(old, key=lambda item: item["metadata"].get("creationTimestamp", ""))
    for item in oldest_first:
        name = item["metadata"]["name"]
        broken = min(sizes[name] - _count(item, "availableReplicas"), most)
        if broken > 0:
            sizes[name] -= broken
            most -= broken
    working = sum(min(_count(item, "availableReplicas"), sizes[item["metadata"]["name"]]) for item in old)
    free = min(most, working + _count(current, "availableReplicas") - least)
    for item in oldest_first:
        name = item["metadata"]["name"]
        gone = min(sizes[name], free)
        if gone > 0:
            sizes[name] -= gone
            free -= gone
    return [
        action
        for item in oldest_first
        if sizes[item["metadata"]["name"]] != _replicas(item)
        for action in _scale(deployment, item, sizes[item["metadata"]["name"]])
    ]


def _was_scaled(deployment: Obj, owned: list[Obj]) -> bool:
    """Whether a ReplicaSet with Pods was last scaled for another number of replicas than is wanted now."""
    wanted = str(_wanted(deployment))
    desired = (item["metadata"].get("annotations", {}).get(DESIRED, wanted) for item in owned if _replicas(item))
    return any(value != wanted for value in desired)


def _scaled_together(deployment: Obj, current: Obj | None, old: list[Obj]) -> list[Action]:
    """Bring the ReplicaSets to a new number of replicas, without a step of the rollout."""
    wanted, owned = _wanted(deployment), ([current] if current is not None else []) + old
    active = [item for item in owned if _replicas(item)]
    if len(active) <= 1:
        # A paused Deployment keeps its template, and still has as many Pods as it is told to.
        scaled = active or ([current] if current is not None else sorted(old, key=_revision)[-1:])
        return [action for item in scaled for action in _scale(deployment, item, wanted)]
    if current is not None and _replicas(current) == wanted == _count(current, "availableReplicas"):
        return [action for item in old if _replicas(item) for action in _scale(deployment, item, 0)]
    if deployment["spec"].get("strategy", {}).get("type") == "Recreate":
        return [action for item in active for action in _scale(deployment, item, _replicas(item))]
    allowed = wanted + _fenceposts(deployment)[0] if wanted else 0
    missing = allowed - sum(map(_replicas, active))
    # Of equally large ones, the newer grow and the older shrink first.
    active.sort(key=lambda item: str(item["metadata"].get("creationTimestamp", "")), reverse=missing > 0)
    active.sort(key=_replicas, reverse=True)
    sizes, added = [], 0
    for item in active:
        share = _proportion(deployment, item, allowed)
        share = min(share, missing - added) if missing > 0 else max(share, missing - added)
        sizes.append(_replicas(item) + share)
        added += share
    sizes[0] = max(0, sizes[0] + missing - added)
    return [action for item, size in zip(active, sizes, strict=True) for action in _scale(deployment, item, size)]


def _proportion(deployment: Obj, replica_set: Obj, allowed: int) -> int:
    """By how much a ReplicaSet grows when all grow from what they were scaled for to ``allowed``."""
    size = _replicas(replica_set)
    before = int(replica_set["metadata"].get("annotations", {}).get(MOST, "0")) or _count(deployment, "replicas")
    return int(size * allowed / before + 0.5) - size if before else 0


def _revisions(deployment: Obj, current: Obj | None, old: list[Obj]) -> list[Action]:
    """The new ReplicaSet has the highest revision and knows those that it had before; old ones that are empty are few."""
    actions: list[Action] = []
    if current is not None:
        notes, live = _annotations(deployment, _next_revision(current, old)), current["metadata"].get("annotations", {})
        if live.get(REVISION) and live[REVISION] != notes[REVISION]:
            notes[HISTORY] = ",".join(filter(None, (live.get(HISTORY), live[REVISION])))
        changed = {key: value for key, value in notes.items() if live.get(key) != value}
        change: Obj = {"metadata": {"annotations": changed}} if changed else {}
        least = deployment["spec"].get("minReadySeconds", 0)
        if current["spec"].get("minReadySeconds", 0) != least:
            change["spec"] = {"minReadySeconds": least or None}
        if change:
            meta = current["metadata"]
            actions.append(Patch("ReplicaSet", meta["namespace"], meta["name"], change))
    idle = [item for item in old if not _replicas(item) and not _count(item, "replicas")]
    keep = deployment["spec"].get("revisionHistoryLimit", 10)
    return actions + [delete(item) for item in sorted(idle, key=_revision)[: max(0, len(idle) - keep)]]


def _next_revision(current: Obj | None, old: list[Obj]) -> int:
    """The revision of the present template."""
    return max(1 + max(map(_revision, old), default=0), _revision(current) if current is not None else 0)


def _status(deployment: Obj, current: Obj | None, old: list[Obj], now: datetime, *, paused: bool) -> list[Action]:
    wanted = _wanted(deployment)
    every = ([current] if current else []) + old
    total, ready, available, terminating = (
        sum(_count(item, name) for item in every)
        for name in ("replicas", "readyReplicas", "availableReplicas", "terminatingReplicas")
    )
    updated = _count(current, "replicas") if current else 0
    _, unavailable = _fenceposts(deployment)
    enough = available >= wanted - unavailable
    counts = {"replicas": total, "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": available}
    complete = updated == wanted and total == wanted and available == wanted and current is not None
    has = "has" if enough else "does not have"
    why = "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"
    text = f"Deployment {has} minimum availability."
    conditions = deployment.get("status", {}).get("conditions", [])
    conditions = with_condition(conditions, condition(deployment, "Available", enough, why, text, now, updated=True))
    progressing, again = _progressing(deployment, current, counts, now, complete=complete, paused=paused)
    if progressing is None or progressing not in conditions:
        conditions = [entry for entry in conditions if entry["type"] != "Progressing"]
        conditions += [progressing] if progressing is not None else []
    conditions = with_condition(conditions, _failure(deployment, every, now), "ReplicaFailure")
    status = {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        **counts,
        "unavailableReplicas": max(0, max(total, wanted) - available),
        "terminatingReplicas": terminating,
        "conditions": conditions,
    }
    notes = {} if paused else {REVISION: str(_next_revision(current, old))}
    return [*status_action(deployment, status, always=("terminatingReplicas",), annotations=notes), *again]


def _failure(deployment: Obj, replica_sets: list[Obj], now: datetime) -> Obj | None:
    """What keeps a ReplicaSet from making Pods; that of the new one counts first."""
    for item in replica_sets:
        for entry in item.get("status", {}).get("conditions", ()):
            if entry["type"] == "ReplicaFailure" and entry["status"] == "True":
                reason, message = entry.get("reason", ""), entry.get("message", "")
                return condition(deployment, "ReplicaFailure", True, reason, message, now, updated=True)
    return None


def _progressing(
    deployment: Obj, current: Obj | None, counts: dict[str, int], now: datetime, *, complete: bool, paused: bool
) -> tuple[Obj | None, list[Action]]:
    """The condition that says how the rollout goes, and when it would be late."""
    live = deployment.get("status", {})
    old = next((c for c in live.get("conditions", ()) if c["type"] == "Progressing"), None)
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    if deadline is None:
        return None, []
    name = current["metadata"]["name"] if current else ""
    if paused:
        return _said(old, "Unknown", "DeploymentPaused", "Deployment is paused", now), []
    if old is not None and old["reason"] == "DeploymentPaused":
        return _said(old, "Unknown", "DeploymentResumed", "Deployment is resumed", now), []
    if complete:
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return _said(old, "True", "NewReplicaSetAvailable", text, now), []
    moved = any(counts[key] > live.get(key, 0) for key in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    moved = moved or counts["replicas"] - counts["updatedReplicas"] < live.get("replicas", 0) - live.get("updatedReplicas", 0)
    settled = old is not None and old["reason"] == "NewReplicaSetAvailable"
    if old is None or moved or (settled and live.get("observedGeneration") != deployment["metadata"].get("generation", 1)):
        if current is None:
            text = "Created new replica set" if old is None else "Deployment is progressing."
            return _said(old, "True", "NewReplicaSetCreated", text, now, fresh=True), [Again(timedelta(seconds=deadline))]
        text = f'ReplicaSet "{name}" is progressing.'
        return _said(old, "True", "ReplicaSetUpdated", text, now, fresh=True), [Again(timedelta(seconds=deadline))]
    if settled or old["reason"] == "ProgressDeadlineExceeded":
        return old, []
    left = parse_time(old["lastUpdateTime"]) + timedelta(seconds=deadline) - now
    if left <= timedelta(0):
        text = f'ReplicaSet "{name}" has timed out progressing.'
        return _said(old, "False", "ProgressDeadlineExceeded", text, now), []
    return old, [Again(left)]


def _said(old: Obj | None, status: str, reason: str, message: str, now: datetime, *, fresh: bool = False) -> Obj:
    """A condition with its two times: of its status, and of its last news."""
    stamp = format_time(now)
    moved = old["lastTransitionTime"] if old and old["status"] == status else stamp
    same = old is not None and (old["status"], old["reason"]) == (status, reason) and not fresh
    told = old["lastUpdateTime"] if same and old is not None else stamp
    return {
        "type": "Progressing",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": moved,
        "lastUpdateTime": told,
    }


def _fenceposts(deployment: Obj) -> tuple[int, int]:
    """How many Pods more than wanted there may be, and how many less; both are never zero."""
    wanted, strategy = _wanted(deployment), deployment["spec"].get("strategy", {})
    if strategy.get("type") == "Recreate":
        return 0, 0
    rolling = strategy.get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = _share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    return surge, max(1, unavailable) if not surge and wanted else min(unavailable, wanted)


def _share(amount: int | str, of: int, *, up: bool) -> int:
    if isinstance(amount, int):
        return amount
    percent = int(amount.removesuffix("%") or 0)
    return -(-of * percent // 100) if up else of * percent // 100


def _replica_set(deployment: Obj, template_hash: str, replicas: int, revision: int, most: int) -> Obj:
    meta, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    labels = {**template.get("metadata", {}).get("labels", {}), HASH_LABEL: template_hash}
    selector = spec["selector"]
    made: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{template_hash}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": _annotations(deployment, revision),
            "ownerReferences": [owner(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "selector": {**selector, "matchLabels": {**selector.get("matchLabels", {}), HASH_LABEL: template_hash}},
            "template": {**template, "metadata": {**template.get("metadata", {}), "labels": labels}},
        },
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    return made


def _annotations(deployment: Obj, revision: int) -> dict[str, str]:
    """What a ReplicaSet says of its Deployment; ``kubectl rollout history`` reads the cause of a change there."""
    wanted = _wanted(deployment)
    copied = {k: v for k, v in deployment["metadata"].get("annotations", {}).items() if k not in _NOT_COPIED}
    most = wanted + _fenceposts(deployment)[0]
    return {**copied, REVISION: str(revision), DESIRED: str(wanted), MOST: str(most)}


def _scale(deployment: Obj, replica_set: Obj, replicas: int) -> list[Action]:
    """Set the size of a ReplicaSet, and note for how many replicas in all; nothing when it is so already."""
    meta, before = replica_set["metadata"], _replicas(replica_set)
    wanted = _wanted(deployment)
    notes = {DESIRED: str(wanted), MOST: str(wanted + _fenceposts(deployment)[0])}
    noted = {key: value for key, value in notes.items() if meta.get("annotations", {}).get(key) != value}
    change: Obj = {"metadata": {"annotations": noted}} if noted else {}
    if replicas == before:
        return [Patch("ReplicaSet", meta["namespace"], meta["name"], change)] if change else []
    change["spec"] = {"replicas": replicas}
    patch = Patch("ReplicaSet", meta["namespace"], meta["name"], change)
    return [patch, _scaled(deployment, replica_set, before, replicas)]


def _scaled(deployment: Obj, replica_set: Obj, before: int, after: int) -> Note:
    way = "up" if after > before else "down"
    text = f"Scaled {way} replica set {replica_set['metadata']['name']} from {before} to {after}"
    return Note(deployment, _COMPONENT, "ScalingReplicaSet", text)


def _wanted(deployment: Obj) -> int:
    return int(deployment["spec"].get("replicas", 1))


def _replicas(replica_set: Obj) -> int:
    return int(replica_set["spec"].get("replicas", 1))


def _count(replica_set: Obj, name: str) -> int:
    return int(replica_set.get("status", {}).get(name, 0))


def _revision(replica_set: Obj) -> int:
    return int(replica_set["metadata"].get("annotations", {}).get(REVISION, "0"))
