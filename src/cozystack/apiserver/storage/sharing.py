"""Keep equal texts and equal sets of fields once: objects of a kind repeat each other, and a decoder makes everything anew.

Half of what ten thousand releases hold are texts that others have too, and a third are the trees of ``managedFields``, which
are the same for all objects that the same managers have written the same parts of. Both tables are bounded: when one is full it
is forgotten, and what was shared stays shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

_LONGEST_TEXT: Final = 256
_LARGEST_TREE: Final = 64 * 1024
_TEXTS: Final = 65_536
_TREES: Final = 1_024

_NOTHING: Final[dict[str, Any]] = {}

_encode = msgspec.json.Encoder().encode


class Sharing:
    """See the module."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._trees: dict[bytes, dict[str, Any]] = {}

    def share(self, obj: dict[str, Any], old: dict[str, Any] | None = None) -> None:
        """Put what is known in the place of what is equal in ``obj``; what it has in common with ``old`` has been through."""
        if len(self._texts) >= _TEXTS:
            self._texts = {}
        seen = {id(fields) for fields in _field_sets(old)} if old is not None else ()
        for fields in _field_sets(obj):
            if id(fields) not in seen:
                self._share_trees(fields)
        self._share_in(obj, old if old is not None else {})

    def _share_in(self, holder: dict[str, Any], old: dict[str, Any]) -> None:
        texts = self._texts
        for name, value in holder.items():
            before = old.get(name)
            if value is before:
                continue
            kind = type(value)
            if kind is str:
                if len(value) <= _LONGEST_TEXT:
                    holder[name] = texts.setdefault(value, value)
            elif kind is dict:
                self._share_in(value, before if type(before) is dict else {})
            elif kind is list and name != "managedFields":
                self._share_items(value)

    def _share_items(self, items: list[Any]) -> None:
        texts = self._texts
        for index, value in enumerate(items):
            kind = type(value)
            if kind is str:
                if len(value) <= _LONGEST_TEXT:
                    items[index] = texts.setdefault(value, value)
            elif kind is dict:
                self._share_in(value, _NOTHING)
            elif kind is list:
                self._share_items(value)

    def _share_trees(self, fields: dict[str, Any]) -> None:
        """The trees below the root: what differs from object to object (uids of owners) is in few of them."""
        for element, tree in fields.items():
            if not tree:
                continue
            key = _encode(tree)
            if len(key) > _LARGEST_TREE:
                continue
            known = self._trees.get(key)
            if known is None:
                if len(self._trees) >= _TREES:
                    self._trees = {}
                self._trees[key] = tree
            elif known is not tree:
                fields[element] = known


def _field_sets(obj: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in obj["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1") if isinstance(entry, dict) else None
        if isinstance(fields, dict):
            yield fields
