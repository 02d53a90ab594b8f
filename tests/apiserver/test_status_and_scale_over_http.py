"""Subresources: the status apart from the rest, the scale, generations."""

from __future__ import annotations

from typing import Any

from support.apiserver import JSON_PATCH, Api, Widgets, crd

READY = {"type": "Ready", "status": "True", "reason": "Up", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}


async def test_a_write_of_the_object_leaves_the_status_alone(server: Api, widgets: Widgets) -> None:
    created = await server.create(widgets.path, widgets.widget("w", {"size": 1}, status={"phase": "Up"}))
    assert "status" not in created.body
    await server.patch(f"{widgets.path}/w/status", {"status": {"phase": "Up"}})
    changed = await server.patch(f"{widgets.path}/w", {"spec": {"size": 2}, "status": {"phase": "Down"}})
    assert (changed.body["spec"]["size"], changed.body["status"]) == (2, {"phase": "Up"})
    replaced = await server.replace(f"{widgets.path}/w", {k: v for k, v in changed.body.items() if k != "status"})
    assert replaced.body["status"] == {"phase": "Up"}


async def test_a_write_of_the_status_leaves_the_object_alone(server: Api, widgets: Widgets) -> None:
    first = (await server.create(widgets.path, widgets.widget("w", {"size": 1}))).body
    body = {**first, "spec": {"size": 5}, "status": {"phase": "Up"}}
    body["metadata"] = {**first["metadata"], "labels": {"l": "v"}}
    answer = await server.replace(f"{widgets.path}/w/status", body)
    assert answer.status == 200
    assert (answer.body["spec"]["size"], answer.body["status"]) == (1, {"phase": "Up"})
    assert "labels" not in answer.body["metadata"]
    assert answer.body["metadata"]["generation"] == 1


async def test_the_generation_counts_changes_of_the_spec_alone(server: Api, widgets: Widgets) -> None:
    first = (await server.create(widgets.path, widgets.widget("w", {"size": 1}))).body
    assert first["metadata"]["generation"] == 1
    labelled = await server.patch(f"{widgets.path}/w", {"metadata": {"labels": {"l": "v"}}})
    assert labelled.body["metadata"]["generation"] == 1
    await server.patch(f"{widgets.path}/w/status", {"status": {"phase": "Up"}})
    changed = await server.patch(f"{widgets.path}/w", {"spec": {"size": 2}})
    assert changed.body["metadata"]["generation"] == 2
    claimed = await server.patch(f"{widgets.path}/w", {"metadata": {"generation": 9}})
    assert claimed.body["metadata"]["generation"] == 2


async def test_a_status_that_is_the_same_keeps_the_version(server: Api, widgets: Widgets) -> None:
    await server.create(widgets.path, widgets.widget("w", {"size": 1}))
    first = await server.patch(f"{widgets.path}/w/status", {"status": {"phase": "Up"}})
    again = await server.patch(f"{widgets.path}/w/status", {"status": {"phase": "Up"}})
    assert again.body == first.body


async def test_the_status_is_checked_against_the_schema(server: Api, widgets: Widgets) -> None:
    await server.create(widgets.path, widgets.widget("w"))
    answer = await server.patch(f"{widgets.path}/w/status", {"status": {"phase": 7}})
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")


async def test_a_json_patch_can_set_the_status(server: Api, widgets: Widgets) -> None:
    await server.create(widgets.path, widgets.widget("w"))
    patch = [{"op": "add", "path": "/status", "value": {"phase": "Up"}}]
    assert (await server.patch(f"{widgets.path}/w/status", patch, JSON_PATCH)).body["status"] == {"phase": "Up"}


async def test_a_status_write_with_an_old_version_is_a_conflict(server: Api, widgets: Widgets) -> None:
    first = (await server.create(widgets.path, widgets.widget("w"))).body
    await server.patch(f"{widgets.path}/w", {"spec": {"size": 3}})
    answer = await server.replace(f"{widgets.path}/w/status", {**first, "status": {"phase": "Up"}})
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")


async def test_a_resource_without_a_status_has_no_such_path(server: Api, namespace: str, config_maps: str) -> None:
    assert (await server.get(f"{config_maps}/a/status")).status == 404


def deployment(replicas: int | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "d"}},
        "template": {
            "metadata": {"labels": {"app": "d"}},
            "spec": {"containers": [{"name": "main", "image": "example.com/app:1"}]},
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


async def test_a_deployment_is_scaled_by_its_subresource(server: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await server.create(path, deployment())
    scale = (await server.get(f"{path}/d/scale")).body
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    assert scale["status"]["selector"] == "app=d"
    # Without a version: the controller of Deployments may have written its status in between.
    metadata = {key: value for key, value in scale["metadata"].items() if key != "resourceVersion"}
    answer = await server.replace(f"{path}/d/scale", {**scale, "metadata": metadata, "spec": {"replicas": 3}})
    assert (answer.status, answer.body["spec"]) == (200, {"replicas": 3})
    changed = (await server.get(f"{path}/d")).body
    assert (changed["spec"]["replicas"], changed["metadata"]["generation"]) == (3, 2)
    patched = await server.patch(f"{path}/d/scale", {"spec": {"replicas": 2}})
    assert patched.body["spec"] == {"replicas": 2}
    stale = await server.replace(f"{path}/d/scale", {**scale, "spec": {"replicas": 5}})
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")


async def test_a_scale_below_zero_is_invalid(server: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await server.create(path, deployment())
    answer = await server.patch(f"{path}/d/scale", {"spec": {"replicas": -1}})
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")


async def test_a_custom_resource_is_scaled_where_its_crd_says(server: Api, namespace: str) -> None:
    group = f"scaled.{namespace}.example.com"
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    definition = crd(group, subresources={"status": {}, "scale": paths})
    await server.define(definition)
    path = f"/apis/{group}/v1/namespaces/{namespace}/widgets"
    body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"replicas": 2}}
    await server.create(path, body)
    scale = (await server.get(f"{path}/w/scale")).body
    assert (scale["spec"], scale["status"]["replicas"]) == ({"replicas": 2}, 0)
    await server.replace(f"{path}/w/scale", {**scale, "spec": {"replicas": 4}})
    assert (await server.get(f"{path}/w")).body["spec"]["replicas"] == 4


async def test_the_status_of_a_deployment_is_a_subresource(server: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    body = {**deployment(2), "status": {"replicas": 7}}
    created = await server.create(path, body)
    assert created.body.get("status", {}).get("replicas", 0) == 0
    first = created.body["metadata"]["generation"]
    answer = await server.patch(f"{path}/d/status", {"status": {"replicas": 2, "observedGeneration": first}})
    assert answer.body["status"]["replicas"] == 2
    assert answer.body["metadata"]["generation"] == first
