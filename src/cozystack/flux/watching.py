"""Wait for the objects of many releases at once, by events.

A kind is followed from the first time that somebody waits for one of its objects; what is kept of an object is what its health
depends on. Nobody polls, and nothing that waits holds a worker.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cozystack.api import yaml
from cozystack.api.cozystack import HealthCheckExpr
from cozystack.api.meta import Key
from cozystack.flux.health import INERT, Health, group_of, health
from cozystack.kube import Client, Discovery, Entry, Informer, key_of
from cozystack.kube.errors import UnknownKind

Obj = dict[str, Any]

_KIND = re.compile(r"(?m)^kind:[ \t]*['\"]?([A-Za-z0-9]+)")
_API_VERSION = re.compile(r"(?m)^apiVersion:[ \t]*['\"]?([A-Za-z0-9./-]+)")
# Health does not depend on the rest of these, and it is big.
_STATUS_ALONE = frozenset(("CustomResourceDefinition", "Pod"))


class Target(NamedTuple):
    """An object that a release waits for."""

    api_version: str
    kind: str
    key: Key

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


def targets_of(manifest: str, namespace: str, exprs: tuple[HealthCheckExpr, ...]) -> list[Target]:
    """The objects of a manifest whose health is worth waiting for, in its order.

    One that names no namespace has ``namespace``, whether its kind is namespaced or not: ``Watcher`` knows.
    """
    judged = {(expr.api_version, expr.kind) for expr in exprs}
    found: dict[Target, None] = {}
    for document in re.split(r"(?m)^---.*$", manifest):
        kind, version = _KIND.search(document), _API_VERSION.search(document)
        # Most documents need not be parsed: they have nothing to wait for.
        if kind is None or version is None:
            continue
        if (group_of(version[1]), kind[1]) in INERT and (version[1], kind[1]) not in judged:
            continue
        for obj in _unfolded(yaml.load(document)):
            key = key_of(obj)
            found[Target(obj["apiVersion"], obj["kind"], Key(key.namespace or namespace, key.name))] = None
    return list(found)


def _unfolded(obj: Any) -> list[Obj]:
    """An object, or those of a list (``kind: List``), as Helm applies them."""
    if not isinstance(obj, dict):
        return []
    items = obj.get("items")
    return (
        [item for item in items if isinstance(item, dict)] if obj.get("kind") == "List" and isinstance(items, list) else [obj]
    )


class Watcher:
    """Follows kinds. ``wake`` is called with the key of a waiting release when one of its objects has changed."""

    def __init__(self, client: Client, wake: Callable[[Key], None]) -> None:
        self._client = client
        self._discovery = Discovery(client)
        self._wake = wake
        self._informers: dict[tuple[str, str], Informer[Obj]] = {}
        self._namespaced: dict[tuple[str, str], bool] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: dict[Target, set[Key]] = {}
        self._targets: dict[Key, tuple[Target, ...]] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def wait(self, release: Key, targets: Iterable[Target]) -> None:
        """From now on wake ``release`` when one of ``targets`` changes, and no other."""
        self.forget(release)
        self._targets[release] = tuple(targets)
        for target in self._targets[release]:
            self._waiting.setdefault(target, set()).add(release)

    def forget(self, release: Key) -> None:
        for target in self._targets.pop(release, ()):
            waiting = self._waiting.get(target)
            if waiting is not None:
                waiting.discard(release)
                if not waiting:
                    del self._waiting[target]

    async def look(self, target: Target, exprs: tuple[HealthCheckExpr, ...]) -> Health:
        """The health of an object now."""
        informer = await self._informer(target)
        if informer is None:
            return Health("InProgress", f"the server does not serve {target.api_version} {target.kind} yet")
        return health(informer.store.get(self._place(target)), exprs)

    async def _informer(self, target: Target) -> Informer[Obj] | None:
        kind = (target.api_version, target.kind)
        informer = self._informers.get(kind)
        if informer is None:
            try:
                resource = await self._discovery.resource(*kind)
            except UnknownKind:
                return None
            informer = self._informers.get(kind)
        if informer is None:
            self._namespaced[kind] = resource.namespaced
            informer = Informer(self._client, resource, transform=_condensed)
            informer.on_change(lambda _, old, new: self._changed(kind, new if new is not None else old))
            self._informers[kind] = informer
            self._tasks.append(asyncio.create_task(informer.run(), name=f"health of {target.kind}"))
        await informer.wait_synced()
        return informer

    def _place(self, target: Target) -> Key:
        return target.key if self._namespaced[target.api_version, target.kind] else Key("", target.key.name)

    def _changed(self, kind: tuple[str, str], obj: Obj | None) -> None:
        if obj is None:
            return
        place = key_of(obj)
        if self._namespaced[kind]:
            woken = set(self._waiting.get(Target(*kind, place), ()))
        else:
            # An object without a namespace is waited for under that of its release.
            woken = {
                release
                for target, releases in self._waiting.items()
                if (target.api_version, target.kind, target.key.name) == (*kind, place.name)
                for release in releases
            }
        for release in woken:
            self._wake(release)


def _condensed(obj: Obj) -> Entry[Obj]:
    metadata = obj.get("metadata") or {}
    kept = {
        name: metadata[name]
        for name in ("name", "namespace", "uid", "generation", "resourceVersion", "deletionTimestamp", "labels", "annotations")
        if name in metadata
    }
    slim: Obj = {name: obj[name] for name in ("apiVersion", "kind", "status", "data") if name in obj}
    if obj.get("kind") not in _STATUS_ALONE and "spec" in obj:
        slim["spec"] = obj["spec"]
    if slim.get("kind") == "Secret":
        slim.pop("data", None)
    annotations = kept.get("annotations")
    if annotations:
        kept["annotations"] = {k: v for k, v in annotations.items() if len(str(v)) < 256}
    slim["metadata"] = kept
    return Entry(slim)
