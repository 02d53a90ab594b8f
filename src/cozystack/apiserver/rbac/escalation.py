"""Nobody gives away what they do not have.

A write path for clients in front of another one: whoever makes or changes a role must hold what is in it, or be allowed to
``escalate``; whoever binds a role must hold what is in that, or be allowed to ``bind`` it. The object that is judged is the one
that would be stored, so the write is done as a dry run first. A write to a name where nothing is makes something: that needs
``create`` too, whatever the request is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final, Protocol

import msgspec

from cozystack.apiserver import errors
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.objects import DeleteOptions, Objects, WriteOptions
from cozystack.apiserver.rbac.authorizer import GROUP, MASTERS, Authorizer, compiled
from cozystack.apiserver.rbac.rules import EVERYTHING, Attributes, Rule, missing, refusal
from cozystack.apiserver.resources import ResourceInfo

Obj = dict[str, Any]

_ROLES: Final = ("roles", "clusterroles")
_BINDINGS: Final = ("rolebindings", "clusterrolebindings")
# What the garbage collector changes: it may, whatever else is in the object.
_COLLECTED: Final = ("ownerReferences", "finalizers", "resourceVersion", "managedFields", "generation")


class ClientWrites(Protocol):
    """The writing methods of ``Objects``, for clients."""

    async def create(self, info: ResourceInfo, namespace: str, obj: Obj, options: WriteOptions, user: User) -> Obj: ...

    async def replace(
        self, info: ResourceInfo, namespace: str, name: str, obj: Obj, options: WriteOptions, user: User
    ) -> Obj: ...

    async def patch(
        self, info: ResourceInfo, namespace: str, name: str, kind: str, patch: Any, options: WriteOptions, user: User
    ) -> Obj: ...

    async def apply(
        self, info: ResourceInfo, namespace: str, name: str, applied: Obj, options: WriteOptions, user: User
    ) -> tuple[Obj, bool]: ...

    async def delete(
        self, info: ResourceInfo, namespace: str, name: str, options: DeleteOptions, user: User, warnings: list[str]
    ) -> tuple[Obj, bool]: ...


class GuardedWrites:
    """See the module."""

    def __init__(self, writes: ClientWrites, objects: Objects, authorizer: Authorizer) -> None:
        self._writes = writes
        self._objects = objects
        self._authorizer = authorizer

    async def create(self, info: ResourceInfo, namespace: str, obj: Obj, options: WriteOptions, user: User) -> Obj:
        """As ``Objects.create``; raises ``ApiError``."""
        if _is_guarded(info, user):
            self._judge(
                info, namespace, None, user, options, lambda dry: self._objects.create(info, namespace, _fresh(obj), dry)
            )
        return await self._writes.create(info, namespace, obj, options, user)

    async def replace(self, info: ResourceInfo, namespace: str, name: str, obj: Obj, options: WriteOptions, user: User) -> Obj:
        """As ``Objects.replace``; raises ``ApiError``."""
        self._may_create(info, namespace, name, options, user)
        if _is_guarded(info, user):
            self._judge(
                info, namespace, name, user, options, lambda dry: self._objects.replace(info, namespace, name, _fresh(obj), dry)
            )
        return await self._writes.replace(info, namespace, name, obj, options, user)

    async def patch(
        self, info: ResourceInfo, namespace: str, name: str, kind: str, patch: Any, options: WriteOptions, user: User
    ) -> Obj:
        """As ``Objects.patch``; raises ``ApiError``."""
        if _is_guarded(info, user):
            self._judge(
                info,
                namespace,
                name,
                user,
                options,
                lambda dry: self._objects.patch(info, namespace, name, kind, _fresh(patch), dry),
            )
        return await self._writes.patch(info, namespace, name, kind, patch, options, user)

    async def apply(
        self, info: ResourceInfo, namespace: str, name: str, applied: Obj, options: WriteOptions, user: User
    ) -> tuple[Obj, bool]:
        """As ``Objects.apply``; raises ``ApiError``."""
        self._may_create(info, namespace, name, options, user)
        if _is_guarded(info, user):
            self._judge(
                info,
                namespace,
                name,
                user,
                options,
                lambda dry: self._objects.apply(info, namespace, name, _fresh(applied), dry)[0],
            )
        return await self._writes.apply(info, namespace, name, applied, options, user)

    async def delete(
        self, info: ResourceInfo, namespace: str, name: str, options: DeleteOptions, user: User, warnings: list[str]
    ) -> tuple[Obj, bool]:
        """As ``Objects.delete``; raises ``ApiError``."""
        return await self._writes.delete(info, namespace, name, options, user, warnings)

    def _may_create(self, info: ResourceInfo, namespace: str, name: str, options: WriteOptions, user: User) -> None:
        if MASTERS in user.groups or options.subresource or self._objects.find(info, namespace, name) is not None:
            return
        self._authorizer.require(Attributes(user, "create", info.group, info.plural, "", namespace, name))

    def _judge(
        self,
        info: ResourceInfo,
        namespace: str,
        name: str | None,
        user: User,
        options: WriteOptions,
        prepare: Callable[[WriteOptions], Obj],
    ) -> None:
        stored = self._objects.find(info, namespace, name) if name else None
        old = stored.object if stored is not None else None
        new = prepare(replace(options, dry_run=True, warnings=[]))
        if old is not None and _without_collected(old) == _without_collected(new):
            return
        if info.plural in _BINDINGS:
            self._judge_binding(info, namespace, new, user)
        else:
            self._judge_role(info, namespace, name or "", old, new, user)

    def _judge_role(self, info: ResourceInfo, namespace: str, name: str, old: Obj | None, new: Obj, user: User) -> None:
        if self._authorizer.decide(Attributes(user, "escalate", info.group, info.plural, "", namespace, name)).allowed:
            return
        shown = new["metadata"]["name"]
        self._must_hold(info, namespace, shown, compiled(new.get("rules") or ()), user)
        if any((role.get("aggregationRule") or {}).get("clusterRoleSelectors") for role in (old or {}, new)):
            held = self._held(user, namespace)
            if missing(held, EVERYTHING):
                why = "must have cluster-admin privileges to use the aggregationRule"
                raise errors.forbidden(info.plural, info.group, shown, why)

    def _judge_binding(self, info: ResourceInfo, namespace: str, new: Obj, user: User) -> None:
        reference = new["roleRef"]
        plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
        if self._authorizer.decide(Attributes(user, "bind", GROUP, plural, "", namespace, reference["name"])).allowed:
            return
        rules = self._authorizer.rules_of(reference["kind"], reference["name"], namespace)
        if rules is None:
            raise errors.not_found(info.plural, info.group, reference["name"])
        self._must_hold(info, namespace, new["metadata"]["name"], rules, user)

    def _must_hold(self, info: ResourceInfo, namespace: str, name: str, rules: Iterable[Rule], user: User) -> None:
        lacking = missing(self._held(user, namespace), rules)
        if lacking:
            raise errors.forbidden(info.plural, info.group, name, refusal(user, lacking))

    def _held(self, user: User, namespace: str) -> list[Rule]:
        return [rule for found in self._authorizer.found(user, namespace) for rule in found.rules]


def _is_guarded(info: ResourceInfo, user: User) -> bool:
    return info.group == GROUP and info.plural in (*_ROLES, *_BINDINGS) and MASTERS not in user.groups


def _without_collected(obj: Obj) -> Obj:
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key not in _COLLECTED}}


def _fresh(value: Any) -> Any:
    """A copy: the write itself begins with what the client sent."""
    return msgspec.json.decode(msgspec.json.encode(value))
