"""Nothing moves when nobody looks: an operator or a controller of Flux that does not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from cozystack.api import names
from cozystack.planner.diagnosis.evidence import Evidence, Obj, ref
from cozystack.planner.diagnosis.links import Diagnosis, Link, of_fault
from cozystack.planner.diagnosis.workloads import faults
from cozystack.planner.plan import PackagePlan

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue


def operator_down(view: Catalogue, evidence: Evidence, plan: PackagePlan) -> Iterator[Diagnosis]:
    """Nothing moves when nobody looks: the operator has not seen this generation, and does not run."""
    package = view.packages[plan.name]
    if package.status.observed_generation >= package.metadata.generation and package.status.conditions:
        return
    links = (Link(f"Package/{plan.name}", "the operator has not looked at it"),)
    deployment = evidence.find("Deployment", names.SYSTEM_NAMESPACE, "cozystack-operator")
    if deployment is None:
        return
    status, wanted = deployment.get("status") or {}, (deployment.get("spec") or {}).get("replicas", 1)
    if wanted == 0:
        says = "it is scaled to nothing"
        fix = f"kubectl -n {names.SYSTEM_NAMESPACE} scale deployment cozystack-operator --replicas=1"
        yield Diagnosis(
            cause="operator-down",
            chain=(*links, Link(ref(deployment), says)),
            message=says,
            unblock="start the operator",
            commands=(fix,),
        )
    elif not status.get("readyReplicas"):
        for fault in faults(evidence, [deployment])[:1]:
            found = of_fault(fault, links)
            yield msgspec.structs.replace(found, cause="operator-down", waits=False)


def controller_down(evidence: Evidence, name: str, above: tuple[Link, ...]) -> Diagnosis | None:
    """A controller of Flux that does not run, wherever it is installed: by itself, or as a container of one Deployment."""
    for deployment in evidence.all("Deployment"):
        spec = deployment.get("spec") or {}
        containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
        if not any(name in (container.get("name"), _program(container)) for container in containers):
            continue
        if spec.get("replicas", 1) == 0:
            says = "it is scaled to nothing"
            return Diagnosis(
                cause="flux-down", chain=(*above, Link(ref(deployment), says)), message=says, unblock=f"start {name}"
            )
        if not (deployment.get("status") or {}).get("readyReplicas"):
            found = faults(evidence, [deployment])
            if found:
                return msgspec.structs.replace(of_fault(found[0], above), cause="flux-down", waits=False)
    return None


def _program(container: Obj) -> str:
    return str(container.get("image", "")).rpartition("/")[2].partition(":")[0].partition("@")[0]
