"""Jobs: Pods until enough succeeded, or too many failed, or the time is over.

After a failure the next Pod waits ten seconds, after the next twenty, and so on up to ten minutes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Final

from cozystack.api.time import format_time, parse_time
from cozystack.sandbox.workloads.actions import (
    Action,
    Again,
    Create,
    Note,
    Obj,
    delete,
    has_ended,
    is_deleting,
    is_ready,
    owned_by,
    phase,
    pod_from,
    short_hash,
    status_action,
)

INDEX: Final = "batch.kubernetes.io/job-completion-index"
_COMPONENT: Final = "job-controller"
_FIRST_DELAY, _LONGEST_DELAY = timedelta(seconds=10), timedelta(minutes=10)
_COMPLETED: Final = ("CompletionsReached", "Reached expected number of succeeded pods")
_TOO_MANY: Final = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_TOO_LONG: Final = ("DeadlineExceeded", "Job was active longer than specified deadline")


def reconcile_job(job: Obj, pods: list[Obj], now: datetime) -> list[Action]:
    """Actions for a Job, given the Pods of its namespace."""
    if is_deleting(job):
        return []
    if finished(job):
        left = expiry(job, now)
        if left is None:
            return []
        return [Again(left)] if left > timedelta(0) else [delete(job)]
    spec, live = job["spec"], job.get("status", {})
    mine = owned_by(job, pods)
    succeeded = [pod for pod in mine if phase(pod) == "Succeeded"]
    failed = [pod for pod in mine if phase(pod) == "Failed"]
    active = [pod for pod in mine if not has_ended(pod) and not is_deleting(pod)]
    status: Obj = {"uncountedTerminatedPods": {}, "succeeded": len(succeeded), "failed": len(failed)}
    actions: list[Action] = []
    if spec.get("suspend"):
        status |= {"startTime": None, "conditions": _suspended(job, now, suspended=True)}
        if not _is(job, "Suspended"):
            actions.append(Note(job, _COMPONENT, "Suspended", "Job suspended"))
        actions += _stopped(job, active)
        return actions + _counted(job, status, [])
    status["startTime"] = live.get("startTime") or format_time(now)
    if _is(job, "Suspended"):
        status["conditions"] = _suspended(job, now, suspended=False)
        actions.append(Note(job, _COMPONENT, "Resumed", "Job resumed"))
    deadline = spec.get("activeDeadlineSeconds")
    left = parse_time(status["startTime"]) + timedelta(seconds=deadline) - now if deadline is not None else None
    ending = _ending(job, succeeded, failed, active, left)
    if ending is not None:
        kind, (reason, message) = ending
        stamp = format_time(now)
        targets = ("SuccessCriteriaMet", "Complete") if kind == "Complete" else ("FailureTarget", "Failed")
        kept = [c for c in live.get("conditions", ()) if c["type"] not in targets]
        status["conditions"] = kept + [_condition(target, reason, message, stamp) for target in targets]
        if kind == "Complete":
            status["completionTime"] = stamp
            actions.append(Note(job, _COMPONENT, "Completed", "Job completed"))
        else:
            actions.append(Note(job, _COMPONENT, reason, message, warning=True))
        actions += _stopped(job, active)
        return actions + _counted(job, status, [], succeeded)
    made, again = _started(job, mine, succeeded, failed, active, now)
    if left is not None:
        again.append(Again(left))
    return actions + made + _counted(job, status, active + [a.object for a in made if isinstance(a, Create)], succeeded) + again


def _ending(
    job: Obj, succeeded: list[Obj], failed: list[Obj], active: list[Obj], left: timedelta | None
) -> tuple[str, tuple[str, str]] | None:
    """How the Job ends, if it does now."""
    spec = job["spec"]
    completions = spec.get("completions")
    if completions is None:
        # Any Pod that succeeds says that the work is done; the others finish.
        enough = bool(succeeded) and not active
    else:
        enough = len(_indexes(succeeded) if _indexed(job) else succeeded) >= completions
    if enough:
        return "Complete", _COMPLETED
    if len(failed) > spec.get("backoffLimit", 6):
        return "Failed", _TOO_MANY
    if left is not None and left <= timedelta(0):
        return "Failed", _TOO_LONG
    return None


def _started(
    job: Obj, mine: list[Obj], succeeded: list[Obj], failed: list[Obj], active: list[Obj], now: datetime
) -> tuple[list[Action], list[Action]]:
    """Pods that are to run now, and when to look again for those that have to wait."""
    spec, meta = job["spec"], job["metadata"]
    parallelism, completions = spec.get("parallelism", 1), spec.get("completions")
    left = parallelism if completions is None and not succeeded else (completions or 0) - len(succeeded)
    missing = min(parallelism, left) - len(active)
    if missing < 0:
        return _stopped(job, active[missing:]), []
    if failed and missing:
        last = max(_ended_at(pod, now) for pod in failed)
        wait = last + min(_FIRST_DELAY * 2 ** (len(failed) - 1), _LONGEST_DELAY) - now
        if wait > timedelta(0):
            return [], [Again(wait)]
    actions: list[Action] = []
    open_indexes = sorted(set(range(completions or 0)) - _indexes(succeeded) - _indexes(active)) if _indexed(job) else []
    taken = {pod["metadata"]["name"] for pod in mine}
    labels = {"batch.kubernetes.io/job-name": meta["name"], "job-name": meta["name"]}
    for place in range(missing):
        prefix = f"{meta['name']}-{open_indexes[place]}" if open_indexes else meta["name"]
        name = next(n for i in count() if (n := f"{prefix}-{short_hash([meta['uid'], prefix, i], 5)}") not in taken)
        taken.add(name)
        index = {INDEX: str(open_indexes[place])} if open_indexes else {}
        pod = pod_from(spec["template"], job, name=name, labels={**labels, **index})
        if index:
            pod["metadata"]["annotations"] = {**pod["metadata"].get("annotations", {}), **index}
        actions += [Create(pod), Note(job, _COMPONENT, "SuccessfulCreate", f"Created pod: {name}")]
    return actions, []


def _stopped(job: Obj, active: list[Obj]) -> list[Action]:
    return [
        action
        for pod in active
        for action in (
            delete(pod),
            Note(job, _COMPONENT, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}"),
        )
    ]


def _counted(job: Obj, status: Obj, active: list[Obj], succeeded: list[Obj] | None = None) -> list[Action]:
    status |= {"active": len(active), "ready": sum(map(is_ready, active))}
    if _indexed(job) and succeeded:
        status["completedIndexes"] = _ranges(sorted(_indexes(succeeded)))
    return status_action(job, status)


def finished(job: Obj) -> bool:
    return _is(job, "Complete") or _is(job, "Failed")


def expiry(job: Obj, now: datetime) -> timedelta | None:
    """How long a finished Job is still kept, or nothing when it is kept for good."""
    limit = job["spec"].get("ttlSecondsAfterFinished")
    if limit is None:
        return None
    end = next(c["lastTransitionTime"] for c in job["status"]["conditions"] if c["type"] in ("Complete", "Failed"))
    return parse_time(end) + timedelta(seconds=limit) - now


def _is(job: Obj, kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in job.get("status", {}).get("conditions", ()))


def _indexed(job: Obj) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def _indexes(pods: list[Obj]) -> set[int]:
    found = (pod["metadata"].get("annotations", {}).get(INDEX) for pod in pods)
    return {int(index) for index in found if index is not None}


def _ranges(numbers: list[int]) -> str:
    """Numbers as Kubernetes writes them: ``0-2,4``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _ended_at(pod: Obj, now: datetime) -> datetime:
    ends = [
        state["terminated"]["finishedAt"]
        for entry in pod.get("status", {}).get("containerStatuses", ())
        if "finishedAt" in (state := entry.get("state", {})).get("terminated", {})
    ]
    return max(map(parse_time, ends), default=now)


def _suspended(job: Obj, now: datetime, *, suspended: bool) -> list[Obj]:
    old = next((c for c in job.get("status", {}).get("conditions", ()) if c["type"] == "Suspended"), None)
    if old is not None and (old["status"] == "True") == suspended:
        return [old]
    reason, message = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
    return [{**_condition("Suspended", reason, message, format_time(now)), "status": "True" if suspended else "False"}]


def _condition(kind: str, reason: str, message: str, stamp: str) -> Obj:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": stamp,
        "lastTransitionTime": stamp,
    }
