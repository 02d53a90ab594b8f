"""What the remaining kinds demand: data, storage, roles, budgets, autoscalers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from cozystack.apiserver.quantities import quantity
from cozystack.apiserver.rules.faults import duplicate, invalid, unsupported
from cozystack.apiserver.rules.names import config_key_faults
from cozystack.apiserver.rules.selectors import selector_errors
from cozystack.apiserver.rules.workloads import most_errors, share_errors
from cozystack.apiserver.schema import FieldError
from cozystack.apiserver.schema.check import required

Obj = dict[str, Any]
Errors = Iterator[FieldError]

_RBAC: Final = "rbac.authorization.k8s.io"
_MOST_DATA: Final = 1024 * 1024
_NEEDED: Final = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def _config_map(obj: Obj) -> Errors:
    binary = obj.get("binaryData") or {}
    yield from _key_errors(obj, "data", "binaryData")
    for key in obj.get("data") or ():
        if key in binary and not config_key_faults(key):
            yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    if sum(_size(value) for value in binary.values()) + _texts(obj.get("data")) > _MOST_DATA:
        yield _too_long("[]")


def _secret(obj: Obj) -> Errors:
    data = obj.get("data") or {}
    yield from _key_errors(obj, "data")
    if sum(_size(value) for value in data.values()) > _MOST_DATA:
        yield _too_long("data")
    kind = obj.get("type", "Opaque")
    if kind == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            yield required("data[username]")
            yield required("data[password]")
    elif kind == "kubernetes.io/service-account-token":
        annotations = obj["metadata"].get("annotations") or {}
        if not annotations.get("kubernetes.io/service-account.name"):
            yield required("metadata.annotations[kubernetes.io/service-account.name]")
    for key in _NEEDED.get(kind, ()):
        if key not in data:
            yield required(f"data[{key}]")


def _key_errors(obj: Obj, *fields: str) -> Errors:
    for field in fields:
        for key in obj.get(field) or ():
            yield from (invalid(f"{field}[{key}]", key, fault) for fault in config_key_faults(key))


def _too_long(path: str) -> FieldError:
    return FieldError(path, "Too long", f"Too long: may not be more than {_MOST_DATA} bytes")


def _texts(data: Obj | None) -> int:
    return sum(len(value.encode()) for value in (data or {}).values())


def _size(value: str) -> int:
    """Of what base64 stands for, in bytes."""
    return len(value) // 4 * 3 - value[-2:].count("=")


# Storage


def _claim(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _mode_errors(spec, "at least 1 access mode is required")
    if spec.get("selector") is not None:
        yield from selector_errors(spec["selector"], "spec.selector")
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if asked is None:
        yield required("spec.resources[storage]")
    elif quantity(asked).number <= 0:
        yield invalid("spec.resources[storage]", asked, "must be greater than zero")


def _mode_errors(spec: Obj, detail: str = "") -> Errors:
    modes = spec.get("accessModes") or []
    if not modes:
        yield required("spec.accessModes", detail)
    for mode in modes:
        if mode not in _MODES:
            yield unsupported("spec.accessModes", mode, *_MODES)


def _volume(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _mode_errors(spec)
    size = (spec.get("capacity") or {}).get("storage")
    if not spec.get("capacity"):
        yield required("spec.capacity")
        yield unsupported("spec.capacity", spec.get("capacity"), "storage")
    elif size is not None and quantity(size).number <= 0:
        yield invalid("spec.capacity[storage]", size, "must be greater than zero")


# Roles


def _role(obj: Obj) -> Errors:
    rules = obj.get("rules") or ()
    for index, rule in enumerate(rules):
        where, urls = f"rules[{index}]", rule.get("nonResourceURLs")
        if urls:
            if obj["kind"] == "Role":
                yield invalid(f"{where}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
            if any(rule.get(name) for name in ("apiGroups", "resources", "resourceNames")):
                why = "rules cannot apply to both regular resources and non-resource URLs"
                yield invalid(f"{where}.nonResourceURLs", urls, why)
            continue
        if not rule.get("apiGroups"):
            yield required(f"{where}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{where}.resources", "resource rules must supply at least one resource")
    yield from (required(f"rules[{index}].verbs") for index, rule in enumerate(rules) if not rule.get("verbs"))


def _binding(obj: Obj) -> Errors:
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != _RBAC:
        yield unsupported("roleRef.apiGroup", reference.get("apiGroup", ""), _RBAC)
    kinds = ("Role", "ClusterRole") if obj["kind"] == "RoleBinding" else ("ClusterRole",)
    if reference.get("kind") not in kinds:
        yield unsupported("roleRef.kind", reference.get("kind", ""), *kinds)
    if not reference.get("name"):
        yield required("roleRef.name")
    for index, subject in enumerate(obj.get("subjects") or ()):
        yield from _subject_errors(subject, f"subjects[{index}]", namespaced=obj["kind"] == "RoleBinding")


def _subject_errors(subject: Obj, path: str, *, namespaced: bool) -> Errors:
    if not subject.get("name"):
        yield required(f"{path}.name")
    kind, group = subject.get("kind", ""), subject.get("apiGroup", "")
    if kind == "ServiceAccount":
        if group:
            yield unsupported(f"{path}.apiGroup", group, "")
        if not namespaced and not subject.get("namespace"):
            yield required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != _RBAC:
            yield unsupported(f"{path}.apiGroup", group, _RBAC)
    else:
        yield unsupported(f"{path}.kind", kind, "ServiceAccount", "User", "Group")


# Budgets, autoscalers, limits


def _budget(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        shown = {
            "MinAvailable": spec["minAvailable"],
            "Selector": spec.get("selector"),
            "MaxUnavailable": spec["maxUnavailable"],
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        yield invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    for name in ("minAvailable", "maxUnavailable"):
        if name in spec:
            yield from share_errors(f"spec.{name}", spec[name])
            yield from most_errors(f"spec.{name}", spec[name])
    yield from selector_errors(spec.get("selector") or {}, "spec.selector")


def _autoscaler(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if least < 1:
        yield invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        yield invalid("spec.maxReplicas", most, "must be greater than 0")
    if most < least:
        yield invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    if not target.get("kind"):
        yield required("spec.scaleTargetRef.kind")
    if not target.get("name"):
        yield required("spec.scaleTargetRef.name")
    if "/" not in target.get("apiVersion", ""):
        yield invalid("spec.scaleTargetRef.apiVersion", target.get("apiVersion", ""), "apiVersion must specify API group")


def _limit_range(obj: Obj) -> Errors:
    seen: set[str] = set()
    for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        kind = item.get("type", "")
        if kind in seen:
            yield duplicate(f"spec.limits[{index}].type", kind)
        seen.add(kind)


def _attributes_class(obj: Obj) -> Errors:
    if not obj.get("parameters"):
        yield required("parameters", "must contain at least one key/value pair")


def _revision(obj: Obj) -> Errors:
    if obj.get("data") is None:
        yield required("data", "data is mandatory")


BY_KIND: Final[dict[tuple[str, str], Callable[[Obj], Errors]]] = {
    ("v1", "ConfigMap"): _config_map,
    ("v1", "Secret"): _secret,
    ("v1", "LimitRange"): _limit_range,
    ("v1", "PersistentVolumeClaim"): _claim,
    ("v1", "PersistentVolume"): _volume,
    ("apps/v1", "ControllerRevision"): _revision,
    ("autoscaling/v1", "HorizontalPodAutoscaler"): _autoscaler,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): _autoscaler,
    ("policy/v1", "PodDisruptionBudget"): _budget,
    (f"{_RBAC}/v1", "Role"): _role,
    (f"{_RBAC}/v1", "ClusterRole"): _role,
    (f"{_RBAC}/v1", "RoleBinding"): _binding,
    (f"{_RBAC}/v1", "ClusterRoleBinding"): _binding,
    ("storage.k8s.io/v1", "VolumeAttributesClass"): _attributes_class,
}
