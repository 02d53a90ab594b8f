"""Object metadata as every kind carries it, and the base classes of all our types.

Only what we read or write is declared: unknown fields are skipped on decoding, which is most of what makes it cheap. Types that
cannot be part of a reference cycle opt out of garbage collection (measured: the collector is 70 % of the cost of a big list).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

JSON: TypeAlias = Any
"""A JSON value as Python's own types; numbers keep their kind (an integer stays an integer of any size)."""


class Model(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """Base of every API type: camelCase on the wire, defaults left out, unknown fields skipped."""


class Value(msgspec.Struct, rename="camel", omit_defaults=True, gc=False, frozen=True):
    """Base of the parts of objects that are never changed in place; otherwise a ``Model``."""


class OwnerReference(Value, frozen=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ManagedFields(Model):
    """One entry of ``metadata.managedFields``; informers condense these and drop them, see ``cozystack.kube``."""

    manager: str = ""
    operation: str = ""
    subresource: str = ""
    api_version: str = ""
    time: str = ""
    fields_v1: dict[str, JSON] = {}


class ObjectMeta(Model):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()
    managed_fields: tuple[ManagedFields, ...] = ()

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages this object, if any."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class Object(Model, kw_only=True):
    """Base of every kind: ``apiVersion``, ``kind``, ``metadata``."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta

    @property
    def key(self) -> Key:
        return Key(self.metadata.namespace, self.metadata.name)


class Key(msgspec.Struct, frozen=True, order=True, gc=False):
    """Namespace and name of an object of a known kind; the namespace is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Condition(Value, frozen=True, omit_defaults=False):
    """``metav1.Condition``; the schema requires all but the generation, so nothing is left out."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0


def find_condition(conditions: tuple[Condition, ...], kind: str) -> Condition | None:
    return next((condition for condition in conditions if condition.type == kind), None)


def set_condition(conditions: tuple[Condition, ...], new: Condition, now: str) -> tuple[Condition, ...]:
    """``conditions`` with ``new`` in the place of the one of its type, or at the end.

    ``lastTransitionTime`` moves only with the status: to the time that ``new`` carries, else to ``now`` (RFC 3339, UTC).
    Reason, message and observed generation are always taken over (specification, operator 11).
    """
    old = find_condition(conditions, new.type)
    if old is not None and old.status == new.status:
        moment = old.last_transition_time
    else:
        moment = new.last_transition_time or now
    stamped = msgspec.structs.replace(new, last_transition_time=moment)
    if old is None:
        return (*conditions, stamped)
    return tuple(stamped if condition.type == new.type else condition for condition in conditions)


def drop_condition(conditions: tuple[Condition, ...], kind: str) -> tuple[Condition, ...]:
    return tuple(condition for condition in conditions if condition.type != kind)
