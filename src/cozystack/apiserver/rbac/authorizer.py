"""May this user do that? An index of roles and bindings, kept in step with the storage, and the answers from it.

The index follows the events of the four resources, and takes what has happened in before each answer: a role counts from the
moment its write returns. Members of ``system:masters`` may do everything, and no index is asked. Answers are remembered until a
role or a binding changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from cozystack.apiserver import errors
from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.rbac.quoting import quoted
from cozystack.apiserver.rbac.rules import Attributes, Rule
from cozystack.apiserver.storage import Storage, Stored, Subscription

GROUP: Final = "rbac.authorization.k8s.io"
CLUSTER_ROLES, ROLES = f"{GROUP}/clusterroles", f"{GROUP}/roles"
CLUSTER_BINDINGS, BINDINGS = f"{GROUP}/clusterrolebindings", f"{GROUP}/rolebindings"
MASTERS: Final = "system:masters"
_REMEMBERED: Final = 20_000
_HTML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Decision(NamedTuple):
    """Whether something is allowed, and why (or what was wrong with the roles, when it is not)."""

    allowed: bool
    reason: str = ""


class Grant(NamedTuple):
    """A binding, for one of its subjects."""

    namespace: str
    name: str
    role_kind: str
    role: str
    subject: str
    """As it is told to people."""

    def __str__(self) -> str:
        kind, name = ("RoleBinding", f"{self.name}/{self.namespace}") if self.namespace else ("ClusterRoleBinding", self.name)
        return f"{kind} {quoted(name)} of {self.role_kind} {quoted(self.role)} to {self.subject}"


class Found(NamedTuple):
    """Rules that a user has, by whom; or what is wrong with a binding of theirs."""

    grant: Grant
    rules: Sequence[Rule]
    problem: str = ""


class Authorizer:
    """See the module."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._rules: dict[tuple[str, str], tuple[Rule, ...]] = {}
        """By namespace and name; the namespace is empty for those of the cluster."""
        self._grants: dict[str, dict[str, dict[str, Grant]]] = {}
        """By namespace (empty for the cluster), subject and name of the binding."""
        self._bound: dict[tuple[str, str], tuple[str, ...]] = {}
        self._remembered: dict[Attributes, Decision] = {}
        self._follow()

    def decide(self, asked: Attributes) -> Decision:
        if MASTERS in asked.user.groups:
            return Decision(True)
        self._catch_up()
        known = self._remembered.get(asked)
        if known is None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            known = self._remembered[asked] = self._decision(asked)
        return known

    def require(self, asked: Attributes) -> Decision:
        """The decision, when it is yes; raises ``ApiError`` (403) otherwise."""
        decision = self.decide(asked)
        if not decision.allowed:
            raise forbidden(asked, decision.reason)
        return decision

    def found(self, user: User, namespace: str = "") -> Iterator[Found]:
        """All that a user has in the cluster and in a namespace."""
        self._catch_up()
        for place in ("", namespace) if namespace else ("",):
            of_place = self._grants.get(place)
            if not of_place:
                continue
            for subject in _subjects(user):
                for grant in of_place.get(subject, {}).values():
                    rules = self.rules_of(grant.role_kind, grant.role, place)
                    if rules is None:
                        yield Found(grant, (), missing_role(grant.role_kind, grant.role))
                    else:
                        yield Found(grant, rules)

    def rules_of(self, kind: str, name: str, namespace: str) -> Sequence[Rule] | None:
        """The rules of the role that a binding in ``namespace`` names; nothing when there is no such role."""
        self._catch_up()
        return self._rules.get(("" if kind == "ClusterRole" else namespace, name))

    def _decision(self, asked: Attributes) -> Decision:
        problems: dict[str, None] = {}
        for found in self.found(asked.user, asked.namespace):
            if found.problem:
                problems[found.problem] = None
            elif any(rule.allows(asked) for rule in found.rules):
                return Decision(True, f"RBAC: allowed by {found.grant}")
        if not problems:
            return Decision(False)
        shown = ", ".join(problems)
        return Decision(False, f"rbac: RBAC: {shown}" if len(problems) == 1 else f"rbac: RBAC: [{shown}]")

    # The index

    def _follow(self) -> None:
        self._rules.clear()
        self._grants.clear()
        self._bound.clear()
        self._remembered.clear()
        self._subscriptions: dict[str, Subscription] = {}
        for resource in (CLUSTER_ROLES, ROLES, CLUSTER_BINDINGS, BINDINGS):
            self._subscriptions[resource] = self._storage.subscribe(resource)
            for stored in self._storage.objects(resource):
                self._put(stored)

    def _catch_up(self) -> None:
        for subscription in self._subscriptions.values():
            if subscription.closed:
                for other in self._subscriptions.values():
                    other.close()
                self._follow()
                return
            events = subscription.drain()
            if events:
                self._remembered.clear()
                for event in events:
                    if event.kind == "DELETED":
                        self._remove(event.new)
                    else:
                        self._put(event.new)

    def _put(self, stored: Stored) -> None:
        if stored.resource in (CLUSTER_ROLES, ROLES):
            self._rules[stored.namespace, stored.name] = compiled(stored.object.get("rules") or ())
            return
        self._remove(stored)
        reference = stored.object["roleRef"]
        of_place = self._grants.setdefault(stored.namespace, {})
        keys = []
        for subject in stored.object.get("subjects") or ():
            key, shown = _subject(subject, stored.namespace)
            if not key:
                continue
            grant = Grant(stored.namespace, stored.name, reference["kind"], reference["name"], shown)
            of_place.setdefault(key, {}).setdefault(stored.name, grant)
            keys.append(key)
        self._bound[stored.namespace, stored.name] = tuple(keys)

    def _remove(self, stored: Stored) -> None:
        place = (stored.namespace, stored.name)
        if stored.resource in (CLUSTER_ROLES, ROLES):
            self._rules.pop(place, None)
            return
        of_place = self._grants.get(stored.namespace, {})
        for key in self._bound.pop(place, ()):
            grants = of_place.get(key, {})
            grants.pop(stored.name, None)
            if not grants:
                of_place.pop(key, None)
        if not of_place:
            self._grants.pop(stored.namespace, None)


def compiled(rules: Iterable[dict[str, Any]]) -> tuple[Rule, ...]:
    return tuple(Rule.of(rule) for rule in rules)


def missing_role(kind: str, name: str) -> str:
    return f"{kind.lower()}.{GROUP} {quoted(name)} not found"


def forbidden(asked: Attributes, reason: str = "") -> ApiError:
    """The refusal of a request, in Kubernetes' words."""
    who = f"User {quoted(asked.user.name)} cannot {asked.verb}"
    if asked.path:
        said = f"{who} path {quoted(asked.path)}"
    else:
        resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        where = f"in the namespace {quoted(asked.namespace)}" if asked.namespace else "at the cluster scope"
        said = f"{who} resource {quoted(resource)} in API group {quoted(asked.group)} {where}"
    said = said.translate(_HTML)
    if reason:
        said = f"{said}: {reason}"
    if asked.path:
        return ApiError(403, "Forbidden", f"forbidden: {said}", details={})
    if asked.name:
        return errors.forbidden(asked.resource, asked.group, asked.name, said)
    details = {"group": asked.group, "kind": asked.resource} if asked.group else {"kind": asked.resource}
    return ApiError(403, "Forbidden", f"{errors.qualified(asked.resource, asked.group)} is forbidden: {said}", details=details)


def _subjects(user: User) -> Iterator[str]:
    yield f"User {user.name}"
    for group in user.groups:
        yield f"Group {group}"


def _subject(subject: dict[str, Any], namespace: str) -> tuple[str, str]:
    """Under which key a subject is kept, and how it is told to people; an empty key for what is no subject."""
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        where = subject.get("namespace") or namespace
        if not where:
            return "", ""
        return f"User system:serviceaccount:{where}:{name}", f"{kind} {quoted(f'{name}/{where}')}"
    if kind in ("User", "Group"):
        return f"{kind} {name}", f"{kind} {quoted(name)}"
    return "", ""
