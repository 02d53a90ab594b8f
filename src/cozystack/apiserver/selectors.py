"""Label and field selectors, read once and asked often."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from cozystack.apiserver.errors import bad_request
from cozystack.apiserver.resources import ResourceInfo

Predicate = Callable[[dict[str, Any]], bool]

_SET = re.compile(r"\s*([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)\s*")
_TERM = re.compile(r"\s*(!?)\s*([^\s!=,()]+)\s*(?:(==|=|!=)\s*([^\s,()]*))?\s*")

_FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    ("", "Event"): (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    ("", "Secret"): ("type",),
    ("", "Namespace"): ("status.phase",),
    ("", "Node"): ("spec.unschedulable",),
    ("", "Service"): ("spec.clusterIP", "spec.type"),
    ("apps", "ReplicaSet"): ("status.replicas",),
    ("batch", "Job"): ("status.successful",),
}


def label_selector(text: str) -> Predicate | None:
    """Whether an object has the labels that ``text`` asks for; nothing for an empty selector; raises ``ApiError``."""
    terms: list[tuple[str, str, tuple[str, ...]]] = []
    position = 0
    while position < len(text):
        found = _SET.match(text, position)
        if found:
            values = tuple(value.strip() for value in found.group(3).split(","))
            terms.append((found.group(1), found.group(2), values))
        else:
            found = _TERM.match(text, position)
            if not found or found.end() == position:
                raise bad_request(f'unable to parse requirement: "{text}" is not a label selector')
            negated, key, operator, value = found.groups()
            if operator:
                terms.append((key, "!=" if operator == "!=" else "=", (value or "",)))
            else:
                terms.append((key, "!" if negated else "exists", ()))
        position = found.end()
        if position < len(text):
            if text[position] != ",":
                raise bad_request(f'unable to parse requirement: "{text}" is not a label selector')
            position += 1
    if not terms:
        return None

    def matches(obj: dict[str, Any]) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(_accepts(labels, key, operator, values) for key, operator, values in terms)

    return matches


def _accepts(labels: dict[str, str], key: str, operator: str, values: tuple[str, ...]) -> bool:
    match operator:
        case "=" | "in":
            return key in labels and labels[key] in values
        case "!=" | "notin":
            return labels.get(key) not in values
        case "exists":
            return key in labels
        case _:
            return key not in labels


def field_selector(info: ResourceInfo, text: str) -> Predicate | None:
    """Whether an object's fields are as ``text`` asks; nothing for an empty selector; raises ``ApiError``."""
    if not text.strip():
        return None
    known = ("metadata.name", "metadata.namespace", *_FIELDS.get((info.group, info.kind), ()))
    known += tuple(path.removeprefix(".") for path in info.selectable_fields)
    terms: list[tuple[list[str], bool, str]] = []
    for term in text.split(","):
        operator = "!=" if "!=" in term else "==" if "==" in term else "="
        key, found, value = term.partition(operator)
        key = key.strip()
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        if key not in known:
            raise bad_request(
                f'Unable to find "{info.api_version}, Resource={info.plural}" that match field selector "{text}": '
                f"field label not supported: {key}"
            )
        terms.append((key.split("."), operator != "!=", value.strip()))

    def matches(obj: dict[str, Any]) -> bool:
        return all((_text(obj, path) == value) is wanted for path, wanted, value in terms)

    return matches


def _text(obj: dict[str, Any], path: list[str]) -> str:
    value: Any = obj
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    if first is None or second is None:
        return first or second
    return lambda obj: first(obj) and second(obj)
