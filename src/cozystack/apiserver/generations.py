"""``metadata.generation``: which kinds have one, and what makes it grow."""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver.fields.sets import same
from cozystack.apiserver.resources import ResourceInfo

Obj = dict[str, Any]

_BUILTIN: Final = frozenset(
    {
        ("", "Pod"),
        ("", "PodTemplate"),
        ("", "ReplicationController"),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("batch", "CronJob"),
        ("batch", "Job"),
        ("discovery.k8s.io", "EndpointSlice"),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
        ("networking.k8s.io", "Ingress"),
        ("networking.k8s.io", "IngressClass"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("policy", "PodDisruptionBudget"),
        ("resource.k8s.io", "DeviceClass"),
        ("resource.k8s.io", "ResourceSlice"),
        ("scheduling.k8s.io", "PriorityClass"),
    }
)
_OUTSIDE: Final = frozenset(("apiVersion", "kind", "metadata"))


def has_generation(info: ResourceInfo) -> bool:
    return info.custom or (info.group, info.kind) in _BUILTIN


def is_new_generation(info: ResourceInfo, before: Obj, after: Obj) -> bool:
    """Whether what the object asks for has changed: anything but its metadata and its status."""
    outside = _OUTSIDE if info.custom and not info.has_status else _OUTSIDE | {"status"}
    for name in before.keys() | after.keys():
        if name not in outside and not same(before.get(name), after.get(name)):
            return True
    if (info.group, info.kind) == ("apps", "Deployment"):
        return bool(before["metadata"].get("annotations") != after["metadata"].get("annotations"))
    return False
