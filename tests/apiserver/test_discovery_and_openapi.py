"""What the server says of itself: discovery and OpenAPI, in the forms that clients ask for."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cozystack.apiserver.openapi.gnostic import encode_document
from cozystack.apiserver.openapi.v2 import definition
from support.apiserver import Api, Widgets, embedded_only

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
SMALL: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "Kubernetes", "version": "v1"},
    "paths": {
        "/api/v1/pods/{name}": {
            "get": {
                "operationId": "read",
                "tags": ["core"],
                "description": "é",
                "produces": ["application/json"],
                "consumes": ["*/*"],
                "schemes": ["https"],
                "deprecated": True,
                "parameters": [
                    {"name": "body", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Pod"}},
                    {"name": "limit", "in": "query", "type": "integer", "uniqueItems": True},
                ],
                "responses": {
                    "200": {"description": "OK", "schema": {"$ref": "#/definitions/Pod"}},
                    "401": {"description": "Unauthorized"},
                },
            },
            "parameters": [{"name": "name", "in": "path", "type": "string", "required": True}],
        }
    },
    "definitions": {
        "Pod": {
            "type": "object",
            "required": ["spec"],
            "properties": {
                "spec": {
                    "type": "array",
                    "items": {"type": "number", "maximum": 2.5, "minLength": 3, "exclusiveMinimum": True},
                },
                "labels": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
                "free": {"type": "object", "additionalProperties": True},
                "all": {"allOf": [{"pattern": "a+"}, {"maxItems": 300}]},
            },
        }
    },
    "security": [{"BearerToken": []}],
    "securityDefinitions": {
        "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer"}
    },
}
# The same document, written by the Go library (gnostic) that clients read it with.
WRITTEN_BY_GO = (
    "CgMyLjASEAoKS3ViZXJuZXRlcxICdjFC+AES9QEKEy9hcGkvdjEvcG9kcy97bmFtZX0S3QESvAEKBGNvcmUaAsOpKgRyZWFkMhBhcHBsaWNhdGlvbi9qc2"
    "9uOgMqLypCJwolCiMSBGJvZHkaBGJvZHkgASoTChEjL2RlZmluaXRpb25zL1BvZEIgCh4SHBoaEgVxdWVyeSIFbGltaXQyB2ludGVnZXKgAQFKPwokCgMy"
    "MDASHQobCgJPSxIVChMKESMvZGVmaW5pdGlvbnMvUG9kChcKAzQwMRIQCg4KDFVuYXV0aG9yaXplZFIFaHR0cHNYAUocChoSGCIWCAESBHBhdGgiBG5hbW"
    "UqBnN0cmluZ0qvAQqsAQoDUG9kEqQBmgEEc3BlY7IBCAoGb2JqZWN0ygGOAQovCgRzcGVjEieyAQcKBWFycmF5ugEaChg5AAAAAAAABEBQAWADsgEICgZu"
    "dW1iZXIKKwoGbGFiZWxzEiGqARMKERIEYnl0ZbIBCAoGc3RyaW5nsgEICgZvYmplY3QKGAoEZnJlZRIQqgECEAGyAQgKBm9iamVjdAoUCgNhbGwSDcIBBG"
    "oCYSvCAQNwrAJiEQoPCgtCZWFyZXJUb2tlbhIAajoKOAoLQmVhcmVyVG9rZW4SKRInCgZhcGlLZXkSDWF1dGhvcml6YXRpb24aBmhlYWRlciIGQmVhcmVy"
)


async def test_version_2_is_served_as_json(server: Api) -> None:
    answer = await server.get("/openapi/v2")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    document = answer.body
    assert document["swagger"] == "2.0"
    port = document["definitions"]["io.k8s.api.core.v1.ServicePort"]["properties"]["targetPort"]
    assert port["$ref"] == "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString"
    patch = document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "kind": "ConfigMap", "version": "v1"}
    shared = document.get("parameters", {})
    parameters = [shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in patch["parameters"]]
    found = next(parameter for parameter in parameters if parameter["name"] == "fieldValidation")
    assert (found["in"], found["type"], found["uniqueItems"]) == ("query", "string", True)


@embedded_only("what is compared is our document, and a real one has parts that ours never has")
async def test_version_2_is_served_as_protobuf_to_those_who_ask(server: Api) -> None:
    for accept in (ASKED, PROTOBUF, f"{PROTOBUF}, application/json"):
        answer = await server.request("GET", "/openapi/v2", headers={"Accept": accept})
        assert (answer.status, answer.headers["Content-Type"]) == (200, PROTOBUF)
        assert answer.raw == encode_document((await server.get("/openapi/v2")).body)


async def test_version_2_is_served_in_no_other_form(server: Api) -> None:
    answer = await server.request("GET", "/openapi/v2", headers={"Accept": "text/html"})
    assert answer.status == 406


async def test_custom_resources_are_in_both_versions(server: Api, widgets: Widgets) -> None:
    name = ".".join([*reversed(widgets.group.split(".")), "v1", "Widget"])
    old = (await server.until("/openapi/v2", lambda answer: name in answer.body["definitions"])).body
    assert old["definitions"][name]["properties"]["spec"]["properties"]["size"]["type"] == "integer"
    path = f"apis/{widgets.group}/v1"
    index = (await server.until("/openapi/v3", lambda answer: path in answer.body["paths"])).body["paths"]
    new = (await server.get(index[path]["serverRelativeURL"].partition("?")[0])).body
    assert name in new["components"]["schemas"]


def test_a_document_is_written_as_the_go_library_writes_it() -> None:
    assert encode_document(SMALL) == base64.b64decode(WRITTEN_BY_GO)


def test_a_reference_keeps_what_stands_beside_it() -> None:
    wrapped = {"allOf": [{"$ref": "#/components/schemas/A"}], "default": {}, "x-kubernetes-patch-strategy": "replace"}
    assert definition(wrapped) == {"$ref": "#/definitions/A", "x-kubernetes-patch-strategy": "replace"}


def test_a_value_of_two_types_is_a_text_in_version_2() -> None:
    both = {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}
    assert definition(both) == {"type": "string", "format": "int-or-string"}


TEXTS = st.text(max_size=8)
SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["string", "integer"]),
            "format": TEXTS,
            "maxLength": st.integers(0, 2**40),
            "minLength": st.integers(-(2**40), 2**40),
            "maximum": st.floats(allow_nan=False),
            "uniqueItems": st.booleans(),
            "required": st.lists(TEXTS, max_size=3),
            "default": st.one_of(st.integers(), TEXTS, st.lists(TEXTS, max_size=2)),
            "x-kubernetes-list-map-keys": st.lists(TEXTS, max_size=2),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(TEXTS, inner, max_size=3),
            "items": inner,
            "additionalProperties": st.one_of(inner, st.booleans()),
            "allOf": st.lists(inner, max_size=2),
        },
    ),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, SCHEMAS, max_size=3))
def test_definitions_are_read_back_as_they_were_written(definitions: dict[str, Any]) -> None:
    written = encode_document({"swagger": "2.0", "definitions": definitions})
    assert _definitions(_only(written, 9)) == {name: _shown(schema) for name, schema in definitions.items()}


def _shown(schema: dict[str, Any]) -> dict[str, Any]:
    """Without lists that are empty: protobuf does not tell them from nothing."""
    shown: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("allOf",):
            shown[key] = [_shown(item) for item in value]
        elif key == "properties":
            shown[key] = {name: _shown(item) for name, item in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            shown[key] = _shown(value)
        else:
            shown[key] = value
    return {key: value for key, value in shown.items() if value != [] or key.startswith("x-") or key == "default"}


def _definitions(data: bytes) -> dict[str, Any]:
    return dict(_pair(value, _schema) for _, value in _fields(data))


def _schema(data: bytes) -> dict[str, Any]:
    """A schema, by the numbers of gnostic's message."""
    found: dict[str, Any] = {}
    for number, value in _fields(data):
        match number:
            case 2:
                found["format"] = value.decode()
            case 5:
                found["default"] = _yaml(value)
            case 7:
                found["maximum"] = struct.unpack("<d", value)[0]
            case 11 | 12:
                name = "maxLength" if number == 11 else "minLength"
                found[name] = value - 2**64 if value >= 2**63 else value
            case 16:
                found["uniqueItems"] = bool(value)
            case 19:
                found.setdefault("required", []).append(value.decode())
            case 21:
                ((which, inner),) = _fields(value)
                found["additionalProperties"] = _schema(inner) if which == 1 else bool(inner)
            case 22:
                found["type"] = _only(value, 1).decode()
            case 23:
                found["items"] = _schema(_only(value, 1))
            case 24:
                found.setdefault("allOf", []).append(_schema(value))
            case 25:
                found["properties"] = _definitions(value)
            case 31:
                name, inner = _pair(value, _yaml)
                found[name] = inner
    return found


def _pair(data: bytes, read: Any) -> tuple[str, Any]:
    return _only(data, 1).decode(), read(_only(data, 2))


def _yaml(data: bytes) -> Any:
    return msgspec.json.decode(_only(data, 2))


def _only(data: bytes, number: int) -> Any:
    return next(value for found, value in _fields(data) if found == number)


def _fields(data: bytes) -> list[tuple[int, Any]]:
    fields, at = [], 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
            fields.append((tag >> 3, value))
            continue
        size, at = (8, at) if tag & 7 == 1 else _varint(data, at)
        fields.append((tag >> 3, data[at : at + size]))  # type: ignore[arg-type]
        at += size
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
