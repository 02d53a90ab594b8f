"""Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs: what their controllers do, step by step."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest

from cozystack.sandbox.workloads.actions import Create, Obj, Patch
from cozystack.sandbox.workloads.deployments import HASH_LABEL, REVISION
from cozystack.sandbox.workloads.endpoints import reconcile_endpoints
from cozystack.sandbox.workloads.jobs import expiry, finished
from support.workloads import NOW, World, broken, change, done, progressing, running, unready, workload


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


def test_a_pod_carries_labels_and_its_owner_and_waits_for_a_node() -> None:
    world = World(workload("Deployment", replicas=1))
    world.settle()
    (pod,) = world.all("Pod")
    (replica_set,) = world.all("ReplicaSet")
    assert pod["metadata"]["labels"].keys() == {"app", "pod-template-hash"}
    assert pod["metadata"]["ownerReferences"][0]["uid"] == replica_set["metadata"]["uid"]
    assert "nodeName" not in pod["spec"]


def test_a_rolling_update_replaces_one_pod_after_the_other() -> None:
    world = World(workload("Deployment", replicas=2))
    world.settle()
    deployment = world.one("Deployment", "web")
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    world.log.clear()
    world.settle()
    pods = [entry[0] for entry in world.log if "Pod/" in entry]
    assert pods == ["+", "-", "+", "-"]
    assert {pod["spec"]["containers"][0]["image"] for pod in world.all("Pod")} == {"v2"}
    assert len(world.all("ReplicaSet")) == 2


def test_an_update_that_never_gets_ready_keeps_the_old_pods() -> None:
    world = World(workload("Deployment", replicas=2))
    world.settle()
    world.kubelet = lambda pod: running(pod) if pod["spec"]["containers"][0]["image"] == "v1" else unready(pod)
    world.one("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    world.settle()
    assert sorted(pod["spec"]["containers"][0]["image"] for pod in world.all("Pod")) == ["v1", "v1", "v2"]
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
    assert world.news() == [
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
    assert world.news() == ["+Pod/db-0"]


def test_stateful_pods_are_updated_from_the_last_to_the_first() -> None:
    world = World(workload("StatefulSet", "db", replicas=2))
    world.settle()
    world.one("StatefulSet", "db")["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    world.log.clear()
    world.settle()
    assert world.news() == ["-Pod/db-1", "+Pod/db-1", "-Pod/db-0", "+Pod/db-0"]


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
    assert (job["status"]["succeeded"], job["status"].get("active", 0)) == (2, 0)
    assert [c["type"] for c in job["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]


def test_a_job_gives_up_after_its_backoff_limit() -> None:
    world = World(workload("Job", backoffLimit=2), kubelet=broken)
    world.settle()
    delays = []
    while world.waits:
        delays.append(min(world.waits).total_seconds())
        world.wait()
    job = world.one("Job", "web")
    assert (len(world.all("Pod")), delays) == (3, [10.0, 20.0])
    assert world.notes[-1] == "Job BackoffLimitExceeded: Job has reached the specified backoff limit"
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


def test_surge_and_unavailability_bound_an_update() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    world = World(workload("Deployment", replicas=4, strategy=rolling))
    world.settle()
    change(world, "web", "v2")
    seen = set()
    while world.step():
        ready = sum(pod["status"]["conditions"][0]["status"] == "True" for pod in world.all("Pod") if "status" in pod)
        seen.add((len(world.all("Pod")) <= 5, ready >= 3))
    assert (seen, world.pods()) == ({(True, True)}, ["v2"] * 4)


def test_a_pod_counts_as_available_only_after_its_time() -> None:
    world = World(workload("Deployment", replicas=1, minReadySeconds=30))
    world.kubelet = lambda pod: {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": pod["metadata"]["creationTimestamp"]}],
    }
    world.settle()
    status = world.one("Deployment", "web")["status"]
    assert (status["readyReplicas"], status.get("availableReplicas", 0)) == (1, 0)
    world.wait()
    assert (world.now - NOW, world.one("Deployment", "web")["status"]["availableReplicas"]) == (timedelta(seconds=30), 1)


def test_a_rollback_finds_the_replica_set_that_was_there_and_gives_it_the_next_revision() -> None:
    world = World(workload("Deployment", replicas=1))
    world.settle()
    (first,) = world.all("ReplicaSet")
    change(world, "web", "v2")
    world.settle()
    assert world.one("Deployment", "web")["metadata"]["annotations"][REVISION] == "2"
    # kubectl takes the template out of the ReplicaSet, without the label that tells it from others.
    template = copy.deepcopy(first["spec"]["template"])
    del template["metadata"]["labels"][HASH_LABEL]
    world.one("Deployment", "web")["spec"]["template"] = template
    world.settle()
    revisions = {item["metadata"]["name"]: item["metadata"]["annotations"][REVISION] for item in world.all("ReplicaSet")}
    assert (revisions[first["metadata"]["name"]], sorted(revisions.values()), world.pods()) == ("3", ["2", "3"], ["v1"])
    assert world.one("Deployment", "web")["metadata"]["annotations"][REVISION] == "3"


def test_few_old_replica_sets_are_kept() -> None:
    world = World(workload("Deployment", replicas=1, revisionHistoryLimit=1))
    for image in ("v2", "v3", "v4"):
        world.settle()
        change(world, "web", image)
    world.settle()
    assert sorted(item["metadata"]["annotations"][REVISION] for item in world.all("ReplicaSet")) == ["3", "4"]


def test_a_paused_deployment_keeps_its_template_and_scales() -> None:
    world = World(workload("Deployment", replicas=1))
    world.settle()
    world.one("Deployment", "web")["spec"] |= {"paused": True, "replicas": 2}
    change(world, "web", "v2")
    world.settle()
    assert (world.pods(), progressing(world)) == (["v1", "v1"], ("Unknown", "DeploymentPaused"))
    world.one("Deployment", "web")["spec"]["paused"] = False
    world.settle()
    assert (world.pods(), progressing(world)) == (["v2", "v2"], ("True", "NewReplicaSetAvailable"))


def test_a_rollout_that_takes_too_long_says_so_and_may_still_succeed() -> None:
    world = World(workload("Deployment", replicas=1), kubelet=unready)
    world.settle()
    assert progressing(world) == ("True", "ReplicaSetUpdated")
    world.wait()
    assert (world.now - NOW, progressing(world)) == (timedelta(seconds=600), ("False", "ProgressDeadlineExceeded"))
    world.kubelet = running
    world.step()
    world.settle()
    assert progressing(world) == ("True", "NewReplicaSetAvailable")


def test_scaling_is_told() -> None:
    world = World(workload("Deployment", replicas=1))
    world.settle()
    (name,) = (item["metadata"]["name"] for item in world.all("ReplicaSet"))
    (pod,) = (item["metadata"]["name"] for item in world.all("Pod"))
    assert world.notes == [
        f"Deployment ScalingReplicaSet: Scaled up replica set {name} from 0 to 1",
        f"ReplicaSet SuccessfulCreate: Created pod: {pod}",
    ]


def test_pods_below_the_partition_keep_the_old_template_even_when_they_are_lost() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    world = World(workload("StatefulSet", "db", replicas=2, updateStrategy=strategy))
    world.settle()
    change(world, "db", "v2", "StatefulSet")
    world.settle()
    del world.objects["Pod", "db-0"]
    world.settle()
    images = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in world.all("Pod")}
    status = world.one("StatefulSet", "db")["status"]
    assert images == {"db-0": "v1", "db-1": "v2"}
    assert (status["updatedReplicas"], status["currentReplicas"]) == (1, 1)
    assert status["currentRevision"] != status["updateRevision"]


def test_parallel_stateful_pods_come_at_once_and_go_at_once() -> None:
    world = World(workload("StatefulSet", "db", replicas=3, podManagementPolicy="Parallel"), kubelet=unready)
    world.settle()
    assert world.news() == ["+Pod/db-0", "+Pod/db-1", "+Pod/db-2"]
    world.log.clear()
    world.one("StatefulSet", "db")["spec"]["replicas"] = 1
    world.settle()
    assert sorted(world.news()) == ["-Pod/db-1", "-Pod/db-2"]


def test_stateful_pods_go_from_the_last_to_the_first() -> None:
    world = World(workload("StatefulSet", "db", replicas=3))
    world.settle()
    world.log.clear()
    world.one("StatefulSet", "db")["spec"]["replicas"] = 1
    world.settle()
    assert world.news() == ["-Pod/db-2", "-Pod/db-1"]


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_templates_are_remembered_as_revisions(kind: str) -> None:
    world = World(workload(kind))
    world.settle()
    before = copy.deepcopy(world.one(kind, "web")["spec"]["template"])
    change(world, "web", "v2", kind)
    world.settle()
    found = {item["revision"]: item["data"]["spec"]["template"] for item in world.all("ControllerRevision")}
    assert found == {1: {**before, "$patch": "replace"}, 2: {**world.one(kind, "web")["spec"]["template"], "$patch": "replace"}}
    world.one(kind, "web")["spec"]["template"] = before
    world.settle()
    assert sorted(item["revision"] for item in world.all("ControllerRevision")) == [2, 3]
    assert world.pods() == ["v1"]


def test_a_job_ends_when_its_time_is_over() -> None:
    world = World(workload("Job", activeDeadlineSeconds=60))
    world.settle()
    world.wait()
    job = world.one("Job", "web")
    assert (world.now - NOW, [c["reason"] for c in job["status"]["conditions"]], world.all("Pod")) == (
        timedelta(seconds=60),
        ["DeadlineExceeded", "DeadlineExceeded"],
        [],
    )


def test_a_suspended_job_begins_when_it_is_resumed() -> None:
    world = World(workload("Job", suspend=True))
    world.settle()
    job = world.one("Job", "web")
    assert [(c["type"], c["status"], c["reason"]) for c in job["status"]["conditions"]] == [
        ("Suspended", "True", "JobSuspended")
    ]
    job["spec"]["suspend"] = False
    world.settle()
    assert [(c["status"], c["reason"]) for c in job["status"]["conditions"]] == [("False", "JobResumed")]
    assert (job["status"]["active"], job["status"]["startTime"]) == (1, "2026-01-01T00:00:00Z")


def test_an_indexed_job_has_a_pod_for_each_index() -> None:
    world = World(workload("Job", completions=3, parallelism=2, completionMode="Indexed"), kubelet=done)
    world.settle()
    indexes = sorted(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in world.all("Pod"))
    assert (indexes, world.one("Job", "web")["status"]["completedIndexes"]) == (["0", "1", "2"], "0-2")


def cron_job(**spec: Any) -> Obj:
    job = workload("Job")["spec"]
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick", "namespace": "ns"},
        "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": job}, **spec},
    }


def started(world: World) -> list[int]:
    """At which minutes the Jobs that are there were due."""
    return sorted(int(job["metadata"]["name"].rpartition("-")[2]) - int(NOW.timestamp()) // 60 for job in world.all("Job"))


def test_a_cron_job_makes_a_job_each_time_it_is_due_and_keeps_the_last_three() -> None:
    world = World(cron_job(), kubelet=done)
    world.settle()
    assert (started(world), world.waits) == ([], [timedelta(minutes=5)])
    for _ in range(5):
        world.wait()
    assert started(world) == [15, 20, 25]
    status = world.one("CronJob", "tick")["status"]
    assert (status["lastScheduleTime"], status["lastSuccessfulTime"]) == ("2026-01-01T00:25:00Z", "2026-01-01T00:25:00Z")


@pytest.mark.parametrize(("policy", "expected"), [("Allow", [5, 10, 15]), ("Forbid", [5]), ("Replace", [15])])
def test_a_cron_job_that_is_late_does_as_it_was_told(policy: str, expected: list[int]) -> None:
    world = World(cron_job(concurrencyPolicy=policy))
    world.settle()
    for _ in range(3):
        world.wait()
    assert started(world) == expected


def test_a_cron_job_catches_up_with_the_last_time_alone() -> None:
    world = World(cron_job(), kubelet=done)
    world.now += timedelta(hours=2, minutes=1)
    world.settle()
    assert started(world) == [120]


def test_a_cron_job_does_not_begin_too_late() -> None:
    world = World(cron_job(startingDeadlineSeconds=30), kubelet=done)
    world.now += timedelta(minutes=6)
    world.settle()
    assert started(world) == []


def test_a_suspended_cron_job_does_nothing() -> None:
    world = World(cron_job(suspend=True))
    world.now += timedelta(minutes=6)
    world.settle()
    assert (started(world), world.waits) == ([], [])


def test_a_schedule_is_in_its_time_zone() -> None:
    world = World(cron_job(schedule="0 9 * * *", timeZone="Asia/Tokyo"))
    world.settle()
    assert world.waits == [timedelta(days=1)]


def test_a_service_leads_to_the_pods_that_it_selects() -> None:
    labels = {"app": "web"}
    ports = [{"name": "http", "port": 80, "targetPort": "web"}]
    service: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "ns", "uid": "s"},
        "spec": {"selector": labels, "ports": ports},
    }

    def pod(name: str, status: Obj, **labels: str) -> Obj:
        containers = [{"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}]
        return {
            "metadata": {"name": name, "namespace": "ns", "uid": name, "labels": labels},
            "spec": {"nodeName": "sandbox", "containers": containers},
            "status": {**status, "podIP": f"10.0.0.{len(name)}"},
        }

    pods = [pod("a", running({}), app="web"), pod("bb", unready({}), app="web"), pod("ccc", running({}), app="other")]
    slice_, legacy = (a.object for a in reconcile_endpoints(service, pods, [], None) if isinstance(a, Create))
    assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    assert slice_["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert [(e["addresses"], e["conditions"]["ready"]) for e in slice_["endpoints"]] == [
        (["10.0.0.1"], True),
        (["10.0.0.2"], False),
    ]
    (subset,) = legacy["subsets"]
    assert ([a["ip"] for a in subset["addresses"]], [a["ip"] for a in subset["notReadyAddresses"]]) == (
        ["10.0.0.1"],
        ["10.0.0.2"],
    )
    assert reconcile_endpoints(service, pods, [slice_], legacy) == []
    gone = reconcile_endpoints(service, [], [slice_], legacy)
    assert gone[1] == Patch("Endpoints", "ns", "web", {"subsets": None})
