"""Label and field selectors, read once and asked often."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from cozystack.api.names import is_dns_subdomain, is_label_value
from cozystack.apiserver.errors import ApiError, bad_request
from cozystack.apiserver.resources import ResourceInfo

Predicate = Callable[[dict[str, Any]], bool]
_Term = tuple[str, str, frozenset[str]]

_TOKEN: Final = re.compile(r"\s*(?:(==|!=|=|!|,|\(|\))|([^\s=!,()<>]+)|(<|>))")
_KEY: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

_FIELDS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
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
    ("", "ReplicationController"): ("status.replicas",),
    ("", "Service"): ("spec.clusterIP", "spec.type"),
    ("apps", "ReplicaSet"): ("status.replicas",),
    ("batch", "Job"): ("status.successful",),
    ("certificates.k8s.io", "CertificateSigningRequest"): ("spec.signerName",),
    ("resource.k8s.io", "ResourceSlice"): ("spec.nodeName", "spec.driver"),
}
# Where a field lies that is not called by its path.
_PATHS: Final = {"status.successful": ("status", "succeeded"), "source": ("source", "component")}


def label_selector(text: str) -> Predicate | None:
    """Whether an object has the labels that ``text`` asks for; nothing for an empty selector; raises ``ApiError``."""
    if not text.strip():
        return None
    terms = _label_terms(text)
    if len(terms) == 1:
        only = terms[0]
        return lambda obj: _accepts(obj["metadata"].get("labels") or {}, only)

    def matches(obj: dict[str, Any]) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(_accepts(labels, term) for term in terms)

    return matches


def _label_terms(text: str) -> list[_Term]:
    """Key, operator and values of each requirement."""
    tokens = _Tokens(text)
    terms: list[_Term] = []
    while True:
        if tokens.peek() in _Tokens.SIGNS - {"!"}:
            expected = "identifier after ','" if terms else "!, identifier, or 'end of string'"
            raise bad_request(f"found '{tokens.peek()}', expected: {expected}")
        negated = tokens.take("!")
        key = tokens.word("identifier")
        _check_key(key, text)
        if negated:
            terms.append((key, "!", frozenset()))
        elif tokens.take("=") or tokens.take("=="):
            terms.append((key, "=", frozenset((_value(tokens),))))
        elif tokens.take("!="):
            terms.append((key, "!=", frozenset((_value(tokens),))))
        elif tokens.take("in"):
            terms.append((key, "=", _values(tokens)))
        elif tokens.take("notin"):
            terms.append((key, "!=", _values(tokens)))
        else:
            terms.append((key, "exists", frozenset()))
        if tokens.at_end():
            return terms
        if not tokens.take(","):
            raise bad_request(f"found '{tokens.peek()}', expected: ',' or 'end of string'")


class _Tokens:
    """Words and signs of a label selector, one after the other."""

    SIGNS: Final = frozenset(("=", "==", "!=", "!", ",", "(", ")"))

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            found = _TOKEN.match(stripped, position)
            if found is None or found.group(3):
                raise bad_request(f'unable to parse requirement: found "{stripped[position:]}" in "{text}"')
            self._tokens.append(found.group(1) or found.group(2))
            position = found.end()
        self._next = 0

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def take(self, token: str) -> bool:
        """Step over ``token`` when it is the next one."""
        if self.peek() != token:
            return False
        self._next += 1
        return True

    def word(self, expected: str) -> str:
        word = self.peek()
        if not word or word in self.SIGNS:
            raise self.unexpected(expected)
        self._next += 1
        return word

    def at_end(self) -> bool:
        return self._next >= len(self._tokens)

    def unexpected(self, expected: str) -> ApiError:
        return bad_request(f"unable to parse requirement: found '{self.peek()}', expected: {expected}")


def _value(tokens: _Tokens) -> str:
    """A value, or the empty one."""
    if tokens.at_end() or tokens.peek() in (",", ")"):
        return ""
    value = tokens.word("identifier")
    if not is_label_value(value):
        raise bad_request(f'unable to parse requirement: "{value}" is not a label value')
    return value


def _values(tokens: _Tokens) -> frozenset[str]:
    if not tokens.take("("):
        raise tokens.unexpected("'('")
    values = [_value(tokens)]
    while tokens.take(","):
        values.append(_value(tokens))
    if not tokens.take(")"):
        raise tokens.unexpected("',' or ')'")
    return frozenset(values)


def _check_key(key: str, text: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if not _KEY.fullmatch(name) or (slash and not is_dns_subdomain(prefix)):
        raise bad_request(f'unable to parse requirement: "{key}" is not a label key in "{text}"')


def _accepts(labels: dict[str, str], term: _Term) -> bool:
    key, operator, values = term
    match operator:
        case "=":
            return key in labels and labels[key] in values
        case "!=":
            return key not in labels or labels[key] not in values
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
    terms: list[tuple[tuple[str, ...], bool, str]] = []
    for term in text.split(","):
        if not term.strip():
            continue
        operator = "!=" if "!=" in term else "==" if "==" in term else "="
        key, found, value = term.partition(operator)
        key = key.strip()
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        if key not in known:
            if info.custom or (info.group, info.kind) in _FIELDS:
                raise bad_request(f"field label not supported: {key}")
            only = '"metadata.name", "metadata.namespace"'
            raise bad_request(f'"{key}" is not a known field selector: only {only}')
        terms.append((_PATHS.get(key) or tuple(key.split(".")), operator != "!=", value.strip()))

    def matches(obj: dict[str, Any]) -> bool:
        return all((_text(obj, path) == value) is wanted for path, wanted, value in terms)

    return matches


def _text(obj: dict[str, Any], path: tuple[str, ...]) -> str:
    value: Any = obj
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    """What accepts an object that both accept."""
    if first is None or second is None:
        return first or second
    return lambda obj: first(obj) and second(obj)
