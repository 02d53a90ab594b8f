"""Defaults of what runs Pods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cozystack.apiserver.defaults.maps import Obj, at, fill
from cozystack.apiserver.defaults.pods import template

GENERATION: Final = "deprecated.daemonset.template.generation"
"""How often the template of a DaemonSet has changed, which is told by an annotation."""
_MOST: Final = 2**31 - 1


def _deployment(obj: Obj) -> None:
    spec = at(obj, "spec")
    fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = at(spec, "strategy")
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        fill(at(strategy, "rollingUpdate"), maxSurge="25%", maxUnavailable="25%")
    template(spec)


def _replica_set(obj: Obj) -> None:
    at(obj, "spec").setdefault("replicas", 1)
    template(obj["spec"])


def _replication_controller(obj: Obj) -> None:
    spec = at(obj, "spec")
    spec.setdefault("replicas", 1)
    if "template" not in spec:
        return
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if labels:
        spec.setdefault("selector", dict(labels))
        obj["metadata"].setdefault("labels", dict(labels))
    template(spec)


def _stateful_set(obj: Obj) -> None:
    spec = at(obj, "spec")
    fill(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
    strategy = at(spec, "updateStrategy")
    if "type" not in strategy:
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        fill(strategy["rollingUpdate"], partition=0, maxUnavailable=1)
    fill(at(spec, "persistentVolumeClaimRetentionPolicy"), whenDeleted="Retain", whenScaled="Retain")
    for claim in spec.get("volumeClaimTemplates") or ():
        fill(claim, apiVersion="v1", kind="PersistentVolumeClaim")
        at(claim, "spec").setdefault("volumeMode", "Filesystem")
        at(claim, "status").setdefault("phase", "Pending")
    template(spec)


def _daemon_set(obj: Obj) -> None:
    at(obj["metadata"], "annotations").setdefault(GENERATION, "0")
    spec = at(obj, "spec")
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = at(spec, "updateStrategy")
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        fill(at(strategy, "rollingUpdate"), maxSurge=0, maxUnavailable=1)
    template(spec)


def _job(obj: Obj) -> None:
    labels = ((obj.get("spec") or {}).get("template") or {}).get("metadata", {}).get("labels")
    if labels and not obj["metadata"].get("labels"):
        # The very same: what the template is given later, the Job has too.
        obj["metadata"]["labels"] = labels
    _job_spec(at(obj, "spec"))


def _job_spec(spec: Obj) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    limit = _MOST if spec.get("backoffLimitPerIndex") is not None else 6
    policy = spec.get("podFailurePolicy")
    fill(
        spec,
        parallelism=1,
        backoffLimit=limit,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="TerminatingOrFailed" if policy is None else "Failed",
        manualSelector=False,
    )
    _failure_policy(policy)
    template(spec)


def _failure_policy(policy: Obj | None) -> None:
    for rule in (policy or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern.setdefault("status", "True")


def _cron_job(obj: Obj) -> None:
    spec = at(obj, "spec")
    fill(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    job = at(at(spec, "jobTemplate"), "spec")
    _failure_policy(job.get("podFailurePolicy"))
    template(job)


BY_KIND: Final[dict[tuple[str, str], Callable[[Obj], None]]] = {
    ("", "ReplicationController"): _replication_controller,
    ("", "PodTemplate"): template,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _cron_job,
}
