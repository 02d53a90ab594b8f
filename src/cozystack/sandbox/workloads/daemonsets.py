"""DaemonSets: one Pod on the one node, where that takes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cozystack.sandbox.workloads.actions import (
    Action,
    Obj,
    available,
    create_pod,
    delete_pod,
    has_ended,
    is_deleting,
    is_ready,
    pod_from,
    short_hash,
    status_action,
)
from cozystack.sandbox.workloads.claiming import claimed
from cozystack.sandbox.workloads.revisions import kept_revisions, revision_name
from cozystack.sandbox.workloads.scheduling import refused
from cozystack.sandbox.workloads.statefulsets import REVISION_LABEL

_COMPONENT = "daemonset-controller"
_GENERATION, _GENERATION_LABEL = "deprecated.daemonset.template.generation", "pod-template-generation"
_ALWAYS = ("currentNumberScheduled", "desiredNumberScheduled", "numberReady", "numberMisscheduled")
# What every Pod of a DaemonSet tolerates: it runs where nothing else is to run.
_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": effect}
    for name, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
]


def reconcile_daemon_set(
    daemon_set: Obj, pods: list[Obj], revisions: list[Obj], nodes: Sequence[Obj], now: datetime
) -> list[Action]:
    """Actions for a DaemonSet, given the Pods of its namespace, its own revisions, and the nodes (one at most)."""
    if is_deleting(daemon_set):
        return []
    meta, spec = daemon_set["metadata"], daemon_set["spec"]
    revision = revision_name(daemon_set).rpartition("-")[2]
    template = _tolerating(spec["template"])
    desired = int(any(not refused(template["spec"], node) for node in nodes))
    every, actions = claimed(daemon_set, pods)
    ended = [pod for pod in every if has_ended(pod) and not is_deleting(pod)]
    there = [pod for pod in every if not has_ended(pod)]
    live = [pod for pod in there if not is_deleting(pod)]
    fresh = [pod for pod in live if pod["metadata"]["labels"].get(REVISION_LABEL) == revision]
    old = [pod for pod in live if pod not in fresh]
    strategy = spec.get("updateStrategy") or {}
    surges = (strategy.get("rollingUpdate") or {}).get("maxSurge", 0) not in (0, "0%")
    seconds = spec.get("minReadySeconds", 0)
    if not desired:
        gone, missing = live, False
    elif strategy.get("type") == "OnDelete":
        gone, missing = live[1:], not there
    elif surges:
        # The new Pod comes beside the old one, which goes when the new one is available, or when it is of no use itself.
        served = bool(available(fresh, seconds, now)[0])
        gone = (old if served else [pod for pod in old if fresh and not is_ready(pod)]) + fresh[1:]
        missing = not fresh and len(there) == len(live)
    else:
        gone, missing = old + fresh[1:], not there
    actions += [delete_pod(pod, daemon_set, _COMPONENT) for pod in [*ended, *gone]]
    if missing and desired:
        name = f"{meta['name']}-{short_hash([meta['uid'], revision, len(every), meta.get('generation')], 5)}"
        labels = {REVISION_LABEL: revision}
        if _GENERATION in meta.get("annotations", {}):
            labels[_GENERATION_LABEL] = meta["annotations"][_GENERATION]
        pod = pod_from(template, daemon_set, name=name, prefix=f"{meta['name']}-", labels=labels)
        actions.append(create_pod(pod, daemon_set, _COMPONENT))
    kept = [pod for pod in live if pod not in gone]
    steady, again = available(kept, seconds, now)
    status = {
        "observedGeneration": meta.get("generation", 1),
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": min(1, len(kept)) if desired else 0,
        "updatedNumberScheduled": min(1, sum(pod in fresh for pod in kept)),
        "numberReady": min(1, sum(map(is_ready, kept))) if desired else 0,
        "numberAvailable": min(1, steady) if desired else 0,
        "numberUnavailable": desired - min(desired, steady),
        "numberMisscheduled": 0 if desired else len(live),
    }
    return [
        *kept_revisions(daemon_set, revisions, set()),
        *actions,
        *status_action(daemon_set, status, always=_ALWAYS),
        *again,
    ]


def _tolerating(template: Obj) -> Obj:
    spec = template.get("spec", {})
    tolerations = [*spec.get("tolerations", ()), *(each for each in _TOLERATIONS if each not in spec.get("tolerations", ()))]
    return {**template, "spec": {**spec, "tolerations": tolerations}}
