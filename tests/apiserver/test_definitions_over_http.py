"""Custom resources: what their schema gives, takes away and refuses; several versions; how they are found."""

from __future__ import annotations

from typing import Any

import pytest

from support.apiserver import DEFINITIONS, Api, Widgets, crd


async def test_what_is_missing_gets_its_default_and_what_is_unknown_goes(server: Api, widgets: Widgets) -> None:
    body = widgets.widget("w", {"size": 1, "unknown": True})
    answer = await server.create(widgets.path, body, fieldValidation="Ignore")
    assert (answer.status, answer.body["spec"]) == (201, {"size": 1, "color": "red"})


async def test_no_default_comes_where_its_parent_is_missing(server: Api, widgets: Widgets) -> None:
    assert "spec" not in (await server.create(widgets.path, widgets.widget("w"))).body


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        ({"size": 11}, "spec.size", "FieldValueInvalid"),
        ({"size": -1}, "spec.size", "FieldValueInvalid"),
        ({"size": "1"}, "spec.size", "FieldValueTypeInvalid"),
        ({"tags": [1]}, "spec.tags[0]", "FieldValueTypeInvalid"),
        ({"parts": [{}]}, "spec.parts[0].name", "FieldValueRequired"),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]", "FieldValueDuplicate"),
    ],
)
async def test_what_the_schema_does_not_allow_is_refused_by_its_field(
    server: Api, widgets: Widgets, spec: dict[str, Any], field: str, reason: str
) -> None:
    answer = await server.create(widgets.path, widgets.widget("w", spec))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert (field, reason) in {(cause["field"], cause["reason"]) for cause in answer.body["details"]["causes"]}


async def test_an_unknown_field_of_a_custom_resource_warns(server: Api, widgets: Widgets) -> None:
    answer = await server.create(widgets.path, widgets.widget("w", {"sise": 1}), fieldValidation="Warn")
    assert (answer.status, answer.warnings) == (201, ['299 - "unknown field \\"spec.sise\\""'])


async def test_null_takes_the_default(server: Api, widgets: Widgets) -> None:
    answer = await server.create(widgets.path, widgets.widget("w", {"color": None}))
    assert answer.body["spec"] == {"color": "red"}


async def test_a_resource_is_found_by_discovery(server: Api, widgets: Widgets) -> None:
    body = (await server.until(f"/apis/{widgets.group}/v1", lambda answer: answer.status == 200)).body
    assert (body["kind"], body["groupVersion"]) == ("APIResourceList", f"{widgets.group}/v1")
    found = {entry["name"]: entry for entry in body["resources"]}
    assert set(found) == {"widgets", "widgets/status"}
    widget = found["widgets"]
    assert (widget["kind"], widget["namespaced"], widget["singularName"]) == ("Widget", True, "widget")
    assert widget["shortNames"] == ["wi"]
    assert sorted(widget["verbs"]) == ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    assert sorted(found["widgets/status"]["verbs"]) == ["get", "patch", "update"]


async def test_a_group_is_found_by_discovery(server: Api, widgets: Widgets) -> None:
    body = (await server.until(f"/apis/{widgets.group}", lambda answer: answer.status == 200)).body
    version = {"groupVersion": f"{widgets.group}/v1", "version": "v1"}
    assert (body["kind"], body["name"], body["versions"], body["preferredVersion"]) == (
        "APIGroup",
        widgets.group,
        [version],
        version,
    )


async def test_the_columns_of_a_definition_are_printed(server: Api, namespace: str) -> None:
    group = f"printed.{namespace}.example.com"
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    await server.define(crd(group, additionalPrinterColumns=columns))
    path = f"/apis/{group}/v1/namespaces/{namespace}/widgets"
    body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}}
    await server.create(path, body)
    table = (await server.request("GET", path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})).body
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size", "Age"]
    assert table["rows"][0]["cells"][:2] == ["w", 3]
    await server.delete(f"{DEFINITIONS}/widgets.{group}")


async def test_an_object_is_read_in_every_version_that_is_served(server: Api, namespace: str) -> None:
    group = f"versions.{namespace}.example.com"
    definition = crd(group)
    first = definition["spec"]["versions"][0]
    definition["spec"]["versions"].append({**first, "name": "v2", "storage": False})
    await server.define(definition)
    body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}}
    await server.create(f"/apis/{group}/v1/namespaces/{namespace}/widgets", body)
    other = await server.until(f"/apis/{group}/v2/namespaces/{namespace}/widgets/w", lambda answer: answer.status == 200)
    assert (other.body["apiVersion"], other.body["spec"]["size"]) == (f"{group}/v2", 3)
    await server.delete(f"{DEFINITIONS}/widgets.{group}")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"properties": {"spec": {"properties": {}}}}, "type"),
        ({"type": "array"}, "type"),
        ({"type": "object", "properties": {"a": {"type": "string", "default": 1}}}, "default"),
    ],
)
async def test_a_schema_that_is_not_structural_is_refused(
    server: Api, namespace: str, change: dict[str, Any], field: str
) -> None:
    definition = crd(f"bad.{namespace}.example.com", schema={"openAPIV3Schema": change})
    answer = await server.create(DEFINITIONS, definition)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert any(cause["field"].endswith(field) for cause in answer.body["details"]["causes"])


async def test_a_definition_stores_exactly_one_version(server: Api, namespace: str) -> None:
    definition = crd(f"none.{namespace}.example.com", storage=False)
    answer = await server.create(DEFINITIONS, definition)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")


async def test_a_rule_of_the_schema_refuses_with_its_message(server: Api, namespace: str) -> None:
    group = f"rules.{namespace}.example.com"
    rule = {"rule": "self.min <= self.max", "message": "min must not exceed max"}
    numbers: dict[str, Any] = {"type": "object", "x-kubernetes-validations": [rule], "required": ["min", "max"]}
    numbers["properties"] = {"min": {"type": "integer"}, "max": {"type": "integer"}}
    await server.define(crd(group, schema={"openAPIV3Schema": {"type": "object", "properties": {"spec": numbers}}}))
    path = f"/apis/{group}/v1/namespaces/{namespace}/widgets"
    body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}}
    refused = await server.create(path, {**body, "spec": {"min": 2, "max": 1}})
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    assert "min must not exceed max" in refused.body["message"]
    assert (await server.create(path, {**body, "spec": {"min": 1, "max": 1}})).status == 201
    await server.delete(f"{DEFINITIONS}/widgets.{group}")
