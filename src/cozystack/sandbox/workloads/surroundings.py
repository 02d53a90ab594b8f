"""What else a workload finds in a cluster: bound volumes, addresses of load balancers, aggregated APIs that answer.

All of it is simulated, and says so in its messages.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

from cozystack.api.time import format_time
from cozystack.sandbox.workloads.actions import Action, Create, Note, Obj, Patch, is_deleting, status_action

STORAGE_CLASS: Final = "standard"
_IS_DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"
_PROVISIONER: Final = "sandbox.cozystack.io/simulated"


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


def default_class(classes: list[Obj]) -> str:
    """The class that claims get: of those that are marked as the default, the newest."""
    marked = [item for item in classes if item["metadata"].get("annotations", {}).get(_IS_DEFAULT) == "true"]
    newest = max(
        marked, key=lambda item: (item["metadata"].get("creationTimestamp", ""), item["metadata"]["name"]), default=None
    )
    return str(newest["metadata"]["name"]) if newest is not None else ""


def reconcile_claim(claim: Obj, classes: list[Obj], now: datetime) -> list[Action]:
    """A claim is bound to a volume made for it, and is as large as it asks for.

    One that names no class gets the default one, and waits where there is none.
    """
    if is_deleting(claim):
        return []
    meta, spec = claim["metadata"], claim["spec"]
    if claim.get("status", {}).get("phase") == "Bound":
        wanted = spec.get("resources", {}).get("requests", {}).get("storage")
        if not wanted or claim["status"].get("capacity", {}).get("storage") == wanted:
            return []
        capacity = {"storage": wanted}
        grown = Patch("PersistentVolume", "", spec["volumeName"], {"spec": {"capacity": capacity}})
        return [grown, *status_action(claim, {"capacity": capacity})]
    if "storageClassName" not in spec and not spec.get("volumeName"):
        name = default_class(classes)
        if not name:
            text = "no persistent volumes available for this claim and no storage class is set"
            return [Note(claim, "persistentvolume-controller", "FailedBinding", text)]
        return [Patch("PersistentVolumeClaim", meta["namespace"], meta["name"], {"spec": {"storageClassName": name}})]
    name = spec.get("volumeName") or f"pvc-{meta['uid']}"
    capacity = {"storage": spec.get("resources", {}).get("requests", {}).get("storage", "1Gi")}
    modes = spec.get("accessModes", ["ReadWriteOnce"])
    volume: Obj = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": _PROVISIONER}},
        "spec": {
            "capacity": capacity,
            "accessModes": modes,
            "persistentVolumeReclaimPolicy": "Delete",
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "storageClassName": spec.get("storageClassName", ""),
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
            },
            "hostPath": {"path": f"/simulated/{name}"},
        },
        "status": {"phase": "Bound"},
    }
    actions: list[Action] = [] if spec.get("volumeName") else [Create(volume)]
    if not spec.get("volumeName"):
        actions.append(Patch("PersistentVolumeClaim", meta["namespace"], meta["name"], {"spec": {"volumeName": name}}))
        text = f"Successfully provisioned volume {name}"
        actions.append(Note(claim, _PROVISIONER, "ProvisioningSucceeded", text))
    return actions + status_action(claim, {"phase": "Bound", "accessModes": modes, "capacity": capacity})


def reconcile_service(service: Obj, now: datetime) -> list[Action]:
    """A load balancer gets an address out of the range that is kept for documentation (RFC 5737)."""
    if is_deleting(service) or service["spec"].get("type") != "LoadBalancer":
        return []
    if service.get("status", {}).get("loadBalancer", {}).get("ingress"):
        return []
    digest = hashlib.sha256(service["metadata"]["uid"].encode()).digest()
    address = service["spec"].get("loadBalancerIP") or f"203.0.113.{digest[0] % 254 + 1}"
    return status_action(service, {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}})


def reconcile_api_service(item: Obj, now: datetime) -> list[Action]:
    """An aggregated API whose Pods are simulated counts as available."""
    if is_deleting(item):
        return []
    conditions = item.get("status", {}).get("conditions", ())
    if any(c["type"] == "Available" and c["status"] == "True" for c in conditions):
        return []
    available: Obj = {
        "type": "Available",
        "status": "True",
        "reason": "Simulated",
        "message": "the Pods behind this API are simulated; it counts as available",
        "lastTransitionTime": format_time(now),
    }
    return status_action(item, {"conditions": [available]})


def node(version: str) -> Obj:
    """The one node of the sandbox, without its status."""
    from cozystack.sandbox.workloads.sets import NODE_LABELS

    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE_LABELS["kubernetes.io/hostname"],
            "labels": dict(NODE_LABELS),
            "annotations": {"sandbox.cozystack.io/kubelet": f"stand-in, {version}"},
        },
    }


def node_status(now: datetime, version: str) -> Obj:
    stamp = format_time(now)
    resources = {"cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti"}
    return {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": "sandbox"}],
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Simulated",
                "message": "the sandbox runs on this machine; most Pods are simulated",
                "lastHeartbeatTime": stamp,
                "lastTransitionTime": stamp,
            }
        ],
        "nodeInfo": {
            "kubeletVersion": version,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
            "osImage": "Cozystack sandbox",
            "kernelVersion": "",
            "containerRuntimeVersion": "sandbox://1",
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
    }
