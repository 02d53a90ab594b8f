"""What a write to a resource or to its status leaves as it is, whatever it says: the strategies of Kubernetes, as tables."""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver.fields import NO_RESETS, Resets
from cozystack.apiserver.resources import ResourceInfo

Obj = dict[str, Any]

_STATUS: Final = Resets({"f:status": {}})
_ALL_BUT_STATUS: Final = Resets({"f:apiVersion": {}, "f:kind": {}, "f:metadata": {}, "f:spec": {}})
_SPEC: Final = Resets({"f:spec": {}})
_SPEC_AND_METADATA: Final = Resets({"f:metadata": {}, "f:spec": {}})
# The status of most built-in kinds comes with any metadata.
_OF_STATUS: Final[dict[tuple[str, str], Resets]] = {
    ("", "Pod"): Resets({"f:spec": {}, "f:metadata": {"f:deletionTimestamp": {}, "f:ownerReferences": {}}}),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): _SPEC_AND_METADATA,
    ("apiregistration.k8s.io", "APIService"): _SPEC_AND_METADATA,
    ("apps", "Deployment"): Resets({"f:spec": {}, "f:metadata": {"f:labels": {}}}),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): _SPEC_AND_METADATA,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): _SPEC_AND_METADATA,
    ("networking.k8s.io", "ServiceCIDR"): _SPEC_AND_METADATA,
    ("resource.k8s.io", "ResourceClaim"): _SPEC_AND_METADATA,
    ("storage.k8s.io", "VolumeAttachment"): _SPEC_AND_METADATA,
}


def resets(info: ResourceInfo, subresource: str) -> Resets:
    """What a write to ``subresource`` (empty: to the object itself) never owns."""
    if subresource == "status":
        return _ALL_BUT_STATUS if info.custom else _OF_STATUS.get((info.group, info.kind), _SPEC)
    return _STATUS if info.has_status else NO_RESETS


def with_status_of(info: ResourceInfo, before: Obj, new: Obj) -> Obj:
    """``before`` as a write of ``new`` to its status leaves it."""
    kept = {**before, "metadata": _metadata_of_status(info, before["metadata"], new["metadata"])}
    if "status" in new:
        kept["status"] = new["status"]
    else:
        kept.pop("status", None)
    return kept


def _metadata_of_status(info: ResourceInfo, before: Obj, new: Obj) -> Obj:
    reset = resets(info, "status").fields.get("f:metadata")
    if reset is None:
        return new
    names = {element.removeprefix("f:") for element in reset} or before.keys() | new.keys()
    metadata = dict(new)
    for name in names - {"managedFields", "resourceVersion"}:
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)
    return metadata
