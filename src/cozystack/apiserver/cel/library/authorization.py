"""``authorizer``: may the one who asks, or a service account, do something else?

Whoever evaluates passes in how that is decided. Nothing is remembered between checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cozystack.api.names import is_dns_label, is_dns_subdomain
from cozystack.apiserver.cel.functions import Functions
from cozystack.apiserver.cel.library import costs
from cozystack.apiserver.cel.values import EvalError, Fields

CHECK_COST: Final = 350_000
_PREFIX: Final = "kubernetes.authorization."


@dataclass(frozen=True, slots=True)
class Question:
    """May ``user`` do ``verb``, on a path or on a resource? A user is empty when it is the one who asks."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    user: str = ""


Decide = Callable[[Question], tuple[bool, str]]
"""Whether it is allowed, and why."""


class _Value:
    __slots__ = ()

    type_name = ""

    def size(self) -> int:
        return 1


class Authorizer(Fields):
    """The variable ``authorizer``; its field ``requestResource`` asks about what the request is about."""

    __slots__ = ("_requested", "decide", "user")

    type_name = _PREFIX + "Authorizer"

    def __init__(self, decide: Decide, user: str = "", requested: Question | None = None) -> None:
        self.decide = decide
        self.user = user
        self._requested = requested

    def field(self, name: str) -> Check:
        if name != "requestResource" or self._requested is None:
            raise EvalError(f"no such key: {name}")
        return Check("ResourceCheck", self.decide, self._requested)


class Check(_Value):
    """What is going to be asked, as far as it is known."""

    __slots__ = ("decide", "question", "type_name")

    def __init__(self, type_name: str, decide: Decide, question: Question) -> None:
        self.type_name = _PREFIX + type_name
        self.decide = decide
        self.question = question

    def with_(self, **changes: str) -> Check:
        return Check("ResourceCheck", self.decide, replace(self.question, **changes))


class Decision(_Value):
    __slots__ = ("allowed", "reason")

    type_name = _PREFIX + "Decision"

    def __init__(self, allowed: bool, reason: str) -> None:
        self.allowed = allowed
        self.reason = reason


def _path(authorizer: Authorizer, path: str) -> Check:
    if not path.strip():
        raise EvalError("path must not be empty")
    return Check("PathCheck", authorizer.decide, Question(user=authorizer.user, path=path))


def _group(authorizer: Authorizer, group: str) -> Check:
    return Check("GroupCheck", authorizer.decide, Question(user=authorizer.user, group=group))


def _service_account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    if not is_dns_subdomain(name):
        raise EvalError("Invalid service account name")
    if not is_dns_label(namespace):
        raise EvalError("Invalid service account namespace")
    return Authorizer(authorizer.decide, f"system:serviceaccount:{namespace}:{name}")


def _resource(check: Check, resource: str) -> Check:
    if not resource.strip():
        raise EvalError("resource must not be empty")
    return check.with_(resource=resource)


def _decided(check: Check, verb: str) -> Decision:
    return Decision(*check.decide(replace(check.question, verb=verb)))


@costs.by_function
def _check_cost(args: costs.Args, result: object) -> int:
    return CHECK_COST


@costs.by_function
def _selector_cost(args: costs.Args, result: object) -> int:
    size = len(args[1])
    return 10 + costs.of_text(size) + costs.of_text(costs.of_text(size, 0.5), 50)


def register(functions: Functions) -> None:
    for name in ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision"):
        functions.add_types([(_PREFIX + name, _PREFIX + name)])

    def add(function: str, name: str, signature: str, impl: Callable[..., object], cost: object = None) -> None:
        for word in ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision"):
            signature = signature.replace(f"<{word}>", _PREFIX + word)
        functions.add(function, name, signature, impl, cost)  # type: ignore[arg-type]

    add("path", "authorizer_path", "<Authorizer>.(string) -> <PathCheck>", _path)
    add("group", "authorizer_group", "<Authorizer>.(string) -> <GroupCheck>", _group)
    add(
        "serviceAccount",
        "authorizer_serviceaccount",
        "<Authorizer>.(string, string) -> <Authorizer>",
        _service_account,
    )
    add("resource", "groupcheck_resource", "<GroupCheck>.(string) -> <ResourceCheck>", _resource)
    for word in ("subresource", "namespace", "name"):
        add(word, f"resourcecheck_{word}", "<ResourceCheck>.(string) -> <ResourceCheck>", _setting(word))
    for function, name in (("fieldSelector", "field_selector"), ("labelSelector", "label_selector")):
        signature = "<ResourceCheck>.(string) -> <ResourceCheck>"
        add(function, f"authorizer_{function.lower()}", signature, _setting(name), _selector_cost)
    add("check", "pathcheck_check", "<PathCheck>.(string) -> <Decision>", _decided, _check_cost)
    add("check", "resourcecheck_check", "<ResourceCheck>.(string) -> <Decision>", _decided, _check_cost)
    add("errored", "decision_errored", "<Decision>.() -> bool", lambda decision: False)
    add("error", "decision_error", "<Decision>.() -> string", lambda decision: "")
    add("allowed", "decision_allowed", "<Decision>.() -> bool", lambda decision: decision.allowed)
    add("reason", "decision_reason", "<Decision>.() -> string", lambda decision: decision.reason)


def _setting(name: str) -> Callable[[Check, str], Check]:
    return lambda check, value: check.with_(**{name: value})
