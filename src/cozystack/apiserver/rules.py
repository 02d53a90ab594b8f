"""Rules for single objects that no schema holds: names, labels, and what may not change any more."""

from __future__ import annotations

import re
from typing import Any

from cozystack.api.names import is_dns_label, is_dns_subdomain, is_label_value
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.schema import FieldError
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


def change_errors(info: ResourceInfo, old: Obj, new: Obj) -> list[FieldError]:
    """What may not change any more, and has."""
    return [*_new_finalizers(old, new), *_immutable_errors(info, old, new)]


def deletion_mark_errors(old: Obj, new: Obj) -> list[FieldError]:
    """The server alone says that an object is being deleted; ``old`` and ``new`` are metadata."""
    errors = []
    moment, seconds = new.get("deletionTimestamp"), new.get("deletionGracePeriodSeconds")
    if moment is not None and "deletionTimestamp" not in old:
        errors.append(invalid("metadata.deletionTimestamp", moment, "field is immutable"))
    if seconds is not None and seconds != old.get("deletionGracePeriodSeconds"):
        errors.append(invalid("metadata.deletionGracePeriodSeconds", seconds, "field is immutable"))
    return errors


def _new_finalizers(old: Obj, new: Obj) -> list[FieldError]:
    """An object that is being deleted gets no more finalizers."""
    if "deletionTimestamp" not in old["metadata"]:
        return []
    before = set(old["metadata"].get("finalizers") or ())
    late = [finalizer for finalizer in new["metadata"].get("finalizers") or () if finalizer not in before]
    if not late:
        return []
    shown = "[]string{" + ", ".join(f'"{finalizer}"' for finalizer in late) + "}"
    message = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
    return [FieldError("metadata.finalizers", "Forbidden", f"Forbidden: {message}")]


def _immutable_errors(info: ResourceInfo, old: Obj, new: Obj) -> list[FieldError]:
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
