"""The health of objects: the rules of built-in kinds, what every object may say, and expressions."""

from __future__ import annotations

from typing import Any

import pytest

from cozystack.api.cozystack import HealthCheckExpr
from cozystack.flux.health import CURRENT, INERT, ExpressionError, Health, compiled, evaluate, health

Obj = dict[str, Any]


def obj(api_version: str, kind: str, *, spec: Obj | None = None, generation: int = 1, **status: Any) -> Obj:
    found: Obj = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "generation": generation}}
    if spec is not None:
        found["spec"] = spec
    if status:
        found["status"] = status
    return found


def conditions(**named: str | tuple[str, str]) -> list[Obj]:
    """Conditions by type: the status, or the status and a message."""
    pairs = {name: value if isinstance(value, tuple) else (value, "") for name, value in named.items()}
    return [{"type": name, "status": status, "message": message} for name, (status, message) in pairs.items()]


def waiting(message: str) -> Health:
    return Health("InProgress", message)


ROLLED_OUT = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2, "observedGeneration": 1}


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, CURRENT),
        ({"replicas": 1}, waiting("created: 1/2")),
        ({"updatedReplicas": 1}, waiting("updated: 1/2")),
        ({"availableReplicas": 0}, waiting("available: 0/2")),
        ({"readyReplicas": 1}, waiting("ready: 1/2")),
        ({"replicas": 3}, waiting("old Pods are being stopped")),
        ({"observedGeneration": None}, waiting("not observed yet")),
        ({"observedGeneration": 0}, waiting("generation is 1, observed is 0")),
        ({"conditions": conditions(Available="False", Progressing="True")}, CURRENT),
        (
            {
                "readyReplicas": 0,
                "conditions": [
                    {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too late"}
                ],
            },
            Health("Failed", "too late"),
        ),
    ],
)
def test_a_deployment_is_current_when_it_is_rolled_out(status: Obj, wanted: Health) -> None:
    assert health(obj("apps/v1", "Deployment", spec={"replicas": 2}, **{**ROLLED_OUT, **status})) == wanted


def test_a_deployment_without_a_status_is_waited_for_and_one_of_no_replicas_is_not() -> None:
    assert health(obj("apps/v1", "Deployment", spec={})) == waiting("created: 0/1")
    assert health(obj("apps/v1", "Deployment", spec={"replicas": 0}, observedGeneration=1)) == CURRENT


STATEFUL: Obj = {
    "replicas": 3,
    "readyReplicas": 3,
    "currentReplicas": 3,
    "updatedReplicas": 3,
    "currentRevision": "a",
    "updateRevision": "a",
    "observedGeneration": 1,
}


@pytest.mark.parametrize(
    ("strategy", "status", "wanted"),
    [
        ({}, {}, CURRENT),
        ({}, {"observedGeneration": None}, waiting("not observed yet")),
        ({}, {"replicas": 2}, waiting("replicas: 2/3")),
        ({}, {"readyReplicas": 2}, waiting("readyReplicas: 2/3")),
        ({}, {"replicas": 4}, waiting("Pods are being stopped")),
        ({}, {"currentReplicas": 1}, waiting("currentReplicas: 1/3")),
        ({}, {"updateRevision": "b"}, waiting("Pods are being updated")),
        ({"type": "OnDelete"}, {"updateRevision": "b", "readyReplicas": 0}, CURRENT),
        ({"rollingUpdate": {"partition": 0}}, {"updateRevision": "b"}, waiting("Pods are being updated")),
        ({"rollingUpdate": {"partition": 2}}, {"updateRevision": "b", "currentReplicas": 2, "updatedReplicas": 1}, CURRENT),
        ({"rollingUpdate": {"partition": 1}}, {"updateRevision": "b", "updatedReplicas": 1}, waiting("updatedReplicas: 1/2")),
    ],
)
def test_a_stateful_set_is_current_when_its_update_is_done(strategy: Obj, status: Obj, wanted: Health) -> None:
    spec = {"replicas": 3, "updateStrategy": strategy}
    assert health(obj("apps/v1", "StatefulSet", spec=spec, **{**STATEFUL, **status})) == wanted


SCHEDULED = {
    "desiredNumberScheduled": 2,
    "currentNumberScheduled": 2,
    "updatedNumberScheduled": 2,
    "numberAvailable": 2,
    "numberReady": 2,
    "observedGeneration": 1,
}


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, CURRENT),
        ({"currentNumberScheduled": 1}, waiting("currentNumberScheduled: 1/2")),
        ({"updatedNumberScheduled": 1}, waiting("updatedNumberScheduled: 1/2")),
        ({"numberAvailable": 0}, waiting("numberAvailable: 0/2")),
        ({"numberReady": 1}, waiting("numberReady: 1/2")),
        ({"observedGeneration": None}, waiting("not observed yet")),
    ],
)
def test_a_daemon_set_is_current_when_every_node_has_its_pod(status: Obj, wanted: Health) -> None:
    assert health(obj("apps/v1", "DaemonSet", spec={}, **{**SCHEDULED, **status})) == wanted


def test_a_replica_set_is_current_when_its_pods_are_ready() -> None:
    assert health(obj("apps/v1", "ReplicaSet", spec={"replicas": 2}, readyReplicas=2, observedGeneration=1)) == CURRENT
    assert health(obj("apps/v1", "ReplicaSet", spec={"replicas": 2}, readyReplicas=1, observedGeneration=1)) == waiting("1/2")
    assert health(obj("apps/v1", "ReplicaSet", spec={"replicas": 0})) == waiting("0/0")


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, waiting("the Job has not completed")),
        ({"active": 1, "conditions": conditions(Complete="False", Failed="False")}, waiting("the Job has not completed")),
        ({"conditions": conditions(Complete="True")}, CURRENT),
        ({"conditions": conditions(Failed=("True", "BackoffLimitExceeded"))}, Health("Failed", "BackoffLimitExceeded")),
        ({"conditions": [{"type": "Failed", "status": "True"}]}, Health("Failed", "the Job has failed")),
    ],
)
def test_a_job_is_current_when_it_has_completed(status: Obj, wanted: Health) -> None:
    assert health(obj("batch/v1", "Job", **status)) == wanted


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, waiting("the Pod is Pending")),
        ({"phase": "Pending"}, waiting("the Pod is Pending")),
        ({"phase": "Running"}, waiting("the Pod is Running")),
        ({"phase": "Running", "conditions": conditions(Ready="False")}, waiting("the Pod is Running")),
        ({"phase": "Running", "conditions": conditions(Ready="True")}, CURRENT),
        ({"phase": "Succeeded", "conditions": conditions(Ready="False")}, CURRENT),
        ({"phase": "Failed", "message": "evicted"}, Health("Failed", "evicted")),
        ({"phase": "Failed"}, Health("Failed", "the Pod has failed")),
    ],
)
def test_a_pod_is_current_when_it_is_ready_or_done(status: Obj, wanted: Health) -> None:
    assert health(obj("v1", "Pod", **status)) == wanted


def test_a_claim_is_current_when_it_is_bound() -> None:
    assert health(obj("v1", "PersistentVolumeClaim", phase="Bound")) == CURRENT
    assert health(obj("v1", "PersistentVolumeClaim", phase="Pending")) == waiting("the claim is not bound")
    assert health(obj("v1", "PersistentVolumeClaim")) == waiting("the claim is not bound")


def test_a_service_is_waited_for_when_it_is_a_load_balancer_without_an_address() -> None:
    address = {"ingress": [{"ip": "10.0.0.1"}]}
    assert health(obj("v1", "Service")) == CURRENT
    assert health(obj("v1", "Service", spec={"type": "ClusterIP"}, loadBalancer={})) == CURRENT
    assert health(obj("v1", "Service", spec={"type": "LoadBalancer"}, loadBalancer=address)) == CURRENT
    pending: tuple[Obj, ...] = ({}, {"loadBalancer": {}}, {"loadBalancer": None})
    for status in pending:
        found = health(obj("v1", "Service", spec={"type": "LoadBalancer"}, **status))
        assert found == waiting("the load balancer has no address yet")


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, waiting("the CRD is not established")),
        ({"conditions": conditions(NamesAccepted="True", Established="False")}, waiting("the CRD is not established")),
        ({"conditions": conditions(NamesAccepted="True", Established="True")}, CURRENT),
        ({"conditions": conditions(NamesAccepted=("False", "taken"), Established="False")}, Health("Failed", "taken")),
    ],
)
def test_a_crd_is_current_when_it_is_established(status: Obj, wanted: Health) -> None:
    assert health(obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", **status)) == wanted


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, waiting("not available")),
        ({"conditions": conditions(Available=("False", "no endpoints"))}, waiting("no endpoints")),
        ({"conditions": conditions(Available="True")}, CURRENT),
    ],
)
def test_an_api_service_is_current_when_it_is_available(status: Obj, wanted: Health) -> None:
    assert health(obj("apiregistration.k8s.io/v1", "APIService", **status)) == wanted


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, CURRENT),
        ({"phase": "whatever"}, CURRENT),
        ({"conditions": None}, CURRENT),
        ({"conditions": ["nonsense"]}, CURRENT),
        ({"conditions": conditions(Ready="True")}, CURRENT),
        ({"conditions": conditions(Ready=("False", "no"))}, waiting("no")),
        ({"conditions": conditions(Ready=("Unknown", "maybe"))}, waiting("maybe")),
        ({"conditions": conditions(Ready="True", Reconciling=("True", "works"))}, waiting("works")),
        ({"conditions": conditions(Ready="True", Reconciling="False", Stalled="False")}, CURRENT),
        ({"conditions": conditions(Ready=("False", "no"), Stalled=("True", "stuck"))}, Health("Failed", "stuck")),
        ({"observedGeneration": 2, "conditions": conditions(Ready="True")}, CURRENT),
        ({"observedGeneration": 1, "conditions": conditions(Ready="True")}, waiting("generation is 2, observed is 1")),
        ({"observedGeneration": "1", "conditions": conditions(Ready="True")}, CURRENT),
    ],
)
def test_any_other_object_is_as_its_conditions_say(status: Obj, wanted: Health) -> None:
    assert health(obj("acme.io/v1", "Widget", generation=2, **status)) == wanted


def test_a_condition_of_progress_holds_for_built_in_kinds_too() -> None:
    status: Obj = {**ROLLED_OUT, "conditions": conditions(Stalled=("True", "stuck"))}
    assert health(obj("apps/v1", "Deployment", spec={"replicas": 2}, **status)) == Health("Failed", "stuck")


@pytest.mark.parametrize("kind", ["Service", "Job", "Pod", "Deployment", "Role"])
def test_a_kind_of_another_group_is_not_the_built_in_one(kind: str) -> None:
    assert health(obj("acme.io/v1", kind, conditions=conditions(Ready="True"))) == CURRENT
    assert health(obj("acme.io/v1", kind, conditions=conditions(Ready=("False", "no")))) == waiting("no")
    assert ("acme.io", kind) not in INERT


def test_an_object_that_is_not_there_or_goes_away_is_neither_ready_nor_failed() -> None:
    assert health(None) == Health("NotFound", "not found")
    leaving = obj("v1", "ConfigMap")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert health(leaving) == Health("Terminating", "is being deleted")


# Expressions

EXPR = HealthCheckExpr(
    api_version="acme.io/v1",
    kind="Widget",
    current="status.phase == 'Running'",
    in_progress="status.phase == 'Starting'",
    failed="status.phase in ['Broken', 'Lost']",
)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({"phase": "Running"}, CURRENT),
        ({"phase": "Starting"}, waiting("the expression for work in progress holds")),
        ({"phase": "Lost"}, Health("Failed", "the expression for failure holds")),
        ({"phase": "Other"}, waiting("the expression for ready does not hold yet")),
        ({"phase": None}, waiting("the expression for ready does not hold yet")),
        ({"other": 1}, waiting("the expression for ready does not hold yet")),
        ({}, waiting("the expression for ready does not hold yet")),
        ({"phase": "Running", "conditions": conditions(Ready="False")}, CURRENT),
        ({"phase": "Running", "observedGeneration": 0}, waiting("generation is 1, observed is 0")),
    ],
)
def test_an_expression_for_a_kind_replaces_the_rules(status: Obj, wanted: Health) -> None:
    assert health(obj("acme.io/v1", "Widget", **status), (EXPR,)) == wanted


def test_an_expression_holds_for_its_own_kind_and_version_alone() -> None:
    assert health(obj("acme.io/v2", "Widget", phase="Lost"), (EXPR,)) == CURRENT
    assert health(obj("acme.io/v1", "Gadget", phase="Lost"), (EXPR,)) == CURRENT


def test_only_the_expression_for_ready_is_needed() -> None:
    expr = HealthCheckExpr(api_version="v1", kind="ConfigMap", current="data.ready == 'yes'")
    config = obj("v1", "ConfigMap")
    assert health(config, (expr,)) == waiting("the expression for ready does not hold yet")
    assert health({**config, "data": {"ready": "yes"}}, (expr,)) == CURRENT


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("status.conditions.filter(c, c.type == 'Ready').all(c, c.status == 'True')", True),
        ("status.conditions.exists(c, c.type == 'Stalled')", False),
        ("has(status.missing)", False),
        ("has(status.missing) || metadata.name == 'a'", True),
        ("status.missing == 1", False),
        ("spec.replicas == 1", False),
        ("data.x == ''", False),
        ("status.count > 2 && status.ratio < 0.6", True),
        ("'not a boolean'", False),
        ("status.count", False),
    ],
)
def test_an_expression_that_cannot_be_evaluated_does_not_hold(text: str, holds: bool) -> None:
    assert evaluate(text, obj("acme.io/v1", "Widget", conditions=conditions(Ready="True"), count=3, ratio=0.5)) is holds


@pytest.mark.parametrize("text", ["status.phase ==", "unknown.field == 1", "((", "status.phase == 'x"])
def test_an_invalid_expression_is_an_error_that_quotes_it(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compiled(text)
    assert str(caught.value).startswith(f'"{text}" is not a CEL expression: ')
