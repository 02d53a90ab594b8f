"""What a deletion does to an object: nothing but its end, or a mark that finalizers and grace periods wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cozystack.apiserver import crds, errors
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.storage import Stored

Obj = dict[str, Any]

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
_MARKS: Final = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN], "Background": []}
_POD_GRACE: Final = 30


# The deletion of these is answered with what they were, that of others with a success.
_RETURNED: Final = frozenset(
    {
        ("", "Namespace"),
        ("", "PersistentVolume"),
        ("", "PersistentVolumeClaim"),
        ("", "Pod"),
        ("", "PodTemplate"),
        ("", "ResourceQuota"),
        ("", "Service"),
        ("", "ServiceAccount"),
        ("resource.k8s.io", "DeviceClass"),
        ("resource.k8s.io", "ResourceClaim"),
        ("resource.k8s.io", "ResourceClaimTemplate"),
        ("resource.k8s.io", "ResourceSlice"),
        ("storage.k8s.io", "CSIDriver"),
        ("storage.k8s.io", "CSINode"),
        ("storage.k8s.io", "StorageClass"),
        ("storage.k8s.io", "VolumeAttachment"),
        ("storage.k8s.io", "VolumeAttributesClass"),
    }
)


def is_returned(info: ResourceInfo) -> bool:
    """Whether an object that is gone is the answer to its deletion."""
    return (info.group, info.kind) in _RETURNED


@dataclass(slots=True)
class DeleteOptions:
    """How to delete. ``propagation``: Foreground, Background, Orphan, or nothing for what the finalizers of the object say;
    ``grace`` in seconds; ``uid`` and ``resource_version`` are what the object must have."""

    propagation: str = ""
    grace: int | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def check_preconditions(info: ResourceInfo, old: Stored, options: DeleteOptions) -> None:
    """Raises ``ApiError`` when the object is not the one that was meant."""
    uid = old.object["metadata"]["uid"]
    why = ""
    if options.uid and options.uid != uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
    elif options.resource_version and options.resource_version != str(old.version):
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in "
            f"record ({old.version}). The object might have been modified"
        )
    if why:
        raise errors.conflict(info.kind, info.group, old.name, why)


def marked(info: ResourceInfo, old: Obj, options: DeleteOptions, now: str) -> Obj | None:
    """The object with its deletion noted; ``old`` itself when that is so already, nothing when it may go at once."""
    metadata = old["metadata"]
    before = metadata.get("finalizers") or []
    marks = _MARKS.get(options.propagation)
    if marks is None:
        marks = [finalizer for finalizer in before if finalizer in (FOREGROUND, ORPHAN)]
    finalizers = [finalizer for finalizer in before if finalizer not in (FOREGROUND, ORPHAN)]
    if crds.is_crd(info) and crds.FINALIZER not in finalizers and crds.established(old):
        finalizers.append(crds.FINALIZER)
    finalizers += marks
    grace = _grace(info, old, options)
    if not finalizers and grace == 0 and not held_namespace(info, old):
        return None
    dying = "deletionTimestamp" in metadata
    if dying:
        grace = min(grace, metadata.get("deletionGracePeriodSeconds", grace))
        if sorted(finalizers) == sorted(before) and grace == metadata.get("deletionGracePeriodSeconds"):
            return old
    noted = {**metadata, "deletionGracePeriodSeconds": grace, "finalizers": finalizers}
    if not finalizers:
        del noted["finalizers"]
    if not dying:
        noted["deletionTimestamp"] = now
        if "generation" in metadata:
            noted["generation"] = metadata["generation"] + 1
    new = {**old, "metadata": noted}
    if _is(info, "Namespace"):
        new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
    if crds.is_crd(info):
        new["status"] = crds.terminating(old.get("status") or {}, now)
    return new


def is_free(info: ResourceInfo, obj: Obj) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata = obj["metadata"]
    if metadata.get("finalizers") or held_namespace(info, obj):
        return False
    return not (_is(info, "Pod") and metadata.get("deletionGracePeriodSeconds", 0) > 0)


def held_namespace(info: ResourceInfo, obj: Obj) -> bool:
    """Whether the object is a namespace with a finalizer of its own, in its spec."""
    return _is(info, "Namespace") and bool((obj.get("spec") or {}).get("finalizers"))


def _grace(info: ResourceInfo, old: Obj, options: DeleteOptions) -> int:
    """Seconds that a Pod has left; anything else goes at once, and so does a Pod that nobody runs."""
    if not _is(info, "Pod"):
        return 0
    spec, status = old.get("spec") or {}, old.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    asked = options.grace if options.grace is not None else spec.get("terminationGracePeriodSeconds", _POD_GRACE)
    return max(0, int(asked))


def _is(info: ResourceInfo, kind: str) -> bool:
    return info.group == "" and info.kind == kind
