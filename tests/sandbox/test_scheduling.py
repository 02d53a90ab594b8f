"""Which Pods the one node takes, and what the others are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cozystack.sandbox.workloads.actions import Bind, Note, Obj, Status
from cozystack.sandbox.workloads.scheduling import NODE_LABELS, reconcile_unbound, refused
from cozystack.sandbox.workloads.volumes import storage_class

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MISMATCH = "node(s) didn't match Pod's node affinity/selector"


def node(labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "sandbox", "labels": {**NODE_LABELS, **(labels or {})}}, "spec": spec}


def pod(**spec: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "ns", "uid": "u"}, "spec": spec}


def affinity(*expressions: Obj, **more: Any) -> Obj:
    terms = [{"matchExpressions": list(expressions), **more}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def rule(key: str, operator: str, *values: str) -> Obj:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "place", "why"),
    [
        ({}, node(), ""),
        ({"nodeSelector": {"kubernetes.io/os": "linux"}}, node(), ""),
        ({"nodeSelector": {"disk": "ssd"}}, node(), MISMATCH),
        ({"nodeSelector": {"disk": "ssd"}}, node({"disk": "ssd"}), ""),
        ({"affinity": affinity(rule("disk", "In", "ssd", "nvme"))}, node({"disk": "nvme"}), ""),
        ({"affinity": affinity(rule("disk", "In", "ssd"))}, node(), MISMATCH),
        ({"affinity": affinity(rule("disk", "NotIn", "ssd"))}, node(), ""),
        ({"affinity": affinity(rule("disk", "Exists"))}, node(), MISMATCH),
        ({"affinity": affinity(rule("disk", "DoesNotExist"))}, node(), ""),
        ({"affinity": affinity(rule("cpus", "Gt", "4"))}, node({"cpus": "8"}), ""),
        ({"affinity": affinity(rule("cpus", "Lt", "4"))}, node({"cpus": "8"}), MISMATCH),
        ({"affinity": affinity(rule("cpus", "Gt", "many"))}, node({"cpus": "8"}), MISMATCH),
        ({"affinity": affinity()}, node(), MISMATCH),
        ({"affinity": affinity(matchFields=[rule("metadata.name", "In", "other")])}, node(), MISMATCH),
        ({}, node(unschedulable=True), "node(s) were unschedulable"),
        ({}, node(taints=[TAINT]), "node(s) had untolerated taint(s)"),
        ({}, node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), ""),
        ({"tolerations": [{"key": "dedicated", "value": "db"}]}, node(taints=[TAINT]), ""),
        ({"tolerations": [{"key": "dedicated", "value": "web"}]}, node(taints=[TAINT]), "node(s) had untolerated taint(s)"),
        ({"tolerations": [{"operator": "Exists"}]}, node(unschedulable=True, taints=[TAINT]), ""),
    ],
)
def test_a_node_takes_what_fits(spec: Obj, place: Obj, why: str) -> None:
    assert refused(spec, place) == why


def test_a_pod_that_fits_is_bound_and_that_is_told() -> None:
    bind, note = reconcile_unbound(pod(), [node()], {}, [], NOW)
    assert bind == Bind("ns", "a", "sandbox")
    assert isinstance(note, Note)
    assert (note.component, note.reason, note.message) == (
        "default-scheduler",
        "Scheduled",
        "Successfully assigned ns/a to sandbox",
    )


def test_a_pod_that_does_not_fit_waits_and_says_why_once() -> None:
    waiting = pod(nodeSelector={"disk": "ssd"})
    note, status = reconcile_unbound(waiting, [node()], {}, [], NOW)
    assert isinstance(note, Note)
    assert isinstance(status, Status)
    none = "0/1 nodes are available: 1"
    said = f"{none} {MISMATCH}. preemption: {none} Preemption is not helpful for scheduling."
    assert (note.warning, note.reason, note.message) == (True, "FailedScheduling", said)
    (condition,) = status.status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"], condition["message"]) == (
        "PodScheduled",
        "False",
        "Unschedulable",
        said,
    )
    waiting["status"] = status.status
    assert reconcile_unbound(waiting, [node()], {}, [], NOW) == []


@pytest.mark.parametrize("spec", [{"nodeName": "sandbox"}, {"schedulingGates": [{"name": "x"}]}, {"schedulerName": "other"}])
def test_pods_that_are_not_for_this_scheduler_are_left_alone(spec: Obj) -> None:
    assert reconcile_unbound(pod(**spec), [node()], {}, [], NOW) == []


def with_claim(name: str = "data") -> Obj:
    return pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": name}}])


def claim(phase: str, name: str | None = "standard", **metadata: str) -> Obj:
    spec = {"storageClassName": name} if name is not None else {}
    return {"metadata": {"name": "data", "namespace": "ns", "uid": "c", **metadata}, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, 'persistentvolumeclaim "data" not found'),
        (claim("Pending", "nowhere"), "pod has unbound immediate PersistentVolumeClaims"),
        (claim("Pending", ""), "pod has unbound immediate PersistentVolumeClaims"),
        (claim("Bound", deletionTimestamp="2026-01-01T00:00:00Z"), 'persistentvolumeclaim "data" is being deleted'),
    ],
)
def test_a_pod_waits_for_a_claim_that_nobody_can_bind(found: Obj | None, why: str) -> None:
    claims = {"data": found} if found is not None else {}
    note, _ = reconcile_unbound(with_claim(), [node()], claims, [storage_class()], NOW)
    assert isinstance(note, Note)
    assert note.message.startswith(f"0/1 nodes are available: {why}. ")


def test_a_pod_waits_quietly_for_a_claim_that_is_being_bound() -> None:
    for name in ("standard", None):
        assert reconcile_unbound(with_claim(), [node()], {"data": claim("Pending", name)}, [storage_class()], NOW) == []
    bind, _ = reconcile_unbound(with_claim(), [node()], {"data": claim("Bound")}, [storage_class()], NOW)
    assert isinstance(bind, Bind)


def test_nobody_waits_for_claims_where_nobody_binds_them() -> None:
    bind, _ = reconcile_unbound(with_claim(), [node()], None, [], NOW)
    assert isinstance(bind, Bind)
