"""Jobs: Pods until enough succeeded, or too many failed, or the time is over.

A Pod that has ended is counted exactly once, however long it stays: it has a finalizer from the beginning, its uid is noted in
the status, then the finalizer goes, then the number goes up. So a Job whose Pods are deleted knows what they have done. The
status is only written where it is still the one that was counted from.

After a failure the next Pod waits ten seconds, after the next twenty, and so on up to ten minutes; with a limit for each index,
indexes wait on their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
    changed_metadata,
    create_pod,
    delete,
    delete_pod,
    has_ended,
    is_deleting,
    is_ready,
    owned_by,
    phase,
    pod_from,
    short_hash,
    status_action,
)

FINALIZER: Final = "batch.kubernetes.io/job-tracking"
INDEX: Final = "batch.kubernetes.io/job-completion-index"
_FAILURES: Final = "batch.kubernetes.io/job-index-failure-count"
_COMPONENT: Final = "job-controller"
_FIRST_DELAY, _LONGEST_DELAY = timedelta(seconds=10), timedelta(minutes=10)
_COMPLETED: Final = ("CompletionsReached", "Reached expected number of succeeded pods")
_ALWAYS: Final = ("ready", "terminating")


def reconcile_job(job: Obj, pods: list[Obj], now: datetime) -> list[Action]:
    """Actions for a Job, given its Pods."""
    mine = owned_by(job, pods)
    if finished(job):
        left = expiry(job, now)
        if is_deleting(job) or left is None:
            return []
        return [Again(left)] if left > timedelta(0) else [delete(job)]
    if job["spec"].get("managedBy", "kubernetes.io/job-controller") != "kubernetes.io/job-controller":
        return []
    return _Count(job, mine, now).actions()


def let_go(pods: list[Obj]) -> list[Action]:
    """Actions for Pods whose Job is gone: nobody counts them any more."""
    return [_uncounted(pod) for pod in pods if _is_tracked(pod)]


@dataclass
class _Count:
    """What has become of a Job's Pods so far."""

    job: Obj
    pods: list[Obj]
    now: datetime
    noted: dict[str, list[str]] = field(default_factory=dict)
    """Uids of Pods that have ended and are not in the numbers yet, by how they ended."""

    def __post_init__(self) -> None:
        self.spec: Obj = self.job["spec"]
        self.live: Obj = self.job.get("status", {})
        self.indexed = self.spec.get("completionMode") == "Indexed"
        self.limit_of_index: int | None = self.spec.get("backoffLimitPerIndex")
        self.active = [pod for pod in self.pods if not has_ended(pod) and not is_deleting(pod)]
        before = self.live.get("uncountedTerminatedPods") or {}
        there = {pod["metadata"]["uid"]: pod for pod in self.pods}
        held = {uid for uid, pod in there.items() if _is_tracked(pod)}
        known = {uid for uids in before.values() for uid in uids}
        self.numbers = {how: self.live.get(how, 0) for how in ("succeeded", "failed")}
        for how in ("succeeded", "failed"):
            self.numbers[how] += sum(uid not in held for uid in before.get(how, ()))
            self.noted[how] = [uid for uid in before.get(how, ()) if uid in held]
        new = [pod for uid, pod in there.items() if uid in held and uid not in known]
        self.ignored = [pod for pod in new if _failed(pod) and self._rule(pod)[0] == "Ignore"]
        for pod in new:
            if phase(pod) == "Succeeded":
                self.noted["succeeded"].append(pod["metadata"]["uid"])
            elif _failed(pod) and pod not in self.ignored:
                self.noted["failed"].append(pod["metadata"]["uid"])
        # Counted as soon as that is written down.
        self.free = [there[uid] for uid in known if uid in held] + self.ignored
        self.succeeded = self.numbers["succeeded"] + len(self.noted["succeeded"])
        self.failed = self.numbers["failed"] + len(self.noted["failed"])
        ended = [pod for pod in self.pods if phase(pod) == "Succeeded"]
        self.done = _numbers(self.live.get("completedIndexes", "")) | _indexes(ended) if self.indexed else set()
        self.lost = (
            _numbers(self.live.get("failedIndexes", "")) | self._failed_indexes() if self.limit_of_index is not None else set()
        )
        if self.indexed:
            self.succeeded = len(self.done)

    def actions(self) -> list[Action]:
        if is_deleting(self.job):
            counted = self._written([], []) if self.free or any(self.noted.values()) else []
            return [*counted, *map(_uncounted, self.free)]
        conditions: list[Obj] = list(self.live.get("conditions", ()))
        start = self._started_at()
        actions: list[Action] = []
        again: list[Action] = []
        target = next(
            (c for c in conditions if c["type"] in ("SuccessCriteriaMet", "FailureTarget") and c["status"] == "True"), None
        )
        if target is None and not self.spec.get("suspend"):
            ending, again = self._ending(start)
            if ending is not None:
                kind, reason, message = ending
                target = _condition(kind, reason, message, format_time(self.now))
                conditions.append(target)
        made: list[Action] = []
        gone: list[Obj] = []
        if target is not None:
            gone = self.active
        elif self.spec.get("suspend"):
            gone, start = self.active, None
            conditions, told = _suspended(conditions, self.now, suspended=True)
            actions += [Note(self.job, _COMPONENT, "Suspended", "Job suspended")] if told else []
        else:
            if any(c["type"] == "Suspended" and c["status"] == "True" for c in conditions):
                conditions, _ = _suspended(conditions, self.now, suspended=False)
                actions.append(Note(self.job, _COMPONENT, "Resumed", "Job resumed"))
                start = format_time(self.now)
            made, gone, later = self._moves()
            again += later
        actions += [delete_pod(pod, self.job, _COMPONENT) for pod in gone]
        status: Obj = {"startTime": start, "conditions": conditions or None}
        left = [pod for pod in self.pods if _is_tracked(pod) or (is_deleting(pod) and not has_ended(pod))]
        if target is not None and not left and not any(self.noted.values()):
            actions += self._ended(status, target)
        active = [pod for pod in self.active if pod not in gone]
        new = [action.object for action in made if isinstance(action, Create)]
        # What was counted is written down before anything is let go of.
        return [*self._written(active, new, **status), *map(_uncounted, self.free), *actions, *made, *again]

    def _ended(self, status: Obj, target: Obj) -> list[Action]:
        """The last word on a Job of whose Pods none is left to count."""
        kind = "Complete" if target["type"] == "SuccessCriteriaMet" else "Failed"
        stamp = format_time(self.now)
        last = _condition(kind, target.get("reason", ""), target.get("message", ""), stamp)
        status["conditions"] = [*status["conditions"], last]
        if kind == "Complete":
            status["completionTime"] = stamp
            return [Note(self.job, _COMPONENT, "Completed", "Job completed")]
        return [Note(self.job, _COMPONENT, target.get("reason", ""), target.get("message", ""), warning=True)]

    def _written(self, active: list[Obj], new: list[Obj], **more: object) -> list[Action]:
        status: Obj = {
            "uncountedTerminatedPods": {how: uids for how, uids in self.noted.items() if uids},
            **self.numbers,
            "active": len(active) + len(new),
            "ready": sum(map(is_ready, active)),
            "terminating": sum(is_deleting(pod) and not has_ended(pod) for pod in self.pods) + len(self.active) - len(active),
            **more,
        }
        if self.indexed:
            status["succeeded"] = len(self.done)
            status["completedIndexes"] = _ranges(sorted(self.done)) or None
        if self.limit_of_index is not None:
            status["failedIndexes"] = _ranges(sorted(self.lost)) or None
        return status_action(self.job, status, always=_ALWAYS, exact=True)

    def _started_at(self) -> str | None:
        return self.live.get("startTime") or format_time(self.now)

    def _ending(self, start: str | None) -> tuple[tuple[str, str, str] | None, list[Action]]:
        """How the Job ends, if it does now, and when to look again."""
        completions, limit = self.spec.get("completions"), self.spec.get("backoffLimit", 6)
        for pod in self.pods:
            if _failed(pod) and (rule := self._rule(pod))[0] == "FailJob":
                return ("FailureTarget", "PodFailurePolicy", rule[1]), []
        restarts = 0
        if self.spec["template"].get("spec", {}).get("restartPolicy") == "OnFailure":
            restarts = sum(_restarts(pod) for pod in self.pods if phase(pod) in ("Running", "Pending"))
        if self.failed > limit or (restarts and restarts >= limit):
            return ("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"), []
        again: list[Action] = []
        deadline = self.spec.get("activeDeadlineSeconds")
        if deadline is not None and start is not None:
            left = parse_time(start) + timedelta(seconds=deadline) - self.now
            if left <= timedelta(0):
                return ("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"), []
            again = [Again(left)]
        if self.limit_of_index is not None and self.lost:
            most = self.spec.get("maxFailedIndexes")
            if most is not None and len(self.lost) > most:
                text = "Job has exceeded the specified maximal number of failed indexes"
                return ("FailureTarget", "MaxFailedIndexesExceeded", text), []
            if len(self.lost) + len(self.done) >= (completions or 0):
                return ("FailureTarget", "FailedIndexes", "Job has failed indexes"), []
        # Without a number of completions, any Pod that succeeds says that the work is done; the others finish.
        enough = self.succeeded > 0 if completions is None else self.succeeded >= completions
        return (("SuccessCriteriaMet", *_COMPLETED), []) if enough and not self.active else (None, again)

    def _moves(self) -> tuple[list[Action], list[Obj], list[Action]]:
        """Pods that are to run now, those that are too many, and when to look again for those that have to wait."""
        parallelism, completions = self.spec.get("parallelism", 1), self.spec.get("completions")
        if completions is None:
            wanted = len(self.active) if self.succeeded else parallelism
        else:
            wanted = max(0, min(parallelism, completions - self.succeeded - len(self.lost)))
        surplus = len(self.active) - wanted
        if surplus > 0:
            return [], sorted(self.active, key=lambda pod: (is_ready(pod), bool(pod.get("status"))))[:surplus], []
        missing = -surplus
        if self._replaces_failed_alone():
            missing -= sum(is_deleting(pod) and not has_ended(pod) for pod in self.pods)
        if missing <= 0:
            return [], [], []
        failed = [pod for pod in self.pods if _failed(pod) and self._rule(pod)[0] != "Ignore"]
        if self.limit_of_index is None:
            wait = _delay(failed, [pod for pod in self.pods if phase(pod) == "Succeeded"], self.now)
            if wait > timedelta(0):
                return [], [], [Again(wait)]
        if not self.indexed:
            return self._made([None] * missing, failed), [], []
        open_indexes = sorted(set(range(completions or 0)) - self.done - self.lost - _indexes(self.active))[:missing]
        if self.limit_of_index is None:
            return self._made(open_indexes, failed), [], []
        waits = {index: _delay([pod for pod in failed if _indexes([pod]) == {index}], [], self.now) for index in open_indexes}
        ready = [index for index, wait in waits.items() if wait <= timedelta(0)]
        later = [wait for wait in waits.values() if wait > timedelta(0)]
        return self._made(ready, failed), [], [Again(min(later))] if later else []

    def _made(self, indexes: Sequence[int | None], failed: list[Obj]) -> list[Action]:
        meta = self.job["metadata"]
        actions: list[Action] = []
        taken = {pod["metadata"]["name"] for pod in self.pods}
        counted = self.live.get("succeeded", 0) + self.live.get("failed", 0)
        labels = {"batch.kubernetes.io/job-name": meta["name"], "job-name": meta["name"]}
        for uid in ("batch.kubernetes.io/controller-uid", "controller-uid"):
            labels[uid] = meta["uid"]
        for index in indexes:
            prefix = f"{meta['name']}-" if index is None else f"{meta['name']}-{index}-"
            name = next(n for i in count(counted) if (n := f"{prefix}{short_hash([meta['uid'], prefix, i], 5)}") not in taken)
            taken.add(name)
            extra: Obj = {} if index is None else {"hostname": f"{meta['name']}-{index}"}
            place = {} if index is None else {INDEX: str(index)}
            pod = pod_from(self.spec["template"], self.job, name=name, prefix=prefix, labels={**labels, **place}, **extra)
            pod["metadata"]["finalizers"] = [*pod["metadata"].get("finalizers", ()), FINALIZER]
            notes = dict(place)
            if index is not None and self.limit_of_index is not None:
                notes[_FAILURES] = str(
                    max((_index_failures(each) + 1 for each in failed if _indexes([each]) == {index}), default=0)
                )
            if notes:
                pod["metadata"]["annotations"] = {**pod["metadata"].get("annotations", {}), **notes}
            actions.append(create_pod(pod, self.job, _COMPONENT))
        return actions

    def _replaces_failed_alone(self) -> bool:
        return bool(self.spec.get("podReplacementPolicy") == "Failed" or self.spec.get("podFailurePolicy"))

    def _failed_indexes(self) -> set[int]:
        found = set()
        for pod in self.pods:
            if _failed(pod):
                over = _index_failures(pod) >= (self.limit_of_index or 0)
                if over or self._rule(pod)[0] == "FailIndex":
                    found |= _indexes([pod])
        return found

    def _rule(self, pod: Obj) -> tuple[str, str]:
        """What the policy for failures says of a failed Pod, and why; a failure that no rule names counts."""
        where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for number, rule in enumerate((self.spec.get("podFailurePolicy") or {}).get("rules", ())):
            action = str(rule["action"])
            codes = rule.get("onExitCodes")
            if codes is not None and phase(pod) == "Failed":
                for container, code in _exit_codes(pod):
                    if codes.get("containerName", container) == container and (code in codes["values"]) == (
                        codes["operator"] == "In"
                    ):
                        why = f"Container {container} for pod {where} failed with exit code {code}"
                        return action, f"{why} matching {action} rule at index {number}"
            for wanted in rule.get("onPodConditions") or ():
                for entry in pod.get("status", {}).get("conditions", ()):
                    if (entry["type"], entry["status"]) == (wanted["type"], wanted.get("status", "True")):
                        return action, f"Pod {where} has condition {entry['type']} matching {action} rule at index {number}"
        return "Count", ""


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


def _is_tracked(pod: Obj) -> bool:
    return FINALIZER in pod["metadata"].get("finalizers", ())


def _uncounted(pod: Obj) -> Action:
    """Take the finalizer off a Pod."""
    left = [name for name in pod["metadata"]["finalizers"] if name != FINALIZER]
    return changed_metadata(pod, finalizers=left or None)


def _failed(pod: Obj) -> bool:
    """Whether a Pod has failed, or will never have succeeded since it is on its way out."""
    return phase(pod) == "Failed" or (is_deleting(pod) and phase(pod) != "Succeeded")


def _delay(failed: list[Obj], succeeded: list[Obj], now: datetime) -> timedelta:
    """How long the next Pod has to wait, for failures since the last success."""
    last_success = max((_ended_at(pod, now) for pod in succeeded), default=None)
    ends = [_ended_at(pod, now) for pod in failed]
    ends = [end for end in ends if last_success is None or end > last_success]
    if not ends:
        return timedelta(0)
    delay: timedelta = min(_FIRST_DELAY * 2 ** min(len(ends) - 1, 10), _LONGEST_DELAY)
    return max(ends) + delay - now


def _ended_at(pod: Obj, now: datetime) -> datetime:
    ends = [
        state["terminated"]["finishedAt"]
        for entry in pod.get("status", {}).get("containerStatuses", ())
        if "finishedAt" in (state := entry.get("state", {})).get("terminated", {})
    ]
    return max(map(parse_time, ends), default=now)


def _exit_codes(pod: Obj) -> list[tuple[str, int]]:
    status = pod.get("status", {})
    return [
        (entry["name"], ended["exitCode"])
        for part in ("initContainerStatuses", "containerStatuses")
        for entry in status.get(part, ())
        if (ended := entry.get("state", {}).get("terminated")) and ended["exitCode"] != 0
    ]


def _restarts(pod: Obj) -> int:
    status = pod.get("status", {})
    parts = ("initContainerStatuses", "containerStatuses")
    return sum(entry.get("restartCount", 0) for part in parts for entry in status.get(part, ()))


def _index_failures(pod: Obj) -> int:
    return int(pod["metadata"].get("annotations", {}).get(_FAILURES, "0"))


def _indexes(pods: list[Obj]) -> set[int]:
    found = (pod["metadata"].get("annotations", {}).get(INDEX) for pod in pods)
    return {int(index) for index in found if index is not None}


def _numbers(text: str) -> set[int]:
    """Numbers as Kubernetes writes them: ``0-2,4,5``."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _ranges(numbers: list[int]) -> str:
    """The same the other way round."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(",".join(map(str, part)) if len(part) < 3 else f"{part[0]}-{part[-1]}" for part in parts)


def _suspended(conditions: list[Obj], now: datetime, *, suspended: bool) -> tuple[list[Obj], bool]:
    """The conditions with that of being suspended, and whether it has changed."""
    status = "True" if suspended else "False"
    old = next((c for c in conditions if c["type"] == "Suspended"), None)
    if old is not None and old["status"] == status:
        return conditions, False
    reason, message = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
    new = {**_condition("Suspended", reason, message, format_time(now)), "status": status}
    return [new if entry is old else entry for entry in conditions] if old is not None else [*conditions, new], True


def _condition(kind: str, reason: str, message: str, stamp: str) -> Obj:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": stamp,
        "lastTransitionTime": stamp,
    }
