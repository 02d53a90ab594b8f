"""The same object in another version of its kind.

Objects are stored in one version and served in all. Custom resources differ in ``apiVersion`` alone (no webhook is
called); of the built-in kinds Events exist in two groups and autoscalers in two versions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Obj = dict[str, Any]

_CORE_EVENT: Final = {
    "regarding": "involvedObject",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "reportingController": "reportingComponent",
}
_NEW_EVENT: Final = {core: new for new, core in _CORE_EVENT.items()}


def converted(obj: Obj, api_version: str) -> Obj:
    """``obj`` in ``api_version``; itself when it is in that version."""
    found = obj.get("apiVersion", "")
    if found == api_version:
        return obj
    function = _BUILTIN.get((found, api_version, obj.get("kind", "")))
    return {**(function(obj) if function is not None else obj), "apiVersion": api_version}


def _renamed(names: dict[str, str]) -> Callable[[Obj], Obj]:
    def function(obj: Obj) -> Obj:
        return {names.get(name, name): value for name, value in obj.items()}

    return function


def _autoscaler_v2(obj: Obj) -> Obj:
    spec = dict(obj.get("spec") or {})
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}}
        spec["metrics"] = [{"type": "Resource", "resource": resource}]
    new = {**obj, "spec": spec}
    status = dict(obj.get("status") or {})
    current = status.pop("currentCPUUtilizationPercentage", None)
    if current is not None:
        resource = {"name": "cpu", "current": {"averageUtilization": current}}
        status["currentMetrics"] = [{"type": "Resource", "resource": resource}]
    return {**new, "status": status} if status else new


def _autoscaler_v1(obj: Obj) -> Obj:
    spec = dict(obj.get("spec") or {})
    for metric in spec.pop("metrics", None) or ():
        resource = metric.get("resource") or {}
        target = (resource.get("target") or {}).get("averageUtilization")
        if metric.get("type") == "Resource" and resource.get("name") == "cpu" and target is not None:
            spec["targetCPUUtilizationPercentage"] = target
    spec.pop("behavior", None)
    new = {**obj, "spec": spec}
    if "status" in obj:
        kept = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
        new["status"] = {name: value for name, value in (obj["status"] or {}).items() if name in kept}
    return new


_BUILTIN: Final[dict[tuple[str, str, str], Callable[[Obj], Obj]]] = {
    ("v1", "events.k8s.io/v1", "Event"): _renamed(_NEW_EVENT),
    ("events.k8s.io/v1", "v1", "Event"): _renamed(_CORE_EVENT),
    ("autoscaling/v1", "autoscaling/v2", "HorizontalPodAutoscaler"): _autoscaler_v2,
    ("autoscaling/v2", "autoscaling/v1", "HorizontalPodAutoscaler"): _autoscaler_v1,
}
