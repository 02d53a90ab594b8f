"""The one decision about a namespace, taken from all Packages that install into it (D7; specification, operator 4.3).

A namespace is labelled privileged as long as a Package wants a privileged component there, or a privileged release still is
there. Namespaces are never removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cozystack.api import names
from cozystack.api.core import Namespace
from cozystack.api.meta import ObjectMeta
from cozystack.planner.plan import Action, NamespacePlan
from cozystack.planner.problems import AnyProblem, NamespaceTerminating, NamespaceUnlabelled, Ref
from cozystack.planner.releases import APPLIED_ANNOTATION, metadata_changes, with_digest, written_from

if TYPE_CHECKING:
    from cozystack.planner.catalogue import Catalogue


def plan_namespace(view: Catalogue, name: str) -> NamespacePlan:
    """What namespace ``name`` should be like; nothing when no Package installs into it and it was never ours."""
    plan = view.namespace_plan(name)
    subject = Ref("Namespace", name)
    packages = sorted(view.installs_into(name))
    problems: list[AnyProblem] = []
    if name in view.settings.unlabelled_namespaces:
        problems += (NamespaceUnlabelled(subject=subject, package=package) for package in packages)
    if plan.terminating:
        problems += (NamespaceTerminating(subject=subject, package=package) for package in packages)
    return msgspec.structs.replace(plan, problems=tuple(problems)) if problems else plan


def decide(view: Catalogue, name: str) -> NamespacePlan:
    """The plan without its problems, which is what the Packages that install there look at."""
    live = view.namespace(name)
    ours = live is not None and APPLIED_ANNOTATION in live.metadata.annotations
    terminating = live is not None and is_terminating(live)
    labelled = name not in view.settings.unlabelled_namespaces
    if (not view.installs_into(name) and not ours) or (live is not None and not labelled):
        return NamespacePlan(name=name, desired=None, action="none", terminating=terminating)
    desired = _desired(view, name) if labelled else _plain(name)
    action = "none" if terminating else _action(desired, live)
    return NamespacePlan(name=name, desired=desired, action=action, terminating=terminating)


def is_terminating(namespace: Namespace) -> bool:
    return namespace.metadata.deletion_timestamp is not None or namespace.status.phase == "Terminating"


def is_system(namespace: str) -> bool:
    """Whether the namespace gets the platform's label, and with it a copy of the values Secret."""
    return not namespace.startswith(names.TENANT_PREFIX)


def _desired(view: Catalogue, name: str) -> Namespace:
    labels = {}
    if is_system(name):
        labels[names.SYSTEM_LABEL] = "true"
    if view.is_privileged(name):
        labels[names.POD_SECURITY_LABEL] = "privileged"
    metadata = ObjectMeta(name=name, labels=labels, annotations={names.RESOURCE_POLICY_ANNOTATION: "keep"})
    return with_digest(Namespace(api_version="v1", kind="Namespace", metadata=metadata))


def _plain(name: str) -> Namespace:
    return Namespace(api_version="v1", kind="Namespace", metadata=ObjectMeta(name=name))


def _action(desired: Namespace, live: Namespace | None) -> Action:
    if live is None:
        return "create"
    if not metadata_changes(desired, live):
        return "none"
    if written_from(desired, live):
        return "update"
    stale = names.POD_SECURITY_LABEL not in desired.metadata.labels and names.POD_SECURITY_LABEL in live.metadata.labels
    wanted = {*desired.metadata.labels.items(), *desired.metadata.annotations.items()}
    found = {*live.metadata.labels.items(), *live.metadata.annotations.items()}
    mark = {(APPLIED_ANNOTATION, desired.metadata.annotations.get(APPLIED_ANNOTATION))}
    return "update" if stale or wanted - mark - found else "metadata"
