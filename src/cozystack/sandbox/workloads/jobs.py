"""Jobs: Pods until enough succeeded, or too many failed."""

from __future__ import annotations

from datetime import datetime, timedelta

from cozystack.api.time import format_time, parse_time
from cozystack.sandbox.workloads.actions import (
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


def reconcile_job(job: Obj, pods: list[Obj], now: datetime) -> list[Action]:
    """Actions for a Job, given the Pods of its namespace."""
    if is_deleting(job):
        return []
    spec, meta = job["spec"], job["metadata"]
    if finished(job):
        left = expiry(job, now)
        return [delete(job)] if left is not None and left <= timedelta(0) else []
    mine = owned_by(job, pods)
    succeeded = sum(phase(pod) == "Succeeded" for pod in mine)
    failed = sum(phase(pod) == "Failed" for pod in mine)
    active = [pod for pod in mine if phase(pod) not in ("Succeeded", "Failed") and not is_deleting(pod)]
    completions = spec.get("completions", 1)
    status: Obj = {"startTime": job.get("status", {}).get("startTime", format_time(now)), "uncountedTerminatedPods": {}}
    actions: list[Action] = []
    if spec.get("suspend"):
        actions += [delete(pod) for pod in active]
        active = []
    elif succeeded >= completions:
        stamp = format_time(now)
        status |= {
            "completionTime": stamp,
            "conditions": [
                _condition("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods", stamp),
                _condition("Complete", "CompletionsReached", "Reached expected number of succeeded pods", stamp),
            ],
        }
        actions += [delete(pod) for pod in active]
        active = []
    elif failed > spec.get("backoffLimit", 6):
        stamp = format_time(now)
        status["conditions"] = [
            _condition("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit", stamp),
            _condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit", stamp),
        ]
        actions += [delete(pod) for pod in active]
        active = []
    else:
        wanted = min(spec.get("parallelism", 1), completions - succeeded)
        start = len(mine)
        for number in range(wanted - len(active)):
            name = f"{meta['name']}-{short_hash([meta['uid'], start + number], 5)}"
            labels = {"batch.kubernetes.io/job-name": meta["name"], "job-name": meta["name"]}
            pod = pod_from(spec["template"], job, name=name, labels=labels)
            actions.append(Create(pod))
            active.append(pod)
    status |= {
        "active": len(active),
        "ready": sum(is_ready(pod) for pod in active),
        "succeeded": succeeded,
        "failed": failed,
    }
    return actions + status_action(job, status)


def finished(job: Obj) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def expiry(job: Obj, now: datetime) -> timedelta | None:
    """How long a finished Job is still kept, or nothing when it is kept for good."""
    limit = job["spec"].get("ttlSecondsAfterFinished")
    if limit is None:
        return None
    end = next(c["lastTransitionTime"] for c in job["status"]["conditions"] if c["type"] in ("Complete", "Failed"))
    return parse_time(end) + timedelta(seconds=limit) - now


def _condition(kind: str, reason: str, message: str, stamp: str) -> Obj:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": stamp,
        "lastTransitionTime": stamp,
    }
