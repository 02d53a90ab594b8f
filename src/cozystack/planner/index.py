"""A relation between keys and members that is edited by what each member contributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

K = TypeVar("K")
M = TypeVar("M")

_NOBODY: frozenset[Any] = frozenset()


class Relation(Generic[K, M]):
    """Which members belong to a key. Both sides forget what is empty.

    Nearly every key has one member, and a set of one is four times as big as anything else that is kept for it: so one member
    is kept as it is. Members are never sets.
    """

    def __init__(self) -> None:
        self._members: dict[K, M | set[M]] = {}

    def __getitem__(self, key: K) -> set[M] | frozenset[M]:
        found = self._members.get(key)
        if found is None:
            return _NOBODY
        return found if isinstance(found, set) else frozenset((found,))

    def __iter__(self) -> Iterator[K]:
        return iter(self._members)

    def replace(self, member: M, old: Iterable[K], new: Iterable[K]) -> None:
        """``member`` belonged to the keys ``old`` and now belongs to ``new``."""
        before, after = set(old), set(new)
        for key in before - after:
            self._remove(key, member)
        for key in after - before:
            found = self._members.setdefault(key, member)
            if isinstance(found, set):
                found.add(member)
            elif found is not member and found != member:
                self._members[key] = {found, member}

    def _remove(self, key: K, member: M) -> None:
        found = self._members[key]
        if isinstance(found, set):
            found.discard(member)
            if len(found) == 1:
                self._members[key] = found.pop()
        elif found == member:
            del self._members[key]
