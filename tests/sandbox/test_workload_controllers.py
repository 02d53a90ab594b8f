"""Workload controllers as pure functions, driven by a small world that carries their actions out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cozystack.sandbox.workloads.actions import Action, Create, Delete, Obj, Patch, Status
from cozystack.sandbox.workloads.deployments import reconcile_deployment, reconcile_replica_set
from cozystack.sandbox.workloads.jobs import expiry, finished, reconcile_job
from cozystack.sandbox.workloads.sets import reconcile_daemon_set, reconcile_stateful_set

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """Objects by kind and name; a step lets every controller act once, and Pods become what ``kubelet`` says."""

    def __init__(self, *objects: Obj, kubelet: Callable[[Obj], Obj] | None = None) -> None:
        self.objects: dict[tuple[str, str], Obj] = {}
        self.serial = 0
        self.now = NOW
        self.log: list[str] = []
        self.kubelet = kubelet or running
        for item in objects:
            self.carry_out(Create(item))
        self.log.clear()

    def all(self, kind: str) -> list[Obj]:
        return [item for (k, _), item in self.objects.items() if k == kind]

    def one(self, kind: str, name: str) -> Obj:
        return self.objects[kind, name]

    def carry_out(self, action: Action) -> None:
        match action:
            case Create(object=item):
                self.serial += 1
                item = copy.deepcopy(item)
                item["metadata"] |= {"uid": f"u{self.serial}", "generation": 1, "creationTimestamp": f"{self.serial:06}"}
                assert (item["kind"], item["metadata"]["name"]) not in self.objects
                self.objects[item["kind"], item["metadata"]["name"]] = item
                self.log.append(f"+{item['kind']}/{item['metadata']['name']}")
            case Patch(kind=kind, name=name, patch=patch):
                self.objects[kind, name]["spec"] |= patch["spec"]
                self.objects[kind, name]["metadata"]["generation"] += 1
            case Status(kind=kind, name=name, status=status):
                live = self.objects[kind, name].setdefault("status", {})
                live |= status
            case Delete(kind=kind, name=name, uid=uid):
                assert self.objects[kind, name]["metadata"]["uid"] == uid
                del self.objects[kind, name]
                self.log.append(f"-{kind}/{name}")

    def step(self) -> int:
        actions: list[Action] = []
        pods = self.all("Pod")
        for item in self.all("Deployment"):
            actions += reconcile_deployment(item, self.all("ReplicaSet"), self.now)
        for item in self.all("ReplicaSet"):
            actions += reconcile_replica_set(item, pods, self.now)
        for item in self.all("StatefulSet"):
            actions += reconcile_stateful_set(item, pods, self.all("PersistentVolumeClaim"), self.now)
        for item in self.all("DaemonSet"):
            actions += reconcile_daemon_set(item, pods, self.now)
        for item in self.all("Job"):
            actions += reconcile_job(item, pods, self.now)
        for action in actions:
            self.carry_out(action)
        for pod in self.all("Pod"):
            pod["status"] = self.kubelet(pod)
        return len(actions)

    def settle(self) -> None:
        for _ in range(50):
            if not self.step():
                return
        raise AssertionError(f"not settled: {self.log}")


def running(pod: Obj) -> Obj:
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def unready(pod: Obj) -> Obj:
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}


def done(pod: Obj) -> Obj:
    return {"phase": "Succeeded", "conditions": []}


def workload(kind: str, name: str = "web", **spec: Any) -> Obj:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "v1"}]}}
    api = "batch/v1" if kind == "Job" else "apps/v1"
    selector = {} if kind == "Job" else {"selector": {"matchLabels": labels}}
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {**selector, "template": template, **spec},
    }


def test_a_deployment_becomes_available() -> None:
    world = World(workload("Deployment", replicas=2))
    world.settle()
    status = world.one("Deployment", "web")["status"]
    assert {
        key: status[key] for key in ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    } == {
        "observedGeneration": 1,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
    }
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("Available", "True", "MinimumReplicasAvailable"),
        ("Progressing", "True", "NewReplicaSetAvailable"),
    ]
    assert world.step() == 0


def test_a_pod_carries_labels_owner_and_node() -> None:
    world = World(workload("Deployment", replicas=1))
    world.settle()
    (pod,) = world.all("Pod")
    (replica_set,) = world.all("ReplicaSet")
    assert pod["metadata"]["labels"].keys() == {"app", "pod-template-hash"}
    assert pod["metadata"]["ownerReferences"][0]["uid"] == replica_set["metadata"]["uid"]
    assert pod["spec"]["nodeName"] == "sandbox"


def test_a_rolling_update_takes_the_old_pods_away_last() -> None:
    world = World(workload("Deployment", replicas=2))
    world.settle()
    deployment = world.one("Deployment", "web")
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    world.log.clear()
    world.settle()
    pods = [entry[0] for entry in world.log if "Pod/" in entry]
    assert pods == ["+", "+", "-", "-"]
    assert {pod["spec"]["containers"][0]["image"] for pod in world.all("Pod")} == {"v2"}
    assert len(world.all("ReplicaSet")) == 2


def test_an_update_that_never_gets_ready_keeps_the_old_pods() -> None:
    world = World(workload("Deployment", replicas=2))
    world.settle()
    world.kubelet = lambda pod: running(pod) if pod["spec"]["containers"][0]["image"] == "v1" else unready(pod)
    world.one("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    world.settle()
    assert sorted(pod["spec"]["containers"][0]["image"] for pod in world.all("Pod")) == ["v1", "v1", "v2", "v2"]
    assert world.one("Deployment", "web")["status"]["conditions"][1]["reason"] == "ReplicaSetUpdated"


def test_recreate_takes_the_old_pods_away_first() -> None:
    world = World(workload("Deployment", replicas=1, strategy={"type": "Recreate"}))
    world.settle()
    world.one("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    world.log.clear()
    world.settle()
    assert [entry[0] for entry in world.log if "Pod/" in entry] == ["-", "+"]


def test_scaling_to_zero_and_back() -> None:
    world = World(workload("Deployment", replicas=3))
    world.settle()
    world.one("Deployment", "web")["spec"]["replicas"] = 0
    world.settle()
    assert world.all("Pod") == []
    assert world.one("Deployment", "web")["status"]["conditions"][0]["status"] == "True"
    world.one("Deployment", "web")["spec"]["replicas"] = 1
    world.settle()
    assert len(world.all("Pod")) == 1


def test_a_lost_pod_is_replaced() -> None:
    world = World(workload("Deployment", replicas=1))
    world.settle()
    (pod,) = world.all("Pod")
    del world.objects["Pod", pod["metadata"]["name"]]
    world.settle()
    assert len(world.all("Pod")) == 1


def test_stateful_pods_come_one_after_the_other_and_keep_their_claims() -> None:
    world = World(workload("StatefulSet", "db", replicas=2, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {}}]))
    world.settle()
    assert world.log == [
        "+PersistentVolumeClaim/data-db-0",
        "+Pod/db-0",
        "+PersistentVolumeClaim/data-db-1",
        "+Pod/db-1",
    ]
    assert world.one("Pod", "db-0")["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}
    ]
    status = world.one("StatefulSet", "db")["status"]
    assert (status["readyReplicas"], status["currentRevision"]) == (2, status["updateRevision"])


def test_the_second_stateful_pod_waits_for_the_first() -> None:
    world = World(workload("StatefulSet", "db", replicas=2), kubelet=unready)
    world.settle()
    assert world.log == ["+Pod/db-0"]


def test_stateful_pods_are_updated_from_the_last_to_the_first() -> None:
    world = World(workload("StatefulSet", "db", replicas=2))
    world.settle()
    world.one("StatefulSet", "db")["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    world.log.clear()
    world.settle()
    assert world.log == ["-Pod/db-1", "+Pod/db-1", "-Pod/db-0", "+Pod/db-0"]


@pytest.mark.parametrize(("selector", "pods"), [({}, 1), ({"kubernetes.io/os": "linux"}, 1), ({"disk": "ssd"}, 0)])
def test_a_daemon_set_runs_where_its_selector_matches(selector: dict[str, str], pods: int) -> None:
    daemon_set = workload("DaemonSet")
    daemon_set["spec"]["template"]["spec"]["nodeSelector"] = selector
    world = World(daemon_set)
    world.settle()
    assert len(world.all("Pod")) == pods
    status = world.one("DaemonSet", "web")["status"]
    assert (status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)) == (pods, pods)


def test_a_daemon_pod_is_replaced_on_update() -> None:
    world = World(workload("DaemonSet"))
    world.settle()
    world.one("DaemonSet", "web")["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    world.settle()
    assert [pod["spec"]["containers"][0]["image"] for pod in world.all("Pod")] == ["v2"]


def test_a_job_completes() -> None:
    world = World(workload("Job", completions=2, parallelism=2), kubelet=done)
    world.settle()
    job = world.one("Job", "web")
    assert finished(job)
    assert (job["status"]["succeeded"], job["status"]["active"]) == (2, 0)
    assert [c["type"] for c in job["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]


def test_a_job_gives_up_after_its_backoff_limit() -> None:
    world = World(workload("Job", backoffLimit=2), kubelet=lambda pod: {"phase": "Failed"})
    world.settle()
    job = world.one("Job", "web")
    assert len(world.all("Pod")) == 3
    assert job["status"]["conditions"][-1]["reason"] == "BackoffLimitExceeded"


def test_a_finished_job_goes_when_its_time_is_up() -> None:
    world = World(workload("Job", ttlSecondsAfterFinished=60), kubelet=done)
    world.settle()
    assert expiry(world.one("Job", "web"), world.now) == timedelta(seconds=60)
    world.now += timedelta(seconds=61)
    world.settle()
    assert world.all("Job") == []


def test_a_suspended_job_has_no_pods() -> None:
    world = World(workload("Job", suspend=True), kubelet=done)
    world.settle()
    assert world.all("Pod") == []


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job"])
def test_nothing_is_done_for_an_object_that_is_going(kind: str) -> None:
    item = workload(kind)
    item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world = World(item)
    assert world.step() == 0
