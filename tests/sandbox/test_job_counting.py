"""Jobs that fail, are counted, and have policies for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cozystack.sandbox.workloads.actions import Obj
from cozystack.sandbox.workloads.jobs import FINALIZER, finished, let_go
from support.workloads import NOW, World, broken, done, running, workload


def reasons(world: World, name: str = "web") -> list[tuple[str, str]]:
    return [(c["type"], c["reason"]) for c in world.one("Job", name)["status"]["conditions"]]


def counts(world: World) -> tuple[int, int, int]:
    status = world.one("Job", "web")["status"]
    return status.get("active", 0), status.get("succeeded", 0), status.get("failed", 0)


def ended(code: int, **status: Any) -> Any:
    def kubelet(pod: Obj) -> Obj:
        state = {"terminated": {"exitCode": code, "finishedAt": pod["metadata"]["creationTimestamp"]}}
        return {"phase": "Failed", "containerStatuses": [{"name": "c", "state": state}], **status}

    return kubelet


def test_pods_that_are_gone_stay_counted() -> None:
    world = World(workload("Job", completions=3, parallelism=1))
    world.settle()
    for number in (1, 2, 3):
        (pod,) = world.all("Pod")
        assert pod["metadata"]["finalizers"] == [FINALIZER]
        pod["status"] = done(pod)
        world.kubelet = lambda pod: pod.get("status") or running(pod)
        world.settle()
        assert "finalizers" not in pod["metadata"] or not pod["metadata"]["finalizers"]
        world.objects.pop(("Pod", pod["metadata"]["name"]))
        world.settle()
        assert counts(world) == (0 if number == 3 else 1, number, 0)
    assert finished(world.one("Job", "web"))
    assert world.one("Job", "web")["status"]["uncountedTerminatedPods"] == {}


def test_what_was_counted_is_written_only_over_what_it_was_counted_from() -> None:
    world = World(workload("Job"))
    world.one("Job", "web")["metadata"]["resourceVersion"] = "7"
    world.settle()
    assert world.versions == {"7"}


def test_a_pod_whose_job_is_gone_is_let_go() -> None:
    world = World(workload("Job"))
    world.settle()
    (pod,) = world.all("Pod")
    (patch,) = let_go([pod])
    world.carry_out(patch)
    assert let_go([pod]) == []


def test_pods_that_are_deleted_before_their_end_count_as_failed() -> None:
    world = World(workload("Job", activeDeadlineSeconds=60))
    world.settle()
    world.wait()
    assert counts(world) == (0, 0, 1)
    assert reasons(world) == [("FailureTarget", "DeadlineExceeded"), ("Failed", "DeadlineExceeded")]


def test_containers_that_are_restarted_count_towards_the_limit() -> None:
    job = workload("Job", backoffLimit=3)
    job["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    restarts = 2
    world = World(job, kubelet=lambda pod: {"phase": "Running", "containerStatuses": [{"restartCount": restarts}]})
    world.settle()
    assert "conditions" not in world.one("Job", "web")["status"]
    restarts = 3
    world.step()
    world.settle()
    assert reasons(world)[-1] == ("Failed", "BackoffLimitExceeded")


POLICY = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}
IGNORE = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}


def test_an_exit_code_can_end_a_job_at_once() -> None:
    world = World(workload("Job", podFailurePolicy=POLICY), kubelet=ended(42))
    world.settle()
    condition = world.one("Job", "web")["status"]["conditions"][-1]
    (pod,) = (pod["metadata"]["name"] for pod in world.all("Pod"))
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "Failed",
        "PodFailurePolicy",
        f"Container c for pod ns/{pod} failed with exit code 42 matching FailJob rule at index 0",
    )


def test_an_exit_code_that_no_rule_names_counts() -> None:
    world = World(workload("Job", podFailurePolicy=POLICY, backoffLimit=0), kubelet=ended(1))
    world.settle()
    assert reasons(world)[-1] == ("Failed", "BackoffLimitExceeded")


def test_failures_that_are_ignored_do_not_count() -> None:
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    world = World(workload("Job", podFailurePolicy=IGNORE, backoffLimit=0), kubelet=ended(1, conditions=disrupted))
    for _ in range(3):
        world.step()
    world.kubelet = lambda pod: pod.get("status") or running(pod)
    world.settle()
    assert (counts(world)[0], counts(world)[2]) == (1, 0)


def test_each_index_has_a_limit_of_its_own() -> None:
    spec: dict[str, Any] = {
        "completions": 3,
        "parallelism": 3,
        "completionMode": "Indexed",
        "backoffLimitPerIndex": 1,
        "backoffLimit": 99,
    }

    def kubelet(pod: Obj) -> Obj:
        index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
        return done(pod) if index != "1" else broken(pod)

    world = World(workload("Job", **spec), kubelet=kubelet)
    world.settle()
    assert counts(world) == (0, 2, 1)
    world.wait()
    assert world.now - NOW == timedelta(seconds=10)
    status = world.one("Job", "web")["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1")
    assert reasons(world)[-1] == ("Failed", "FailedIndexes")
    assert [pod["spec"]["hostname"] for pod in world.all("Pod")] == ["web-0", "web-1", "web-2", "web-1"]


@pytest.mark.parametrize(("most", "reason"), [(0, "MaxFailedIndexesExceeded"), (1, "FailedIndexes")])
def test_so_many_indexes_may_fail(most: int, reason: str) -> None:
    spec: dict[str, Any] = {
        "completions": 2,
        "parallelism": 1,
        "completionMode": "Indexed",
        "backoffLimitPerIndex": 0,
        "maxFailedIndexes": most,
    }
    world = World(
        workload("Job", backoffLimit=99, **spec),
        kubelet=lambda pod: broken(pod) if "-0-" in pod["metadata"]["name"] else done(pod),
    )
    world.settle()
    assert reasons(world)[-1] == ("Failed", reason)


def test_a_job_of_somebody_else_is_left_alone() -> None:
    world = World(workload("Job", managedBy="example.org/other"))
    assert world.step() == 0


def test_a_suspended_job_loses_its_pods() -> None:
    world = World(workload("Job"))
    world.settle()
    world.one("Job", "web")["spec"]["suspend"] = True
    world.settle()
    assert (world.all("Pod"), counts(world)[0]) == ([], 0)
    assert "Job Suspended: Job suspended" in world.notes


def test_fewer_pods_run_when_less_is_asked_for() -> None:
    world = World(workload("Job", completions=9, parallelism=4))
    world.settle()
    world.one("Job", "web")["spec"]["parallelism"] = 1
    world.settle()
    assert len(world.all("Pod")) == 1
