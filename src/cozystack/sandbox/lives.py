"""What becomes of a Pod that nothing really runs for: the course of its life, step by step. Pure but for what it remembers.

It is created, its images are pulled, init containers run one after the other, then it runs, gets ready, and ends if it is one
that ends. All of that takes a moment. Annotations of the Pod say what goes otherwise, so that failures can be tried out:

* ``sandbox.cozystack.io/fail``: ``image-pull`` (never starts), ``init`` (an init container that fails), ``crash-loop`` (ends
  again and again), ``not-ready`` (runs and never gets ready), ``exit`` (a Pod that is to end, as those of Jobs, fails)
* ``sandbox.cozystack.io/ready-after`` and ``sandbox.cozystack.io/runs-for``: durations such as ``90s``, how long a Pod runs
  before it is ready, and before it ends

They are looked at all the time: a Pod that is told to fail fails, one that is told no more heals at its next try.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cozystack.api.duration import format_duration, parse_duration
from cozystack.api.time import parse_time
from cozystack.sandbox.pods import Outcome, Shown, is_sidecar
from cozystack.sandbox.workloads.actions import Note, Obj

FAIL: Final = "sandbox.cozystack.io/fail"
READY_AFTER: Final = "sandbox.cozystack.io/ready-after"
RUNS_FOR: Final = "sandbox.cozystack.io/runs-for"
FAILURES: Final = ("image-pull", "init", "crash-loop", "not-ready", "exit")

KUBELET: Final = "kubelet"
_FIRST_BACKOFF, _LONGEST_BACKOFF = 10.0, 300.0
_PROBED_EVERY: Final = 10.0
_TOLD_EVERY: Final = 300.0
_SOON: Final = 0.001
"""Seconds by which a moment counts as reached early: sums of fractions are not exact."""
_WAITING: Final = ("pull-backoff", "init-backoff", "crash-loop")
_DONE: Final = ("succeeded", "failed", "init-failed")


@dataclass(slots=True)
class Life:
    """How far a Pod has come. ``since`` is when the present stage began, in seconds of a monotonic clock."""

    uid: str
    outcome: Outcome = "creating"
    since: float = 0.0
    place: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    restarts: int = 0
    tries: int = 0
    """Pulls, or ends, since the last one that went well."""
    told: float | None = None
    """When its failing probe was last told of."""
    fail: str = ""
    """What its annotation asked for when it was last looked at."""
    notes: list[Note] = field(default_factory=list)

    def begin(self, outcome: Outcome, now: float) -> None:
        self.outcome, self.since = outcome, now


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be shown, and when something happens next (seconds from now), if anything does by itself."""

    shown: Shown
    notes: tuple[Note, ...]
    wake: float | None


def remembered(pod: Obj, now: float) -> Life:
    """The life of a Pod of an earlier run, or a new one: what its status tells of it."""
    status = pod.get("status", {})
    life = Life(pod["metadata"]["uid"], since=now, fail=_fail(pod))
    entries = status.get("containerStatuses", ())
    life.restarts = life.tries = max((entry.get("restartCount", 0) for entry in entries), default=0)
    for entry in entries:
        state = entry.get("state", {})
        if "running" in state:
            life.outcome = "running" if entry.get("ready") else "not-ready"
            life.started = parse_time(state["running"]["startedAt"])
        elif (reason := state.get("waiting", {}).get("reason")) == "CrashLoopBackOff":
            life.outcome = "crash-loop"
        elif reason in ("ErrImagePull", "ImagePullBackOff"):
            life.outcome, life.tries = "pull-backoff", 1
    return life


def advance(pod: Obj, life: Life, moment: float, now: datetime, *, step: float) -> Turn:
    """Where the Pod stands at ``moment`` (of the monotonic clock), ``step`` seconds a stage; ``life`` is brought up to date."""
    life.notes = []
    asked = _fail(pod)
    if asked != life.fail:
        _changed(life, asked, moment)
    while (wake := _next(pod, life, moment, now, step)) == 0.0:
        pass
    waiting = ""
    if life.outcome in ("pull-failed", "pull-backoff"):
        waiting = _pull_error(pod, backoff=life.outcome == "pull-backoff")
    elif life.outcome in _WAITING:
        name = _named(pod, life)["name"]
        waiting = f"back-off {_go(_backoff(life.tries))} restarting failed container={name} pod={_full_name(pod)}"
    shown = Shown(
        life.outcome,
        now,
        started=life.started,
        ended=life.ended,
        restarts=life.restarts,
        message=_last_words(life.fail) if life.fail else "",
        waiting=waiting,
        place=life.place,
    )
    notes, life.notes = tuple(life.notes), []
    return Turn(shown, notes, wake)


def killed(pod: Obj) -> Iterator[Note]:
    """What is told when a Pod is stopped."""
    for entry in pod.get("status", {}).get("containerStatuses", ()):
        if "running" in entry.get("state", {}):
            yield Note(pod, KUBELET, "Killing", f"Stopping container {entry['name']}")


def no_log(pod: Obj, container: str, *, previous: bool) -> str:
    """Why a container has no log (that of the time before, if ``previous``), as a kubelet says it; empty when it has one."""
    status = pod.get("status", {})
    entries = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    entry: Obj = next((each for each in entries if each["name"] == container), {})
    name = pod["metadata"]["name"]
    if previous:
        ended = "terminated" in entry.get("lastState", {})
        return "" if ended else f'previous terminated container "{container}" in pod "{name}" not found'
    waiting = entry.get("state", {}).get("waiting", {}) if entry else {"reason": "ContainerCreating"}
    if not waiting or entry.get("lastState"):
        return ""
    reason = waiting.get("reason", "")
    why = "trying and failing to pull image" if reason in ("ErrImagePull", "ImagePullBackOff") else reason
    return f'container "{container}" in pod "{name}" is waiting to start: {why}'


def simulated_log(pod: Obj, container: str) -> str:
    """What there is to read of a container that nothing runs for."""
    status = pod.get("status", {})
    said = "this Pod is simulated: nothing runs in it\n"
    for entry in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        for state in (entry.get("lastState", {}), entry.get("state", {})):
            message = state.get("terminated", {}).get("message")
            if entry["name"] == container and message:
                return f"{said}{message}\n"
    return said


def _fail(pod: Obj) -> str:
    return str(pod["metadata"].get("annotations", {}).get(FAIL, ""))


def _ends(pod: Obj) -> bool:
    return pod["spec"].get("restartPolicy", "Always") in ("Never", "OnFailure")


def _seconds(pod: Obj, annotation: str, default: float) -> float:
    """A duration of an annotation; what is none counts as not given."""
    text = pod["metadata"].get("annotations", {}).get(annotation)
    try:
        return parse_duration(text).total_seconds() if text else default
    except ValueError:
        return default


def _changed(life: Life, asked: str, moment: float) -> None:
    """Somebody has changed what is to become of the Pod: what waits tries again at once, what runs goes on from here."""
    life.fail = asked
    if life.outcome in _WAITING:
        life.since = moment - _LONGEST_BACKOFF
        life.tries = 0
    elif life.outcome == "not-ready" and not asked:
        life.since = moment - _LONGEST_BACKOFF
    elif life.outcome in ("running", "not-ready"):
        life.since = moment


def _next(pod: Obj, life: Life, moment: float, now: datetime, step: float) -> float | None:
    """Go one stage further if its time has come (0), or say in how many seconds it comes, or that nothing comes."""
    passed = moment - life.since
    match life.outcome:
        case "creating":
            if (left := step - passed) > _SOON:
                return left
            _pulled(pod, life, moment, now)
        case "pull-failed":
            if (left := step - passed) > _SOON:
                return left
            for container in _containers(pod):
                life.notes.append(Note(pod, KUBELET, "BackOff", f'Back-off pulling image "{container.get("image", "")}"'))
                life.notes.append(Note(pod, KUBELET, "Failed", "Error: ImagePullBackOff", warning=True))
            life.begin("pull-backoff", moment)
        case "pull-backoff":
            if (left := _backoff(life.tries) - passed) > _SOON:
                return left
            _pulled(pod, life, moment, now)
        case "initializing":
            if (left := step - passed) > _SOON:
                return left
            _initialized(pod, life, moment, now)
        case "init-backoff" | "crash-loop":
            if (left := _backoff(life.tries) - passed) > _SOON:
                return left
            life.started = now
            _started(pod, life, [_named(pod, life)] if life.outcome == "init-backoff" else _containers(pod))
            life.begin("initializing" if life.outcome == "init-backoff" else "not-ready", moment)
        case "running" | "not-ready":
            return _running(pod, life, moment, now, step)
        case _:
            return None
    return 0.0


def _pulled(pod: Obj, life: Life, moment: float, now: datetime) -> None:
    """Images are there, or not; then the first container starts."""
    if life.fail == "image-pull":
        life.tries += 1
        for container in _containers(pod):
            image = container.get("image", "")
            life.notes.append(Note(pod, KUBELET, "Pulling", f'Pulling image "{image}"'))
            text = f'Failed to pull image "{image}": {_not_found(image)}'
            life.notes.append(Note(pod, KUBELET, "Failed", text, warning=True))
            life.notes.append(Note(pod, KUBELET, "Failed", "Error: ErrImagePull", warning=True))
        life.begin("pull-failed", moment)
        return
    life.tries = 0
    life.started = now
    if pod["spec"].get("initContainers"):
        life.place = 0
        _started(pod, life, [_named(pod, life)], pulled=True)
        life.begin("initializing", moment)
        return
    _started(pod, life, _containers(pod), pulled=True)
    life.begin("not-ready", moment)


def _initialized(pod: Obj, life: Life, moment: float, now: datetime) -> None:
    """An init container has ended, or runs on beside the others; then comes the next."""
    init = pod["spec"]["initContainers"]
    container = init[life.place]
    if life.fail == "init" and not is_sidecar(container):
        life.ended = now
        if pod["spec"].get("restartPolicy") == "Never":
            life.begin("init-failed", moment)
            return
        life.restarts += 1
        life.tries += 1
        text = f"Back-off restarting failed container {container['name']} in pod {_full_name(pod)}"
        life.notes.append(Note(pod, KUBELET, "BackOff", text, warning=True))
        life.begin("init-backoff", moment)
        return
    life.place += 1
    life.tries = life.restarts = 0
    life.started = now
    if life.place < len(init):
        _started(pod, life, [init[life.place]], pulled=True)
        life.begin("initializing", moment)
        return
    _started(pod, life, _containers(pod), pulled=True)
    life.begin("not-ready", moment)


def _running(pod: Obj, life: Life, moment: float, now: datetime, step: float) -> float | None:
    """A Pod whose containers run: it crashes, ends, or gets ready."""
    passed = moment - life.since
    restarts = pod["spec"].get("restartPolicy", "Always")
    if life.fail == "crash-loop" or (life.fail == "exit" and restarts == "OnFailure"):
        if (left := step - passed) > _SOON:
            return left
        life.ended = now
        if restarts == "Never":
            life.begin("failed", moment)
            return 0.0
        life.restarts += 1
        life.tries += 1
        for container in _containers(pod):
            text = f"Back-off restarting failed container {container['name']} in pod {_full_name(pod)}"
            life.notes.append(Note(pod, KUBELET, "BackOff", text, warning=True))
        life.begin("crash-loop", moment)
        return 0.0
    if life.fail == "not-ready":
        life.outcome = "not-ready"
        return _unhealthy(pod, life, moment, "it is told never to get ready")
    if life.outcome == "not-ready":
        waits = _seconds(pod, READY_AFTER, 0.0)
        if (left := waits - passed) > _SOON:
            probed = _unhealthy(pod, life, moment, f"it is told to get ready after {_go(waits)}")
            return min(left, probed)
        life.outcome = "running"
    if not _ends(pod):
        return None
    lasts = max(step, _seconds(pod, RUNS_FOR, 0.0), _seconds(pod, READY_AFTER, 0.0))
    if (left := lasts - passed) > _SOON:
        return left
    life.ended = now
    life.begin("failed" if life.fail == "exit" else "succeeded", moment)
    return 0.0


def _unhealthy(pod: Obj, life: Life, moment: float, why: str) -> float:
    """Tell of a probe that fails, soon after the start and then now and then; when to tell again."""
    due = life.since + _PROBED_EVERY if life.told is None or life.told < life.since else life.told + _TOLD_EVERY
    if (left := due - moment) > _SOON:
        return left
    life.told = moment
    life.notes.append(Note(pod, KUBELET, "Unhealthy", f"Readiness probe failed: {why} (simulated)", warning=True))
    return _TOLD_EVERY


def _started(pod: Obj, life: Life, containers: list[Obj], *, pulled: bool = False) -> None:
    for container in containers:
        image = container.get("image", "")
        if pulled:
            life.notes.append(Note(pod, KUBELET, "Pulling", f'Pulling image "{image}"'))
            life.notes.append(Note(pod, KUBELET, "Pulled", f'Successfully pulled image "{image}" (simulated)'))
        else:
            life.notes.append(Note(pod, KUBELET, "Pulled", f'Container image "{image}" already present on machine'))
        life.notes.append(Note(pod, KUBELET, "Created", f"Created container: {container['name']}"))
        life.notes.append(Note(pod, KUBELET, "Started", f"Started container {container['name']}"))


def _containers(pod: Obj) -> list[Obj]:
    found: list[Obj] = pod["spec"].get("containers", [])
    return found


def _named(pod: Obj, life: Life) -> Obj:
    """The container that the present stage is about."""
    if life.outcome in ("creating", "pull-backoff", "initializing", "init-backoff") and pod["spec"].get("initContainers"):
        container: Obj = pod["spec"]["initContainers"][life.place]
        return container
    return _containers(pod)[0]


def _backoff(tries: int) -> float:
    return 0.0 if tries < 1 else min(_FIRST_BACKOFF * 2.0 ** min(tries - 1, 10), _LONGEST_BACKOFF)


def _go(seconds: float) -> str:
    """A duration as Go writes it."""
    return format_duration(timedelta(seconds=seconds))


def _full_name(pod: Obj) -> str:
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def _not_found(image: str) -> str:
    why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
    return f"rpc error: code = NotFound desc = {why} (simulated)"


def _pull_error(pod: Obj, *, backoff: bool) -> str:
    image = _containers(pod)[0].get("image", "")
    said = _not_found(image)
    return f'Back-off pulling image "{image}": ErrImagePull: {said}' if backoff else said


def _last_words(fail: str) -> str:
    return f"it is told to fail ({FAIL}: {fail}) (simulated)"
