"""Server-side apply that is skipped when nothing differs.

An apply that changes nothing is the most expensive request of all (measured), so each one is preceded by a comparison with the
informer's object: everything that is wanted is there and ours, and everything that we applied is still wanted. Where the
comparison cannot know better (the server normalises a value, prunes a field, the informer lags behind our own write), the last
apply is remembered: the same wish on the state from before it or after it is not sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import msgspec

from cozystack.api.meta import Key
from cozystack.api.resources import Resource
from cozystack.kube.client import Client
from cozystack.kube.compare import needs_apply
from cozystack.kube.store import Entry, key_of, version_of

__all__ = ["Applier", "ApplyOutcome", "needs_apply"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApplyOutcome(Generic[T]):
    """``changed``: the object is another version than the live one. ``sent``: the server was asked at all.

    ``object`` is the object as it is now, from the server if it was asked, else the live one.
    """

    changed: bool
    sent: bool
    object: T


@dataclass(frozen=True, slots=True)
class _Last:
    """The last apply of an object: what was wanted (a digest), the version it was decided on and the one it led to."""

    wish: bytes
    versions: tuple[str, str]


class Applier:
    """Applies under one field manager. ``live`` must come from an informer that keeps this manager's fields (``ownership``)."""

    def __init__(self, client: Client, manager: str) -> None:
        self.client = client
        self.manager = manager
        self._last: dict[tuple[Resource[Any], Key, str], _Last] = {}

    async def apply(
        self,
        resource: Resource[T],
        desired: T | Mapping[str, Any],
        live: Entry[T] | None,
        *,
        force: bool = True,
        subresource: str = "",
    ) -> ApplyOutcome[T]:
        """Make the server's object contain ``desired``, unless ``live`` shows that it does; without ``live`` always sent."""
        plain = self.client.codec(resource).plain(desired)
        place = (resource, key_of(plain), subresource)
        before = ""
        if live is not None:
            if not needs_apply(plain, live.object, live.applied_fields(self.manager, subresource)):
                return ApplyOutcome(False, False, live.object)
            before = version_of(live.object)
        wish = blake2b(msgspec.json.encode(plain, order="sorted"), digest_size=16).digest()
        last = self._last.get(place)
        if live is not None and last is not None and last.wish == wish and before in last.versions:
            return ApplyOutcome(False, False, live.object)
        obj = await self.client.apply(resource, plain, manager=self.manager, force=force, subresource=subresource)
        after = version_of(obj)
        self._last[place] = _Last(wish, (before, after))
        return ApplyOutcome(after != before, True, obj)

    def forget(self, resource: Resource[Any], key: Key) -> None:
        """Forget what was remembered about an object (it is gone)."""
        for place in [place for place in self._last if place[0] == resource and place[1] == key]:
            del self._last[place]
