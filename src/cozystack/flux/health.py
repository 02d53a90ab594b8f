"""Whether an object is what it should be: kstatus' rules for built-in kinds, its generic rules and CEL for others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from cozystack.api.cozystack import HealthCheckExpr

Obj: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Health:
    state: Literal["Current", "InProgress", "Failed", "NotFound", "Terminating"]
    message: str = ""


CURRENT = Health("Current")

# Kinds without a status worth waiting for, by group: there is nothing to see but that they exist.
INERT = frozenset(
    {
        ("", "ConfigMap"),
        ("", "Secret"),
        ("", "ServiceAccount"),
        ("", "Namespace"),
        ("", "LimitRange"),
        ("", "ResourceQuota"),
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("networking.k8s.io", "IngressClass"),
        ("scheduling.k8s.io", "PriorityClass"),
        ("storage.k8s.io", "StorageClass"),
        ("storage.k8s.io", "CSIDriver"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
        ("policy", "PodDisruptionBudget"),
        ("node.k8s.io", "RuntimeClass"),
    }
)


def group_of(api_version: str) -> str:
    """The group of an ``apiVersion``, empty for the core."""
    return api_version.rpartition("/")[0]


def health(obj: Obj | None, exprs: tuple[HealthCheckExpr, ...] = ()) -> Health:
    """The health of an object, ``None`` if it is not there. Expressions for its kind come before the built-in rules."""
    if obj is None:
        return Health("NotFound", "not found")
    for expr in exprs:
        if expr.api_version == obj.get("apiVersion") and expr.kind == obj.get("kind"):
            return _by_expressions(obj, expr)
    if "deletionTimestamp" in obj["metadata"]:
        return Health("Terminating", "is being deleted")
    rule = _RULES.get((group_of(obj.get("apiVersion", "")), obj.get("kind", "")), _ready)
    return _generic(obj) or rule(obj)


def _status(obj: Obj) -> Obj:
    return obj.get("status") or {}


def _conditions(obj: Obj) -> dict[str, Obj]:
    return {c.get("type", ""): c for c in _status(obj).get("conditions") or () if isinstance(c, dict)}


def _generic(obj: Obj) -> Health | None:
    """What every object may say: its generation is not observed, it works, it is stuck."""
    generation, observed = obj["metadata"].get("generation"), _status(obj).get("observedGeneration")
    if isinstance(observed, int) and isinstance(generation, int) and observed != generation:
        return Health("InProgress", f"generation is {generation}, observed is {observed}")
    conditions = _conditions(obj)
    if (found := conditions.get("Reconciling")) is not None and found.get("status") == "True":
        return Health("InProgress", found.get("message", ""))
    if (found := conditions.get("Stalled")) is not None and found.get("status") == "True":
        return Health("Failed", found.get("message", ""))
    return None


def _ready(obj: Obj) -> Health:
    """Objects of all other kinds: what their condition Ready says, if there is one."""
    ready = _conditions(obj).get("Ready")
    if ready is not None and ready.get("status") != "True":
        return Health("InProgress", ready.get("message", ""))
    return CURRENT


def _deployment(obj: Obj) -> Health:
    spec, status = obj.get("spec") or {}, _status(obj)
    progressing = _conditions(obj).get("Progressing")
    if progressing is not None and progressing.get("reason") == "ProgressDeadlineExceeded":
        return Health("Failed", progressing.get("message", ""))
    wanted = spec.get("replicas", 1)
    for field, what in (
        ("replicas", "created"),
        ("updatedReplicas", "updated"),
        ("availableReplicas", "available"),
        ("readyReplicas", "ready"),
    ):
        if status.get(field, 0) < wanted:
            return Health("InProgress", f"{what}: {status.get(field, 0)}/{wanted}")
    if status.get("replicas", 0) > status.get("updatedReplicas", 0):
        return Health("InProgress", "old Pods are being stopped")
    if status.get("observedGeneration") is None:
        return Health("InProgress", "not observed yet")
    return CURRENT


def _stateful_set(obj: Obj) -> Health:
    spec, status = obj.get("spec") or {}, _status(obj)
    if status.get("observedGeneration") is None:
        return Health("InProgress", "not observed yet")
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return CURRENT
    wanted = spec.get("replicas", 1)
    for field in ("replicas", "readyReplicas"):
        if status.get(field, 0) < wanted:
            return Health("InProgress", f"{field}: {status.get(field, 0)}/{wanted}")
    if status.get("replicas", 0) > wanted:
        return Health("InProgress", "Pods are being stopped")
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    if partition:
        updated = status.get("updatedReplicas", 0)
        if updated < wanted - partition:
            return Health("InProgress", f"updatedReplicas: {updated}/{wanted - partition}")
        return CURRENT
    if status.get("currentReplicas", 0) < wanted:
        return Health("InProgress", f"currentReplicas: {status.get('currentReplicas', 0)}/{wanted}")
    if status.get("currentRevision") != status.get("updateRevision"):
        return Health("InProgress", "Pods are being updated")
    return CURRENT


def _daemon_set(obj: Obj) -> Health:
    status = _status(obj)
    if status.get("observedGeneration") is None:
        return Health("InProgress", "not observed yet")
    wanted = status.get("desiredNumberScheduled", 0)
    for field in ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady"):
        if status.get(field, 0) < wanted:
            return Health("InProgress", f"{field}: {status.get(field, 0)}/{wanted}")
    return CURRENT


def _replica_set(obj: Obj) -> Health:
    wanted, status = (obj.get("spec") or {}).get("replicas", 1), _status(obj)
    ready = status.get("readyReplicas", 0)
    return (
        CURRENT
        if ready >= wanted and status.get("observedGeneration") is not None
        else Health("InProgress", f"{ready}/{wanted}")
    )


def _job(obj: Obj) -> Health:
    conditions = _conditions(obj)
    failed = conditions.get("Failed")
    if failed is not None and failed.get("status") == "True":
        return Health("Failed", failed.get("message", "the Job has failed"))
    complete = conditions.get("Complete")
    if complete is not None and complete.get("status") == "True":
        return CURRENT
    return Health("InProgress", "the Job has not completed")


def _pod(obj: Obj) -> Health:
    phase = _status(obj).get("phase")
    if phase == "Succeeded":
        return CURRENT
    if phase == "Failed":
        return Health("Failed", _status(obj).get("message", "the Pod has failed"))
    ready = _conditions(obj).get("Ready", {}).get("status") == "True"
    return CURRENT if phase == "Running" and ready else Health("InProgress", f"the Pod is {phase or 'Pending'}")


def _claim(obj: Obj) -> Health:
    return CURRENT if _status(obj).get("phase") == "Bound" else Health("InProgress", "the claim is not bound")


def _service(obj: Obj) -> Health:
    spec = obj.get("spec") or {}
    if spec.get("type") == "LoadBalancer" and not (_status(obj).get("loadBalancer") or {}).get("ingress"):
        return Health("InProgress", "the load balancer has no address yet")
    return CURRENT


def _crd(obj: Obj) -> Health:
    conditions = _conditions(obj)
    refused = conditions.get("NamesAccepted", {})
    if refused.get("status") == "False":
        return Health("Failed", refused.get("message", ""))
    established = conditions.get("Established", {}).get("status") == "True"
    return CURRENT if established else Health("InProgress", "the CRD is not established")


def _api_service(obj: Obj) -> Health:
    available = _conditions(obj).get("Available", {})
    return CURRENT if available.get("status") == "True" else Health("InProgress", available.get("message", "not available"))


_RULES = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    ("apiregistration.k8s.io", "APIService"): _api_service,
}


class ExpressionError(ValueError):
    """A CEL expression that cannot be compiled."""


@lru_cache(maxsize=256)
def compiled(text: str) -> Any:
    """A CEL program over the parts of an object; raises ``ExpressionError``."""
    from cel_expr_python import cel

    names = ("apiVersion", "kind", "metadata", "spec", "status", "data")
    environment = cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN))
    try:
        return environment.compile(text)
    except Exception as error:  # the library has no error class of its own
        raise ExpressionError(f'"{text}" is not a CEL expression: {error}') from error


def evaluate(text: str, obj: Obj) -> bool:
    """Whether an expression holds for an object; one that cannot be evaluated (a field is missing) does not."""
    data = {name: obj[name] for name in ("apiVersion", "kind", "metadata", "spec", "status", "data") if name in obj}
    value = compiled(text).eval(data=data)
    return value.value() is True


def _by_expressions(obj: Obj, expr: HealthCheckExpr) -> Health:
    generation, observed = obj["metadata"].get("generation"), _status(obj).get("observedGeneration")
    if isinstance(observed, int) and isinstance(generation, int) and observed != generation:
        return Health("InProgress", f"generation is {generation}, observed is {observed}")
    if expr.in_progress and evaluate(expr.in_progress, obj):
        return Health("InProgress", "the expression for work in progress holds")
    if expr.failed and evaluate(expr.failed, obj):
        return Health("Failed", "the expression for failure holds")
    if evaluate(expr.current, obj):
        return CURRENT
    return Health("InProgress", "the expression for ready does not hold yet")
