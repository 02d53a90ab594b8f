"""What a step would do, as data: shown by ``plan``, performed by ``run``.

Every change bears to be done twice, and is refused by the API server when its object is not the one that was looked at: a
deletion names the uid, a patch the version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cozystack.api.meta import JSON, Key
from cozystack.api.resources import Resource
from cozystack.kube import key_of
from cozystack.kube.errors import AlreadyExists, Conflict, NotFound
from cozystack.migrate.access import Cluster, Obj

_ROUNDS = 20


class Unsettled(Exception):  # noqa: N818 - it names a state
    """A step keeps finding something to change."""


@dataclass(frozen=True, slots=True)
class Change:
    """One request. ``about`` is a sentence for people, without the object's name."""

    verb: Literal["create", "patch", "delete"]
    resource: Resource[Any]
    key: Key
    about: str
    body: JSON = None
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource.kind} {self.key}: {self.about}"

    async def perform(self, cluster: Cluster) -> None:
        match self.verb:
            case "create":
                await cluster.create(self.resource, self.body)
            case "patch":
                await cluster.patch(self.resource, self.key, self.body)
            case "delete":
                await cluster.delete(self.resource, self.key, uid=self.uid)


def create(resource: Resource[Any], obj: Obj, about: str) -> Change:
    return Change("create", resource, key_of(obj), about, body=obj)


def patch(resource: Resource[Any], obj: Obj, body: Mapping[str, Any], about: str) -> Change:
    """A merge patch of ``obj`` as it was read."""
    metadata = {**body.get("metadata", {}), "resourceVersion": obj["metadata"]["resourceVersion"]}
    return Change("patch", resource, key_of(obj), about, body={**body, "metadata": metadata})


def delete(resource: Resource[Any], obj: Obj, about: str) -> Change:
    return Change("delete", resource, key_of(obj), about, uid=obj["metadata"]["uid"])


@dataclass(slots=True)
class Plan:
    """What a step finds: changes that it makes, and what it leaves for a person, one sentence each."""

    changes: list[Change] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


async def settle(plan: Any, cluster: Cluster) -> Plan:
    """Perform what ``plan`` returns until it wants no more changes; the last plan.

    What somebody else changed in between is looked at again. Raises ``Unsettled`` after some rounds.
    """
    for _ in range(_ROUNDS):
        found: Plan = await plan(cluster)
        if not found.changes:
            return found
        for change in found.changes:
            try:
                await change.perform(cluster)
            except (AlreadyExists, Conflict, NotFound):
                continue
    raise Unsettled(f"after {_ROUNDS} rounds there is still to do: {found.changes[0]}")
