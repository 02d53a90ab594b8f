"""The status of a Pod, as a kubelet would write it. Pure.

A simulated Pod does what the annotation ``sandbox.cozystack.io/fail`` of it asks for, so that failures can be tried out:
``image-pull`` (never starts), ``crash-loop``, ``not-ready`` (runs and never gets ready), ``exit`` (a Job's Pod fails).
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final, Literal, TypeAlias

from cozystack.api.time import format_time
from cozystack.sandbox.workloads.actions import Obj

FAIL_ANNOTATION: Final = "sandbox.cozystack.io/fail"
HOST_IP: Final = "127.0.0.1"

Outcome: TypeAlias = Literal["running", "not-ready", "succeeded", "failed", "image-pull", "crash-loop"]


def simulated_outcome(pod: Obj) -> Outcome:
    """What becomes of a Pod that nothing really runs for."""
    failure = pod["metadata"].get("annotations", {}).get(FAIL_ANNOTATION, "")
    if failure in ("image-pull", "crash-loop", "not-ready"):
        return failure  # type: ignore[no-any-return]
    if pod["spec"].get("restartPolicy", "Always") in ("Never", "OnFailure"):
        return "failed" if failure == "exit" else "succeeded"
    return "running"


def pod_ip(pod: Obj) -> str:
    """An address for a simulated Pod; Pods on the host network have the host's."""
    if pod["spec"].get("hostNetwork"):
        return HOST_IP
    digest = hashlib.sha256(pod["metadata"]["uid"].encode()).digest()
    return f"10.244.{digest[0]}.{digest[1] % 254 + 1}"


def pod_status(
    pod: Obj,
    outcome: Outcome,
    now: datetime,
    *,
    started: datetime | None = None,
    restarts: int = 0,
    exit_code: int = 1,
    message: str = "",
) -> Obj:
    """The whole status. ``started`` is when its containers started, now if not given."""
    stamp = format_time(now)
    start = format_time(started or now)
    ready = outcome == "running"
    finished = outcome in ("succeeded", "failed")
    containers = [
        _container(container, outcome, start, stamp, restarts=restarts, exit_code=exit_code, message=message)
        for container in pod["spec"].get("containers", ())
    ]
    status: Obj = {
        "phase": {"succeeded": "Succeeded", "failed": "Failed", "image-pull": "Pending"}.get(outcome, "Running"),
        "hostIP": HOST_IP,
        "hostIPs": [{"ip": HOST_IP}],
        "podIP": pod_ip(pod),
        "podIPs": [{"ip": pod_ip(pod)}],
        # A real API server sets it, and lets nobody change it.
        "qosClass": pod.get("status", {}).get("qosClass", "Burstable"),
        "startTime": pod.get("status", {}).get("startTime", stamp),
        "conditions": _conditions(pod, ready, finished, outcome, stamp),
        "containerStatuses": containers,
    }
    if pod["spec"].get("initContainers"):
        status["initContainerStatuses"] = [_init_container(container, start) for container in pod["spec"]["initContainers"]]
    return status


def _conditions(pod: Obj, ready: bool, finished: bool, outcome: Outcome, stamp: str) -> list[Obj]:
    old = {c["type"]: c for c in pod.get("status", {}).get("conditions", ())}
    reason = "PodCompleted" if finished else "" if ready else "ContainersNotReady"
    names = [container["name"] for container in pod["spec"].get("containers", ())]
    message = "" if ready or finished else f"containers with unready status: [{' '.join(names)}]"
    wanted = (
        ("PodReadyToStartContainers", outcome != "image-pull" and not finished, "", ""),
        ("Initialized", True, "PodCompleted" if finished else "", ""),
        ("Ready", ready, reason, message),
        ("ContainersReady", ready, reason, message),
        ("PodScheduled", True, "", ""),
    )
    conditions: list[Obj] = []
    for kind, value, why, text in wanted:
        status = "True" if value else "False"
        moved = old[kind]["lastTransitionTime"] if kind in old and old[kind]["status"] == status else stamp
        entry: Obj = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": moved}
        if why:
            entry["reason"] = why
        if text:
            entry["message"] = text
        conditions.append(entry)
    return conditions


def _container(container: Obj, outcome: Outcome, start: str, now: str, *, restarts: int, exit_code: int, message: str) -> Obj:
    state: Obj
    last: Obj = {}
    ended: Obj = {"exitCode": exit_code, "startedAt": start, "finishedAt": now, "reason": "Error"}
    if message:
        ended["message"] = message
    match outcome:
        case "running" | "not-ready":
            state = {"running": {"startedAt": start}}
        case "succeeded":
            state = {"terminated": {**ended, "exitCode": 0, "reason": "Completed"}}
        case "failed":
            state = {"terminated": ended}
        case "image-pull":
            state = {
                "waiting": {
                    "reason": "ImagePullBackOff",
                    "message": f'Back-off pulling image "{container.get("image", "")}" (a failure that was asked for)',
                }
            }
        case "crash-loop":
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": message or "back-off restarting failed container"}}
            last = {"terminated": ended}
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": outcome == "running",
        "started": outcome in ("running", "not-ready"),
        "restartCount": restarts,
        "state": state,
        "lastState": last,
    }


def _init_container(container: Obj, start: str) -> Obj:
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": start, "finishedAt": start}},
        "lastState": {},
    }
