"""The ``scale`` subresource: the number of replicas of an object, wherever the object keeps it."""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver import errors
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.schema.check import invalid

Obj = dict[str, Any]

_KEPT: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(info: ResourceInfo, obj: Obj) -> Obj:
    """The Scale of an object."""
    status: Obj = {"replicas": _number(_at(obj, _path(info, "statusReplicasPath", ".status.replicas")))}
    selector = _selector(info, obj)
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in _KEPT if key in obj["metadata"]},
        "spec": {"replicas": _number(_at(obj, _path(info, "specReplicasPath", ".spec.replicas")))},
        "status": status,
    }


def scaling_patch(info: ResourceInfo, name: str, scale: Any) -> Obj:
    """The merge patch that gives an object the replicas of a Scale; raises ``ApiError``."""
    if not isinstance(scale, dict) or not isinstance(scale.get("spec") or {}, dict):
        raise errors.bad_request("the body is not a Scale")
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise errors.bad_request("spec.replicas must be a number")
    if replicas < 0:
        why = invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid("Scale", "autoscaling", name, [why])
    patch: Any = replicas
    for part in reversed(_path(info, "specReplicasPath", ".spec.replicas")):
        patch = {part: patch}
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version:
        patch["metadata"] = {"resourceVersion": version}
    return dict(patch)


def _path(info: ResourceInfo, name: str, otherwise: str) -> list[str]:
    return ((info.scale or {}).get(name) or otherwise).strip(".").split(".")


def _at(obj: Obj, path: list[str]) -> Any:
    value: Any = obj
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _selector(info: ResourceInfo, obj: Obj) -> str:
    if info.custom:
        path = (info.scale or {}).get("labelSelectorPath")
        return str(_at(obj, path.strip(".").split(".")) or "") if path else ""
    selector = (obj.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels", {}) if "matchLabels" in selector or "matchExpressions" in selector else selector
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if isinstance(value, str))
