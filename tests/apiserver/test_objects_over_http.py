"""One object: created, read, replaced; what is refused and how."""

from __future__ import annotations

import base64

import pytest

from cozystack.api import yaml
from support.apiserver import Api, config_map


async def test_a_created_object_has_what_the_server_gives_it(server: Api, namespace: str, config_maps: str) -> None:
    answer = await server.create(config_maps, config_map("a", {"k": "v"}))
    assert answer.status == 201
    body = answer.body
    metadata = body["metadata"]
    assert (body["kind"], body["apiVersion"], body["data"]) == ("ConfigMap", "v1", {"k": "v"})
    assert (metadata["name"], metadata["namespace"]) == ("a", namespace)
    assert len(metadata["uid"]) == 36
    assert metadata["creationTimestamp"].endswith("Z")
    assert int(metadata["resourceVersion"]) > 0
    assert (await server.get(f"{config_maps}/a")).body == body


async def test_a_name_is_generated_from_a_prefix(server: Api, config_maps: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "part-"}}
    names = [(await server.create(config_maps, body)).body["metadata"]["name"] for _ in range(3)]
    assert len(set(names)) == 3
    assert {(name[:5], len(name)) for name in names} == {("part-", 10)}


async def test_a_missing_object_is_not_found(server: Api, config_maps: str) -> None:
    answer = await server.get(f"{config_maps}/none")
    assert answer.status == 404
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "none" not found',
        "reason": "NotFound",
        "details": {"name": "none", "kind": "configmaps"},
        "code": 404,
    }


async def test_a_second_object_of_a_name_already_exists(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a"))
    answer = await server.create(config_maps, config_map("a"))
    assert (answer.status, answer.body["reason"]) == (409, "AlreadyExists")
    assert answer.body["message"] == 'configmaps "a" already exists'


async def test_the_resource_of_a_group_is_named_with_its_group(server: Api, namespace: str) -> None:
    answer = await server.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/none")
    assert answer.body["message"] == 'deployments.apps "none" not found'
    assert answer.body["details"] == {"name": "none", "group": "apps", "kind": "deployments"}


@pytest.mark.parametrize(
    "path", ["/api/v1/things", "/apis/none.example.com/v1/things", "/apis/apps/v9/deployments", "/nowhere"]
)
async def test_an_unknown_path_is_not_found(server: Api, path: str) -> None:
    answer = await server.get(path)
    assert answer.status == 404


async def test_a_namespace_must_exist(server: Api) -> None:
    answer = await server.create("/api/v1/namespaces/no-such-place/configmaps", config_map("a"))
    assert (answer.status, answer.body["reason"]) == (404, "NotFound")
    assert answer.body["message"] == 'namespaces "no-such-place" not found'


async def test_the_namespace_of_the_body_must_be_that_of_the_url(server: Api, config_maps: str) -> None:
    answer = await server.create(config_maps, config_map("a", namespace="other"))
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    message = "the namespace of the provided object does not match the namespace sent on the request"
    assert answer.body["message"].startswith(message)


async def test_the_kind_of_the_body_must_be_that_of_the_url(server: Api, config_maps: str) -> None:
    answer = await server.create(config_maps, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "two..dots"])
async def test_a_name_that_is_no_subdomain_is_invalid(server: Api, config_maps: str, name: str) -> None:
    answer = await server.create(config_maps, config_map(name))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["message"].startswith(f'ConfigMap "{name}" is invalid: metadata.name: Invalid value: "{name}": ')
    assert [(cause["reason"], cause["field"]) for cause in answer.body["details"]["causes"]] == [
        ("FieldValueInvalid", "metadata.name")
    ]


async def test_a_name_beyond_253_characters_is_invalid(server: Api, config_maps: str) -> None:
    assert (await server.create(config_maps, config_map("a" * 253))).status == 201
    assert (await server.create(config_maps, config_map("a" * 254))).status == 422


async def test_a_name_is_required(server: Api, config_maps: str) -> None:
    answer = await server.create(config_maps, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert "metadata.name: Required value: name or generateName is required" in answer.body["message"]


async def test_labels_must_be_label_values(server: Api, config_maps: str) -> None:
    answer = await server.create(config_maps, config_map("a", labels={"ok": "not ok!"}))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "metadata.labels"


async def test_a_replaced_object_moves_on_from_the_version_it_was_read_at(server: Api, config_maps: str) -> None:
    first = (await server.create(config_maps, config_map("a", {"k": "1"}))).body
    answer = await server.replace(f"{config_maps}/a", {**first, "data": {"k": "2"}})
    assert (answer.status, answer.body["data"]) == (200, {"k": "2"})
    assert int(answer.body["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    stale = await server.replace(f"{config_maps}/a", {**first, "data": {"k": "3"}})
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")
    assert stale.body["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the '
        "latest version and try again"
    )
    assert (await server.get(f"{config_maps}/a")).body["data"] == {"k": "2"}


async def test_what_the_server_gave_cannot_be_changed(server: Api, config_maps: str) -> None:
    first = (await server.create(config_maps, config_map("a"))).body
    changed = {**first["metadata"], "creationTimestamp": "2001-01-01T00:00:00Z"}
    answer = await server.replace(f"{config_maps}/a", {**first, "metadata": changed, "data": {"k": "v"}})
    assert answer.status == 200
    for name in ("uid", "creationTimestamp", "name", "namespace"):
        assert answer.body["metadata"][name] == first["metadata"][name]


@pytest.mark.parametrize(("field", "value"), [("deletionTimestamp", "2001-01-01T00:00:00Z"), ("deletionGracePeriodSeconds", 3)])
async def test_the_server_alone_says_that_an_object_is_being_deleted(
    server: Api, config_maps: str, field: str, value: object
) -> None:
    first = (await server.create(config_maps, config_map("a"))).body
    replaced = await server.replace(f"{config_maps}/a", {**first, "metadata": {**first["metadata"], field: value}})
    patched = await server.patch(f"{config_maps}/a", {"metadata": {field: value}})
    for answer in (replaced, patched):
        assert (answer.status, answer.body["reason"]) == (422, "Invalid")
        cause = answer.body["details"]["causes"][0]
        assert (cause["field"], cause["message"].endswith(": field is immutable")) == (f"metadata.{field}", True)


async def test_a_replacement_with_another_uid_is_a_conflict(server: Api, config_maps: str) -> None:
    first = (await server.create(config_maps, config_map("a"))).body
    metadata = {**first["metadata"], "uid": "00000000-0000-0000-0000-000000000000"}
    answer = await server.replace(f"{config_maps}/a", {**first, "metadata": metadata})
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")


async def test_a_replacement_that_changes_nothing_keeps_the_version(server: Api, config_maps: str) -> None:
    first = (await server.create(config_maps, config_map("a", {"k": "v"}))).body
    assert (await server.replace(f"{config_maps}/a", first)).body == first


async def test_the_name_of_the_body_must_be_that_of_the_url(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a"))
    answer = await server.replace(f"{config_maps}/a", config_map("b"))
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"] == "the name of the object (b) does not match the name on the URL (a)"


async def test_replacing_what_is_not_there_is_not_found(server: Api, config_maps: str) -> None:
    assert (await server.replace(f"{config_maps}/none", config_map("none"))).status == 404


async def test_a_new_object_must_not_claim_a_version(server: Api, config_maps: str) -> None:
    answer = await server.create(config_maps, config_map("a", resourceVersion="1"))
    assert answer.status in (400, 422, 500)
    assert "resourceVersion should not be set on objects to be created" in answer.body["message"]


async def test_a_dry_run_answers_as_the_write_would_and_stores_nothing(server: Api, config_maps: str) -> None:
    answer = await server.create(config_maps, config_map("a", {"k": "v"}), dryRun="All")
    assert (answer.status, answer.body["data"]) == (201, {"k": "v"})
    assert answer.body["metadata"]["uid"]
    assert (await server.get(f"{config_maps}/a")).status == 404
    first = (await server.create(config_maps, config_map("a", {"k": "v"}))).body
    changed = await server.patch(f"{config_maps}/a", {"data": {"k": "w"}}, dryRun="All")
    assert changed.body["data"] == {"k": "w"}
    gone = await server.delete(f"{config_maps}/a", dryRun="All")
    assert gone.status == 200
    assert (await server.get(f"{config_maps}/a")).body == first


async def test_an_unknown_dry_run_is_refused(server: Api, config_maps: str) -> None:
    answer = await server.create(config_maps, config_map("a"), dryRun="Some")
    assert answer.status in (400, 422)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 20_000])
async def test_a_body_that_is_no_object_is_a_bad_request(server: Api, config_maps: str, body: bytes) -> None:
    answer = await server.request("POST", config_maps, body)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_a_field_of_the_wrong_type_is_a_bad_request(server: Api, config_maps: str) -> None:
    answer = await server.create(config_maps, {**config_map("a"), "data": {"k": 1}})
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


async def test_an_unknown_media_type_is_not_supported(server: Api, config_maps: str) -> None:
    answer = await server.request("POST", config_maps, b"<a/>", content_type="application/xml")
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


async def test_an_answer_that_cannot_be_given_is_not_acceptable(server: Api, config_maps: str) -> None:
    answer = await server.request("GET", config_maps, headers={"Accept": "text/html"})
    assert answer.status == 406


async def test_objects_are_written_and_read_as_yaml(server: Api, config_maps: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: 'yes'\n"
    answer = await server.request("POST", config_maps, body, content_type="application/yaml")
    assert (answer.status, answer.body["data"]) == (201, {"x": "yes"})
    read = await server.request("GET", f"{config_maps}/a", headers={"Accept": "application/yaml"})
    assert read.headers["Content-Type"] == "application/yaml"
    assert yaml.load(read.raw) == answer.body


async def test_a_method_that_a_resource_lacks_is_not_allowed(server: Api, config_maps: str) -> None:
    assert (await server.request("POST", f"{config_maps}/a", config_map("a"))).status == 405
    assert (await server.request("PUT", config_maps, config_map("a"))).status == 405


async def test_unknown_fields_warn_by_default_and_fail_when_strict(server: Api, config_maps: str) -> None:
    body = {**config_map("a", {"k": "v"}), "extra": 1, "metadata": {"name": "a", "wrong": "x"}}
    strict = await server.create(config_maps, body, fieldValidation="Strict")
    assert (strict.status, strict.body["reason"]) == (400, "BadRequest")
    assert "strict decoding error: " in strict.body["message"]
    assert 'unknown field "extra"' in strict.body["message"]
    assert 'unknown field "metadata.wrong"' in strict.body["message"]
    silent = await server.create(config_maps, body, fieldValidation="Ignore", dryRun="All")
    assert (silent.status, silent.warnings) == (201, [])
    warned = await server.create(config_maps, body, fieldValidation="Warn")
    assert warned.status == 201
    assert sorted(warned.warnings) == ['299 - "unknown field \\"extra\\""', '299 - "unknown field \\"metadata.wrong\\""']
    assert "extra" not in warned.body
    assert "wrong" not in warned.body["metadata"]


async def test_data_may_have_a_mebibyte(server: Api, namespace: str) -> None:
    most = 1024 * 1024
    path = f"/api/v1/namespaces/{namespace}"
    assert (await server.create(f"{path}/configmaps", config_map("full", {"k": "x" * most}))).status == 201
    answer = await server.create(f"{path}/configmaps", config_map("over", {"k": "x" * (most + 1)}))
    assert (answer.status, answer.body["message"]) == (
        422,
        'ConfigMap "over" is invalid: []: Too long: may not be more than 1048576 bytes',
    )
    for name, size, expected in (("full", most, 201), ("over", most + 1, 422)):
        data = {"k": base64.b64encode(b"x" * size).decode()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        answer = await server.create(f"{path}/secrets", secret)
        assert answer.status == expected
    assert answer.body["message"] == 'Secret "over" is invalid: data: Too long: may not be more than 1048576 bytes'


async def test_a_body_beyond_the_limit_is_too_large(server: Api, config_maps: str) -> None:
    answer = await server.create(config_maps, config_map("a", {"k": "x" * (3 * 1024 * 1024)}))
    assert answer.status in (413, 422)


async def test_an_object_has_no_generation_unless_its_kind_has_one(server: Api, config_maps: str) -> None:
    assert "generation" not in (await server.create(config_maps, config_map("a"))).body["metadata"]
