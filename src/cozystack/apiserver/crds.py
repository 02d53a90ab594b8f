"""CustomResourceDefinitions: what is wrong with one, and the state that the server gives it.

A definition is established in the write that stores it: there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from cozystack.apiserver.cel.definitions import rule_errors
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.schema import FieldError, default_errors, structural_errors
from cozystack.apiserver.schema.check import invalid, required
from cozystack.apiserver.storage import Stored

Obj = dict[str, Any]

GROUP: Final = "apiextensions.k8s.io"
KEY: Final = f"{GROUP}/customresourcedefinitions"
FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"


def is_crd(info: ResourceInfo) -> bool:
    return info.storage_key == KEY


def definition_errors(crd: Obj, old: Obj | None = None) -> list[FieldError]:
    """What is wrong with a CustomResourceDefinition that may replace an old one."""
    spec = crd.get("spec")
    if not isinstance(spec, dict):
        return [required("spec")]
    errors: list[FieldError] = []
    names = spec.get("names") or {}
    for path, value in (
        ("spec.group", spec.get("group")),
        ("spec.names.plural", names.get("plural")),
        ("spec.names.kind", names.get("kind")),
    ):
        if not value:
            errors.append(required(path))
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        errors.append(
            FieldError(
                "spec.scope",
                "Unsupported value",
                f'Unsupported value: "{spec.get("scope")}": supported values: "Cluster", "Namespaced"',
            )
        )
    if errors:
        return errors
    expected = f"{names['plural']}.{spec['group']}"
    if crd["metadata"]["name"] != expected:
        errors.append(
            invalid("metadata.name", crd["metadata"]["name"], f'must be spec.names.plural+"."+spec.group ("{expected}")')
        )
    versions = spec.get("versions") or []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        errors.append(invalid("spec.versions", None, "must have exactly one version marked as storage version"))
    return errors + _schema_errors(versions, _schemas(old))


def _schemas(crd: Obj | None) -> list[Any]:
    versions = ((crd or {}).get("spec") or {}).get("versions") or ()
    return [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]


def _schema_errors(versions: list[Obj], before: list[Any]) -> list[FieldError]:
    """What is wrong with schemas. When all are the same, it is told once; rules that were there before are not judged again."""
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    same = bool(schemas) and all(schema == schemas[0] for schema in schemas)
    errors: list[FieldError] = []
    for index, schema in enumerate(schemas[:1] if same else schemas):
        path = "spec.validation.openAPIV3Schema" if same else f"spec.versions[{index}].schema.openAPIV3Schema"
        if schema is None:
            errors.append(required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required"))
            continue
        found = structural_errors(schema, path)
        if schema.get("type", "object") != "object":
            found.append(invalid(f"{path}.type", schema["type"], "must be object at the root"))
        found = found or default_errors(schema, path)
        if not found and schema not in before:
            found = rule_errors(schema, path)
        errors += found
    return errors


def status(crd: Obj, now: str, *, clash: str = "") -> Obj:
    """The status of a CRD: accepted and established at once, unless its names clash with another's."""
    spec = crd["spec"]
    old = {c["type"]: c for c in (crd.get("status") or {}).get("conditions") or ()}

    def entry(kind: str, good: bool, reason: str, message: str) -> Obj:
        status = "True" if good else "False"
        moved = old[kind]["lastTransitionTime"] if kind in old and old[kind]["status"] == status else now
        return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": moved}

    conditions = (
        [
            entry("NamesAccepted", True, "NoConflicts", "no conflicts found"),
            entry("Established", True, "InitialNamesAccepted", "the initial names have been accepted"),
        ]
        if not clash
        else [
            entry("NamesAccepted", False, "PluralConflict", clash),
            entry("Established", False, "NotAccepted", "not all names are accepted"),
        ]
    )
    conditions += [condition for kind, condition in old.items() if kind not in ("NamesAccepted", "Established")]
    stored = (crd.get("status") or {}).get("storedVersions") or []
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    return {
        "conditions": conditions,
        "acceptedNames": dict(spec["names"]) if not clash else {"plural": "", "kind": ""},
        "storedVersions": stored if storage in stored else [*stored, storage],
    }


def established(crd: Obj) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def is_going(crd: Stored | None) -> bool:
    """Whether the CRD of a resource is being deleted; one that is served without a CRD never is."""
    return crd is not None and "deletionTimestamp" in crd.object["metadata"]


def terminating(status: Obj, now: str) -> Obj:
    """The status of a CRD that is being deleted."""
    conditions = [condition for condition in status.get("conditions") or () if condition["type"] != "Terminating"]
    conditions.append(
        {
            "type": "Terminating",
            "status": "True",
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
            "lastTransitionTime": now,
        }
    )
    return {**status, "conditions": conditions}


def name_clash(crd: Obj, resources: Iterable[ResourceInfo]) -> str:
    """Why the names of a CRD cannot be had beside what is served, or nothing."""
    spec = crd["spec"]
    for info in resources:
        if info.group != spec["group"]:
            continue
        if info.plural == spec["names"]["plural"]:
            if not info.custom:
                return f'"{info.plural}" is already in use'
        elif info.kind == spec["names"]["kind"]:
            return f'kind "{info.kind}" is already in use'
    return ""
