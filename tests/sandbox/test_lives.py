"""The course of a simulated Pod's life: what its status and its Events say, and when something happens next."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cozystack.api.time import format_time
from cozystack.sandbox.lives import FAIL, READY_AFTER, RUNS_FOR, advance, killed, no_log, remembered, simulated_log
from cozystack.sandbox.pods import pod_status, same_status
from cozystack.sandbox.workloads.actions import Obj

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = 1.0


class Played:
    """A Pod and its kubelet; ``seen`` is what its status said, each time that changed, ``told`` what was told."""

    def __init__(self, fail: str = "", *, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        notes = {**({FAIL: fail} if fail else {}), **(annotations or {})}
        metadata = {"name": "pod", "namespace": "ns", "uid": "u", "annotations": notes}
        containers = [{"name": "c", "image": "app:v1"}]
        self.pod: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}
        self.life = remembered(self.pod, 0.0)
        self.moment = 0.0
        self.seen: list[str] = []
        self.told: list[str] = []
        self.wake: float | None = None
        self.turn()

    def turn(self) -> None:
        now = START + timedelta(seconds=self.moment)
        turn = advance(self.pod, self.life, self.moment, now, step=STEP)
        self.told += [f"{note.reason}: {note.message}" for note in turn.notes]
        self.wake = turn.wake
        status = pod_status(self.pod, turn.shown)
        if not same_status(self.pod.get("status", {}), status):
            self.pod["status"] = status
            self.seen.append(f"{self.moment:g} {kubectl(self.pod)}")

    def run(self, until: float) -> None:
        """Let time pass, from one moment at which something happens to the next."""
        while self.wake is not None and self.moment + self.wake <= until:
            self.moment += self.wake
            self.turn()
        self.moment = until
        self.turn()

    def annotate(self, name: str, value: str | None) -> None:
        notes = self.pod["metadata"]["annotations"]
        if value is None:
            notes.pop(name)
        else:
            notes[name] = value
        self.turn()

    @property
    def container(self) -> Obj:
        found: Obj = self.pod["status"]["containerStatuses"][0]
        return found

    def condition(self, kind: str) -> tuple[str, str]:
        return next((c["status"], c.get("reason", "")) for c in self.pod["status"]["conditions"] if c["type"] == kind)


def kubectl(pod: Obj) -> str:
    """The status of a Pod as kubectl's column shows it, with its readiness."""
    status = pod["status"]
    said = status["phase"]
    for part, prefix in (("initContainerStatuses", "Init:"), ("containerStatuses", "")):
        for entry in status.get(part, ()):
            state = entry["state"].get("waiting") or entry["state"].get("terminated") or {}
            if state.get("reason") and state["reason"] != "PodInitializing" and not (prefix and state["reason"] == "Completed"):
                return f"{prefix}{state['reason']} {entry['restartCount']}"
            if prefix and "running" in entry["state"] and not entry["ready"]:
                return f"{prefix}running {entry['name']}"
    ready = sum(entry["ready"] for entry in status["containerStatuses"])
    return f"{said} {ready}/{len(status['containerStatuses'])}"


def test_a_pod_is_created_and_runs_and_stays() -> None:
    played = Played()
    played.run(3600)
    assert played.seen == ["0 ContainerCreating 0", "1 Running 1/1"]
    assert (played.wake, played.condition("Ready")) == (None, ("True", ""))
    assert played.told == [
        'Pulling: Pulling image "app:v1"',
        'Pulled: Successfully pulled image "app:v1" (simulated)',
        "Created: Created container: c",
        "Started: Started container c",
    ]
    assert [note.message for note in killed(played.pod)] == ["Stopping container c"]


def test_an_image_that_is_not_there_is_tried_again_less_and_less_often() -> None:
    played = Played("image-pull")
    played.run(45)
    assert played.seen == [
        "0 ContainerCreating 0",
        "1 ErrImagePull 0",
        "2 ImagePullBackOff 0",
        "12 ErrImagePull 0",
        "13 ImagePullBackOff 0",
        "33 ErrImagePull 0",
        "34 ImagePullBackOff 0",
    ]
    assert played.pod["status"]["phase"] == "Pending"
    assert played.container["state"]["waiting"]["message"].startswith(
        'Back-off pulling image "app:v1": ErrImagePull: rpc error: '
    )
    assert played.told[:5] == [
        'Pulling: Pulling image "app:v1"',
        'Failed: Failed to pull image "app:v1": rpc error: code = NotFound desc = failed to pull and unpack image "app:v1": '
        'failed to resolve reference "app:v1": app:v1: not found (simulated)',
        "Failed: Error: ErrImagePull",
        'BackOff: Back-off pulling image "app:v1"',
        "Failed: Error: ImagePullBackOff",
    ]


def test_no_backoff_is_longer_than_five_minutes() -> None:
    played = Played("crash-loop")
    played.run(4000)
    ends = [float(entry.split()[0]) for entry in played.seen if "CrashLoopBackOff" in entry]
    waits = [round(later - earlier) for earlier, later in itertools.pairwise(ends)]
    assert waits == [11, 21, 41, 81, 161, *[301] * len(waits[5:])]
    assert len(waits) > 10


def test_a_crash_loop_counts_its_restarts_and_keeps_how_it_ended() -> None:
    played = Played("crash-loop")
    played.run(13)
    assert played.seen == [
        "0 ContainerCreating 0",
        "1 Running 0/1",
        "2 CrashLoopBackOff 1",
        "12 Running 0/1",
        "13 CrashLoopBackOff 2",
    ]
    assert played.container["state"]["waiting"]["message"] == "back-off 20s restarting failed container=c pod=pod_ns(u)"
    assert played.container["lastState"]["terminated"] == {
        "exitCode": 1,
        "reason": "Error",
        "message": "it is told to fail (sandbox.cozystack.io/fail: crash-loop) (simulated)",
        "startedAt": format_time(START + timedelta(seconds=12)),
        "finishedAt": format_time(START + timedelta(seconds=13)),
    }
    assert played.told[-1] == "BackOff: Back-off restarting failed container c in pod pod_ns(u)"


@pytest.mark.parametrize("fail", ["image-pull", "crash-loop", "not-ready"])
def test_a_pod_that_is_told_to_fail_no_more_heals_at_once(fail: str) -> None:
    played = Played(fail)
    played.run(200)
    assert played.condition("Ready") == ("False", "ContainersNotReady")
    played.annotate(FAIL, None)
    assert (played.pod["status"]["phase"], played.condition("Ready")) == ("Running", ("True", ""))


def test_a_pod_that_runs_can_be_told_to_fail() -> None:
    played = Played()
    played.run(100)
    played.annotate(FAIL, "not-ready")
    assert played.seen[-1] == "100 Running 0/1"
    played.annotate(FAIL, "crash-loop")
    played.run(110)
    assert played.seen[-1] == "101 CrashLoopBackOff 1"


def test_a_probe_that_fails_is_told_now_and_then() -> None:
    played = Played("not-ready")
    played.run(3600)
    assert played.seen == ["0 ContainerCreating 0", "1 Running 0/1"]
    unhealthy = [text for text in played.told if text.startswith("Unhealthy")]
    assert set(unhealthy) == {"Unhealthy: Readiness probe failed: it is told never to get ready (simulated)"}
    assert len(unhealthy) == 12


def test_a_slow_start_is_ready_later() -> None:
    played = Played(annotations={READY_AFTER: "1m30s"})
    played.run(200)
    assert played.seen == ["0 ContainerCreating 0", "1 Running 0/1", "91 Running 1/1"]
    assert "Unhealthy: Readiness probe failed: it is told to get ready after 1m30s (simulated)" in played.told


def test_a_duration_that_is_none_counts_as_not_given() -> None:
    played = Played(annotations={READY_AFTER: "soon"})
    played.run(10)
    assert played.seen[-1] == "1 Running 1/1"


@pytest.mark.parametrize(
    ("fail", "policy", "last"),
    [
        ("", "Never", "2 Completed 0"),
        ("exit", "Never", "2 Error 0"),
        ("", "OnFailure", "2 Completed 0"),
        ("exit", "OnFailure", "2 CrashLoopBackOff 1"),
        ("crash-loop", "Never", "2 Error 0"),
    ],
)
def test_a_pod_that_is_to_end_ends_as_it_is_told(fail: str, policy: str, last: str) -> None:
    played = Played(fail, restartPolicy=policy)
    played.run(5)
    assert played.seen[-1] == last
    reason = {"Completed": "PodCompleted", "Error": "PodFailed"}.get(last.split()[1], "ContainersNotReady")
    assert played.condition("Ready") == ("False", reason)


def test_a_pod_that_ends_runs_as_long_as_it_is_told() -> None:
    played = Played(annotations={RUNS_FOR: "1h"}, restartPolicy="Never")
    played.run(4000)
    assert played.seen == ["0 ContainerCreating 0", "1 Running 1/1", "3601 Completed 0"]


def test_init_containers_run_one_after_the_other_and_sidecars_stay() -> None:
    init = [
        {"name": "one", "image": "a"},
        {"name": "side", "image": "b", "restartPolicy": "Always"},
        {"name": "two", "image": "d"},
    ]
    played = Played(initContainers=init)
    assert played.condition("Initialized") == ("False", "ContainersNotInitialized")
    played.run(10)
    assert played.seen == ["0 Pending 0/1", "1 Init:running one", "2 Init:running side", "3 Init:running two", "4 Running 1/1"]
    states = {entry["name"]: [*entry["state"]] for entry in played.pod["status"]["initContainerStatuses"]}
    assert states == {"one": ["terminated"], "side": ["running"], "two": ["terminated"]}
    assert played.condition("Initialized") == ("True", "")


@pytest.mark.parametrize(("policy", "last"), [("Always", "2 Init:CrashLoopBackOff 1"), ("Never", "2 Init:Error 0")])
def test_an_init_container_that_fails_holds_the_others_back(policy: str, last: str) -> None:
    played = Played("init", initContainers=[{"name": "one", "image": "a"}], restartPolicy=policy)
    played.run(5)
    assert played.seen[-1] == last
    assert played.container["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert played.pod["status"]["phase"] == ("Failed" if policy == "Never" else "Pending")


def test_a_readiness_gate_that_nobody_opens_keeps_the_pod_from_being_ready() -> None:
    played = Played(readinessGates=[{"conditionType": "example.org/attached"}])
    played.run(5)
    assert played.condition("ContainersReady") == ("True", "")
    assert played.condition("Ready") == ("False", "ReadinessGatesNotReady")
    opened = {"type": "example.org/attached", "status": "True"}
    played.pod["status"]["conditions"].append(opened)
    played.turn()
    assert played.condition("Ready") == ("True", "")
    assert opened in played.pod["status"]["conditions"]


def test_a_new_kubelet_goes_on_where_the_last_one_stopped() -> None:
    played = Played("crash-loop")
    played.run(14)
    before = list(played.seen)
    played.life = remembered(played.pod, played.moment)
    played.turn()
    assert played.seen == before
    played.run(60)
    assert played.seen[-1] == "35 CrashLoopBackOff 3"
    fine = Played()
    fine.run(5)
    fine.life = remembered(fine.pod, fine.moment)
    fine.run(50)
    assert fine.seen == ["0 ContainerCreating 0", "1 Running 1/1"]


def test_what_kubectl_logs_says() -> None:
    pulling, looping, fine = Played("image-pull"), Played("crash-loop"), Played()
    assert no_log(fine.pod, "c", previous=False) == 'container "c" in pod "pod" is waiting to start: ContainerCreating'
    for played in (pulling, looping, fine):
        played.run(5)
    why = 'container "c" in pod "pod" is waiting to start: trying and failing to pull image'
    assert no_log(pulling.pod, "c", previous=False) == why
    assert no_log(looping.pod, "c", previous=True) == no_log(looping.pod, "c", previous=False) == ""
    assert no_log(fine.pod, "c", previous=True) == 'previous terminated container "c" in pod "pod" not found'
    assert simulated_log(fine.pod, "c") == "this Pod is simulated: nothing runs in it\n"
    assert simulated_log(looping.pod, "c").splitlines()[1].startswith("it is told to fail (")
