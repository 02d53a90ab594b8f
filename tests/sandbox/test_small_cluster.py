"""Workloads, scheduler and kubelet over a real API server: what only shows when they work together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cozystack.api.resources import untyped
from cozystack.planner.diagnosis.evidence import Evidence
from cozystack.planner.diagnosis.workloads import Fault, faults
from cozystack.sandbox import kinds
from cozystack.sandbox.lives import FAIL
from cozystack.sandbox.workloads.actions import Obj
from support.small import Small, small
from support.workloads import workload

NAMESPACES = untyped("", "v1", "Namespace", "namespaces", namespaced=False)
IMAGE = "registry.example.org/app:v1"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Small]:
    async with small(tmp_path) as found:
        yield found


def made(kind: str, *, fail: str = "", pod: Obj | None = None, **spec: Any) -> Obj:
    """A workload of the default namespace."""
    item = workload(kind, **spec)
    item["metadata"]["namespace"] = "default"
    template = item["spec"]["template"]
    template["spec"] |= {"restartPolicy": "Never"} if kind == "Job" else {}
    template["spec"] |= pod or {}
    template["spec"]["containers"][0]["image"] = IMAGE
    if fail:
        template["metadata"]["annotations"] = {FAIL: fail}
    return item


def explained(cluster: Small, kind: str, resource: str) -> Fault:
    """What cozypkg explain says of the only workload of a kind."""
    objects = [
        {**item, "kind": each}
        for path, each in (
            ("/pods", "Pod"),
            ("/events", "Event"),
            ("/persistentvolumeclaims", "PersistentVolumeClaim"),
            ("apps/replicasets", "ReplicaSet"),
            (resource, kind),
        )
        for item in cluster.all(path)
    ]
    (found, *_) = faults(Evidence(objects), [item for item in objects if item["kind"] == kind])
    return found


def available(cluster: Small) -> int:
    return int(cluster.one("apps/deployments", "web").get("status", {}).get("availableReplicas", 0))


async def test_a_deployment_rolls_out_and_everybody_says_so(cluster: Small) -> None:
    await cluster.create(kinds.DEPLOYMENTS, made("Deployment", replicas=2))
    await cluster.until(lambda: available(cluster) == 2)
    assert [event.partition(":")[0] for event in cluster.told("Deployment")] == ["ScalingReplicaSet"]
    assert {event.partition(":")[0] for event in cluster.told("Pod")} == {
        "Scheduled",
        "Pulling",
        "Pulled",
        "Created",
        "Started",
    }
    deployment = cluster.one("apps/deployments", "web")
    assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert deployment["metadata"]["generation"] == deployment["status"]["observedGeneration"] == 1


@pytest.mark.parametrize(
    ("fail", "shown", "cause"),
    [
        ("image-pull", "ImagePullBackOff", "image-not-found"),
        ("crash-loop", "CrashLoopBackOff", "crash-loop"),
        ("not-ready", "", "readiness-probe"),
    ],
)
async def test_what_is_told_to_fail_is_explained_as_such(cluster: Small, fail: str, shown: str, cause: str) -> None:
    await cluster.create(kinds.DEPLOYMENTS, made("Deployment", fail=fail))

    def failing() -> bool:
        said = str([pod.get("status", {}).get("containerStatuses") for pod in cluster.all("/pods")])
        return shown in said if shown else any("Unhealthy" in event for event in cluster.told("Pod"))

    await cluster.until(failing)
    fault = explained(cluster, "Deployment", "apps/deployments")
    assert fault.cause == cause
    assert fault.links[-1][0].startswith("Pod/default/web-")


async def test_a_job_that_fails_is_explained_as_such(cluster: Small) -> None:
    await cluster.create(kinds.JOBS, made("Job", fail="exit", backoffLimit=0))
    await cluster.until(lambda: "Failed" in str(cluster.one("batch/jobs", "web").get("status", {}).get("conditions")))
    fault = explained(cluster, "Job", "batch/jobs")
    assert fault.cause == "crash-loop"
    assert "it is told to fail" in fault.links[-1][1]


async def test_an_init_container_that_fails_is_explained_as_such(cluster: Small) -> None:
    init = [{"name": "prepare", "image": IMAGE}]
    await cluster.create(kinds.DEPLOYMENTS, made("Deployment", fail="init", pod={"initContainers": init}))
    await cluster.until(
        lambda: any("container prepare" in event for event in cluster.told("Pod") if event.startswith("BackOff"))
    )
    await cluster.clock.advance(1)
    fault = explained(cluster, "Deployment", "apps/deployments")
    assert (fault.cause, "init container prepare ended with exit code 1" in fault.links[-1][1]) == ("crash-loop", True)


async def test_a_pod_that_no_node_takes_is_explained_as_such(cluster: Small) -> None:
    await cluster.create(kinds.DEPLOYMENTS, made("Deployment", pod={"nodeSelector": {"disk": "ssd"}}))
    await cluster.until(lambda: any("FailedScheduling" in event for event in cluster.told("Pod")))
    assert explained(cluster, "Deployment", "apps/deployments").cause == "no-matching-node"
    await cluster.patch(kinds.NODES, "sandbox", {"metadata": {"labels": {"disk": "ssd"}}}, namespace="")
    await cluster.until(lambda: available(cluster) == 1)


async def test_pods_that_may_not_be_made_are_told_of_and_come_when_they_may(cluster: Small) -> None:
    await cluster.create(kinds.DEPLOYMENTS, made("Deployment", pod={"serviceAccountName": "nobody"}))
    await cluster.until(lambda: cluster.told("ReplicaSet"))
    (told,) = cluster.told("ReplicaSet")
    assert told.startswith("FailedCreate: Error creating: pods ")
    assert told.endswith('error looking up service account default/nobody: serviceaccount "nobody" not found')
    await cluster.until(lambda: "ReplicaFailure" in str(cluster.one("apps/deployments", "web").get("status")))
    assert explained(cluster, "Deployment", "apps/deployments").cause == "missing-service-account"
    await cluster.create(kinds.SERVICE_ACCOUNTS, {"metadata": {"name": "nobody", "namespace": "default"}})
    await cluster.until(lambda: available(cluster) == 1)
    assert "ReplicaFailure" not in str(cluster.one("apps/deployments", "web")["status"])


async def test_a_stateful_set_takes_its_claims_along(cluster: Small) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = [{"metadata": {"name": "data"}, "spec": asked}]
    spec: Obj = {"volumeClaimTemplates": claims, "persistentVolumeClaimRetentionPolicy": policy, "serviceName": "web"}
    await cluster.create(kinds.STATEFUL_SETS, made("StatefulSet", replicas=2, **spec))
    await cluster.until(lambda: cluster.one("apps/statefulsets", "web").get("status", {}).get("readyReplicas") == 2)
    assert [volume["status"]["phase"] for volume in cluster.all("/persistentvolumes")] == ["Bound", "Bound"]
    await cluster.patch(kinds.STATEFUL_SETS, "web", {"spec": {"replicas": 1}})
    await cluster.until(lambda: len(cluster.all("/persistentvolumes")) == 1)
    await cluster.delete(kinds.STATEFUL_SETS, "web")
    await cluster.until(
        lambda: not [*cluster.all("/persistentvolumes"), *cluster.all("/persistentvolumeclaims"), *cluster.all("/pods")]
    )


async def test_a_job_that_is_deleted_leaves_no_pod_behind(cluster: Small) -> None:
    await cluster.create(kinds.JOBS, made("Job", fail="not-ready"))
    await cluster.until(lambda: cluster.all("/pods") and cluster.all("/pods")[0].get("status", {}).get("phase") == "Running")
    await cluster.delete(kinds.JOBS, "web")
    await cluster.until(lambda: not cluster.all("/pods"))


async def test_a_namespace_goes_with_all_that_runs_in_it(cluster: Small) -> None:
    await cluster.create(NAMESPACES, {"metadata": {"name": "try"}})
    for kind, resource in (("Deployment", kinds.DEPLOYMENTS), ("Job", kinds.JOBS)):
        item = made(kind)
        item["metadata"]["namespace"] = "try"
        await cluster.create(resource, item)
    await cluster.until(lambda: len(cluster.all("/pods", "try")) == 2)
    await cluster.delete(NAMESPACES, "try", namespace="")
    await cluster.until(lambda: "try" not in [item["metadata"]["name"] for item in cluster.all("/namespaces")])
    assert cluster.all("/pods") == []


async def test_hours_of_jobs_and_crashes_leave_what_the_limits_say(cluster: Small) -> None:
    job = made("Job")["spec"]
    spec = {"schedule": "*/10 * * * *", "jobTemplate": {"spec": job}}
    cron = {"metadata": {"name": "tick", "namespace": "default"}, "spec": spec}
    await cluster.create(kinds.CRON_JOBS, cron)
    await cluster.create(kinds.DEPLOYMENTS, made("Deployment", fail="crash-loop"))
    counts = []
    await cluster.clock.advance(300)
    for _ in range(3):
        await cluster.clock.advance(3600)
        resources = ("/events", "/pods", "batch/jobs", "apps/replicasets")
        counts.append([len(cluster.all(resource)) for resource in resources])
    # Events of an hour, three Jobs that have ended, and one Pod that crashes.
    assert counts[-1][1:] == counts[-2][1:] == [4, 3, 1]
    assert counts[-1][0] <= counts[-2][0] + 2
