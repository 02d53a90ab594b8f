"""Where Pods go: to the one node, when its labels and taints let them and their claims are there.

Room is not counted: the node takes as many Pods as come. Affinity to other Pods, spreading and free ports of the host are not
looked at either; with one node and no network there is nothing that they could change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from cozystack.sandbox.workloads.actions import (
    NODE,
    Action,
    Bind,
    Note,
    Obj,
    condition,
    is_deleting,
    status_action,
    with_condition,
)
from cozystack.sandbox.workloads.volumes import claims_of, is_provisioned

NODE_LABELS: Final = {
    "kubernetes.io/hostname": NODE,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
    "node-role.kubernetes.io/control-plane": "",
}
_COMPONENT: Final = "default-scheduler"
_SOON: Final = "soon"
_UNSCHEDULABLE: Final = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def reconcile_unbound(
    pod: Obj, nodes: Sequence[Obj], claims: Mapping[str, Obj] | None, classes: Sequence[Obj], now: datetime
) -> list[Action]:
    """Actions for a Pod that has no node: bind it, or say why it has to wait.

    ``claims`` are those of its namespace by name; None where nobody binds claims, and nobody is to wait for them.
    """
    if is_deleting(pod) or pod["spec"].get("nodeName") or pod["spec"].get("schedulingGates"):
        return []
    if pod["spec"].get("schedulerName", _COMPONENT) != _COMPONENT:
        return []
    meta = pod["metadata"]
    why = _missing_claim(pod, claims, classes) if claims is not None else ""
    if why == _SOON:
        return []
    refusals = [refused(pod["spec"], node) for node in nodes]
    if not why and "" not in refusals:
        why = ", ".join(f"1 {text}" for text in refusals) or "no nodes available to schedule pods"
    if why:
        said = f"0/{len(nodes)} nodes are available: {why}."
        if nodes:
            said += f" preemption: 0/{len(nodes)} nodes are available: 1 Preemption is not helpful for scheduling."
        waiting = {**condition(pod, "PodScheduled", False, "Unschedulable", said, now), "lastProbeTime": None}
        live = pod.get("status", {}).get("conditions", [])
        known = next((entry for entry in live if entry["type"] == "PodScheduled"), None)
        if known is not None and known.get("message") == said:
            return []
        conditions = with_condition([entry for entry in live if entry is not known], waiting)
        return [
            Note(pod, _COMPONENT, "FailedScheduling", said, warning=True),
            *status_action(pod, {"phase": "Pending", "conditions": conditions}),
        ]
    text = f"Successfully assigned {meta['namespace']}/{meta['name']} to {NODE}"
    return [Bind(meta["namespace"], meta["name"], NODE), Note(pod, _COMPONENT, "Scheduled", text)]


def refused(spec: Obj, node: Obj) -> str:
    """Why a node does not take a Pod of that spec, in the words of the scheduler; nothing when it does."""
    labels = node["metadata"].get("labels") or {}
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms")
    selected = (spec.get("nodeSelector") or {}).items() <= labels.items()
    if not selected or (terms is not None and not any(_term_holds(term, node) for term in terms)):
        return "node(s) didn't match Pod's node affinity/selector"
    tolerations = spec.get("tolerations") or ()
    if node.get("spec", {}).get("unschedulable") and not _tolerated(_UNSCHEDULABLE, tolerations):
        return "node(s) were unschedulable"
    for taint in node.get("spec", {}).get("taints") or ():
        if taint["effect"] in ("NoSchedule", "NoExecute") and not _tolerated(taint, tolerations):
            return "node(s) had untolerated taint(s)"
    return ""


def _term_holds(term: Obj, node: Obj) -> bool:
    labels, name = node["metadata"].get("labels") or {}, {"metadata.name": node["metadata"]["name"]}
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_holds(each, labels) for each in expressions) and all(_holds(each, name) for each in fields)


def _holds(requirement: Obj, labels: Mapping[str, str]) -> bool:
    value: str | None = labels.get(requirement["key"])
    values: Sequence[str] = requirement.get("values") or ()
    match requirement["operator"]:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    if value is None or len(values) != 1 or not value.lstrip("-").isdecimal() or not values[0].lstrip("-").isdecimal():
        return False
    return int(value) > int(values[0]) if requirement["operator"] == "Gt" else int(value) < int(values[0])


def _tolerated(taint: Obj, tolerations: Sequence[Obj]) -> bool:
    for each in tolerations:
        if each.get("effect", taint["effect"]) != taint["effect"] or each.get("key", taint["key"]) != taint["key"]:
            continue
        if each.get("operator") == "Exists" or each.get("value", "") == taint.get("value", ""):
            return True
    return False


def _missing_claim(pod: Obj, claims: Mapping[str, Obj], classes: Sequence[Obj]) -> str:
    """What a Pod's claims lack: one that is not there, or one that nobody can bind; ``_SOON`` when it only takes a moment."""
    found = ""
    for name in claims_of(pod):
        claim = claims.get(name)
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if is_deleting(claim):
            return f'persistentvolumeclaim "{name}" is being deleted'
        phase = claim.get("status", {}).get("phase")
        if phase == "Lost":
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim["spec"].get("volumeName")}"'
        if phase != "Bound":
            if not is_provisioned(claim, classes):
                return "pod has unbound immediate PersistentVolumeClaims"
            found = _SOON
    return found
