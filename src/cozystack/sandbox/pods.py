"""The status of a Pod, as a kubelet would write it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from cozystack.api.time import format_time
from cozystack.sandbox.workloads.actions import Obj

HOST_IP: Final = "127.0.0.1"

Outcome: TypeAlias = Literal[
    "creating",  # it has a node, and nothing runs yet
    "pull-failed",
    "pull-backoff",
    "initializing",  # the init container ``Shown.place`` runs
    "init-backoff",  # ... has ended with an error and waits to be started again
    "init-failed",  # ... has ended with an error for good
    "running",
    "not-ready",
    "crash-loop",
    "succeeded",
    "failed",
]
PHASES: Final[dict[Outcome, str]] = {
    "creating": "Pending",
    "pull-failed": "Pending",
    "pull-backoff": "Pending",
    "initializing": "Pending",
    "init-backoff": "Pending",
    "init-failed": "Failed",
    "succeeded": "Succeeded",
    "failed": "Failed",
}
_BEFORE_MAIN: Final = ("creating", "initializing", "init-backoff", "init-failed")
_INIT: Final = ("initializing", "init-backoff", "init-failed")


@dataclass(slots=True)
class Shown:
    """What a status says. ``started`` and ``ended`` are when the containers last did, ``message`` is why they do not run."""

    outcome: Outcome
    now: datetime
    started: datetime | None = None
    ended: datetime | None = None
    restarts: int = 0
    exit_code: int = 1
    message: str = ""
    """What the container said last, or why it waits."""
    waiting: str = ""
    """What its state says while it waits."""
    place: int = 0
    """Which of the init containers it is about."""


def is_sidecar(container: Obj) -> bool:
    """Whether an init container goes on running beside the others."""
    return bool(container.get("restartPolicy") == "Always")


def pod_ip(pod: Obj) -> str:
    """An address for a simulated Pod; Pods on the host network have the host's."""
    if pod["spec"].get("hostNetwork"):
        return HOST_IP
    digest = hashlib.sha256(pod["metadata"]["uid"].encode()).digest()
    return f"10.244.{digest[0]}.{digest[1] % 254 + 1}"


def pod_status(pod: Obj, shown: Shown) -> Obj:
    """The whole status."""
    outcome, live, stamp = shown.outcome, pod.get("status", {}), format_time(shown.now)
    init, containers = pod["spec"].get("initContainers", ()), pod["spec"].get("containers", ())
    status: Obj = {
        "phase": PHASES.get(outcome, "Running"),
        "observedGeneration": pod["metadata"].get("generation", 1),
        "hostIP": HOST_IP,
        "hostIPs": [{"ip": HOST_IP}],
        # A real API server sets it, and lets nobody change it.
        "qosClass": live.get("qosClass", "Burstable"),
        "startTime": live.get("startTime", stamp),
        "conditions": _conditions(pod, shown, stamp),
        "containerStatuses": [_container(container, shown, stamp, started_before=bool(init)) for container in containers],
    }
    if outcome != "creating":
        status |= {"podIP": pod_ip(pod), "podIPs": [{"ip": pod_ip(pod)}]}
    if init:
        status["initContainerStatuses"] = [
            _init_container(container, place, shown, stamp) for place, container in enumerate(init)
        ]
    return status


def _conditions(pod: Obj, shown: Shown, stamp: str) -> list[Obj]:
    outcome, spec = shown.outcome, pod["spec"]
    old = {c["type"]: c for c in pod.get("status", {}).get("conditions", ())}
    names = [container["name"] for container in spec.get("containers", ())]
    unready = f"containers with unready status: [{' '.join(names)}]"
    gates = [str(gate["conditionType"]) for gate in spec.get("readinessGates", ())]
    closed = [gate for gate in gates if old.get(gate, {}).get("status") != "True"]
    contained: tuple[bool, str, str]
    if outcome == "running":
        contained = True, "", ""
    elif outcome == "succeeded":
        contained = False, "PodCompleted", ""
    elif outcome in ("failed", "init-failed"):
        contained = False, "PodFailed", ""
    else:
        contained = False, "ContainersNotReady", unready
    ready = contained
    if contained[0] and closed:
        ready = (
            False,
            "ReadinessGatesNotReady",
            "".join(f'corresponding condition of pod readiness gate "{each}" does not exist.' for each in closed),
        )
    incomplete = [container["name"] for container in spec.get("initContainers", ()) if not is_sidecar(container)]
    initialized: tuple[bool, str, str] = (True, "PodCompleted", "") if outcome == "succeeded" else (True, "", "")
    if outcome in _BEFORE_MAIN and incomplete:
        left = incomplete[shown.place :] if outcome != "creating" else incomplete
        initialized = False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(left)}]"
    wanted = (
        ("PodReadyToStartContainers", outcome not in ("creating", "succeeded", "failed", "init-failed"), "", ""),
        ("Initialized", *initialized),
        ("Ready", *ready),
        ("ContainersReady", *contained),
        ("PodScheduled", True, "", ""),
    )
    # What others say of the Pod stays.
    conditions = [entry for name, entry in old.items() if name not in {kind for kind, *_ in wanted}]
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


def _container(container: Obj, shown: Shown, stamp: str, *, started_before: bool) -> Obj:
    state: Obj
    last: Obj = {}
    ready = False
    match shown.outcome:
        case "running" | "not-ready":
            state = {"running": {"startedAt": _start(shown)}}
            ready = shown.outcome == "running"
            if shown.restarts:
                last = {"terminated": _ended(shown, stamp)}
        case "succeeded":
            state = {"terminated": {**_ended(shown, stamp), "exitCode": 0, "reason": "Completed"}}
        case "failed":
            state = {"terminated": _ended(shown, stamp)}
        case "pull-failed" | "pull-backoff":
            reason = "ErrImagePull" if shown.outcome == "pull-failed" else "ImagePullBackOff"
            state = {"waiting": {"reason": reason, "message": shown.waiting}}
        case "crash-loop":
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": shown.waiting}}
            last = {"terminated": _ended(shown, stamp)}
        case _:
            state = {"waiting": {"reason": "PodInitializing" if started_before else "ContainerCreating"}}
    entry = _entry(container, state, last, ready=ready, restarts=0 if shown.outcome in _BEFORE_MAIN else shown.restarts)
    entry["started"] = shown.outcome in ("running", "not-ready")
    return entry


def _init_container(container: Obj, place: int, shown: Shown, stamp: str) -> Obj:
    """Those before the one that it is about have ended, or go on running beside the others; those after it wait."""
    reached = (
        shown.place
        if shown.outcome in _INIT
        else -1
        if shown.outcome in ("creating", "pull-failed", "pull-backoff")
        else place + 1
    )
    last: Obj = {}
    ready = place < reached
    restarts = 0
    if place > reached:
        state: Obj = {"waiting": {"reason": "PodInitializing"}}
    elif place == reached and shown.outcome == "init-backoff":
        state, last = (
            {"waiting": {"reason": "CrashLoopBackOff", "message": shown.waiting}},
            {"terminated": _ended(shown, stamp)},
        )
        restarts = shown.restarts
    elif place == reached and shown.outcome == "init-failed":
        state = {"terminated": _ended(shown, stamp)}
    elif place == reached or (is_sidecar(container) and shown.outcome not in ("succeeded", "failed")):
        state = {"running": {"startedAt": _start(shown)}}
        restarts = shown.restarts if place == reached else 0
    else:
        done: Obj = {"exitCode": 0, "reason": "Completed", "startedAt": _start(shown), "finishedAt": _start(shown)}
        state = {"terminated": done}
    entry = _entry(container, state, last, ready=ready, restarts=restarts)
    entry["started"] = "running" in state
    return entry


def _entry(container: Obj, state: Obj, last: Obj, *, ready: bool, restarts: int) -> Obj:
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": ready,
        "restartCount": restarts,
        "state": state,
        "lastState": last,
    }


def _start(shown: Shown) -> str:
    return format_time(shown.started or shown.now)


def _ended(shown: Shown, stamp: str) -> Obj:
    end: Obj = {
        "exitCode": shown.exit_code,
        "startedAt": _start(shown),
        "finishedAt": format_time(shown.ended) if shown.ended is not None else stamp,
        "reason": "Error",
    }
    if shown.message:
        end["message"] = shown.message
    return end


def same_status(live: Obj, wanted: Obj) -> bool:
    """Whether ``live`` says what ``wanted`` says, the times of unchanged facts apart."""
    return (
        live.get("phase") == wanted["phase"]
        and live.get("podIP") == wanted.get("podIP")
        and all(
            _facts(live.get(part, ())) == _facts(wanted.get(part, ()))
            for part in ("containerStatuses", "initContainerStatuses")
        )
        and _told(live.get("conditions", ())) == _told(wanted["conditions"])
    )


def _facts(statuses: Sequence[Obj]) -> list[tuple[object, ...]]:
    return [(s["name"], s["ready"], s.get("started"), s["restartCount"], *_state(s)) for s in statuses]


def _state(status: Obj) -> tuple[object, ...]:
    for name, content in status.get("state", {}).items():
        return name, content.get("reason"), content.get("message"), content.get("exitCode")
    return ()


def _told(conditions: Sequence[Obj]) -> dict[str, tuple[object, object]]:
    return {entry["type"]: (entry["status"], entry.get("reason")) for entry in conditions}
