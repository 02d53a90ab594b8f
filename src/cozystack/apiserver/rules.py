"""Rules for single objects that no schema holds: names, fields that never change, the state of CRDs."""

from __future__ import annotations

import re
from typing import Any

from cozystack.api.names import is_dns_label, is_dns_subdomain, is_label_value
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.schema import FieldError, structural_errors
from cozystack.apiserver.schema.check import invalid, required

Obj = dict[str, Any]

_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_NAMES = {("", "Namespace"), ("", "Service")}
# Names of these are free, but for characters that would break a path.
_PATH_NAMES = {"rbac.authorization.k8s.io"}
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def name_errors(info: ResourceInfo, name: str) -> list[FieldError]:
    """What is wrong with the name of an object of this kind."""
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    if info.group in _PATH_NAMES:
        bad = name in (".", "..") or "/" in name or "%" in name
        return [invalid("metadata.name", name, "may not be '.', '..' or contain '/' or '%'")] if bad else []
    if (info.group, info.kind) in _LABEL_NAMES:
        return [] if is_dns_label(name) else [invalid("metadata.name", name, _LABEL_RULE)]
    return [] if is_dns_subdomain(name) else [invalid("metadata.name", name, _SUBDOMAIN_RULE)]


def metadata_errors(obj: Obj) -> list[FieldError]:
    """What is wrong with labels, annotations and owners."""
    errors: list[FieldError] = []
    metadata = obj["metadata"]
    for field in ("labels", "annotations"):
        entries = metadata.get(field)
        if entries is None:
            continue
        for key, value in entries.items():
            prefix, slash, name = key.rpartition("/")
            if not _QUALIFIED.fullmatch(name) or len(name) > 63 or (slash and not is_dns_subdomain(prefix)):
                errors.append(
                    invalid(f"metadata.{field}", key, "name part must consist of alphanumeric characters, '-', '_' or '.'")
                )
            if field == "labels" and not is_label_value(value):
                errors.append(
                    invalid("metadata.labels", value, "a valid label must be an empty string or consist of alphanumerics")
                )
    return errors


def immutable_errors(info: ResourceInfo, old: Obj, new: Obj) -> list[FieldError]:
    """Fields that may not change any more."""
    errors: list[FieldError] = []

    def check(path: str, message: str = "field is immutable") -> None:
        left, right = _at(old, path), _at(new, path)
        if left is not None and left != right:
            errors.append(invalid(path, right, message))

    match (info.group, info.kind):
        case ("", "Secret"):
            check("type")
            errors += _frozen(old, new, ("data", "immutable"))
        case ("", "ConfigMap"):
            errors += _frozen(old, new, ("data", "binaryData", "immutable"))
        case ("apps", "Deployment" | "ReplicaSet" | "DaemonSet"):
            check("spec.selector")
        case ("apps", "StatefulSet"):
            for path in ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates", "spec.podManagementPolicy"):
                check(path)
        case ("batch", "Job"):
            check("spec.selector")
            check("spec.template")
            check("spec.completions")
        case ("", "PersistentVolumeClaim"):
            check("spec.accessModes")
            check("spec.storageClassName")
            check("spec.volumeName")
        case ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding"):
            check("roleRef", "cannot change roleRef")
        case ("apiextensions.k8s.io", "CustomResourceDefinition"):
            check("spec.group")
            check("spec.scope")
            check("spec.names.kind")
            check("spec.names.plural")
        case ("", "Service"):
            if _at(new, "spec.type") != "ExternalName" and _at(new, "spec.clusterIP"):
                check("spec.clusterIP")
    return errors


def _frozen(old: Obj, new: Obj, fields: tuple[str, ...]) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    changed = [field for field in fields if old.get(field) != new.get(field)]
    message = "Forbidden: field is immutable when `immutable` is set"
    return [FieldError(field, "Forbidden", message) for field in changed]


def _at(obj: Obj, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def crd_errors(crd: Obj) -> list[FieldError]:
    """What is wrong with a CustomResourceDefinition."""
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
    for index, version in enumerate(versions):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        path = f"spec.versions[{index}].schema.openAPIV3Schema"
        if schema is None:
            errors.append(required(path, "schemas are required"))
        else:
            errors += structural_errors(schema, path)
    return errors


def crd_status(crd: Obj, now: str, *, clash: str = "") -> Obj:
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
