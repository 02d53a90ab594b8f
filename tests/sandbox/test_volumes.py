"""Claims and volumes, from the claim to the end of the volume."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cozystack.api.time import format_time
from cozystack.apiserver.patch import merge_patch
from cozystack.sandbox.controllers import status_patch
from cozystack.sandbox.workloads.actions import Action, Create, Delete, Note, Obj, Patch, Status, is_deleting
from cozystack.sandbox.workloads.volumes import claims_of, reconcile_claim, reconcile_volume, storage_class

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Store:
    """Claims and volumes, with a class or several, and the Pods that use the claims."""

    def __init__(self, *classes: Obj) -> None:
        self.classes = list(classes)
        self.objects: dict[tuple[str, str], Obj] = {}
        self.pods: list[Obj] = []
        self.told: list[str] = []

    def add(self, item: Obj) -> Obj:
        meta = item["metadata"]
        meta |= {"uid": f"uid-{meta['name']}", "resourceVersion": "1"}
        self.objects[item["kind"], meta["name"]] = item
        return item

    def delete(self, kind: str, name: str) -> None:
        item = self.objects[kind, name]
        item["metadata"]["deletionTimestamp"] = format_time(NOW)
        self._forget(item)

    def settle(self) -> None:
        for _ in range(20):
            volumes = {name: item for (kind, name), item in self.objects.items() if kind == "PersistentVolume"}
            actions: list[Action] = []
            for (kind, name), item in list(self.objects.items()):
                if kind == "PersistentVolumeClaim":
                    using = [pod for pod in self.pods if name in claims_of(pod)]
                    actions += reconcile_claim(item, self.classes, volumes, using, NOW)
                else:
                    reference = item["spec"].get("claimRef") or {}
                    actions += reconcile_volume(
                        item, self.objects.get(("PersistentVolumeClaim", reference.get("name", ""))), NOW
                    )
            for action in actions:
                self._carry_out(action)
            if not [action for action in actions if not isinstance(action, Note)]:
                return
        raise AssertionError("not settled")

    def _carry_out(self, action: Action) -> None:
        match action:
            case Create(object=item, told=told):
                self.add(item)
                self.told += [f"{told.reason}: {told.message}"] if told is not None else []
            case Patch(kind=kind, name=name, patch=patch):
                live = self.objects[kind, name]
                live |= {key: merge_patch(live.get(key, {}), value) for key, value in patch.items()}
                self._forget(live)
            case Status(kind=kind, name=name):
                live = self.objects[kind, name]
                live |= {key: merge_patch(live.get(key, {}), value) for key, value in status_patch(action).items()}
            case Delete(kind=kind, name=name):
                self.delete(kind, name)
            case Note(reason=reason, message=message):
                if f"{reason}: {message}" not in self.told:
                    self.told.append(f"{reason}: {message}")

    def _forget(self, item: Obj) -> None:
        if is_deleting(item) and not item["metadata"].get("finalizers"):
            self.objects.pop((item["kind"], item["metadata"]["name"]), None)

    def phases(self) -> dict[str, str]:
        return {name: item.get("status", {}).get("phase", "") for (_, name), item in self.objects.items()}


def claim(name: str = "data", **spec: Any) -> Obj:
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "ns"}, "spec": asked}


def volume(name: str, size: str = "2Gi", **spec: Any) -> Obj:
    made = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "storageClassName": "hand", **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": made}


def a_class(name: str, **fields: Any) -> Obj:
    return {"metadata": {"name": name}, "provisioner": f"example.org/{name}", **fields}


def user_of(name: str, phase: str = "Running") -> Obj:
    spec = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]}
    return {"metadata": {"name": "pod", "namespace": "ns"}, "spec": spec, "status": {"phase": phase}}


def test_a_claim_gets_the_default_class_and_a_volume_made_for_it() -> None:
    store = Store(a_class("other"), storage_class())
    made = store.add(claim())
    store.settle()
    assert store.phases() == {"data": "Bound", "pvc-uid-data": "Bound"}
    assert (made["spec"]["storageClassName"], made["spec"]["volumeName"]) == ("standard", "pvc-uid-data")
    assert made["status"]["capacity"] == {"storage": "1Gi"}
    assert store.objects["PersistentVolume", "pvc-uid-data"]["spec"]["claimRef"]["uid"] == "uid-data"
    assert store.told == [
        'Provisioning: External provisioner is provisioning volume for claim "ns/data"',
        "ProvisioningSucceeded: Successfully provisioned volume pvc-uid-data",
    ]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({}, "FailedBinding: no persistent volumes available for this claim and no storage class is set"),
        (
            {"storageClassName": ""},
            "FailedBinding: no persistent volumes available for this claim and no storage class is set",
        ),
        ({"storageClassName": "nowhere"}, 'ProvisioningFailed: storageclass.storage.k8s.io "nowhere" not found'),
        (
            {"storageClassName": "hand"},
            "FailedBinding: no persistent volumes available for this claim: those of this class are made by hand",
        ),
        ({"storageClassName": "late"}, "WaitForFirstConsumer: waiting for first consumer to be created before binding"),
    ],
)
def test_a_claim_that_cannot_be_bound_says_what_it_waits_for(spec: Obj, why: str) -> None:
    store = Store(a_class("late", volumeBindingMode="WaitForFirstConsumer"), {**a_class("hand"), "provisioner": NO_ONE})
    store.add(claim(**spec))
    store.settle()
    assert (store.phases(), store.told) == ({"data": "Pending"}, [why])


NO_ONE = "kubernetes.io/no-provisioner"


def test_a_claim_that_waits_for_a_pod_is_bound_when_there_is_one() -> None:
    store = Store(a_class("late", volumeBindingMode="WaitForFirstConsumer"))
    made = store.add(claim(storageClassName="late"))
    store.settle()
    store.pods.append(user_of("data", "Pending"))
    store.settle()
    assert made["status"]["phase"] == "Bound"
    assert made["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "sandbox"


def test_a_claim_takes_the_smallest_volume_that_fits() -> None:
    store = Store({**a_class("hand"), "provisioner": NO_ONE})
    for name, size in (("small", "100Mi"), ("large", "1Ti"), ("middle", "2Gi")):
        store.add(volume(name, size))
    store.add(volume("block", "2Gi", volumeMode="Block"))
    store.add(volume("other", "2Gi", storageClassName="other"))
    made = store.add(claim(storageClassName="hand"))
    store.settle()
    assert (made["spec"]["volumeName"], made["status"]["capacity"]) == ("middle", {"storage": "2Gi"})
    assert store.phases()["small"] == store.phases()["large"] == "Available"


def test_a_volume_that_is_kept_for_a_claim_goes_to_it() -> None:
    store = Store(storage_class())
    store.add(volume("kept", "5Gi", claimRef={"namespace": "ns", "name": "data"}))
    made = store.add(claim(storageClassName="hand"))
    store.settle()
    assert (made["spec"]["volumeName"], store.phases()["kept"]) == ("kept", "Bound")


def test_a_claim_that_names_a_volume_waits_for_that_one() -> None:
    store = Store(storage_class())
    made = store.add(claim(storageClassName="hand", volumeName="mine"))
    store.settle()
    assert made["status"]["phase"] == "Pending"
    store.add(volume("mine"))
    store.settle()
    assert store.phases() == {"data": "Bound", "mine": "Bound"}


def test_a_claim_does_not_go_while_a_pod_uses_it() -> None:
    store = Store(storage_class())
    store.add(claim())
    store.pods.append(user_of("data"))
    store.settle()
    store.delete("PersistentVolumeClaim", "data")
    store.settle()
    assert "data" in store.phases()
    store.pods[0]["status"]["phase"] = "Succeeded"
    store.settle()
    assert store.phases() == {}


@pytest.mark.parametrize(("policy", "left"), [("Delete", {}), ("Retain", {"pvc-uid-data": "Released"})])
def test_a_volume_goes_with_its_claim_or_stays_as_its_class_says(policy: str, left: dict[str, str]) -> None:
    store = Store({**a_class("some"), "reclaimPolicy": policy})
    store.add(claim(storageClassName="some"))
    store.settle()
    store.delete("PersistentVolumeClaim", "data")
    store.settle()
    assert store.phases() == left


def test_a_volume_does_not_go_while_it_is_bound_and_a_claim_may_lose_it() -> None:
    store = Store(storage_class())
    made = store.add(claim())
    store.settle()
    store.delete("PersistentVolume", "pvc-uid-data")
    store.settle()
    assert "pvc-uid-data" in store.phases()
    del store.objects["PersistentVolume", "pvc-uid-data"]
    store.settle()
    assert made["status"]["phase"] == "Lost"
    assert store.told[-1] == "ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!"


def test_a_claim_grows_with_its_volume() -> None:
    store = Store(storage_class())
    made = store.add(claim())
    store.settle()
    made["spec"]["resources"]["requests"]["storage"] = "4Gi"
    store.settle()
    capacities = [item["spec"]["capacity"] for (kind, _), item in store.objects.items() if kind == "PersistentVolume"]
    assert (made["status"]["capacity"], capacities) == ({"storage": "4Gi"}, [{"storage": "4Gi"}])
