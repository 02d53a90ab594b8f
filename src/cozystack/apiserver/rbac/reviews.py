"""The API that answers questions of access: who am I, whose token is this, may I, may they, and what may I.

None of these objects is stored: the answer is the object with a status.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from cozystack.api.time import format_time
from cozystack.apiserver import errors
from cozystack.apiserver.auth import ISSUER, Authenticator
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.rbac.authorizer import Authorizer
from cozystack.apiserver.rbac.rules import Attributes, Rule
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.schema.check import FieldError, invalid

Obj = dict[str, Any]

_ONE = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


class Reviews:
    """See the module."""

    def __init__(self, authorizer: Authorizer, auth: Authenticator, clock: Callable[[], datetime]) -> None:
        self._authorizer = authorizer
        self._auth = auth
        self._clock = clock

    def answer(self, info: ResourceInfo, namespace: str, body: Obj, user: User) -> Obj:
        """The review with its status; raises ``ApiError``."""
        spec = body.get("spec") or {}
        answer = {**body, "apiVersion": info.api_version, "kind": info.kind, "metadata": body.get("metadata") or {}}
        match info.kind:
            case "SelfSubjectReview":
                made = {"creationTimestamp": format_time(self._clock())}
                return {**answer, "metadata": made, "status": {"userInfo": identity(user)}}
            case "TokenReview":
                return {**answer, "spec": spec, "status": self._token(spec)}
            case "SelfSubjectRulesReview":
                if not spec.get("namespace"):
                    raise errors.bad_request("no namespace on request")
                return {**answer, "spec": {}, "status": self._rules(user, spec["namespace"])}
            case "SelfSubjectAccessReview":
                self._check(info, answer, namespace)
                return {**answer, "status": self._access(spec, user)}
        self._check(info, answer, namespace)
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        about = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)
        return {**answer, "status": self._access(spec, about)}

    def _token(self, spec: Obj) -> Obj:
        token, audiences = spec.get("token", ""), spec.get("audiences") or [ISSUER]
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        user = self._auth.token_user(token, audiences)
        if user is None:
            return {"user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": identity(user), "audiences": list(audiences)}

    def _access(self, spec: Obj, user: User) -> Obj:
        resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes") or {}
        if resource is not None:
            keys = ("verb", "group", "resource", "subresource", "namespace", "name")
            asked = Attributes(user, *(resource.get(key) or "" for key in keys))
        else:
            asked = Attributes(user, other.get("verb") or "", path=other.get("path") or "/")
        decision = self._authorizer.decide(asked)
        status: Obj = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return status

    def _rules(self, user: User, namespace: str) -> Obj:
        found = list(self._authorizer.found(user, namespace))
        rules = [rule for each in found for rule in each.rules]
        status: Obj = {
            "resourceRules": [_resource_rule(rule) for rule in rules if rule.resources],
            "nonResourceRules": [
                {"verbs": list(rule.verbs), "nonResourceURLs": list(rule.paths)} for rule in rules if rule.paths
            ],
            "incomplete": False,
        }
        problems = [each.problem for each in found if each.problem]
        if problems:
            status["evaluationError"] = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        return status

    def _check(self, info: ResourceInfo, body: Obj, namespace: str) -> None:
        spec = body.get("spec") or {}
        resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        local = info.kind == "LocalSubjectAccessReview"
        faults: list[FieldError] = []
        if (resource is None) == (other is None):
            faults.append(invalid("spec", other, _ONE))
        if info.kind != "SelfSubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
            faults.append(invalid("spec.user", spec.get("user", ""), "at least one of user or group must be specified"))
        if local and resource is not None and (resource.get("namespace") or "") != namespace:
            path = "spec.resourceAttributes.namespace"
            faults.append(invalid(path, resource.get("namespace") or "", "must match metadata.namespace"))
        if local and other is not None:
            faults.append(invalid("spec.nonResourceAttributes", other, "disallowed on this kind of request"))
        if faults:
            # Kubernetes leaves the kind out here.
            raise errors.invalid("", info.group, "", faults)


def identity(user: User) -> Obj:
    """A ``UserInfo``."""
    found: Obj = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found


def _resource_rule(rule: Rule) -> Obj:
    shown: Obj = {"verbs": list(rule.verbs)}
    parts: tuple[tuple[str, Sequence[str]], ...] = (
        ("apiGroups", rule.groups),
        ("resources", rule.resources),
        ("resourceNames", rule.names),
    )
    return {**shown, **{key: list(values) for key, values in parts if values}}
