"""Deleting: at once, held by finalizers, in a hurry, many at a time, whole namespaces."""

from __future__ import annotations

import pytest

from support.apiserver import JSON_PATCH, Api, Widgets, config_map

HELD = "example.com/hold"


async def test_a_deleted_object_is_gone(server: Api, config_maps: str) -> None:
    uid = (await server.create(config_maps, config_map("a"))).body["metadata"]["uid"]
    answer = await server.delete(f"{config_maps}/a")
    assert answer.status == 200
    assert (answer.body["kind"], answer.body["status"]) == ("Status", "Success")
    assert answer.body["details"] == {"name": "a", "kind": "configmaps", "uid": uid}
    assert (await server.get(f"{config_maps}/a")).status == 404
    assert (await server.delete(f"{config_maps}/a")).status == 404


async def test_a_new_object_of_an_old_name_is_another(server: Api, config_maps: str) -> None:
    first = (await server.create(config_maps, config_map("a"))).body["metadata"]["uid"]
    await server.delete(f"{config_maps}/a")
    assert (await server.create(config_maps, config_map("a"))).body["metadata"]["uid"] != first


async def test_a_finalizer_holds_an_object_until_it_is_removed(server: Api, widgets: Widgets) -> None:
    obj = widgets.widget("w", {"size": 1})
    obj["metadata"]["finalizers"] = [HELD]
    await server.create(widgets.path, obj)
    marked = await server.delete(f"{widgets.path}/w")
    assert marked.status == 200
    metadata = (await server.get(f"{widgets.path}/w")).body["metadata"]
    assert metadata["deletionTimestamp"].endswith("Z")
    assert metadata["deletionGracePeriodSeconds"] == 0
    assert metadata["finalizers"] == [HELD]
    again = await server.delete(f"{widgets.path}/w")
    assert again.status == 200
    assert (await server.get(f"{widgets.path}/w")).body["metadata"] == metadata
    answer = await server.patch(f"{widgets.path}/w", {"metadata": {"finalizers": None}})
    assert answer.status == 200
    assert (await server.get(f"{widgets.path}/w")).status == 404


async def test_no_finalizer_is_added_to_an_object_that_is_being_deleted(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a", finalizers=[HELD]))
    await server.delete(f"{config_maps}/a")
    patch = [{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/late"}]
    answer = await server.patch(f"{config_maps}/a", patch, JSON_PATCH)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted"
        in answer.body["message"]
    )
    await server.patch(f"{config_maps}/a", {"metadata": {"finalizers": []}})


@pytest.mark.parametrize(("policy", "mark"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_a_propagation_policy_is_a_finalizer_for_the_garbage_collector(
    server: Api, config_maps: str, policy: str, mark: str
) -> None:
    await server.create(config_maps, config_map("a", finalizers=[HELD]))
    answer = await server.delete(f"{config_maps}/a", {"propagationPolicy": policy})
    assert answer.status == 200
    assert set(answer.body["metadata"]["finalizers"]) == {HELD, mark}
    await server.patch(f"{config_maps}/a", {"metadata": {"finalizers": []}})


async def test_an_unknown_propagation_policy_is_refused(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a"))
    answer = await server.delete(f"{config_maps}/a", {"propagationPolicy": "Sideways"})
    assert answer.status in (400, 422)


async def test_a_deletion_may_demand_a_uid_and_a_version(server: Api, config_maps: str) -> None:
    metadata = (await server.create(config_maps, config_map("a"))).body["metadata"]
    other = await server.delete(f"{config_maps}/a", {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}})
    assert (other.status, other.body["reason"]) == (409, "Conflict")
    assert other.body["message"] == (
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (00000000-0000-0000-0000-000000000000) '
        f"does not match the UID in record ({metadata['uid']}). The object might have been deleted and then recreated"
    )
    stale = await server.delete(f"{config_maps}/a", {"preconditions": {"resourceVersion": "1"}})
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")
    demanded = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    assert (await server.delete(f"{config_maps}/a", {"preconditions": demanded})).status == 200


async def test_a_collection_is_deleted_by_selector(server: Api, config_maps: str) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        await server.create(config_maps, config_map(name, labels={"l": label}))
    answer = await server.delete(config_maps, labelSelector="l=x")
    assert answer.status == 200
    left = (await server.get(config_maps, labelSelector="l")).body["items"]
    assert [item["metadata"]["name"] for item in left] == ["c"]


def pod(name: str, *, node: str = "", grace: int | None = None) -> dict[str, object]:
    spec: dict[str, object] = {"containers": [{"name": "main", "image": "example.com/app:1"}]}
    if node:
        spec["nodeName"] = node
    if grace is not None:
        spec["terminationGracePeriodSeconds"] = grace
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


async def service_account(server: Api, namespace: str) -> None:
    """Pods need one; the controller that makes it may not have come to it yet."""
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    assert (await server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", body)).status in (201, 409)


async def test_a_running_pod_gets_time_to_end(server: Api, namespace: str) -> None:
    await service_account(server, namespace)
    path = f"/api/v1/namespaces/{namespace}/pods"
    await server.create(path, pod("p", node="somewhere", grace=7))
    answer = await server.delete(f"{path}/p")
    assert answer.body["metadata"]["deletionGracePeriodSeconds"] == 7
    assert answer.body["metadata"]["deletionTimestamp"]
    assert (await server.get(f"{path}/p")).status == 200
    shorter = await server.delete(f"{path}/p", {"gracePeriodSeconds": 1})
    assert shorter.body["metadata"]["deletionGracePeriodSeconds"] == 1
    await server.delete(f"{path}/p", {"gracePeriodSeconds": 0})
    assert (await server.get(f"{path}/p")).status == 404


async def test_a_pod_without_a_node_goes_at_once(server: Api, namespace: str) -> None:
    await service_account(server, namespace)
    path = f"/api/v1/namespaces/{namespace}/pods"
    await server.create(path, pod("p"))
    await server.delete(f"{path}/p")
    assert (await server.get(f"{path}/p")).status == 404


async def test_nothing_new_comes_into_a_namespace_that_is_being_deleted(server: Api, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "dying-", "finalizers": [HELD]}}
    name = (await server.create("/api/v1/namespaces", body)).body["metadata"]["name"]
    answer = await server.delete(f"/api/v1/namespaces/{name}")
    assert answer.body["status"]["phase"] == "Terminating"
    refused = await server.create(f"/api/v1/namespaces/{name}/configmaps", config_map("a"))
    assert (refused.status, refused.body["reason"]) == (403, "Forbidden")
    assert refused.body["message"] == (
        f'configmaps "a" is forbidden: unable to create new content in namespace {name} because it is being terminated'
    )
    assert refused.body["details"]["causes"] == [
        {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated", "field": "metadata.namespace"}
    ]
    await server.patch(f"/api/v1/namespaces/{name}", {"metadata": {"finalizers": None}})


async def test_a_namespace_is_held_by_its_own_finalizer(server: Api, namespace: str) -> None:
    body = (await server.get(f"/api/v1/namespaces/{namespace}")).body
    assert body["spec"] == {"finalizers": ["kubernetes"]}
    assert body["status"] == {"phase": "Active"}
    assert body["metadata"]["labels"] == {"kubernetes.io/metadata.name": namespace}
