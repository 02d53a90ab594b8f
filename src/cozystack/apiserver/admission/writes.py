"""Writes of clients, with webhooks in between: prepare, ask, store exactly what was admitted.

``Objects`` never waits, and a webhook takes its time. So a write that concerns a webhook is first done as a dry run, which
gives the object as it would be stored; the webhooks are asked about that one; then it is stored if what it was made from is
still there. If not, everything begins again: a write that names a version then ends in the conflict that it would have had
anyway. A write that concerns no webhook goes straight to ``Objects``, after one look at the (usually empty) configurations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgspec

from cozystack.apiserver import errors
from cozystack.apiserver.admission.matching import Write
from cozystack.apiserver.admission.webhooks import Refused, Webhooks
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.objects import Changed, DeleteOptions, Objects, WriteOptions
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.storage import Stored

Obj = dict[str, Any]

_ATTEMPTS: Final = 5


class Writes:
    """The writing methods of ``Objects`` for clients: the same arguments, and who it is that writes."""

    def __init__(self, objects: Objects, webhooks: Webhooks) -> None:
        self._objects = objects
        self._webhooks = webhooks

    async def create(self, info: ResourceInfo, namespace: str, obj: Obj, options: WriteOptions, user: User) -> Obj:
        """As ``Objects.create``; raises ``ApiError``."""
        if not self._webhooks.concern(info, "CREATE"):
            return self._objects.create(info, namespace, obj, options)
        return await self._written(
            info,
            namespace,
            "",
            options,
            user,
            lambda dry: self._objects.create(info, namespace, _fresh(obj), dry),
            "CreateOptions",
        )

    async def replace(self, info: ResourceInfo, namespace: str, name: str, obj: Obj, options: WriteOptions, user: User) -> Obj:
        """As ``Objects.replace``; raises ``ApiError``."""
        if not self._may_concern(info, options):
            return self._objects.replace(info, namespace, name, obj, options)
        return await self._written(
            info,
            namespace,
            name,
            options,
            user,
            lambda dry: self._objects.replace(info, namespace, name, _fresh(obj), dry),
            "UpdateOptions",
        )

    async def patch(
        self, info: ResourceInfo, namespace: str, name: str, kind: str, patch: Any, options: WriteOptions, user: User
    ) -> Obj:
        """As ``Objects.patch``; raises ``ApiError``."""
        if not self._may_concern(info, options):
            return self._objects.patch(info, namespace, name, kind, patch, options)
        return await self._written(
            info,
            namespace,
            name,
            options,
            user,
            lambda dry: self._objects.patch(info, namespace, name, kind, _fresh(patch), dry),
            "PatchOptions",
        )

    async def apply(
        self, info: ResourceInfo, namespace: str, name: str, applied: Obj, options: WriteOptions, user: User
    ) -> tuple[Obj, bool]:
        """As ``Objects.apply``; raises ``ApiError``."""
        if not self._may_concern(info, options):
            return self._objects.apply(info, namespace, name, applied, options)
        new = False

        def prepare(dry: WriteOptions) -> Obj:
            nonlocal new
            obj, new = self._objects.apply(info, namespace, name, _fresh(applied), dry)
            return obj

        obj = await self._written(info, namespace, name, options, user, prepare, "PatchOptions")
        return obj, new

    async def delete(
        self, info: ResourceInfo, namespace: str, name: str, options: DeleteOptions, user: User, warnings: list[str]
    ) -> tuple[Obj, bool]:
        """As ``Objects.delete``; ``warnings`` gets what webhooks have to say; raises ``ApiError``."""
        if not self._webhooks.concern(info, "DELETE"):
            return self._objects.delete(info, namespace, name, options)
        for _ in range(_ATTEMPTS):
            old = self._objects.get(info, namespace, name)
            self._objects.delete(info, namespace, name, replace(options, dry_run=True))
            asked = Write(info, namespace, name, "DELETE", old.object, None, user, _delete_options(options))
            asked.dry_run = options.dry_run
            said = (await self._webhooks.mutate(asked))[1] + await self._webhooks.validate(asked)
            now = self._objects.find(info, namespace, name)
            if now is None or now.version == old.version:
                warnings += said
                return self._objects.delete(info, namespace, name, options)
        raise errors.conflict(info.plural, info.group, name)

    def _may_concern(self, info: ResourceInfo, options: WriteOptions) -> bool:
        """A change may turn out to create."""
        concern = self._webhooks.concern
        return concern(info, "UPDATE", options.subresource) or (not options.subresource and concern(info, "CREATE"))

    async def _written(
        self,
        info: ResourceInfo,
        namespace: str,
        name: str,
        options: WriteOptions,
        user: User,
        prepare: Callable[[WriteOptions], Obj],
        kind: str,
    ) -> Obj:
        for _ in range(_ATTEMPTS):
            dry = replace(options, dry_run=True, warnings=[], annotations={})
            old = self._objects.find(info, namespace, name) if name else None
            new = prepare(dry)
            asked = _write(info, namespace, old, new, user, options, kind)
            try:
                changed, said = await self._webhooks.mutate(asked)
                if changed is not None and changed is not new:
                    asked.new = new = self._objects.mutated(info, namespace, old, new, changed, options)
                said += await self._webhooks.validate(asked)
            except Refused as refused:
                refused.warnings[:0] = dry.warnings
                options.annotations.update(asked.annotations)
                raise
            if not options.dry_run:
                try:
                    new = self._objects.store(info, namespace, old, new)
                except Changed:
                    continue
            options.warnings += [*dry.warnings, *said]
            options.annotations.update(asked.annotations)
            return new
        raise errors.conflict(info.plural, info.group, name)


def _write(
    info: ResourceInfo, namespace: str, old: Stored | None, new: Obj, user: User, options: WriteOptions, kind: str
) -> Write:
    said: Obj = {"kind": kind, "apiVersion": "meta.k8s.io/v1", "fieldManager": options.manager}
    said["fieldValidation"] = options.field_validation
    if options.dry_run:
        said["dryRun"] = ["All"]
    if options.force:
        said["force"] = True
    return Write(
        info=info,
        namespace=namespace if info.namespaced else "",
        name=new["metadata"]["name"],
        operation="CREATE" if old is None else "UPDATE",
        old=old.object if old is not None else None,
        new=new,
        user=user,
        options=said,
        subresource=options.subresource,
        dry_run=options.dry_run,
    )


def _delete_options(options: DeleteOptions) -> Obj:
    said: Obj = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
    if options.propagation:
        said["propagationPolicy"] = options.propagation
    if options.grace is not None:
        said["gracePeriodSeconds"] = options.grace
    if options.dry_run:
        said["dryRun"] = ["All"]
    return said


def _fresh(value: Any) -> Any:
    """A copy: each attempt begins with what the client sent."""
    return msgspec.json.decode(msgspec.json.encode(value))
