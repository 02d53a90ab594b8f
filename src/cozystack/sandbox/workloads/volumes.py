"""Claims and volumes: a claim is bound to a volume that fits, or to one that is made for it.

Every storage class counts as one whose driver is there, whatever it is called; the volumes are simulated. What Kubernetes does
about them is done: a claim waits for its first Pod when its class says so, for a class that is not there, for a volume of a
class that nobody provisions; a claim that goes takes its volume along or leaves it released; neither goes while it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from cozystack.api.time import format_time
from cozystack.apiserver.admission.matching import selector_accepts
from cozystack.apiserver.quantities import quantity
from cozystack.sandbox.workloads.actions import (
    NODE,
    Action,
    Create,
    Note,
    Obj,
    Patch,
    changed_metadata,
    delete,
    has_ended,
    is_deleting,
    status_action,
    together,
)

STORAGE_CLASS: Final = "standard"
_IS_DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"
_PROVISIONER: Final = "sandbox.cozystack.io/simulated"
_BY_HAND: Final = "kubernetes.io/no-provisioner"
_COMPONENT: Final = "persistentvolume-controller"
_USED, _BOUND = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"
_COMPLETED, _CONTROLLER = "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"
_PROVISIONED, _STORAGE = "pv.kubernetes.io/provisioned-by", "volume.kubernetes.io/storage-provisioner"
_SELECTED: Final = "volume.kubernetes.io/selected-node"


def storage_class() -> Obj:
    """The class of claims that name none, where nobody has made another one the default."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "annotations": {_IS_DEFAULT: "true"}},
        "provisioner": _PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": True,
    }


def default_class(classes: Sequence[Obj]) -> str:
    """The class that claims get: of those that are marked as the default, the newest."""
    marked = [item for item in classes if item["metadata"].get("annotations", {}).get(_IS_DEFAULT) == "true"]
    newest = max(
        marked, key=lambda item: (item["metadata"].get("creationTimestamp", ""), item["metadata"]["name"]), default=None
    )
    return str(newest["metadata"]["name"]) if newest is not None else ""


def is_provisioned(claim: Obj, classes: Sequence[Obj]) -> bool:
    """Whether somebody will make a volume for a claim: its class is there, and is not for volumes made by hand."""
    name = claim["spec"].get("storageClassName", default_class(classes))
    return any(item["metadata"]["name"] == name and item.get("provisioner") != _BY_HAND for item in classes)


def claims_of(pod: Obj) -> list[str]:
    """Names of the claims that a Pod uses."""
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            names.append(str(volume["persistentVolumeClaim"].get("claimName")))
        elif "ephemeral" in volume:
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return names


def reconcile_claim(
    claim: Obj, classes: Sequence[Obj], volumes: Mapping[str, Obj], pods: Sequence[Obj], now: datetime
) -> list[Action]:
    """Actions for a claim, given all classes, all volumes by name, and the Pods of its namespace that use it."""
    using = [pod for pod in pods if not has_ended(pod)]
    if is_deleting(claim):
        return [] if using else _released_from(claim, _USED)
    return together([*_held_by(claim, _USED), *_claim_actions(claim, classes, volumes, using, now)])


def _claim_actions(
    claim: Obj, classes: Sequence[Obj], volumes: Mapping[str, Obj], using: Sequence[Obj], now: datetime
) -> list[Action]:
    if claim.get("status", {}).get("phase") in ("Bound", "Lost"):
        return _bound(claim, volumes)
    meta, spec = claim["metadata"], claim["spec"]
    pending = status_action(claim, {"phase": "Pending"})
    if spec.get("volumeName"):
        volume = volumes.get(spec["volumeName"])
        return _bind(claim, volume, now) if volume is not None else pending
    name = spec.get("storageClassName")
    if name is None and (name := default_class(classes)):
        classed = Patch("PersistentVolumeClaim", meta["namespace"], meta["name"], {"spec": {"storageClassName": name}})
        claim = {**claim, "spec": {**spec, "storageClassName": name}}
        return [classed, *_claim_actions(claim, classes, volumes, using, now)]
    volume = _fitting(claim, volumes)
    if volume is not None:
        return _bind(claim, volume, now)
    return [*_provisioned(claim, name or "", classes, using), *pending]


def reconcile_volume(volume: Obj, claim: Obj | None, now: datetime) -> list[Action]:
    """Actions for a volume, given the claim of the name that it is for."""
    reference = volume["spec"].get("claimRef")
    bound = reference is not None and claim is not None and claim["metadata"]["uid"] == reference.get("uid", "")
    if is_deleting(volume):
        return [] if bound else _released_from(volume, _BOUND)
    actions: list[Action] = _held_by(volume, _BOUND)
    if reference is None or not reference.get("uid"):
        return [*actions, *_phase(volume, "Available", now)]
    if bound:
        return [*actions, *_phase(volume, "Bound", now)]
    actions += _phase(volume, "Released", now)
    if volume["spec"].get("persistentVolumeReclaimPolicy", "Retain") == "Delete":
        actions.append(delete(volume))
    return actions


def _provisioned(claim: Obj, name: str, classes: Sequence[Obj], using: Sequence[Obj]) -> list[Action]:
    """A volume of the class ``name`` made for the claim, or what it waits for."""
    meta = claim["metadata"]
    if not name:
        text = "no persistent volumes available for this claim and no storage class is set"
        return [Note(claim, _COMPONENT, "FailedBinding", text)]
    found = next((item for item in classes if item["metadata"]["name"] == name), None)
    if found is None:
        text = f'storageclass.storage.k8s.io "{name}" not found'
        return [Note(claim, _COMPONENT, "ProvisioningFailed", text, warning=True)]
    if found.get("volumeBindingMode") == "WaitForFirstConsumer" and not using:
        text = "waiting for first consumer to be created before binding"
        return [Note(claim, _COMPONENT, "WaitForFirstConsumer", text)]
    provisioner = found.get("provisioner", "")
    if provisioner == _BY_HAND:
        text = "no persistent volumes available for this claim: those of this class are made by hand"
        return [Note(claim, _COMPONENT, "FailedBinding", text)]
    notes = {_STORAGE: provisioner}
    if found.get("volumeBindingMode") == "WaitForFirstConsumer":
        notes[_SELECTED] = NODE
    change = Patch("PersistentVolumeClaim", meta["namespace"], meta["name"], {"metadata": {"annotations": notes}})
    made = _volume(claim, found)
    text = f'External provisioner is provisioning volume for claim "{meta["namespace"]}/{meta["name"]}"'
    done = f"Successfully provisioned volume {made['metadata']['name']}"
    return [
        change,
        Note(claim, provisioner, "Provisioning", text),
        Create(made, Note(claim, provisioner, "ProvisioningSucceeded", done)),
    ]


def _volume(claim: Obj, storage: Obj) -> Obj:
    meta, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{meta['uid']}"
    volume: Obj = {
        "capacity": {"storage": _asked(claim)},
        "accessModes": spec.get("accessModes", ["ReadWriteOnce"]),
        "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy", "Delete"),
        "volumeMode": spec.get("volumeMode", "Filesystem"),
        "storageClassName": storage["metadata"]["name"],
        "claimRef": _reference(claim),
        "hostPath": {"path": f"/simulated/{name}"},
    }
    if storage.get("mountOptions"):
        volume["mountOptions"] = storage["mountOptions"]
    metadata = {"name": name, "annotations": {_PROVISIONED: storage.get("provisioner", "")}, "finalizers": [_BOUND]}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": volume}


def _fitting(claim: Obj, volumes: Mapping[str, Obj]) -> Obj | None:
    """The smallest volume that is as the claim wants it; one that is kept for this claim goes before all others."""
    meta, spec = claim["metadata"], claim["spec"]
    wanted, free = quantity(_asked(claim)).number, []
    for volume in volumes.values():
        reference, made = volume["spec"].get("claimRef"), volume["spec"]
        kept = reference is not None and (reference.get("namespace"), reference["name"]) == (meta["namespace"], meta["name"])
        if kept and reference.get("uid", "") in ("", meta["uid"]):
            return volume
        if reference is not None or is_deleting(volume):
            continue
        fits = (
            made.get("storageClassName", "") == spec.get("storageClassName", "")
            and set(spec.get("accessModes", ())) <= set(made.get("accessModes", ()))
            and made.get("volumeMode", "Filesystem") == spec.get("volumeMode", "Filesystem")
            and selector_accepts(spec.get("selector"), volume["metadata"].get("labels") or {})
        )
        size = quantity(made.get("capacity", {}).get("storage", "0")).number
        if fits and size >= wanted:
            free.append((size, volume["metadata"]["name"], volume))
    return min(free, key=lambda each: each[:2])[2] if free else None


def _bind(claim: Obj, volume: Obj, now: datetime) -> list[Action]:
    """Both sides of a binding: each says whom it is bound to, then that it is."""
    meta, spec, made = claim["metadata"], claim["spec"], volume["spec"]
    name, reference = volume["metadata"]["name"], made.get("claimRef")
    if reference is not None and reference.get("uid", "") not in ("", meta["uid"]):
        return status_action(claim, {"phase": "Pending"})
    if reference is not None and (reference.get("namespace"), reference.get("name")) != (meta["namespace"], meta["name"]):
        return status_action(claim, {"phase": "Pending"})
    actions: list[Action] = []
    if reference is None or not reference.get("uid"):
        change: Obj = {"spec": {"claimRef": _reference(claim)}}
        if reference is None:
            change["metadata"] = {"annotations": {_CONTROLLER: "yes"}}
        actions.append(Patch("PersistentVolume", "", name, change))
    if spec.get("volumeName") != name or _COMPLETED not in meta.get("annotations", {}):
        notes = {_COMPLETED: "yes", **({_CONTROLLER: "yes"} if not spec.get("volumeName") else {})}
        claimed = {"metadata": {"annotations": notes}, "spec": {"volumeName": name}}
        actions.append(Patch("PersistentVolumeClaim", meta["namespace"], meta["name"], claimed))
    status = {"phase": "Bound", "accessModes": made.get("accessModes"), "capacity": made.get("capacity")}
    return [*actions, *status_action(claim, status)]


def _bound(claim: Obj, volumes: Mapping[str, Obj]) -> list[Action]:
    """A bound claim whose volume is gone has lost it; one that asks for more gets it."""
    spec = claim["spec"]
    volume = volumes.get(spec.get("volumeName", ""))
    if volume is None:
        if claim["status"]["phase"] == "Lost":
            return []
        text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        return [Note(claim, _COMPONENT, "ClaimLost", text, warning=True), *status_action(claim, {"phase": "Lost"})]
    capacity = claim["status"].get("capacity", {}).get("storage", "0")
    wanted = _asked(claim)
    if quantity(wanted).number <= quantity(capacity).number:
        return []
    actions: list[Action] = []
    if volume["spec"].get("capacity", {}).get("storage") != wanted:
        actions.append(Patch("PersistentVolume", "", spec["volumeName"], {"spec": {"capacity": {"storage": wanted}}}))
    text = "MountVolume.NodeExpandVolume succeeded for volume " + f'"{spec["volumeName"]}"'
    actions.append(Note(claim, "kubelet", "FileSystemResizeSuccessful", text))
    return [*actions, *status_action(claim, {"capacity": {"storage": wanted}})]


def _reference(claim: Obj) -> Obj:
    meta = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "name": meta["name"],
        "namespace": meta["namespace"],
        "uid": meta["uid"],
    }


def _asked(claim: Obj) -> str:
    return str(claim["spec"].get("resources", {}).get("requests", {}).get("storage", "1Gi"))


def _phase(volume: Obj, phase: str, now: datetime) -> list[Action]:
    if volume.get("status", {}).get("phase") == phase:
        return []
    return status_action(volume, {"phase": phase, "lastPhaseTransitionTime": format_time(now)})


def _held_by(item: Obj, finalizer: str) -> list[Action]:
    held = item["metadata"].get("finalizers", [])
    return [] if finalizer in held else [changed_metadata(item, finalizers=[*held, finalizer])]


def _released_from(item: Obj, finalizer: str) -> list[Action]:
    held = item["metadata"].get("finalizers", [])
    left = [each for each in held if each != finalizer]
    return [changed_metadata(item, finalizers=left or None)] if finalizer in held else []
