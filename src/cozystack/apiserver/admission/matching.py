"""Whether a webhook wants to be asked about a write: rules, namespace selector, object selector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cozystack.apiserver.http.messages import User
from cozystack.apiserver.resources import ResourceInfo

Obj = dict[str, Any]
Operation = Literal["CREATE", "UPDATE", "DELETE"]

_GROUP: Final = "admissionregistration.k8s.io"
# Nobody may lock himself in by a webhook that has to admit its own removal.
_EXEMPT: Final = frozenset(
    {
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    }
)


@dataclass(slots=True)
class Write:
    """A write that is about to happen: ``old`` is absent when it creates, ``new`` when it deletes."""

    info: ResourceInfo
    namespace: str
    name: str
    operation: Operation
    old: Obj | None
    new: Obj | None
    user: User
    options: Obj
    subresource: str = ""
    dry_run: bool = False
    annotations: dict[str, str] = field(default_factory=dict)
    """What the audit log shall say about it; filled by those who are asked."""


def is_exempt(info: ResourceInfo) -> bool:
    """Whether no webhook is ever asked about this resource."""
    return info.group == _GROUP and info.plural in _EXEMPT


def rule_accepts(rule: Obj, info: ResourceInfo, version: str, subresource: str, operation: Operation) -> bool:
    """Whether a rule speaks of an operation on a resource in that version."""
    scope = "Namespaced" if info.namespaced else "Cluster"
    return (
        _among(operation, rule.get("operations"))
        and _among(info.group, rule.get("apiGroups"))
        and _among(version, rule.get("apiVersions"))
        and rule.get("scope", "*") in ("*", scope)
        and any(_is_resource(text, info.plural, subresource) for text in rule.get("resources") or ())
    )


def selectors_accept(webhook: Obj, write: Write, namespace: Obj | None) -> bool:
    """Whether the labels are those that a webhook asks for; ``namespace`` is the object that the write goes into."""
    if write.info.namespaced or _is_namespace(write.info):
        place = namespace if write.info.namespaced else write.new or write.old
        if not selector_accepts(webhook.get("namespaceSelector"), _labels(place)):
            return False
    selector = webhook.get("objectSelector")
    return any(selector_accepts(selector, _labels(obj)) for obj in (write.new, write.old) if obj is not None)


def selector_accepts(selector: Obj | None, labels: Obj) -> bool:
    """A ``metav1.LabelSelector``; an empty one accepts everything."""
    if not selector:
        return True
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_requirement_holds(each, labels) for each in selector.get("matchExpressions") or ())


def _requirement_holds(requirement: Obj, labels: Obj) -> bool:
    key, values = requirement.get("key", ""), requirement.get("values") or ()
    match requirement.get("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def _among(value: str, accepted: Sequence[str] | None) -> bool:
    return accepted is not None and ("*" in accepted or value in accepted)


def _is_resource(text: str, plural: str, subresource: str) -> bool:
    wanted, _, part = text.partition("/")
    return wanted in ("*", plural) and part in ("*", subresource)


def _is_namespace(info: ResourceInfo) -> bool:
    return info.group == "" and info.plural == "namespaces"


def _labels(obj: Obj | None) -> Obj:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}
