"""Patches: JSON, merge, strategic; and server-side apply with its owners."""

from __future__ import annotations

from typing import Any

import pytest

from support.apiserver import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, Widgets, config_map, crd


def owners(obj: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["manager"], entry["operation"]) for entry in obj["metadata"].get("managedFields", [])]


def deployment(name: str, **containers: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": key, "image": image} for key, image in containers.items()]},
            },
        },
    }


async def test_a_merge_patch_sets_and_removes_fields(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a", {"x": "1", "y": "2"}))
    answer = await server.patch(f"{config_maps}/a", {"data": {"x": None, "z": "3"}, "metadata": {"labels": {"l": "v"}}})
    assert (answer.status, answer.body["data"]) == (200, {"y": "2", "z": "3"})
    assert answer.body["metadata"]["labels"] == {"l": "v"}


async def test_a_json_patch_tests_before_it_changes(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a", {"x": "1"}))
    good = [{"op": "test", "path": "/data/x", "value": "1"}, {"op": "replace", "path": "/data/x", "value": "2"}]
    assert (await server.patch(f"{config_maps}/a", good, JSON_PATCH)).body["data"] == {"x": "2"}
    again = await server.patch(f"{config_maps}/a", good, JSON_PATCH)
    assert (again.status, again.body["reason"]) == (422, "Invalid")
    assert (await server.get(f"{config_maps}/a")).body["data"] == {"x": "2"}


async def test_a_strategic_patch_merges_lists_by_key(server: Api, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert (await server.create(path, deployment("d", a="img:1", b="img:1"))).status == 201
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "img:2"}]}}}}
    answer = await server.patch(f"{path}/d", patch, STRATEGIC)
    containers = answer.body["spec"]["template"]["spec"]["containers"]
    assert {c["name"]: c["image"] for c in containers} == {"a": "img:1", "b": "img:2"}
    replaced = await server.patch(f"{path}/d", patch, MERGE)
    assert [c["name"] for c in replaced.body["spec"]["template"]["spec"]["containers"]] == ["b"]


async def test_a_custom_resource_has_no_strategic_patch(server: Api, widgets: Widgets) -> None:
    await server.create(widgets.path, widgets.widget("w"))
    answer = await server.patch(f"{widgets.path}/w", {"spec": {}}, STRATEGIC)
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("content_type", [MERGE, STRATEGIC])
async def test_a_patch_that_changes_nothing_keeps_the_version(server: Api, config_maps: str, content_type: str) -> None:
    first = (await server.create(config_maps, config_map("a", {"x": "1"}))).body
    assert (await server.patch(f"{config_maps}/a", {"data": {"x": "1"}}, content_type)).body == first


async def test_a_patch_may_demand_a_version(server: Api, config_maps: str) -> None:
    first = (await server.create(config_maps, config_map("a", {"x": "1"}))).body
    version = first["metadata"]["resourceVersion"]
    good = await server.patch(f"{config_maps}/a", {"metadata": {"resourceVersion": version}, "data": {"x": "2"}})
    assert good.status == 200
    stale = await server.patch(f"{config_maps}/a", {"metadata": {"resourceVersion": version}, "data": {"x": "3"}})
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")


async def test_patching_what_is_not_there_is_not_found(server: Api, config_maps: str) -> None:
    assert (await server.patch(f"{config_maps}/none", {"data": {}})).status == 404


async def test_an_unknown_patch_type_is_not_supported(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a"))
    answer = await server.patch(f"{config_maps}/a", {"data": {}}, "application/json")
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


async def test_a_patch_cannot_rename(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a"))
    answer = await server.patch(f"{config_maps}/a", {"metadata": {"name": "b"}})
    assert answer.status in (400, 422)


async def test_apply_creates_and_then_changes(server: Api, config_maps: str) -> None:
    created = await server.apply(f"{config_maps}/a", config_map("a", {"x": "1"}))
    assert created.status == 201
    assert owners(created.body) == [("tester", "Apply")]
    changed = await server.apply(f"{config_maps}/a", config_map("a", {"x": "2"}))
    assert (changed.status, changed.body["data"]) == (200, {"x": "2"})


async def test_apply_of_the_same_changes_nothing(server: Api, config_maps: str) -> None:
    first = await server.apply(f"{config_maps}/a", config_map("a", {"x": "1"}, labels={"l": "v"}))
    again = await server.apply(f"{config_maps}/a", config_map("a", {"x": "1"}, labels={"l": "v"}))
    assert (again.status, again.body) == (200, first.body)


async def test_apply_removes_what_the_manager_leaves_out_and_keeps_what_others_set(server: Api, config_maps: str) -> None:
    await server.apply(f"{config_maps}/a", config_map("a", {"x": "1", "y": "1"}))
    await server.patch(f"{config_maps}/a", {"data": {"z": "1"}}, fieldManager="other")
    answer = await server.apply(f"{config_maps}/a", config_map("a", {"x": "1"}))
    assert answer.body["data"] == {"x": "1", "z": "1"}


async def test_a_field_of_another_manager_is_a_conflict_unless_forced(server: Api, config_maps: str) -> None:
    await server.apply(f"{config_maps}/a", config_map("a", {"x": "1"}), manager="one")
    refused = await server.apply(f"{config_maps}/a", config_map("a", {"x": "2"}), manager="two")
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert refused.body["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.x'
    assert refused.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.x"}
    ]
    forced = await server.apply(f"{config_maps}/a", config_map("a", {"x": "2"}), manager="two", force=True)
    assert (forced.status, forced.body["data"]) == (200, {"x": "2"})
    assert owners(forced.body) == [("two", "Apply")]


async def test_the_same_value_is_shared(server: Api, config_maps: str) -> None:
    await server.apply(f"{config_maps}/a", config_map("a", {"x": "1"}), manager="one")
    shared = await server.apply(f"{config_maps}/a", config_map("a", {"x": "1"}), manager="two")
    assert (shared.status, sorted(owners(shared.body))) == (200, [("one", "Apply"), ("two", "Apply")])


async def test_apply_wants_a_manager(server: Api, config_maps: str) -> None:
    answer = await server.request("PATCH", f"{config_maps}/a", config_map("a"), content_type=APPLY)
    assert answer.status in (400, 422)
    assert "fieldManager" in answer.body["message"]


async def test_apply_takes_yaml(server: Api, config_maps: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: |\n    two\n    lines\n"
    answer = await server.request("PATCH", f"{config_maps}/a", body, content_type=APPLY, fieldManager="tester")
    assert (answer.status, answer.body["data"]) == (201, {"x": "two\nlines\n"})


async def test_apply_refuses_managed_fields(server: Api, config_maps: str) -> None:
    first = (await server.apply(f"{config_maps}/a", config_map("a", {"x": "1"}))).body
    answer = await server.apply(f"{config_maps}/a", first)
    assert (answer.status, answer.body["message"]) == (400, "metadata.managedFields must be nil")


async def test_apply_with_unknown_fields_fails_when_strict(server: Api, widgets: Widgets) -> None:
    body = widgets.widget("w", {"sise": 1})
    answer = await server.apply(f"{widgets.path}/w", body, fieldValidation="Strict")
    assert answer.status in (400, 422, 500)
    assert "sise" in answer.body["message"]


async def test_apply_merges_lists_of_a_custom_resource_by_key(server: Api, widgets: Widgets) -> None:
    one = widgets.widget("w", {"parts": [{"name": "a", "count": 1}]})
    two = widgets.widget("w", {"parts": [{"name": "b", "count": 2}]})
    await server.apply(f"{widgets.path}/w", one, manager="one")
    both = await server.apply(f"{widgets.path}/w", two, manager="two")
    assert both.status == 200
    assert sorted(part["name"] for part in both.body["spec"]["parts"]) == ["a", "b"]


async def test_apply_of_an_empty_map_makes_null_of_what_was_in_it_and_is_refused(server: Api, namespace: str) -> None:
    group = f"maps.{namespace}.example.com"
    numbers = {"type": "object", "additionalProperties": {"type": "integer"}}
    spec = {"type": "object", "properties": {"numbers": numbers}}
    await server.define(crd(group, schema={"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}))
    path = f"/apis/{group}/v1/namespaces/{namespace}/widgets/w"
    body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}}
    assert (await server.apply(path, {**body, "spec": {"numbers": {"one": 1}}})).status == 201
    answer = await server.apply(path, {**body, "spec": {"numbers": {}}})
    why = 'Invalid value: "null": spec.numbers in body must be of type object: "null"'
    assert (answer.status, answer.body["details"]["causes"][0]["message"]) == (422, why)


async def test_apply_to_the_status_owns_the_status_alone(server: Api, widgets: Widgets) -> None:
    await server.apply(f"{widgets.path}/w", widgets.widget("w", {"size": 1}))
    body = widgets.widget("w", {"size": 9}, status={"phase": "Up"})
    answer = await server.apply(f"{widgets.path}/w/status", body, manager="reporter")
    assert (answer.status, answer.body["spec"]["size"], answer.body["status"]) == (200, 1, {"phase": "Up"})
    entry = next(e for e in answer.body["metadata"]["managedFields"] if e["manager"] == "reporter")
    assert entry["subresource"] == "status"
    assert entry["fieldsV1"] == {"f:status": {"f:phase": {}}}
    again = await server.apply(f"{widgets.path}/w/status", body, manager="reporter")
    assert again.body == answer.body


async def test_apply_to_the_status_of_nothing_is_not_found(server: Api, widgets: Widgets) -> None:
    body = widgets.widget("w", status={"phase": "Up"})
    assert (await server.apply(f"{widgets.path}/w/status", body)).status == 404


async def test_an_update_takes_fields_over_from_whoever_applied_them(server: Api, config_maps: str) -> None:
    await server.apply(f"{config_maps}/a", config_map("a", {"x": "1", "y": "1"}), manager="one")
    changed = await server.patch(f"{config_maps}/a", {"data": {"x": "2"}}, fieldManager="editor")
    by_manager = {entry["manager"]: entry["fieldsV1"] for entry in changed.body["metadata"]["managedFields"]}
    assert by_manager["editor"] == {"f:data": {"f:x": {}}}
    assert by_manager["one"] == {"f:data": {".": {}, "f:y": {}}} or by_manager["one"] == {"f:data": {"f:y": {}}}


async def test_the_manager_is_the_user_agent_when_none_is_given(server: Api, config_maps: str) -> None:
    answer = await server.request("POST", config_maps, config_map("a", {"x": "1"}), headers={"User-Agent": "tool/v1 (linux)"})
    assert owners(answer.body) == [("tool", "Update")]


async def test_a_write_of_what_nobody_owns_begins_no_ownership_but_apply_does(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a", {"x": "1"}), fieldManager="creator")
    cleared = await server.patch(f"{config_maps}/a", {"metadata": {"managedFields": [{}]}})
    assert owners(cleared.body) == []
    changed = await server.patch(f"{config_maps}/a", {"data": {"x": "2"}}, fieldManager="editor")
    assert owners(changed.body) == []
    applied = await server.apply(f"{config_maps}/a", config_map("a", {"y": "1"}))
    assert sorted(owners(applied.body)) == [("before-first-apply", "Update"), ("tester", "Apply")]
    by_manager = {entry["manager"]: entry["fieldsV1"] for entry in applied.body["metadata"]["managedFields"]}
    assert by_manager["before-first-apply"] == {"f:data": {".": {}, "f:x": {}}}


async def test_a_uid_cannot_be_patched(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a"))
    answer = await server.patch(f"{config_maps}/a", {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}})
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert [cause["field"] for cause in answer.body["details"]["causes"]] == ["metadata.uid"]
