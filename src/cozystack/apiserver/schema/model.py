"""One schema type for built-in kinds (OpenAPI v3) and custom resources (structural schemas).

A node says what a value may be and how server-side apply and strategic merge treat it. Nodes refer to each other, and recursive
types refer to themselves: a node is entered into the cache before its children are read.

The two sources differ in one thing. In an OpenAPI document of Kubernetes an object without fields holds anything
(``RawExtension``, ``JSON``), and ``oneOf`` says "a number or a text". In a structural schema such an object holds nothing
unless it preserves unknown fields, and ``allOf``, ``anyOf``, ``oneOf`` and ``not`` restrict values.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from cozystack.apiserver.cel.regex import Pattern, PatternError, compiled

MISSING: Final = object()


class Schema:
    """What a value may be. Not changed after it has been read."""

    __slots__ = (
        "additional",
        "default",
        "description",
        "embedded",
        "enum",
        "exclusive_maximum",
        "exclusive_minimum",
        "format",
        "has_defaults",
        "has_embedded",
        "int_or_string",
        "items",
        "junctors",
        "list_keys",
        "list_type",
        "map_type",
        "max_items",
        "max_length",
        "max_properties",
        "maximum",
        "min_items",
        "min_length",
        "min_properties",
        "minimum",
        "multiple_of",
        "nullable",
        "patch_key",
        "patch_strategy",
        "pattern",
        "pattern_text",
        "preserve",
        "properties",
        "required",
        "type",
        "validations",
    )

    def __init__(self) -> None:
        self.type = ""  # object, array, string, integer, number, boolean; empty: anything
        self.properties: dict[str, Schema] = {}
        self.additional: Schema | None = None  # of the values of a map
        self.items: Schema | None = None
        self.required: tuple[str, ...] = ()
        self.enum: tuple[Any, ...] = ()
        self.pattern: Pattern | None = None
        self.pattern_text = ""  # as the schema has it
        self.format = ""
        self.minimum: float | None = None
        self.maximum: float | None = None
        self.exclusive_minimum = False
        self.exclusive_maximum = False
        self.multiple_of: float | None = None
        self.junctors: tuple[tuple[str, tuple[Schema, ...]], ...] = ()  # allOf, anyOf, oneOf, not; what they demand
        self.min_length: int | None = None
        self.max_length: int | None = None
        self.min_items: int | None = None
        self.max_items: int | None = None
        self.min_properties: int | None = None
        self.max_properties: int | None = None
        self.default: Any = MISSING
        self.nullable = False
        self.int_or_string = False
        self.preserve = False  # unknown fields are kept
        self.embedded = False  # a whole object: apiVersion, kind, metadata
        self.list_type = ""  # atomic, set or map; empty is atomic
        self.list_keys: tuple[str, ...] = ()
        self.map_type = ""  # atomic or granular; empty is granular
        self.patch_strategy: frozenset[str] = frozenset()
        self.patch_key = ""
        self.validations: tuple[dict[str, Any], ...] = ()
        self.description = ""
        self.has_defaults = False
        self.has_embedded = False  # here or further down

    def child(self, name: str) -> Schema | None:
        """The schema of a field, or nothing when the field is unknown."""
        return self.properties.get(name) or self.additional


ANY: Final = Schema()
ANY.preserve = True


def from_openapi(document: dict[str, Any], ref: str) -> Schema:
    """The schema that ``ref`` (its name under ``components.schemas``) names in an OpenAPI v3 document of Kubernetes."""
    return _Reader(document["components"]["schemas"], structural=False).named(ref)


def from_crd(schema: dict[str, Any]) -> Schema:
    """The schema of a version of a CRD, with the metadata that every object has."""
    root = _Reader({}, structural=True).node(schema)
    root = copy.copy(root)
    root.properties = {**root.properties, "apiVersion": _string(), "kind": _string(), "metadata": _metadata()}
    root.type = "object"
    return root


class _Reader:
    def __init__(self, schemas: dict[str, Any], *, structural: bool) -> None:
        self._schemas = schemas
        self._structural = structural
        self._known: dict[str, Schema] = {}

    def named(self, ref: str) -> Schema:
        known = self._known.get(ref)
        if known is None:
            known = self._known[ref] = Schema()
            self._fill(known, self._schemas[ref])
        return known

    def node(self, raw: dict[str, Any]) -> Schema:
        ref = raw.get("$ref")
        parts = raw.get("allOf", ())
        if ref is None and not self._structural and len(parts) == 1:
            ref = parts[0].get("$ref")
        if ref is None:
            node = Schema()
            self._fill(node, raw)
            return node
        target = self.named(ref.rpartition("/")[2])
        if not raw.keys() & {
            "x-kubernetes-patch-strategy",
            "x-kubernetes-patch-merge-key",
            "x-kubernetes-map-type",
            "x-kubernetes-list-type",
        }:
            return target
        node = copy.copy(target)
        self._merge_hints(node, raw)
        return node

    def _fill(self, node: Schema, raw: dict[str, Any]) -> None:
        node.type = raw.get("type", "")
        node.format = raw.get("format", "")
        node.nullable = bool(raw.get("nullable", False))
        node.enum = tuple(raw.get("enum", ()))
        node.required = tuple(raw.get("required", ()))
        node.description = raw.get("description", "")
        node.validations = tuple(raw.get("x-kubernetes-validations", ()))
        if "pattern" in raw:
            node.pattern, node.pattern_text = _pattern(raw["pattern"]), raw["pattern"]
        node.minimum, node.maximum = raw.get("minimum"), raw.get("maximum")
        node.exclusive_minimum = bool(raw.get("exclusiveMinimum", False))
        node.exclusive_maximum = bool(raw.get("exclusiveMaximum", False))
        node.multiple_of = raw.get("multipleOf")
        node.min_length, node.max_length = raw.get("minLength"), raw.get("maxLength")
        node.min_items, node.max_items = raw.get("minItems"), raw.get("maxItems")
        node.min_properties, node.max_properties = raw.get("minProperties"), raw.get("maxProperties")
        if "default" in raw:
            node.default = raw["default"]
            node.has_defaults = True
        node.int_or_string = bool(raw.get("x-kubernetes-int-or-string"))
        if self._structural:
            node.junctors = tuple(self._junctors(raw))
        elif node.format == "int-or-string" or ("oneOf" in raw and not node.type):
            node.int_or_string = True
        node.preserve = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        node.embedded = bool(raw.get("x-kubernetes-embedded-resource"))
        self._merge_hints(node, raw)
        for name, child in raw.get("properties", {}).items():
            node.properties[name] = self.node(child)
        if node.embedded:
            for name, schema in (("apiVersion", _string()), ("kind", _string()), ("metadata", _metadata())):
                node.properties[name] = schema
            node.required = tuple(dict.fromkeys(("apiVersion", "kind", *node.required)))
        additional = raw.get("additionalProperties")
        if isinstance(additional, dict):
            node.additional = self.node(additional)
        elif additional is True:
            node.preserve = True
        if "items" in raw:
            node.items = self.node(raw["items"])
        shapeless = not node.properties and node.additional is None and not node.int_or_string
        if node.type in ("", "object") and shapeless and not self._structural:
            node.preserve = True
        children = [child for child in (*node.properties.values(), node.additional, node.items) if child is not None]
        node.has_defaults = node.has_defaults or any(child.has_defaults for child in children)
        node.has_embedded = node.embedded or any(child.has_embedded for child in children)

    def _junctors(self, raw: dict[str, Any]) -> Iterator[tuple[str, tuple[Schema, ...]]]:
        for word in ("allOf", "anyOf", "oneOf"):
            if raw.get(word):
                yield word, tuple(self.node(part) for part in raw[word])
        if isinstance(raw.get("not"), dict):
            yield "not", (self.node(raw["not"]),)

    def _merge_hints(self, node: Schema, raw: dict[str, Any]) -> None:
        node.list_type = raw.get("x-kubernetes-list-type", node.list_type)
        node.list_keys = tuple(raw.get("x-kubernetes-list-map-keys", node.list_keys))
        node.map_type = raw.get("x-kubernetes-map-type", node.map_type)
        if "x-kubernetes-patch-strategy" in raw:
            node.patch_strategy = frozenset(raw["x-kubernetes-patch-strategy"].split(","))
        node.patch_key = raw.get("x-kubernetes-patch-merge-key", node.patch_key)


def _pattern(text: str) -> Pattern | None:
    """A pattern in Go's syntax, searched in linear time, or nothing where it is none: such a pattern accepts everything."""
    try:
        return compiled(text)
    except PatternError:
        return None


def _string() -> Schema:
    node = Schema()
    node.type = "string"
    return node


def _map_of_strings() -> Schema:
    node = Schema()
    node.type = "object"
    node.additional = _string()
    return node


def _metadata() -> Schema:
    """ObjectMeta, as far as its parts are treated differently."""
    node = Schema()
    node.type = "object"
    texts = (
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
    )
    for name in texts:
        node.properties[name] = _string()
        node.properties[name].nullable = True
    for name in ("generation", "deletionGracePeriodSeconds"):
        child = node.properties[name] = Schema()
        child.type = "integer"
        child.nullable = True
    for name in ("labels", "annotations"):
        node.properties[name] = _map_of_strings()
        node.properties[name].nullable = True
    owners = node.properties["ownerReferences"] = Schema()
    owners.type, owners.list_type, owners.list_keys, owners.patch_key = "array", "map", ("uid",), "uid"
    owners.patch_strategy = frozenset(("merge",))
    owners.items = Schema()
    owners.items.type, owners.items.map_type = "object", "atomic"
    for name in ("apiVersion", "kind", "name", "uid"):
        owners.items.properties[name] = _string()
    # Without a uid it is an owner all the same: that it has to have one is judged with the rest of the metadata.
    owners.items.properties["uid"].default = ""
    for name in ("controller", "blockOwnerDeletion"):
        child = owners.items.properties[name] = Schema()
        child.type = "boolean"
    finalizers = node.properties["finalizers"] = Schema()
    finalizers.type, finalizers.list_type, finalizers.items = "array", "set", _string()
    finalizers.patch_strategy = frozenset(("merge",))
    managed = node.properties["managedFields"] = Schema()
    managed.type, managed.list_type = "array", "atomic"
    managed.items = ANY
    return node
