"""What controllers do: owners and what they own, namespaces and what is in them, definitions and their objects."""

from __future__ import annotations

from typing import Any

from support.apiserver import DEFINITIONS, Answer, Api, Widgets, config_map

Obj = dict[str, Any]
HELD = "example.com/hold"


def gone(answer: Answer) -> bool:
    return answer.status == 404


def owner(obj: Obj, *, blocks: bool = False) -> Obj:
    metadata = obj["metadata"]
    reference = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return {**reference, "blockOwnerDeletion": True} if blocks else reference


async def made(server: Api, path: str, name: str, *owners: Obj, finalizers: tuple[str, ...] = ()) -> Obj:
    answer = await server.create(path, config_map(name, ownerReferences=list(owners), finalizers=list(finalizers)))
    assert answer.status == 201, answer.raw
    obj: Obj = answer.body
    return obj


async def test_what_is_owned_goes_after_its_owner(server: Api, config_maps: str) -> None:
    a = await made(server, config_maps, "a")
    b = await made(server, config_maps, "b", owner(a))
    await made(server, config_maps, "c", owner(b))
    await made(server, config_maps, "other")
    await server.delete(f"{config_maps}/a", {"propagationPolicy": "Background"})
    await server.until(f"{config_maps}/b", gone)
    await server.until(f"{config_maps}/c", gone)
    assert (await server.get(f"{config_maps}/other")).status == 200


async def test_what_has_another_owner_stays_and_forgets_the_one_that_went(server: Api, config_maps: str) -> None:
    a, b = await made(server, config_maps, "a"), await made(server, config_maps, "b")
    await made(server, config_maps, "c", owner(a), owner(b))
    await server.delete(f"{config_maps}/a", {"propagationPolicy": "Background"})
    left = await server.until(f"{config_maps}/c", lambda answer: len(answer.body["metadata"]["ownerReferences"]) == 1)
    assert left.body["metadata"]["ownerReferences"] == [owner(b)]


async def test_an_object_of_an_owner_that_never_was_goes(server: Api, config_maps: str) -> None:
    a = await made(server, config_maps, "a")
    await made(server, config_maps, "b", {**owner(a), "uid": "00000000-0000-0000-0000-000000000000"})
    await server.until(f"{config_maps}/b", gone)
    assert (await server.get(f"{config_maps}/a")).status == 200


async def test_orphans_stay_without_owner(server: Api, config_maps: str) -> None:
    a = await made(server, config_maps, "a")
    await made(server, config_maps, "b", owner(a))
    await server.delete(f"{config_maps}/a", {"propagationPolicy": "Orphan"})
    await server.until(f"{config_maps}/a", gone)
    assert "ownerReferences" not in (await server.get(f"{config_maps}/b")).body["metadata"]


async def test_in_the_foreground_the_owner_goes_last(server: Api, config_maps: str) -> None:
    a = await made(server, config_maps, "a")
    await made(server, config_maps, "b", owner(a, blocks=True), finalizers=(HELD,))
    answer = await server.delete(f"{config_maps}/a", {"propagationPolicy": "Foreground"})
    assert answer.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    await server.until(f"{config_maps}/b", lambda answer: "deletionTimestamp" in answer.body["metadata"])
    assert (await server.get(f"{config_maps}/a")).status == 200
    await server.patch(f"{config_maps}/b", {"metadata": {"finalizers": None}})
    await server.until(f"{config_maps}/a", gone)


async def test_owners_in_a_circle_go_too(server: Api, config_maps: str) -> None:
    a = await made(server, config_maps, "a")
    b = await made(server, config_maps, "b", owner(a, blocks=True))
    await server.patch(f"{config_maps}/a", {"metadata": {"ownerReferences": [owner(b, blocks=True)]}})
    await server.delete(f"{config_maps}/a", {"propagationPolicy": "Foreground"})
    await server.until(f"{config_maps}/a", gone)
    await server.until(f"{config_maps}/b", gone)


async def test_a_custom_resource_owns_others(server: Api, widgets: Widgets, config_maps: str) -> None:
    w = (await server.create(widgets.path, widgets.widget("w", {"size": 1}))).body
    await made(server, config_maps, "a", owner(w))
    await server.delete(f"{widgets.path}/w")
    await server.until(f"{config_maps}/a", gone)


async def test_a_new_namespace_is_furnished(server: Api, namespace: str, config_maps: str) -> None:
    authority = await server.until(f"{config_maps}/kube-root-ca.crt", lambda answer: answer.status == 200)
    assert list(authority.body["data"]) == ["ca.crt"]
    await server.until(f"/api/v1/namespaces/{namespace}/serviceaccounts/default", lambda answer: answer.status == 200)


async def test_what_every_namespace_has_comes_back(server: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    first = await server.until(path, lambda answer: answer.status == 200)
    await server.delete(path)
    uid = first.body["metadata"]["uid"]
    await server.until(path, lambda answer: answer.status == 200 and answer.body["metadata"]["uid"] != uid)


async def test_a_namespace_waits_for_the_finalizers_in_it(server: Api, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "dying-"}}
    name = (await server.create("/api/v1/namespaces", body)).body["metadata"]["name"]
    path = f"/api/v1/namespaces/{name}/configmaps"
    await made(server, path, "a", finalizers=(HELD,))
    await made(server, path, "b")
    await server.delete(f"/api/v1/namespaces/{name}")
    await server.until(f"{path}/b", gone)
    await server.until(f"{path}/a", lambda answer: "deletionTimestamp" in answer.body["metadata"])
    assert (await server.get(f"/api/v1/namespaces/{name}")).body["status"]["phase"] == "Terminating"
    await server.patch(f"{path}/a", {"metadata": {"finalizers": None}})
    await server.until(f"/api/v1/namespaces/{name}", gone)


async def test_a_definition_waits_for_the_finalizers_of_its_objects(server: Api, widgets: Widgets) -> None:
    obj = widgets.widget("w")
    obj["metadata"]["finalizers"] = [HELD]
    await server.create(widgets.path, obj)
    await server.delete(widgets.definition)
    await server.until(f"{widgets.path}/w", lambda answer: "deletionTimestamp" in answer.body["metadata"])
    definition = await server.until(widgets.definition, lambda answer: conditions(answer).get("Terminating") == "True")
    assert conditions(definition)["Established"] == "True"
    refused = await server.create(widgets.path, widgets.widget("late"))
    assert (refused.status, refused.body["reason"]) == (403, "Forbidden")
    assert refused.body["message"].endswith("create not allowed while custom resource definition is terminating")
    await server.patch(f"{widgets.path}/w", {"metadata": {"finalizers": None}})
    await server.until(widgets.definition, gone)
    await server.until(widgets.path, gone)


def conditions(answer: Answer) -> dict[str, str]:
    return {entry["type"]: entry["status"] for entry in answer.body.get("status", {}).get("conditions", ())}


async def test_a_new_definition_is_established(server: Api, widgets: Widgets) -> None:
    body = (await server.get(widgets.definition)).body
    assert {entry["type"]: entry["reason"] for entry in body["status"]["conditions"]} == {
        "NamesAccepted": "NoConflicts",
        "Established": "InitialNamesAccepted",
    }
    assert body["status"]["storedVersions"] == ["v1"]
    assert body["status"]["acceptedNames"] == {
        "plural": "widgets",
        "singular": "widget",
        "kind": "Widget",
        "listKind": "WidgetList",
        "shortNames": ["wi"],
    }


async def test_a_definition_must_be_named_for_its_resource(server: Api, widgets: Widgets) -> None:
    body = (await server.get(widgets.definition)).body
    answer = await server.create(
        DEFINITIONS, {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {"name": "x.y"}, "spec": body["spec"]}
    )
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert "metadata.name" in {cause["field"] for cause in answer.body["details"]["causes"]}
