"""A relation between keys and members that is edited by what each member contributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
M = TypeVar("M")


class Relation(Generic[K, M]):
    """Which members belong to a key. Both sides forget what is empty."""

    def __init__(self) -> None:
        self._members: dict[K, set[M]] = {}

    def __getitem__(self, key: K) -> set[M] | frozenset[M]:
        return self._members.get(key) or frozenset()

    def __iter__(self) -> Iterator[K]:
        return iter(self._members)

    def replace(self, member: M, old: Iterable[K], new: Iterable[K]) -> None:
        """``member`` belonged to the keys ``old`` and now belongs to ``new``."""
        before, after = set(old), set(new)
        for key in before - after:
            members = self._members[key]
            members.discard(member)
            if not members:
                del self._members[key]
        for key in after - before:
            self._members.setdefault(key, set()).add(member)
