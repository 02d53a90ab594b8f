"""Defaults of the kinds that neither run Pods nor lead to them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

from cozystack.apiserver.defaults.maps import Obj, at, fill

_RBAC: Final = "rbac.authorization.k8s.io"
_CPU_PERCENT: Final = 80


def _namespace(obj: Obj) -> None:
    if obj["metadata"].get("name"):
        at(obj["metadata"], "labels")["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    at(obj, "status").setdefault("phase", "Active")


def _secret(obj: Obj) -> None:
    obj.setdefault("type", "Opaque")
    texts = obj.pop("stringData", None)
    if texts:
        data = at(obj, "data")
        for name, text in texts.items():
            data[name] = base64.b64encode(str(text).encode()).decode()


def _node(obj: Obj) -> None:
    status = at(obj, "status")
    if "capacity" in status:
        status.setdefault("allocatable", dict(status["capacity"]))


def _limit_range(obj: Obj) -> None:
    for item in at(obj, "spec").get("limits") or ():
        if item.get("type") != "Container":
            continue
        default, request = dict(item.get("default") or {}), dict(item.get("defaultRequest") or {})
        default = {**(item.get("max") or {}), **default}
        request = {**(item.get("min") or {}), **default, **request}
        item |= {name: amounts for name, amounts in (("default", default), ("defaultRequest", request)) if amounts}


def _claim(obj: Obj) -> None:
    at(obj, "spec").setdefault("volumeMode", "Filesystem")
    at(obj, "status").setdefault("phase", "Pending")


def _volume(obj: Obj) -> None:
    spec = at(obj, "spec")
    fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    if isinstance(spec.get("hostPath"), dict):
        spec["hostPath"].setdefault("type", "")
    at(obj, "status").setdefault("phase", "Pending")


def _storage_class(obj: Obj) -> None:
    fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _csi_driver(obj: Obj) -> None:
    spec = at(obj, "spec")
    fill(spec, attachRequired=True, fsGroupPolicy="ReadWriteOnceWithFSType", volumeLifecycleModes=["Persistent"])
    for name in ("podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount", "preventPodSchedulingIfMissing"):
        spec.setdefault(name, False)


def _priority_class(obj: Obj) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _autoscaler(obj: Obj) -> None:
    spec = at(obj, "spec")
    spec.setdefault("minReplicas", 1)
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": _CPU_PERCENT}}
    spec.setdefault("metrics", [{"type": "Resource", "resource": resource}])
    if spec.get("behavior") is not None:
        percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
        pods = {"type": "Pods", "value": 4, "periodSeconds": 15}
        up, down = at(spec["behavior"], "scaleUp"), at(spec["behavior"], "scaleDown")
        fill(up, stabilizationWindowSeconds=0, selectPolicy="Max", policies=[pods, percent])
        fill(down, selectPolicy="Max", policies=[dict(percent)])


def _crd(obj: Obj) -> None:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    spec.setdefault("conversion", {"strategy": "None"})
    names = at(spec, "names")
    if names.get("kind"):
        fill(names, singular=names["kind"].lower(), listKind=f"{names['kind']}List")


def _validating_webhooks(obj: Obj) -> None:
    for hook in obj.get("webhooks") or ():
        fill(hook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
        hook.setdefault("namespaceSelector", {})
        hook.setdefault("objectSelector", {})
        _rules(hook.get("rules"))
        service = (hook.get("clientConfig") or {}).get("service")
        if isinstance(service, dict):
            service.setdefault("port", 443)


def _mutating_webhooks(obj: Obj) -> None:
    _validating_webhooks(obj)
    for hook in obj.get("webhooks") or ():
        hook.setdefault("reinvocationPolicy", "Never")


def _rules(rules: Any) -> None:
    for rule in rules or ():
        rule.setdefault("scope", "*")


def _policy(obj: Obj) -> None:
    spec = at(obj, "spec")
    spec.setdefault("failurePolicy", "Fail")
    _match_resources(spec.get("matchConstraints"))


def _policy_binding(obj: Obj) -> None:
    _match_resources(at(obj, "spec").get("matchResources"))


def _match_resources(resources: Any) -> None:
    if not isinstance(resources, dict):
        return
    resources.setdefault("matchPolicy", "Equivalent")
    resources.setdefault("namespaceSelector", {})
    resources.setdefault("objectSelector", {})
    for name in ("resourceRules", "excludeResourceRules"):
        _rules(resources.get(name))


def _role_binding(obj: Obj) -> None:
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", _RBAC)
    reference = at(obj, "roleRef")
    if not reference.get("apiGroup"):
        reference["apiGroup"] = _RBAC


def _api_service(obj: Obj) -> None:
    service = at(obj, "spec").get("service")
    if isinstance(service, dict):
        service.setdefault("port", 443)


def _flow_schema(obj: Obj) -> None:
    spec = at(obj, "spec")
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def _priority_level(obj: Obj) -> None:
    spec = at(obj, "spec")
    if spec.get("exempt") is not None:
        fill(spec["exempt"], nominalConcurrencyShares=0, lendablePercent=0)
    limited = spec.get("limited")
    if limited is not None:
        fill(limited, nominalConcurrencyShares=30, lendablePercent=0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for name, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
                queuing[name] = queuing.get(name) or value


def _resource_claim(obj: Obj) -> None:
    _devices(at(obj, "spec"))


def _resource_claim_template(obj: Obj) -> None:
    _devices(at(at(obj, "spec"), "spec"))


def _devices(spec: Obj) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        exact = [request["exactly"]] if request.get("exactly") is not None else []
        for wanted in [*exact, *(request.get("firstAvailable") or ())]:
            if not wanted.get("allocationMode"):
                wanted["allocationMode"] = "ExactCount"
            if wanted["allocationMode"] == "ExactCount" and not wanted.get("count"):
                wanted["count"] = 1


_ADMISSION: Final = "admissionregistration.k8s.io"
BY_KIND: Final[dict[tuple[str, str], Callable[[Obj], None]]] = {
    ("", "Namespace"): _namespace,
    ("", "Secret"): _secret,
    ("", "Node"): _node,
    ("", "LimitRange"): _limit_range,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("storage.k8s.io", "CSIDriver"): _csi_driver,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _validating_webhooks,
    (_ADMISSION, "MutatingWebhookConfiguration"): _mutating_webhooks,
    (_ADMISSION, "ValidatingAdmissionPolicy"): _policy,
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): _policy_binding,
    (_ADMISSION, "MutatingAdmissionPolicy"): _policy,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): _policy_binding,
    (_RBAC, "RoleBinding"): _role_binding,
    (_RBAC, "ClusterRoleBinding"): _role_binding,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): _flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): _priority_level,
    ("resource.k8s.io", "ResourceClaim"): _resource_claim,
    ("resource.k8s.io", "ResourceClaimTemplate"): _resource_claim_template,
}
