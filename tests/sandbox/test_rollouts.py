"""The finer points of workloads: shares, adoption, claims that go along, Pods beside others, budgets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cozystack.sandbox.workloads.actions import Note, Obj, Status
from cozystack.sandbox.workloads.claiming import claimed
from cozystack.sandbox.workloads.deployments import HISTORY, REVISION
from cozystack.sandbox.workloads.disruptions import reconcile_budget
from cozystack.sandbox.workloads.replicas import reconcile_replica_set
from support.workloads import NOW, World, change, running, unready, workload


def sizes(world: World) -> dict[str, int]:
    """Replicas of ReplicaSets by their image."""
    return {
        item["spec"]["template"]["spec"]["containers"][0]["image"]: item["spec"]["replicas"] for item in world.all("ReplicaSet")
    }


def test_scaling_in_the_middle_of_a_rollout_goes_to_all_in_proportion() -> None:
    rolling = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    world = World(workload("Deployment", replicas=4, strategy=rolling))
    world.settle()
    world.kubelet = lambda pod: running(pod) if pod["spec"]["containers"][0]["image"] == "v1" else unready(pod)
    change(world, "web", "v2")
    world.settle()
    assert sizes(world) == {"v1": 3, "v2": 2}
    world.one("Deployment", "web")["spec"]["replicas"] = 10
    world.settle()
    assert sizes(world) == {"v1": 7, "v2": 4}
    world.one("Deployment", "web")["spec"]["replicas"] = 2
    world.settle()
    assert sum(sizes(world).values()) == 3


def test_a_replica_set_remembers_the_revisions_that_it_had() -> None:
    world = World(workload("Deployment", replicas=1))
    for image in ("v1", "v2", "v1", "v2"):
        change(world, "web", image)
        world.settle()
    notes = {
        item["spec"]["template"]["spec"]["containers"][0]["image"]: item["metadata"]["annotations"]
        for item in world.all("ReplicaSet")
    }
    assert {image: (each[REVISION], each[HISTORY]) for image, each in notes.items()} == {"v1": ("3", "1"), "v2": ("4", "2")}


def test_recreate_waits_until_the_old_pods_are_gone() -> None:
    world = World(workload("Deployment", replicas=1, strategy={"type": "Recreate"}))
    world.settle()
    (pod,) = world.all("Pod")
    pod["metadata"]["finalizers"] = ["example.org/hold"]
    change(world, "web", "v2")
    world.settle()
    assert world.pods() == ["v1"]
    assert world.one("Deployment", "web")["status"]["terminatingReplicas"] == 1
    del world.objects["Pod", pod["metadata"]["name"]]
    world.settle()
    assert world.pods() == ["v2"]


def test_a_deployment_says_what_keeps_its_pods_from_being_made() -> None:
    world = World(workload("Deployment", replicas=1))
    world.step()
    (replica_set,) = world.all("ReplicaSet")
    refused = 'pods "web" is forbidden: exceeded quota'
    for action in reconcile_replica_set(replica_set, [], world.now, refused):
        if isinstance(action, Status):
            world.carry_out(action)
    (failure,) = replica_set["status"]["conditions"]
    assert (failure["type"], failure["reason"], failure["message"]) == ("ReplicaFailure", "FailedCreate", refused)
    world.step()
    conditions = {c["type"]: c.get("message") for c in world.one("Deployment", "web")["status"]["conditions"]}
    assert conditions["ReplicaFailure"] == refused
    world.settle()
    assert "ReplicaFailure" not in {c["type"] for c in world.one("Deployment", "web")["status"]["conditions"]}
    assert "conditions" not in replica_set["status"]


def test_pods_that_serve_least_go_first() -> None:
    world = World(workload("Deployment", replicas=3))
    world.settle()
    first, second, third = world.all("Pod")
    second["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    world.kubelet = lambda pod: unready(pod) if pod is third else running(pod)
    world.step()
    for replicas, left in ((2, [first, second]), (1, [first])):
        world.one("Deployment", "web")["spec"]["replicas"] = replicas
        world.settle()
        assert world.all("Pod") == left


def test_a_pod_that_loses_its_label_is_let_go_and_replaced_and_one_that_gets_it_is_adopted() -> None:
    world = World(workload("Deployment", replicas=1))
    world.settle()
    (pod,) = world.all("Pod")
    labels = dict(pod["metadata"]["labels"])
    pod["metadata"]["labels"] = {"app": "quarantine"}
    world.settle()
    assert (len(world.all("Pod")), pod["metadata"].get("ownerReferences")) == (2, None)
    pod["metadata"]["labels"] = labels
    world.settle()
    (left,) = world.all("Pod")
    assert left["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"


def test_nobody_adopts_what_is_going_or_belongs_to_another() -> None:
    parent = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "a", "uid": "u"}, "spec": {"selector": {}}}
    going = {
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"},
    }
    other = {"controller": True, "kind": "ReplicaSet", "name": "b", "uid": "v"}
    owned = {"kind": "Pod", "metadata": {"name": "q", "namespace": "ns", "uid": "2", "ownerReferences": [other]}}
    assert claimed(parent, [going, owned]) == ([], [])


CLAIMS = [{"metadata": {"name": "data"}, "spec": {}}]


def owners(world: World) -> dict[str, list[str]]:
    return {
        claim["metadata"]["name"]: [f"{o['kind']}/{o['name']}" for o in claim["metadata"].get("ownerReferences") or ()]
        for claim in world.all("PersistentVolumeClaim")
    }


@pytest.mark.parametrize(
    ("policy", "before", "after"),
    [
        ({}, [], []),
        ({"whenDeleted": "Delete"}, ["StatefulSet/db"], ["StatefulSet/db"]),
        ({"whenScaled": "Delete"}, [], ["Pod/db-1"]),
        ({"whenDeleted": "Delete", "whenScaled": "Delete"}, ["StatefulSet/db"], ["Pod/db-1"]),
    ],
)
def test_claims_go_with_whom_the_policy_says(policy: dict[str, str], before: list[str], after: list[str]) -> None:
    world = World(
        workload("StatefulSet", "db", replicas=2, volumeClaimTemplates=CLAIMS, persistentVolumeClaimRetentionPolicy=policy)
    )
    world.settle()
    assert owners(world) == {"data-db-0": before, "data-db-1": before}
    world.one("StatefulSet", "db")["spec"]["replicas"] = 1
    world.settle()
    # A garbage collector would take along what the Pod owns.
    assert owners(world) == {"data-db-0": before, "data-db-1": after}
    world.one("StatefulSet", "db")["spec"]["replicas"] = 2
    world.settle()
    assert owners(world)["data-db-1"] == before


def test_stateful_pods_count_from_where_they_are_told_to() -> None:
    strategy = {"rollingUpdate": {"partition": 1}}
    world = World(workload("StatefulSet", "db", replicas=2, ordinals={"start": 5}, updateStrategy=strategy))
    world.settle()
    change(world, "db", "v2", "StatefulSet")
    world.settle()
    assert {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in world.all("Pod")} == {
        "db-5": "v1",
        "db-6": "v2",
    }


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
def test_so_many_stateful_pods_may_be_away_in_an_update(policy: str) -> None:
    strategy = {"rollingUpdate": {"maxUnavailable": 2}}
    world = World(workload("StatefulSet", "db", replicas=4, updateStrategy=strategy, podManagementPolicy=policy))
    world.settle()
    change(world, "db", "v2", "StatefulSet")
    least = 4
    while world.step():
        least = min(least, len(world.all("Pod")))
    assert (least, world.pods()) == (2, ["v2"] * 4)


def test_a_stateful_pod_that_has_ended_is_made_again() -> None:
    world = World(workload("StatefulSet", "db", replicas=1))
    world.settle()
    uid = world.one("Pod", "db-0")["metadata"]["uid"]
    world.one("Pod", "db-0")["status"] = {"phase": "Failed"}
    world.settle()
    assert world.one("Pod", "db-0")["metadata"]["uid"] != uid


def test_a_new_daemon_pod_may_come_beside_the_old_one() -> None:
    surging = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    world = World(workload("DaemonSet", updateStrategy=surging, minReadySeconds=5))
    world.kubelet = lambda pod: {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": pod["metadata"]["creationTimestamp"]}],
    }
    world.settle()
    world.now += timedelta(minutes=1)
    change(world, "web", "v2", "DaemonSet")
    world.settle()
    assert world.pods() == ["v1", "v2"]
    world.wait()
    assert (world.pods(), world.one("DaemonSet", "web")["status"]["numberAvailable"]) == (["v2"], 1)


def test_a_daemon_pod_tolerates_a_node_that_takes_nothing_else() -> None:
    world = World(workload("DaemonSet"))
    world.settle()
    (pod,) = world.all("Pod")
    keys = {each["key"] for each in pod["spec"]["tolerations"]}
    assert "node.kubernetes.io/unschedulable" in keys


def budget(**spec: Any) -> Obj:
    selector = {"matchLabels": {"app": "web"}}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "ns", "uid": "b"},
        "spec": {"selector": selector, **spec},
    }


def some_pods(ready: int, of: int) -> list[Obj]:
    controller = [{"controller": True, "uid": "rs", "kind": "ReplicaSet", "name": "web"}]
    return [
        {
            "metadata": {"name": f"p{n}", "namespace": "ns", "labels": {"app": "web"}, "ownerReferences": controller},
            "status": running({}) if n < ready else unready({}),
        }
        for n in range(of)
    ]


@pytest.mark.parametrize(
    ("spec", "ready", "expected"),
    [
        ({"minAvailable": 1}, 3, (3, 1, 3, 2)),
        ({"minAvailable": "50%"}, 3, (3, 2, 3, 1)),
        ({"maxUnavailable": 1}, 3, (3, 2, 3, 1)),
        ({"maxUnavailable": "25%"}, 2, (2, 2, 3, 0)),
        ({"minAvailable": 3}, 3, (3, 3, 3, 0)),
    ],
)
def test_a_budget_says_how_many_pods_may_go(spec: Obj, ready: int, expected: tuple[int, ...]) -> None:
    (action,) = reconcile_budget(budget(**spec), some_pods(ready, 3), lambda uid: 3 if uid == "rs" else None, NOW)
    assert isinstance(action, Status)
    status = action.status
    fields = ("currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed")
    assert tuple(status[name] for name in fields) == expected
    assert status["conditions"][0]["reason"] == ("SufficientPods" if expected[3] else "InsufficientPods")


def test_a_budget_of_nothing_allows_nothing() -> None:
    note, status = reconcile_budget(budget(minAvailable=1), [], lambda _: None, NOW)
    assert isinstance(note, Note)
    assert isinstance(status, Status)
    assert (note.reason, status.status["disruptionsAllowed"]) == ("NoPods", 0)
