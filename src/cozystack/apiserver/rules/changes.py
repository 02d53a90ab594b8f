"""What may not change any more once an object is there, kind by kind."""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.rules.faults import IMMUTABLE, forbidden, invalid
from cozystack.apiserver.schema import FieldError

Obj = dict[str, Any]


def change_errors(old: Obj, new: Obj) -> list[FieldError]:
    """What may not change any more in any object, and has."""
    return _new_finalizers(old, new)


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
    shown = "[]string{" + ", ".join(f'"{finalizer}"' for finalizer in sorted(late)) + "}"
    message = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
    return [FieldError("metadata.finalizers", "Forbidden", f"Forbidden: {message}")]


def immutable_errors(info: ResourceInfo, old: Obj, new: Obj) -> list[FieldError]:
    """What may not change any more in an object of that kind, and has."""
    match (info.group, info.kind):
        case ("", "Secret"):
            return _fixed(old, new, "type") or _frozen(old, new, ("data",))
        case ("", "ConfigMap"):
            return _frozen(old, new, ("data", "binaryData"))
        case ("", "Service"):
            return _service_errors(old, new)
        case ("", "PersistentVolumeClaim"):
            return _claim_errors(old, new)
        case ("", "Pod"):
            return _pod_errors(old, new)
        case ("batch", "Job"):
            return _job_errors(old, new)
        case ("scheduling.k8s.io", "PriorityClass"):
            changed = [forbidden("value", "may not be changed in an update.")] if old.get("value") != new.get("value") else []
            return changed + _fixed(old, new, "preemptionPolicy")
        case kind:
            errors = []
            for path in _FIXED.get(kind, ()):
                errors += _fixed(old, new, path)
            return errors


_FIXED: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "ReplicaSet"): ("spec.selector",),
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "StatefulSet"): ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates", "spec.podManagementPolicy"),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (
        "spec.group",
        "spec.scope",
        "spec.names.kind",
        "spec.names.plural",
    ),
    ("storage.k8s.io", "StorageClass"): ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    ("storage.k8s.io", "CSIDriver"): ("spec.attachRequired",),
    ("", "PersistentVolume"): ("spec.volumeMode",),
}
_CLAIM_RULE: Final = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
_POD_RULE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _fixed(old: Obj, new: Obj, path: str) -> list[FieldError]:
    left, right = _at(old, path), _at(new, path)
    if left == right or (not left and not right):
        return []
    # Kubernetes shows nothing of a class, and the fields of a role reference by their Go names.
    shown = None if new.get("kind") == "StorageClass" else right
    if path == "roleRef" and isinstance(right, dict):
        shown = {"APIGroup": right.get("apiGroup", ""), "Kind": right.get("kind", ""), "Name": right.get("name", "")}
    return [invalid(path, shown, IMMUTABLE)]


def _frozen(old: Obj, new: Obj, fields: tuple[str, ...]) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    changed = [field for field in ("immutable", *fields) if (old.get(field) or {}) != (new.get(field) or {})]
    return [forbidden(field, "field is immutable when `immutable` is set") for field in changed]


def _service_errors(old: Obj, new: Obj) -> list[FieldError]:
    """An address stays for as long as the Service has one, a class for as long as it balances."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    errors = []
    if "ExternalName" not in (before.get("type"), after.get("type")):
        left, right = before.get("clusterIP"), after.get("clusterIP")
        if left and right and left != right:
            errors.append(invalid("spec.clusterIPs[0]", [right], "may not change once set"))
    if before.get("type") == after.get("type") == "LoadBalancer":
        left, right = before.get("loadBalancerClass"), after.get("loadBalancerClass")
        if left != right:
            errors.append(invalid("spec.loadBalancerClass", right, "may not change once set"))
    return errors


def _claim_errors(old: Obj, new: Obj) -> list[FieldError]:
    """A claim may ask for more once it is bound, and is bound once."""
    before, after = dict(old.get("spec") or {}), dict(new.get("spec") or {})
    errors = []
    if not before.get("volumeName"):
        before.pop("volumeName", None)
        after.pop("volumeName", None)
    before.pop("volumeAttributesClassName", None)
    after.pop("volumeAttributesClassName", None)
    if "storageClassName" not in before:
        # It gets the class that became the default later.
        after.pop("storageClassName", None)
    if (old.get("status") or {}).get("phase") == "Bound":
        before["resources"] = {**(before.get("resources") or {}), "requests": (after.get("resources") or {}).get("requests")}
    if before != after:
        errors.append(forbidden("spec", _CLAIM_RULE))
    if before.get("volumeMode") != after.get("volumeMode"):
        errors.append(invalid("volumeMode", after.get("volumeMode"), IMMUTABLE))
    return errors


def _pod_errors(old: Obj, new: Obj) -> list[FieldError]:
    """Images may change, tolerations may be added, a deadline may be set; a Pod is bound to its node once."""
    before, after = _without_images(old), _without_images(new)
    for name in ("activeDeadlineSeconds", "terminationGracePeriodSeconds"):
        before.pop(name, None)
        after.pop(name, None)
    left, right = before.pop("tolerations", None) or [], after.pop("tolerations", None) or []
    if not before.get("nodeName"):
        before.pop("nodeName", None)
        after.pop("nodeName", None)
    if before != after or any(toleration not in right for toleration in left):
        return [forbidden("spec", _POD_RULE)]
    return []


def _without_images(pod: Obj) -> Obj:
    spec = dict(pod.get("spec") or {})
    for field in ("containers", "initContainers"):
        if field in spec:
            spec[field] = [{**container, "image": ""} for container in spec[field]]
    return spec


def _job_errors(old: Obj, new: Obj) -> list[FieldError]:
    """What a Job does stays; what it has not begun may still be told where to run."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    errors = []
    elastic = before.get("completionMode") == "Indexed" and after.get("completions") == after.get("parallelism")
    if not elastic:
        errors += _fixed(old, new, "spec.completions")
    errors += _fixed(old, new, "spec.selector")
    if before.get("suspend") and "startTime" not in (old.get("status") or {}):
        if _placed_anywhere(before) != _placed_anywhere(after):
            errors.append(invalid("spec.template.spec", _at(after, "template.spec"), IMMUTABLE))
    else:
        errors += _fixed(old, new, "spec.template")
    return errors + _fixed(old, new, "spec.completionMode") + _fixed(old, new, "spec.podFailurePolicy")


def _placed_anywhere(spec: Obj) -> Obj:
    """The template without what says where its Pods run."""
    template = spec.get("template") or {}
    places = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
    pod = {name: value for name, value in (template.get("spec") or {}).items() if name not in places}
    return {**template, "metadata": {}, "spec": pod}


def _at(obj: Obj, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
