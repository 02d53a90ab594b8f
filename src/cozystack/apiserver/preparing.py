"""What a kind makes of what a client wants, before it is judged: the server's own fields, and what was there before.

Kubernetes calls these the strategies of its kinds. An object has its defaults and may be changed freely; the old one may not.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from cozystack.apiserver.defaults.workloads import GENERATION
from cozystack.apiserver.quantities import quantity

Obj = dict[str, Any]

KUBERNETES: Final = "kubernetes"
"""The finalizer that every namespace begins with, in its spec."""
_BLOCKED: Final = "Scheduling is blocked due to non-empty scheduling gates"
_UID_LABELS: Final = ("batch.kubernetes.io/controller-uid", "controller-uid")
_NAME_LABELS: Final = ("batch.kubernetes.io/job-name", "job-name")


def prepare_new(group: str, kind: str, obj: Obj, now: str) -> None:
    """Make a new object ready, in place; ``now`` is a time as Kubernetes writes it."""
    function = _NEW.get((group, kind))
    if function is not None:
        function(obj, now)


def prepare_change(group: str, kind: str, obj: Obj, old: Obj) -> None:
    """Make a changed object ready, in place."""
    function = _CHANGED.get((group, kind))
    if function is not None:
        function(obj, old)


# Namespaces


def _new_namespace(obj: Obj, now: str) -> None:
    finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
    if KUBERNETES not in finalizers:
        finalizers.append(KUBERNETES)
    obj["status"] = {"phase": "Active"}


def _changed_namespace(obj: Obj, old: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec.pop("finalizers", None)
    before = (old.get("spec") or {}).get("finalizers")
    if before:
        spec["finalizers"] = list(before)


# Accounts


def _account(obj: Obj) -> None:
    """Secrets of an account are in its namespace: only their names count."""
    if obj.get("secrets"):
        obj["secrets"] = [{name: item for name, item in secret.items() if name == "name"} for secret in obj["secrets"]]


# Pods


def _new_pod(obj: Obj, now: str) -> None:
    spec = obj["spec"]
    status: Obj = {"phase": "Pending"}
    if spec.get("schedulingGates"):
        blocked = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": _BLOCKED}
        status["conditions"] = [{**blocked, "lastProbeTime": None, "lastTransitionTime": None}]
    obj["status"] = {**status, "qosClass": qos_class(spec)}


def qos_class(spec: Obj) -> str:
    """How well a Pod is treated when its node runs short, by what its containers ask for."""
    asked: dict[str, Fraction] = {}
    most: dict[str, Fraction] = {}
    guaranteed = True
    whole = spec.get("resources")
    parts = [whole] if whole else [each.get("resources") or {} for each in _containers(spec)]
    for resources in parts:
        _add(asked, resources.get("requests"))
        if len(_add(most, resources.get("limits"))) != len(_COUNTED):
            guaranteed = False
    if not asked and not most:
        return "BestEffort"
    if guaranteed and asked == most:
        return "Guaranteed"
    return "Burstable"


_COUNTED: Final = ("cpu", "memory")


def _containers(spec: Obj) -> list[Obj]:
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def _add(sums: dict[str, Fraction], amounts: Obj | None) -> list[str]:
    found = []
    for name in _COUNTED:
        number = quantity((amounts or {}).get(name, "0")).number
        if number > 0:
            sums[name] = sums.get(name, Fraction(0)) + number
            found.append(name)
    return found


# Workloads


def _new_job(obj: Obj, now: str) -> None:
    spec, metadata = obj["spec"], obj["metadata"]
    if spec.get("manualSelector"):
        return
    template = spec["template"].setdefault("metadata", {})
    # The Job's own labels are these very ones when it was given none.
    labels = template.get("labels")
    if labels is None:
        labels = template["labels"] = {}
    labels |= dict.fromkeys(_UID_LABELS, metadata["uid"]) | dict.fromkeys(_NAME_LABELS, metadata.get("name", ""))
    if not spec.get("selector"):
        spec["selector"] = {"matchLabels": {_UID_LABELS[0]: metadata["uid"]}}


def _new_daemon_set(obj: Obj, now: str) -> None:
    annotations = obj["metadata"]["annotations"]
    if annotations[GENERATION] == "0":
        annotations[GENERATION] = "1"


def _changed_daemon_set(obj: Obj, old: Obj) -> None:
    annotations = obj["metadata"].setdefault("annotations", {})
    before = (old["metadata"].get("annotations") or {}).get(GENERATION, "0")
    number = int(before) if before.isdecimal() else 0
    if obj["spec"].get("template") != (old.get("spec") or {}).get("template"):
        number += 1
    annotations[GENERATION] = str(number)


# Storage


def _sources(obj: Obj) -> None:
    """A claim names the source of its data in two ways."""
    spec = obj.get("spec") or {}
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source and not reference:
        spec["dataSourceRef"] = dict(source)
    elif reference and not source and not reference.get("namespace"):
        spec["dataSource"] = dict(reference)


def _new_volume(obj: Obj, now: str) -> None:
    obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": now}


# Services


def _new_service(obj: Obj, now: str) -> None:
    spec = obj["spec"]
    if spec.get("type") == "ExternalName":
        return
    if spec.get("clusterIP") == "None" and not spec.get("selector"):
        both = {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"}
        if "ipFamilyPolicy" not in spec and "ipFamilies" not in spec:
            spec |= both
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def _changed_service(obj: Obj, old: Obj) -> None:
    """Addresses and ports that were given stay; what the new type has no use for goes, unless the client asks for it."""
    spec, before = obj["spec"], old.get("spec") or {}
    named, was_named = (each.get("type") == "ExternalName" for each in (spec, before))
    if not named and not was_named:
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        if not spec.get("clusterIPs") and before.get("clusterIPs"):
            spec["clusterIPs"] = list(before["clusterIPs"])
        for name in ("ipFamilies", "ipFamilyPolicy"):
            if name not in spec and name in before:
                spec[name] = before[name]
    elif named and not was_named:
        _drop_same(spec, before, "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
    _node_ports(spec, before)
    if _has_health_check(before) and _has_health_check(spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before.get("healthCheckNodePort", 0)
    elif _has_health_check(before) and not _has_health_check(spec):
        _drop_same(spec, before, "healthCheckNodePort")
    if before.get("type") == "LoadBalancer" != spec.get("type"):
        _drop_same(spec, before, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    if _is_outside(before) and not _is_outside(spec):
        _drop_same(spec, before, "externalTrafficPolicy")
    if spec.get("type") != "LoadBalancer" and "status" in obj:
        obj["status"] = {**obj["status"], "loadBalancer": {}}
    if not named:
        _new_service(obj, "")


def _node_ports(spec: Obj, before: Obj) -> None:
    ports = spec.get("ports") or []
    given = {port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")}
    wanted = {port["nodePort"] for port in ports if port.get("nodePort")}
    if _has_node_ports(before) and _has_node_ports(spec):
        by_name = {port.get("name", ""): port.get("nodePort", 0) for port in before.get("ports") or ()}
        for port in ports:
            known = by_name.get(port.get("name", ""), 0)
            if not port.get("nodePort") and known and known not in given & wanted:
                port["nodePort"] = known
    elif _has_node_ports(before) and wanted <= given:
        for port in ports:
            port.pop("nodePort", None)


def _has_node_ports(spec: Obj) -> bool:
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))


def _has_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _is_outside(spec: Obj) -> bool:
    kind = spec.get("type")
    return kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def _drop_same(spec: Obj, before: Obj, *names: str) -> None:
    for name in names:
        if name in spec and spec[name] == before.get(name):
            del spec[name]


_NEW: Final[dict[tuple[str, str], Callable[[Obj, str], None]]] = {
    ("", "Namespace"): _new_namespace,
    ("", "Pod"): _new_pod,
    ("", "Service"): _new_service,
    ("", "PersistentVolume"): _new_volume,
    ("", "PersistentVolumeClaim"): lambda obj, _: _sources(obj),
    ("", "ServiceAccount"): lambda obj, _: _account(obj),
    ("apps", "DaemonSet"): _new_daemon_set,
    ("batch", "Job"): _new_job,
}
_CHANGED: Final[dict[tuple[str, str], Callable[[Obj, Obj], None]]] = {
    ("", "Namespace"): _changed_namespace,
    ("", "Service"): _changed_service,
    ("", "PersistentVolumeClaim"): lambda obj, _: _sources(obj),
    ("", "ServiceAccount"): lambda obj, _: _account(obj),
    ("apps", "DaemonSet"): _changed_daemon_set,
}
