"""What expressions of admission see of a write, and what the conditions of a webhook or a policy come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from cozystack.apiserver.admission.matching import Write
from cozystack.apiserver.cel import EvalError
from cozystack.apiserver.cel.library.authorization import Authorizer, Question
from cozystack.apiserver.cel.policies import Expression
from cozystack.apiserver.cel.values import parse_timestamp
from cozystack.apiserver.conversion import converted
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.resources import ResourceInfo

Obj = dict[str, Any]
Decide = Callable[[User, Question], tuple[bool, str]]
"""Whether a user may do something, and why."""

CONDITIONS_BUDGET: Final = 2_500_000
_OUT_OF_BUDGET: Final = "validation failed due to running out of cost budget, no further validation rules will be run"


class ConditionsFailed(Exception):  # noqa: N818 - it names what has happened
    """Conditions that do not tell whether they hold: why, one by one."""


def names_of(write: Write, shown: ResourceInfo, namespace: Obj | None, decide: Decide) -> dict[str, Any]:
    """The variables of expressions, with the objects in the version of ``shown``."""
    info, user = write.info, write.user
    request: Obj = {
        "kind": {"group": info.group, "version": shown.version, "kind": info.kind},
        "resource": {"group": info.group, "version": shown.version, "resource": info.plural},
        "requestKind": {"group": info.group, "version": info.version, "kind": info.kind},
        "requestResource": {"group": info.group, "version": info.version, "resource": info.plural},
        "name": write.name,
        "operation": write.operation,
        "userInfo": {"username": user.name, "groups": list(user.groups)},
        "dryRun": write.dry_run,
        "options": write.options,
    }
    if user.uid:
        request["userInfo"]["uid"] = user.uid
    if user.extra:
        request["userInfo"]["extra"] = {name: list(values) for name, values in user.extra.items()}
    if write.namespace:
        request["__namespace__"] = write.namespace
    if write.subresource:
        request |= {"subResource": write.subresource, "requestSubResource": write.subresource}
    about = Question(
        group=info.group, resource=info.plural, subresource=write.subresource, namespace=write.namespace, name=write.name
    )

    def may(question: Question) -> tuple[bool, str]:
        return decide(_service_account(question.user) if question.user else user, question)

    return {
        "object": converted(write.new, shown.api_version) if write.new is not None else None,
        "oldObject": converted(write.old, shown.api_version) if write.old is not None else None,
        "request": request,
        "namespaceObject": _namespace(namespace) if namespace is not None else None,
        "authorizer": Authorizer(may, requested=about),
    }


def _service_account(name: str) -> User:
    namespace = name.split(":")[2]
    return User(name, ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"))


_METADATA: Final = ("name", "generateName", "labels", "annotations", "generation", "resourceVersion", "finalizers")


def _namespace(obj: Obj) -> Obj:
    """As much of a namespace as expressions may see."""
    metadata = obj["metadata"]
    shown = {name: metadata[name] for name in _METADATA if name in metadata}
    for name in ("creationTimestamp", "deletionTimestamp"):
        if metadata.get(name):
            shown[name] = parse_timestamp(metadata[name])
    return {"metadata": shown, "spec": obj.get("spec") or {}, "status": obj.get("status") or {}}


def conditions_hold(conditions: list[Expression], names: Mapping[str, Any]) -> bool:
    """Whether all conditions hold. One that does not is enough; otherwise raises ``ConditionsFailed`` when one cannot tell."""
    budget = CONDITIONS_BUDGET
    failed: list[str] = []
    for condition in conditions:
        if condition.program is None:
            failed.append(f"compilation error: {condition.fault}")
            continue
        try:
            value, cost = condition.program.evaluate(names)
        except EvalError as error:
            cost, value = error.cost, None
            failed.append(f"expression '{condition.text}' resulted in error: {error}")
        if cost > budget:
            raise ConditionsFailed(_OUT_OF_BUDGET)
        budget -= cost
        if value is False:
            return False
    if failed:
        raise ConditionsFailed(failed[0] if len(failed) == 1 else f"[{', '.join(failed)}]")
    return True
