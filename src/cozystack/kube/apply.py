"""Server-side apply that is skipped when nothing differs.

An apply that changes nothing is the most expensive request of all (measured), so each one is preceded by a comparison with the
informer's object: everything that is wanted is there, and everything that we applied is still wanted. Where the comparison
cannot know better (the server normalises a value, prunes a field), the outcome of the last apply is remembered: the same
wish on the same state is not sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cozystack.api.meta import Key
from cozystack.api.resources import Resource
from cozystack.kube.client import Client
from cozystack.kube.store import Entry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApplyOutcome(Generic[T]):
    """``object`` is the object as it is now, from the server if it was asked, else the live one."""

    changed: bool
    """A request was sent, and the object's version moved because of it."""
    sent: bool
    object: T


def needs_apply(desired: Any, live: Any, applied_fields: bytes) -> bool:
    """Whether applying ``desired`` could change ``live``, or its ownership.

    True when something desired is not in ``live``, when we do not own all of it, or when ``applied_fields`` (our ``fieldsV1``)
    hold a path that ``desired`` no longer has. Lists are compared whole, except where ``applied_fields`` show them to be
    associative (``k:``) or sets (``v:``).
    """
    raise NotImplementedError


class Applier:
    """Applies under one field manager."""

    def __init__(self, client: Client, manager: str) -> None:
        self.client = client
        self.manager = manager

    async def apply(
        self,
        resource: Resource[T],
        desired: T | Mapping[str, Any],
        live: Entry[T] | None,
        *,
        force: bool = True,
        subresource: str = "",
    ) -> ApplyOutcome[T]:
        """Make the server's object contain ``desired``, unless ``live`` shows that it does."""
        raise NotImplementedError

    def forget(self, resource: Resource[Any], key: Key) -> None:
        """Forget what was remembered about an object (it is gone)."""
        raise NotImplementedError
