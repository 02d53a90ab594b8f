"""CronJobs: a Job at each time of a schedule, and few of those that have ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cozystack.api.time import format_time, parse_time
from cozystack.apiserver.rules.schedule import schedule
from cozystack.sandbox.workloads.actions import (
    Action,
    Again,
    Create,
    Delete,
    Note,
    Obj,
    delete,
    is_deleting,
    owned_by,
    owner,
    status_action,
)
from cozystack.sandbox.workloads.jobs import finished

_COMPONENT: Final = "cronjob-controller"
_SCHEDULED: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_MOST_MISSED: Final = 100


def reconcile_cron_job(cron_job: Obj, jobs: list[Obj], now: datetime) -> list[Action]:
    """Actions for a CronJob, given the Jobs of its namespace."""
    if is_deleting(cron_job):
        return []
    spec, live = cron_job["spec"], cron_job.get("status", {})
    mine = owned_by(cron_job, jobs)
    running = [job for job in mine if not finished(job)]
    actions = _history(cron_job, mine)
    status: Obj = {}
    ended = [job["status"]["completionTime"] for job in mine if job.get("status", {}).get("completionTime")]
    if ended:
        status["lastSuccessfulTime"] = max([*ended, live.get("lastSuccessfulTime", "")])
    due, following = (None, None) if spec.get("suspend") else _times(cron_job, now)
    if due is not None:
        policy, name = spec.get("concurrencyPolicy", "Allow"), f"{cron_job['metadata']['name']}-{_minutes(due)}"
        if any(job["metadata"]["name"] == name for job in mine):
            status["lastScheduleTime"] = format_time(due)
        elif policy == "Forbid" and running:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            actions.append(Note(cron_job, _COMPONENT, "JobAlreadyActive", text))
        else:
            if policy == "Replace":
                for job in running:
                    actions.append(_deleted(cron_job, job))
                running = []
            made = _job(cron_job, name, due)
            told = Note(cron_job, _COMPONENT, "SuccessfulCreate", f"Created job {name}")
            refused = Note(cron_job, _COMPONENT, "FailedCreate", "Error creating job: ", warning=True)
            actions.append(Create(made, told, refused))
            status["lastScheduleTime"] = format_time(due)
    actions += _news(cron_job, mine)
    status["active"] = [_reference(job) for job in running] or None
    actions += status_action(cron_job, status)
    return [*actions, Again(following - now)] if following is not None else actions


def _times(cron_job: Obj, now: datetime) -> tuple[datetime | None, datetime | None]:
    """The last time that is due and has not been served, and the next one that is to come."""
    spec = cron_job["spec"]
    times, zone = schedule(spec["schedule"]), ZoneInfo(spec["timeZone"]) if spec.get("timeZone") else UTC
    since = cron_job.get("status", {}).get("lastScheduleTime") or cron_job["metadata"]["creationTimestamp"]
    begin = parse_time(since)
    late = spec.get("startingDeadlineSeconds")
    if late is not None:
        begin = max(begin, now - timedelta(seconds=late))
    due, missed, moment = None, 0, times.after(begin.astimezone(zone))
    while moment is not None and moment <= now:
        due, missed = moment.astimezone(UTC), missed + 1
        if missed > _MOST_MISSED:
            # Nobody counts on; the latest is taken.
            moment = times.after((now - timedelta(minutes=1)).astimezone(zone))
            return (moment.astimezone(UTC) if moment and moment <= now else due), times.after(now.astimezone(zone))
        moment = times.after(moment)
    return due, moment.astimezone(UTC) if moment is not None else None


def _history(cron_job: Obj, jobs: list[Obj]) -> list[Action]:
    """Forget the oldest of the Jobs that have ended, beyond the limits for those that succeeded and those that failed."""
    actions: list[Action] = []
    for kind, name, limit in (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1)):
        ended = [job for job in jobs if _has(job, kind) and not is_deleting(job)]
        oldest_first = sorted(ended, key=lambda job: str(job["status"].get("startTime", "")))
        for job in oldest_first[: max(0, len(ended) - cron_job["spec"].get(name, limit))]:
            actions.append(_deleted(cron_job, job))
    return actions


def _deleted(cron_job: Obj, job: Obj) -> Delete:
    return delete(job, Note(cron_job, _COMPONENT, "SuccessfulDelete", f"Deleted job {job['metadata']['name']}"))


def _news(cron_job: Obj, jobs: list[Obj]) -> list[Action]:
    """What has become of the Jobs that the status names as running."""
    there = {job["metadata"]["uid"]: job for job in jobs}
    actions: list[Action] = []
    for reference in cron_job.get("status", {}).get("active") or ():
        job = there.get(reference["uid"])
        if job is None:
            text = f"Active job went missing: {reference['name']}"
            actions.append(Note(cron_job, _COMPONENT, "MissingJob", text))
        elif finished(job):
            how = "Complete" if _has(job, "Complete") else "Failed"
            text = f"Saw completed job: {reference['name']}, condition: {how}"
            actions.append(Note(cron_job, _COMPONENT, "SawCompletedJob", text))
    return actions


def _has(job: Obj, kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in job.get("status", {}).get("conditions", ()))


def _job(cron_job: Obj, name: str, due: datetime) -> Obj:
    template = cron_job["spec"]["jobTemplate"]
    meta = template.get("metadata", {})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": cron_job["metadata"]["namespace"],
            "labels": dict(meta.get("labels", {})),
            "annotations": {**meta.get("annotations", {}), _SCHEDULED: format_time(due)},
            "ownerReferences": [owner(cron_job)],
        },
        "spec": template["spec"],
    }


def _reference(job: Obj) -> Obj:
    meta = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta["name"],
        "namespace": meta["namespace"],
        "uid": meta["uid"],
        "resourceVersion": meta.get("resourceVersion", ""),
    }


def _minutes(moment: datetime) -> int:
    return int(moment.timestamp()) // 60
