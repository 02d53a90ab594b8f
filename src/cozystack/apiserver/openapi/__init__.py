"""OpenAPI: the index, the documents of built-in groups as they are embedded, and those of CRDs made from their schemas.

kubectl reads them to explain, to validate and to find out whether a resource takes server-side field validation: for that the
PATCH operation of a resource carries its kind and a ``fieldValidation`` parameter. Version 2 is made of the same documents, as
JSON and as protobuf.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from cozystack.apiserver.errors import no_such_path, not_acceptable
from cozystack.apiserver.http.messages import JSON_TYPE, Request, Response
from cozystack.apiserver.openapi.gnostic import encode_document
from cozystack.apiserver.openapi.v2 import swagger
from cozystack.apiserver.resources import Registry, ResourceInfo

_encode = msgspec.json.Encoder().encode
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
VERSION = "v1.37.2"
_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ASKED_AS_PROTOBUF = frozenset({_V2_PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"})
_ANY = frozenset({JSON_TYPE, "application/*", "*/*"})


class OpenApi:
    """Documents are made when they are asked for, and kept until the registry changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._documents: dict[str, bytes] = {}
        self._index: bytes = b""

    def answer(self, parts: list[str], request: Request) -> Response:
        """The answer to ``/openapi/...``; raises ``ApiError``."""
        if self._generation != self._registry.generation:
            self._documents.clear()
            self._index = b""
            self._generation = self._registry.generation
        if parts == ["v3"]:
            return Response(200, self._index_document())
        if parts[:1] == ["v3"]:
            document = self._document("/".join(parts[1:]))
            if document is None:
                raise no_such_path()
            return Response(200, document)
        if parts == ["v2"]:
            return self._version_2(request.headers.get("accept", ""))
        raise no_such_path()

    def _version_2(self, accept: str) -> Response:
        for choice in accept.split(",") if accept else (JSON_TYPE,):
            media = choice.partition(";")[0].strip()
            if media in _ASKED_AS_PROTOBUF:
                return Response(200, self._swagger(_V2_PROTOBUF), _V2_PROTOBUF)
            if media in _ANY:
                return Response(200, self._swagger(JSON_TYPE))
        raise not_acceptable(f"only application/json and {_V2_PROTOBUF} are served, not {accept}")

    def _swagger(self, form: str) -> bytes:
        if form not in self._documents:
            read = msgspec.json.decode
            document = swagger((read(self._document(path) or b"{}") for path in self._all_paths()), version=VERSION)
            self._documents[form] = encode_document(document) if form == _V2_PROTOBUF else _encode(document)
        return self._documents[form]

    def _all_paths(self) -> list[str]:
        """Of every document there is, those that are not of a group included."""
        return [
            *self._registry.builtin_paths(),
            *(path for path in self._paths() if self._registry.builtin_document(path) is None),
        ]

    def _paths(self) -> list[str]:
        custom = {f"apis/{info.group}/{info.version}" for info in self._registry if info.custom}
        builtin = [path for path in self._registry.builtin_paths() if path.startswith("api")]
        return [*builtin, *sorted(custom - set(builtin))]

    def _index_document(self) -> bytes:
        if not self._index:
            paths = {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._hash(path)}"} for path in self._paths()}
            self._index = _encode({"paths": paths})
        return self._index

    def _hash(self, path: str) -> str:
        builtin = self._registry.builtin_document(path)
        if builtin is not None and path not in self._documents:
            return hashlib.sha256(path.encode()).hexdigest()[:32].upper()
        return hashlib.sha256(self._document(path) or b"").hexdigest()[:32].upper()

    def _document(self, path: str) -> bytes | None:
        builtin = self._registry.builtin_document(path)
        if builtin is not None:
            return builtin
        if path not in self._documents:
            parts = path.split("/")
            if len(parts) != 3 or parts[0] != "apis":
                return None
            infos = [info for info in self._registry.in_version(parts[1], parts[2]) if info.custom]
            if not infos:
                return None
            self._documents[path] = _encode(_group_document(infos))
        return self._documents[path]


def _group_document(infos: list[ResourceInfo]) -> dict[str, Any]:
    schemas: dict[str, Any] = {
        _META: {"type": "object", "properties": _meta_properties()},
        _LIST_META: {"type": "object", "properties": {"continue": {"type": "string"}, "resourceVersion": {"type": "string"}}},
    }
    paths: dict[str, Any] = {}
    for info in infos:
        name = ".".join([*reversed(info.group.split(".")), info.version, info.kind])
        gvk = {"group": info.group, "version": info.version, "kind": info.kind}
        raw = info.raw_schema or {"type": "object"}
        properties = {
            **raw.get("properties", {}),
            "apiVersion": {"type": "string", "description": "Version of the schema of this object."},
            "kind": {"type": "string", "description": "Kind of this object."},
            "metadata": {"description": "Standard metadata.", "allOf": [{"$ref": f"#/components/schemas/{_META}"}]},
        }
        schemas[name] = {**raw, "properties": properties, "x-kubernetes-group-version-kind": [gvk]}
        schemas[f"{name}List"] = {
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"allOf": [{"$ref": f"#/components/schemas/{_LIST_META}"}]},
                "items": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
            },
            "x-kubernetes-group-version-kind": [{**gvk, "kind": info.list_kind}],
        }
        scope = "/namespaces/{namespace}" if info.namespaced else ""
        base = f"/apis/{info.group}/{info.version}{scope}/{info.plural}"
        body = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}
        paths[base] = {
            "get": _operation("list", gvk, body),
            "post": _operation("post", gvk, body, "dryRun", "fieldManager", "fieldValidation"),
        }
        paths[f"{base}/{{name}}"] = {
            "get": _operation("get", gvk, body),
            "put": _operation("put", gvk, body, "dryRun", "fieldManager", "fieldValidation"),
            "patch": _operation("patch", gvk, body, "dryRun", "fieldManager", "fieldValidation", "force"),
            "delete": _operation("delete", gvk, body, "dryRun", "gracePeriodSeconds", "propagationPolicy"),
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(action: str, gvk: dict[str, str], body: dict[str, Any], *parameters: str) -> dict[str, Any]:
    return {
        "operationId": f"{action}{gvk['kind']}",
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in parameters],
        "responses": {"200": {"description": "OK", **body}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    }


def _meta_properties() -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "integer", "format": "int64"}
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    return {
        "annotations": texts,
        "creationTimestamp": {"type": "string", "format": "date-time"},
        "deletionGracePeriodSeconds": number,
        "deletionTimestamp": {"type": "string", "format": "date-time"},
        "finalizers": {"type": "array", "items": text},
        "generateName": text,
        "generation": number,
        "labels": texts,
        "managedFields": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        "name": text,
        "namespace": text,
        "ownerReferences": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        "resourceVersion": text,
        "selfLink": text,
        "uid": text,
    }
