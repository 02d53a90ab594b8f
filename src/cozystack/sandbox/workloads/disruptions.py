"""PodDisruptionBudgets: how many Pods may be taken away at the moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from cozystack.apiserver.admission.matching import selector_accepts
from cozystack.sandbox.workloads.actions import (
    Action,
    Note,
    Obj,
    condition,
    controller_uid,
    has_ended,
    is_deleting,
    is_ready,
    status_action,
    with_condition,
)

_COMPONENT = "controllermanager"
_ALWAYS = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")


def reconcile_budget(budget: Obj, pods: list[Obj], scale_of: Callable[[str], int | None], now: datetime) -> list[Action]:
    """Actions for a budget, given the Pods of its namespace; ``scale_of`` says how many Pods the controller of a uid wants.

    A share, or a number that may be missing, is of what the controllers want; Pods that have none are not counted then.
    """
    if is_deleting(budget):
        return []
    spec, selector = budget["spec"], budget["spec"].get("selector")
    chosen = [pod for pod in pods if selector is not None and selector_accepts(selector, pod["metadata"].get("labels") or {})]
    actions: list[Action] = []
    if not chosen:
        actions.append(Note(budget, _COMPONENT, "NoPods", "No matching pods found"))
    expected = sum(scale_of(uid) or 0 for uid in {controller_uid(pod) for pod in chosen})
    if "maxUnavailable" in spec:
        desired = max(0, expected - _share(spec["maxUnavailable"], expected))
    elif isinstance(least := spec.get("minAvailable", 1), int):
        expected, desired = len(chosen), least
    else:
        desired = _share(least, expected)
    healthy = sum(is_ready(pod) and not is_deleting(pod) and not has_ended(pod) for pod in chosen)
    allowed = max(0, healthy - desired) if expected else 0
    why = "SufficientPods" if allowed else "InsufficientPods"
    told = condition(budget, "DisruptionAllowed", bool(allowed), why, "", now)
    told["observedGeneration"] = budget["metadata"].get("generation", 1)
    status = {
        "observedGeneration": budget["metadata"].get("generation", 1),
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "conditions": with_condition(budget.get("status", {}).get("conditions", []), told),
    }
    changed = status_action(budget, status, always=_ALWAYS)
    return [*(actions if changed else []), *changed]


def _share(amount: int | str, of: int) -> int:
    return amount if isinstance(amount, int) else -(-of * int(amount.removesuffix("%") or 0) // 100)
