"""OpenAPI v2 (Swagger), made from the v3 documents: older clients validate and explain with it.

Version 2 can say less: a reference stands alone, a parameter is its own schema, a value that may be of several types is one
without a type, and defaults and enumerations are left out, as kube-apiserver leaves them out. What every group defines for
itself (``DeleteOptions``, ``WatchEvent``) becomes one definition with the kinds of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

Obj = dict[str, Any]

_KINDS: Final = "x-kubernetes-group-version-kind"
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_V3, _V2 = "#/components/schemas/", "#/definitions/"
_LEFT_OUT: Final = frozenset(
    {"default", "enum", "nullable", "oneOf", "anyOf", "not", "allOf", "$ref", "x-kubernetes-validations"}
)
_REASONS: Final = {"200": "OK", "201": "Created", "202": "Accepted", "401": "Unauthorized"}


def swagger(documents: Iterable[Mapping[str, Any]], *, version: str) -> Obj:
    """One v2 document of all v3 ``documents``."""
    paths: Obj = {}
    definitions: Obj = {}
    for document in documents:
        for path, item in document.get("paths", {}).items():
            paths[path] = _path(item)
        for name, found in document.get("components", {}).get("schemas", {}).items():
            known = definitions.get(name)
            if known is None:
                definitions[name] = definition(found)
            elif known.get(_KINDS) != found.get(_KINDS):
                known[_KINDS] = _together(known.get(_KINDS, ()), found.get(_KINDS, ()))
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": dict(sorted(paths.items())),
        "definitions": dict(sorted(definitions.items())),
        "securityDefinitions": {
            "BearerToken": {
                "type": "apiKey",
                "name": "authorization",
                "in": "header",
                "description": "Bearer Token authentication",
            }
        },
        "security": [{"BearerToken": []}],
    }


def definition(schema: Mapping[str, Any]) -> Obj:
    """A v3 schema in v2."""
    reference = _reference(schema)
    if reference:
        return {"$ref": reference, **{key: value for key, value in schema.items() if key.startswith("x-")}}
    if "oneOf" in schema:
        return _one_of(schema)
    found: Obj = {}
    for key, value in schema.items():
        if key in _LEFT_OUT:
            continue
        match key:
            case "properties":
                found[key] = {name: definition(child) for name, child in value.items()}
            case "items":
                found[key] = definition(value)
            case "additionalProperties":
                found[key] = definition(value) if isinstance(value, Mapping) else value
            case _:
                found[key] = value
    if schema.get("x-kubernetes-int-or-string") or (
        schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("properties")
    ):
        # A type would be too narrow: clients check against it.
        found.pop("type", None)
    return found


def _reference(schema: Mapping[str, Any]) -> str:
    """Where a schema points, also when v3 wraps the reference so that more can be said beside it."""
    reference = schema.get("$ref", "")
    wrapped = schema.get("allOf", ())
    if not reference and len(wrapped) == 1:
        reference = wrapped[0].get("$ref", "")
    return str(reference).replace(_V3, _V2)


def _one_of(schema: Mapping[str, Any]) -> Obj:
    """A value of several types. Kubernetes' own two of a text and a number are texts in v2; everything else has no type."""
    types = {choice.get("type") for choice in schema["oneOf"]}
    kept = {key: value for key, value in schema.items() if key == "format" or key.startswith("x-")}
    return {"type": "string", **kept} if types in ({"integer", "string"}, {"number", "string"}) else kept


def _path(item: Mapping[str, Any]) -> Obj:
    found: Obj = {}
    if "parameters" in item:
        found["parameters"] = [_parameter(parameter) for parameter in item["parameters"]]
    for method in _METHODS:
        if method in item:
            found[method] = _operation(item[method])
    return found


def _parameter(parameter: Mapping[str, Any]) -> Obj:
    schema = parameter.get("schema", {})
    return {**{key: value for key, value in parameter.items() if key != "schema"}, **definition(schema)}


def _operation(operation: Mapping[str, Any]) -> Obj:
    found: Obj = {}
    produces: dict[str, None] = {}
    responses: Obj = {}
    for code, response in operation.get("responses", {}).items():
        content = response.get("content", {})
        produces |= dict.fromkeys(content)
        responses[code] = {"description": response.get("description") or _REASONS.get(code, "")}
        schema = _only_schema(content)
        if schema is not None:
            responses[code]["schema"] = schema
    parameters = [_parameter(parameter) for parameter in operation.get("parameters", ())]
    body = operation.get("requestBody")
    if body is not None:
        content = body.get("content", {})
        parameters.insert(0, {"name": "body", "in": "body", "schema": _only_schema(content) or {}})
        if body.get("required"):
            parameters[0]["required"] = True
        found["consumes"] = list(content)
    for key in ("operationId", "tags", "summary", "description", "deprecated"):
        if key in operation:
            found[key] = operation[key]
    if parameters:
        found["parameters"] = parameters
    found["produces"] = list(produces)
    found["responses"] = responses
    found["schemes"] = ["https"]
    found |= {key: value for key, value in operation.items() if key.startswith("x-")}
    return found


def _only_schema(content: Mapping[str, Any]) -> Obj | None:
    """The schema of a body; all media types have the same."""
    for media in content.values():
        if "schema" in media:
            return definition(media["schema"])
    return None


def _together(some: Iterable[Obj], more: Iterable[Obj]) -> list[Obj]:
    found = {(kind.get("group", ""), kind["version"], kind["kind"]): kind for kind in (*some, *more)}
    return [found[key] for key in sorted(found)]
