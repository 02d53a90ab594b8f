"""Classes that are the default, finalizers that keep what is used, and sizes of claims."""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver.plugins.write import Write
from cozystack.apiserver.quantities import quantity

Obj = dict[str, Any]

_FINALIZERS: Final = {
    "PersistentVolumeClaim": "kubernetes.io/pvc-protection",
    "PersistentVolume": "kubernetes.io/pv-protection",
    "VolumeAttributesClass": "kubernetes.io/vac-protection",
}
_CLASSES: Final = "storage.k8s.io/storageclasses"
_DEFAULT_MARKS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_OLD_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_INGRESS_CLASSES: Final = "networking.k8s.io/ingressclasses"
_INGRESS_MARK: Final = "ingressclass.kubernetes.io/is-default-class"


def protect(write: Write) -> None:
    """It does not go while it is used."""
    if write.is_new and not write.subresource:
        metadata = write.obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        mark = _FINALIZERS[write.info.kind]
        if mark not in finalizers:
            metadata["finalizers"] = [*finalizers, mark]


def give_class(write: Write) -> None:
    """A claim without a class gets the newest of those that are the default."""
    spec = write.obj["spec"]
    annotations = write.obj["metadata"].get("annotations") or {}
    if not write.is_new or write.subresource or "storageClassName" in spec or _OLD_CLASS in annotations:
        return
    defaults = [each.object for each in write.storage.objects(_CLASSES) if _is_default(each.object, *_DEFAULT_MARKS)]
    if defaults:
        newest = max(each["metadata"]["creationTimestamp"] for each in defaults)
        names = [each["metadata"]["name"] for each in defaults if each["metadata"]["creationTimestamp"] == newest]
        spec["storageClassName"] = min(names)


def give_ingress_class(write: Write) -> None:
    """The same for an Ingress."""
    spec = write.obj.setdefault("spec", {})
    annotations = write.obj["metadata"].get("annotations") or {}
    if not write.is_new or write.subresource or "ingressClassName" in spec or "kubernetes.io/ingress.class" in annotations:
        return
    defaults = [each.object for each in write.storage.objects(_INGRESS_CLASSES) if _is_default(each.object, _INGRESS_MARK)]
    if defaults:
        newest = max(each["metadata"]["creationTimestamp"] for each in defaults)
        names = [each["metadata"]["name"] for each in defaults if each["metadata"]["creationTimestamp"] == newest]
        spec["ingressClassName"] = min(names)


def _is_default(obj: Obj, *marks: str) -> bool:
    annotations = obj["metadata"].get("annotations") or {}
    return any(annotations.get(mark) == "true" for mark in marks)


def judge_size(write: Write) -> None:
    """A claim grows only where its class lets it."""
    if write.old is None or write.subresource:
        return
    if _size(write.obj) <= _size(write.old):
        return
    if (write.old.get("status") or {}).get("phase") != "Bound":
        raise write.forbidden("Only bound persistent volume claims can be expanded")
    name = write.obj["spec"].get("storageClassName", "")
    found = write.found(_CLASSES, name, everywhere=True) if name else None
    if found is None or not found.get("allowVolumeExpansion"):
        why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
        raise write.forbidden(why)


def _size(obj: Obj) -> Any:
    return quantity((((obj.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage", "0")).number
