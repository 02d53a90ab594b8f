"""The operations of our own OpenAPI documents, and requests drawn from them.

A request names an operation, things that may be there or not, parameters that mostly make sense, and a body of the schema of
the operation: half of them as the schema wants it, the others with something wrong somewhere, or no JSON at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import msgspec

from fuzz.shapes import WRONG
from fuzz.story import Obj

NAMES: Final = ("a", "b", "it")
NAMESPACES: Final = ("fuzz", "fuzz", "fuzz", "default", "none")
_ODD_NAMES: Final = ("", ".", "..", "%", "a%2Fb", "ä", "A B", "x" * 300, "-", "a:b", "\x00", "🙂", "watch", "status")
_DEEPEST: Final = 7
_QUERY: Final[dict[str, tuple[str, ...]]] = {
    "allowWatchBookmarks": ("true", "maybe"),
    "continue": ("", "x", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ"),
    "dryRun": ("All", "All", "None", ""),
    "fieldManager": ("fuzz", "other", "", "x" * 200, "\n"),
    "fieldSelector": ("metadata.name=a", "spec.nodeName=x", "nothing", "a=b=c", "metadata.name!=a", "=,,"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "Maybe"),
    "force": ("true", "false", "yes"),
    "gracePeriodSeconds": ("0", "1", "-1", "x", "9" * 30),
    "labelSelector": ("a=b", "a in (b,c)", "!a", "a notin ()", "((", "a==b,", "x" * 300),
    "limit": ("1", "0", "-1", "x", "500"),
    "orphanDependents": ("true", "false", "x"),
    "pretty": ("true",),
    "propagationPolicy": ("Foreground", "Background", "Orphan", "Sometimes"),
    "resourceVersion": ("0", "1", "x", "-1", "99999999"),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "Maybe"),
    "sendInitialEvents": ("true", "x"),
    "timeoutSeconds": ("1", "x", "-1"),
}
_ACCEPTS: Final = (
    "application/json",
    "*/*",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/yaml",
    "text/html",
    "nonsense",
    "",
)
_GARBAGE: Final = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"7",
    b'"x"',
    b"\xff\xfe\x00",
    b"k8s\x00\x0a\x02\x0a\x00",
    b"a: &a [*a]",
    b"{" * 3000,
    b"[" * 3000,
    b'{"metadata":{"name":"\xed\xa0\x80"}}',
    b'{"a":1,"a":2}',
    b"--- a\n--- b\n",
)


@dataclass(frozen=True, slots=True)
class Operation:
    """``answers`` names the schema of the JSON of each code that is declared; ``bodies`` the one of each media type."""

    method: str
    path: str
    parameters: tuple[str, ...]
    bodies: Mapping[str, Any]
    answers: Mapping[int, Any]
    kind: Mapping[str, str]
    document: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """One request; ``operation`` is the one that it is of."""

    operation: Operation
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


def operations(documents: Mapping[str, Obj]) -> list[Operation]:
    """Those of all documents, in a stable order; without the watches that have a path of their own."""
    return sorted(
        (each for name, document in documents.items() for each in _of_document(name, document)),
        key=lambda each: (each.path, each.method),
    )


def _of_document(name: str, document: Obj) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        if "/watch/" in path or "/proxy" in path:
            continue
        shared = [each["name"] for each in item.get("parameters", ()) if each["in"] == "query"]
        for method, operation in item.items():
            if method not in ("get", "put", "post", "patch", "delete"):
                continue
            own = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
            content = operation.get("requestBody", {}).get("content", {})
            yield Operation(
                method.upper(),
                path,
                tuple(sorted({*shared, *own} - {"watch"})),
                {media: form.get("schema", {}) for media, form in content.items()},
                {
                    int(code): schema
                    for code, answer in operation.get("responses", {}).items()
                    if code.isdigit() and (schema := answer.get("content", {}).get("application/json", {}).get("schema"))
                },
                operation.get("x-kubernetes-group-version-kind", {}),
                name,
            )


class Drawing:
    """Draws requests of ``operations`` from ``rng``; ``documents`` resolve what schemas refer to."""

    def __init__(self, documents: Mapping[str, Obj], operations: Sequence[Operation], rng: Random) -> None:
        self._documents = documents
        self._operations = operations
        self._rng = rng

    def request(self) -> Drawn:
        rng = self._rng
        operation = rng.choice(self._operations)
        query = {name: rng.choice(_QUERY.get(name, ("", "x", "true"))) for name in operation.parameters if rng.random() < 0.15}
        if operation.method == "PATCH":
            query.setdefault("fieldManager", "fuzz")
        headers = {"accept": rng.choice(_ACCEPTS) if rng.random() < 0.15 else "application/json", "user-agent": "fuzz"}
        body = b""
        if operation.method in ("POST", "PUT", "PATCH"):
            media, body = self._body(operation)
            headers["content-type"] = media
        elif operation.method == "DELETE" and rng.random() < 0.4:
            headers["content-type"] = "application/json"
            body = msgspec.json.encode(self._value(operation, next(iter(operation.bodies.values()), {}), 0, 0.05, 0.3))
        return Drawn(operation, self._path(operation), query, headers, body)

    def _path(self, operation: Operation) -> str:
        odd = self._rng.random() < 0.04
        parts = []
        for part in operation.path.split("/"):
            if part == "{namespace}":
                parts.append(self._rng.choice(_ODD_NAMES if odd else NAMESPACES))
            elif part.startswith("{"):
                parts.append(self._rng.choice(_ODD_NAMES if odd else NAMES))
            else:
                parts.append(part)
        return "/".join(parts)

    # Bodies

    def _body(self, operation: Operation) -> tuple[str, bytes]:
        rng = self._rng
        media = rng.choice(tuple(operation.bodies) or ("application/json",))
        if rng.random() < 0.03:
            media = rng.choice(("text/plain", "application/yaml", "", "application/x-www-form-urlencoded", "application/cbor"))
        if media in ("*/*", "application/vnd.kubernetes.protobuf") and rng.random() < 0.8:
            media = "application/json"
        if rng.random() < 0.05:
            return media, rng.choice(_GARBAGE)
        if operation.method != "PATCH":
            return media, msgspec.json.encode(self._object(operation, next(iter(operation.bodies.values()), {})))
        schema: Obj = next(iter(operation.answers.values()), {})
        if media == "application/json-patch+json":
            return media, msgspec.json.encode([self._json_operation(operation, schema) for _ in range(rng.randint(0, 3))])
        if media.startswith("application/apply-patch"):
            return media, msgspec.json.encode(self._object(operation, schema))
        return media, msgspec.json.encode(self._object(operation, schema, sparse=True))

    def _object(self, operation: Operation, schema: Obj, *, sparse: bool = False) -> Any:
        rng = self._rng
        wrong = rng.choice((0.0, 0.0, 0.01, 0.05))
        drawn = self._value(operation, schema, 0, wrong, 0.06 if sparse else rng.choice((0.1, 0.3)))
        if isinstance(drawn, dict) and not sparse and rng.random() < 0.97:
            kind = operation.kind
            if kind.get("kind"):
                group, version = kind.get("group", ""), kind.get("version", "")
                drawn["apiVersion"], drawn["kind"] = f"{group}/{version}".lstrip("/"), kind["kind"]
            metadata = drawn.get("metadata")
            drawn["metadata"] = metadata = metadata if isinstance(metadata, dict) else {}
            for name in ("namespace", "uid", "resourceVersion", "selfLink", "deletionTimestamp"):
                if rng.random() < 0.95:
                    metadata.pop(name, None)
            metadata["name"] = rng.choice(NAMES)
        return drawn

    def _value(self, operation: Operation, schema: Obj, depth: int, wrong: float, fullness: float) -> Any:
        rng = self._rng
        if wrong and rng.random() < wrong:
            return rng.choice((*WRONG, "x" * 300, 2**63, -(2**31), "2026-01-01T00:00:00Z", "1Gi"))
        schema = self._resolved(operation, schema)
        if "enum" in schema:
            return rng.choice(schema["enum"])
        if "oneOf" in schema or schema.get("format") == "int-or-string":
            return rng.choice((1, "50%", "x"))
        match schema.get("type"):
            case "string":
                return self._text(schema)
            case "integer" | "number":
                return rng.choice((0, 1, 2, 80, 443, 30000))
            case "boolean":
                return rng.random() < 0.5
            case "array":
                most = 0 if depth >= _DEEPEST else 2
                items = schema.get("items", {})
                return [self._value(operation, items, depth + 1, wrong, fullness) for _ in range(rng.randint(0, most))]
        return self._map(operation, schema, depth, wrong, fullness)

    def _map(self, operation: Operation, schema: Obj, depth: int, wrong: float, fullness: float) -> Any:
        rng = self._rng
        required = schema.get("required", ())
        value = {
            name: self._value(operation, child, depth + 1, wrong, fullness)
            for name, child in schema.get("properties", {}).items()
            if (name in required and rng.random() > wrong) or (depth < _DEEPEST and rng.random() < fullness)
        }
        additional = schema.get("additionalProperties")
        if isinstance(additional, dict) and depth < _DEEPEST:
            for name in rng.sample(("a", "b", "app", "e.com/x"), rng.randint(0, 2)):
                value[name] = self._value(operation, additional, depth + 1, wrong, fullness)
        if wrong and rng.random() < wrong:
            value[rng.choice(("unheardOf", "", "$patch", "$ref", "a.b/c"))] = rng.choice(WRONG)
        return value

    def _text(self, schema: Obj) -> str:
        match schema.get("format"):
            case "date-time":
                return "2026-01-01T00:00:00Z"
            case "byte":
                return self._rng.choice(("", "QQ==", "!"))
        return self._rng.choice(("a", "b", "app", "10.96.0.1", "x.y/z", "1", "", "TCP", "Always"))

    def _resolved(self, operation: Operation, schema: Obj) -> Obj:
        parts = schema.get("allOf", ())
        ref = schema.get("$ref") or (parts[0].get("$ref") if len(parts) == 1 else None)
        if ref is None:
            return schema
        found: Obj = self._documents[operation.document]["components"]["schemas"][ref.rpartition("/")[2]]
        return found

    def _json_operation(self, operation: Operation, schema: Obj) -> Any:
        rng = self._rng
        path = ""
        while schema and rng.random() < 0.75:
            schema = self._resolved(operation, schema)
            if schema.get("properties"):
                name = rng.choice(tuple(schema["properties"]))
                path, schema = f"{path}/{name}", schema["properties"][name]
            elif schema.get("items"):
                path, schema = f"{path}/{rng.choice(('0', '1', '-', 'x'))}", schema["items"]
            else:
                additional = schema.get("additionalProperties")
                path, schema = f"{path}/{rng.choice(('a', 'b', ''))}", additional if isinstance(additional, dict) else {}
        change = {"op": rng.choice(("add", "replace", "remove", "test", "copy", "move", "spam")), "path": path}
        if rng.random() < 0.8:
            change["value"] = self._value(operation, schema, 3, 0.02, 0.3)
        if rng.random() < 0.3:
            change["from"] = rng.choice(("/metadata/labels", "/spec", "/metadata", ""))
        return change
