"""What a step reads and writes: declared in its module, enforced here, and turned into the rules of a role.

A step gets a ``Cluster`` that refuses whatever is not declared, also where the API server would allow it (the sandbox has no
authorization). So a step that works here works with the role that is generated from the same declarations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from cozystack.api.meta import JSON, Key
from cozystack.api.resources import CONFIG_MAPS, LEASES, PACKAGE_SOURCES, PACKAGES, Resource, untyped
from cozystack.kube import Client, Clock
from cozystack.kube.errors import NotFound
from cozystack.planner.ledger import MANAGER, NAME, VERSION_NAME

Verb: TypeAlias = Literal["get", "list", "create", "update", "patch", "delete"]
Obj: TypeAlias = dict[str, Any]


class Undeclared(Exception):  # noqa: N818 - it names a fault of the step
    """A step did what it does not declare."""


@dataclass(frozen=True, slots=True)
class Access:
    """Verbs on a resource; on objects of certain names, or in the platform's own namespace alone, if so restricted."""

    resource: Resource[Any]
    verbs: tuple[Verb, ...]
    names: tuple[str, ...] = ()
    own_namespace: bool = False

    def allows(self, verb: Verb, resource: Resource[Any], key: Key, namespace: str) -> bool:
        return (
            verb in self.verbs
            and (resource.group, resource.plural) == (self.resource.group, self.resource.plural)
            and (not self.names or key.name in self.names or verb == "create")
            and (not self.own_namespace or key.namespace == namespace)
        )

    @property
    def writes(self) -> bool:
        return not {"get", "list"} >= set(self.verbs)

    def __str__(self) -> str:
        """``ConfigMap a, b in the platform's namespace``; of what is written also how, ``Deployment: patch``."""
        where = " in the platform's namespace" if self.own_namespace else ""
        what = f"{self.resource.kind}{' ' if self.names else ''}{', '.join(self.names)}{where}"
        return f"{what}: {', '.join(self.verbs)}" if self.writes else what


def reads(resource: Resource[Any], *names: str, own_namespace: bool = False) -> Access:
    """Get, and list when no names are given."""
    return Access(resource, ("get",) if names else ("get", "list"), names, own_namespace)


def writes(resource: Resource[Any], *verbs: Verb, names: Iterable[str] = (), own_namespace: bool = False) -> Access:
    return Access(resource, verbs, tuple(names), own_namespace)


RUNNER: Final = (
    # Neither the creation of an object nor a list can be restricted by name.
    Access(CONFIG_MAPS, ("get", "patch"), (VERSION_NAME, NAME), own_namespace=True),
    Access(CONFIG_MAPS, ("create",), own_namespace=True),
    Access(LEASES, ("get", "update"), (NAME,), own_namespace=True),
    Access(LEASES, ("create",), own_namespace=True),
    Access(PACKAGES, ("list",)),
    Access(PACKAGE_SOURCES, ("list",)),
)
"""What the runner itself needs."""


@dataclass(slots=True)
class Cluster:
    """The cluster as a step may see and change it. ``written`` is what it did, one line each."""

    client: Client
    accesses: tuple[Access, ...]
    namespace: str
    clock: Clock
    step: str = "the step"
    written: list[str] = field(default_factory=list)

    async def find(self, resource: Resource[Any], name: str, namespace: str = "") -> Obj | None:
        """The object, or None; also when the kind is not served."""
        key = self._key(resource, name, namespace)
        self._check("get", resource, key)
        return await self.client.find(_plain(resource), key)

    async def list(self, resource: Resource[Any], *, namespace: str = "", label_selector: str = "") -> list[Obj]:
        """All objects (of one namespace, if given); none when the kind is not served."""
        self._check("list", resource, Key(namespace, ""))
        try:
            listing = await self.client.list(_plain(resource), namespace=namespace, label_selector=label_selector)
        except NotFound:
            return []
        return listing.items

    async def create(self, resource: Resource[Any], obj: Obj) -> None:
        key = Key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        self._check("create", resource, key)
        await self.client.create(_plain(resource), obj, manager=MANAGER)
        self._note("created", resource, key)

    async def patch(self, resource: Resource[Any], key: Key, patch: JSON) -> None:
        """A merge patch; give ``metadata.resourceVersion`` in it to change only what was read."""
        self._check("patch", resource, key)
        await self.client.patch(_plain(resource), key, patch, manager=MANAGER)
        self._note("changed", resource, key)

    async def delete(self, resource: Resource[Any], key: Key, *, uid: str = "") -> None:
        self._check("delete", resource, key)
        await self.client.delete(_plain(resource), key, uid=uid)
        self._note("deleted", resource, key)

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    def _key(self, resource: Resource[Any], name: str, namespace: str) -> Key:
        return Key((namespace or self.namespace) if resource.namespaced else "", name)

    def _check(self, verb: Verb, resource: Resource[Any], key: Key) -> None:
        if not any(access.allows(verb, resource, key, self.namespace) for access in self.accesses):
            raise Undeclared(f"{self.step} does not declare that it may {verb} {resource} {key}".rstrip())

    def _note(self, done: str, resource: Resource[Any], key: Key) -> None:
        self.written.append(f"{done} {resource.kind} {key}")


def rules(accesses: Iterable[Access], *, own_namespace: bool) -> list[Obj]:
    """Rules of a role, sorted and without duplicates: those for the platform's own namespace, or those for everywhere."""
    merged: dict[tuple[str, str, tuple[str, ...]], set[str]] = {}
    for access in accesses:
        if access.own_namespace == own_namespace:
            for verb in access.verbs:
                names = () if verb == "create" else tuple(sorted(access.names))
                merged.setdefault((access.resource.group, access.resource.plural, names), set()).add(verb)
    found = []
    for (group, plural, names), verbs in sorted(merged.items()):
        rule: Obj = {"apiGroups": [group], "resources": [plural], "verbs": sorted(verbs)}
        if names:
            rule["resourceNames"] = list(names)
        found.append(rule)
    return found


def _plain(resource: Resource[Any]) -> Resource[Obj]:
    if resource.type == dict[str, Any]:
        return resource
    return untyped(resource.group, resource.version, resource.kind, resource.plural, namespaced=resource.namespaced)
