"""CustomResourceDefinitions of our kinds, generated from the types in ``cozystack.api.cozystack``.

The types are the one source: field names, limits, enums and descriptions are read off them, so that CRD and code cannot drift.
The schemas are structural: no ``$ref``, no unions but of a type with null or unset. A field without a default is required.
"""

from __future__ import annotations

import inspect

import msgspec
from msgspec import inspect as types

from cozystack.api import cozystack
from cozystack.api.meta import JSON, Condition
from cozystack.api.names import GROUP, NO_DELETE_LABEL

_CONDITION_TYPE = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
# metav1.Condition, limits included; the list is atomic, as other writers of these kinds expect (specification, operator 1.2).
_CONDITION: dict[str, JSON] = {
    "type": "object",
    "description": "One aspect of the state of the object.",
    "required": ["lastTransitionTime", "message", "reason", "status", "type"],
    "properties": {
        "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When the status last changed."},
        "message": {"type": "string", "maxLength": 32768, "description": "What the matter is, for people."},
        "observedGeneration": {
            "type": "integer",
            "format": "int64",
            "minimum": 0,
            "description": "Generation that the condition speaks of.",
        },
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            "description": "Why, in one CamelCase word.",
        },
        "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "True, False or Unknown."},
        "type": {"type": "string", "maxLength": 316, "pattern": _CONDITION_TYPE, "description": "Name of the condition."},
    },
}
# Integers are 64 bits wide on the wire.
_INTEGER: dict[str, JSON] = {"type": "integer", "format": "int64"}


def crds() -> list[dict[str, JSON]]:
    """Both CRDs, ready to be applied (specification, operator 1 and 6.1)."""
    return [
        _definition(
            cozystack.Package,
            plural="packages",
            short_names=["pkg", "pkgs"],
            columns=[
                ("Variant", ".spec.variant"),
                ("Ready", ".status.conditions[?(@.type=='Ready')].status"),
                ("Status", ".status.conditions[?(@.type=='Ready')].message"),
            ],
        ),
        _definition(
            cozystack.PackageSource,
            plural="packagesources",
            short_names=["pks"],
            columns=[
                ("Variants", ".status.variants"),
                ("Ready", ".status.conditions[?(@.type=='Ready')].status"),
                ("Status", ".status.conditions[?(@.type=='Ready')].message"),
            ],
        ),
    ]


def _definition(
    kind: type[msgspec.Struct], *, plural: str, short_names: list[str], columns: list[tuple[str, str]]
) -> dict[str, JSON]:
    name = kind.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {NO_DELETE_LABEL: "true"}},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": plural,
                "singular": name.lower(),
                "shortNames": short_names,
            },
            "scope": "Cluster",
            "versions": [
                {
                    "name": "v1alpha1",
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [
                        {"name": title, "type": "string", "jsonPath": path} for title, path in columns
                    ],
                    "schema": {"openAPIV3Schema": _root(kind)},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def _root(kind: type[msgspec.Struct]) -> dict[str, JSON]:
    fields = {field.encode_name: field for field in _struct(kind).fields}
    status = _schema(fields["status"].type)
    # Clients that look at observedGeneration find "not seen yet" on a new object, not nothing.
    status["default"] = {"observedGeneration": -1}
    return {
        "type": "object",
        "description": inspect.cleandoc(kind.__doc__ or ""),
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of the schema of this object."},
            "kind": {"type": "string", "description": "Kind of this object."},
            "metadata": {"type": "object"},
            "spec": {**_schema(fields["spec"].type), "description": f"What the {kind.__name__} should be."},
            "status": {**status, "description": f"What the {kind.__name__} is, as the operator last saw it."},
        },
    }


def _struct(kind: type[msgspec.Struct]) -> types.StructType:
    info = types.type_info(kind)
    if not isinstance(info, types.StructType):
        raise TypeError(f"{kind.__name__} is not a struct")
    return info


def _schema(info: types.Type) -> dict[str, JSON]:
    """The structural schema of one type; raises ``TypeError`` for a type that a CRD cannot say."""
    match info:
        case types.Metadata(type=inner, extra_json_schema=extra):
            return {**_schema(inner), **(extra or {})}
        case types.StructType(cls=cls) if cls is Condition:
            return dict(_CONDITION)
        case types.StructType(fields=fields):
            required = sorted(field.encode_name for field in fields if field.required)
            schema: dict[str, JSON] = {
                "type": "object",
                "properties": {field.encode_name: _schema(field.type) for field in fields},
            }
            return {**schema, "required": required} if required else schema
        case types.UnionType(types=members):
            named = [m for m in members if not isinstance(m, types.NoneType)]
            if len(named) != 1:
                raise TypeError(f"a CRD has no union of {named}")
            return _schema(named[0])
        case types.VarTupleType(item_type=item) | types.ListType(item_type=item):
            return {"type": "array", "items": _schema(item)}
        case types.DictType(value_type=value):
            return {"type": "object", "additionalProperties": _schema(value)}
        case types.LiteralType(values=values):
            # The empty text stands for an absent field; it is not one of the choices. The values come sorted.
            return {"type": "string", "enum": [value for value in values if value != ""]}
        case types.StrType():
            return {"type": "string"}
        case types.BoolType():
            return {"type": "boolean"}
        case types.IntType():
            return dict(_INTEGER)
        case types.AnyType():
            return {"x-kubernetes-preserve-unknown-fields": True}
    raise TypeError(f"a CRD cannot say {info}")
