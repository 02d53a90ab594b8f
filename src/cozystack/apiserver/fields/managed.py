"""``metadata.managedFields``: its entries, and how an update changes them.

An update (or create, or patch) makes its manager the owner of every field that it changed, takes those away from all others,
and forgets fields that are gone. The rules are those of Kubernetes' structured-merge-diff.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from cozystack.apiserver.fields.sets import Tree, compare, difference, field_set, union
from cozystack.apiserver.schema.model import MISSING, Schema

ANCIENT: Final = "ancient-changes"
MOST_UPDATES: Final = 10

# What nobody owns: the server writes it.
_STRIPPED: Final[Tree] = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        ".": {},
        "f:name": {},
        "f:namespace": {},
        "f:creationTimestamp": {},
        "f:selfLink": {},
        "f:uid": {},
        "f:clusterName": {},
        "f:generation": {},
        "f:managedFields": {},
        "f:resourceVersion": {},
    },
}
STATUS_FIELDS: Final[Tree] = {"f:status": {}}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: what ``manager`` owns by ``operation`` on the object or a subresource of it."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: Tree

    @property
    def identity(self) -> tuple[str, str, str, str]:
        version = "" if self.operation == "Apply" else self.api_version
        return (self.manager, self.operation, version, self.subresource)


def read_entries(obj: dict[str, Any] | None) -> list[Entry]:
    """The entries of an object; those that make no sense are left out."""
    raw = (obj or {}).get("metadata", {}).get("managedFields") or []
    return [
        Entry(
            item.get("manager", ""),
            item.get("operation", "Update"),
            item.get("apiVersion", ""),
            item.get("subresource", ""),
            item.get("time", ""),
            item.get("fieldsV1") or {},
        )
        for item in raw
        if isinstance(item, dict) and item.get("fieldsV1")
    ]


def with_entries(obj: dict[str, Any], entries: list[Entry]) -> dict[str, Any]:
    """``obj`` with these entries; the object itself is not changed."""
    metadata = dict(obj.get("metadata", {}))
    if entries:
        metadata["managedFields"] = [_written(entry) for entry in entries]
    else:
        metadata.pop("managedFields", None)
    return {**obj, "metadata": metadata}


def _written(entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {
        "manager": entry.manager,
        "operation": entry.operation,
        "apiVersion": entry.api_version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields,
    }
    if entry.subresource:
        item["subresource"] = entry.subresource
    return item


def strip(tree: Tree | None) -> Tree | None:
    """``tree`` without what nobody owns."""
    return difference(tree, _STRIPPED)


def without_status(tree: Tree | None) -> Tree | None:
    return None if tree is None else {k: v for k, v in tree.items() if k != "f:status"} or None


def only_status(tree: Tree | None) -> Tree | None:
    """What a write to the status subresource can own: the status, and of the metadata what it may change."""
    return None if tree is None else {k: v for k, v in tree.items() if k == "f:status"} or None


def owned_by_write(tree: Tree | None, subresource: str, *, has_status: bool) -> Tree | None:
    tree = strip(tree)
    if subresource == "status":
        return only_status(tree)
    return without_status(tree) if has_status else tree


def in_order(entries: list[Entry]) -> list[Entry]:
    """Applies before updates, then by time and name, as the server lists them."""
    return sorted(entries, key=lambda e: (e.operation != "Apply", e.time, e.manager, e.api_version, e.subresource))


def update(
    schema: Schema,
    old: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    time: str,
    api_version: str,
    subresource: str = "",
    operation: str = "Update",
    has_status: bool = False,
) -> dict[str, Any]:
    """``new`` with the ownership that writing it over ``old`` gives.

    ``has_status``: the kind has a status subresource, so that a write to the main resource never owns the status.
    An empty list of managed fields in ``new`` forgets all ownership, as Kubernetes has it.
    """
    raw = new.get("metadata", {}).get("managedFields")
    reset = raw is not None and (raw == [] or raw == [{}])
    # What a client sends counts, since it may have changed it (kubectl moves ownership so); else what there is.
    entries = [] if reset else read_entries(new if raw or old is None else old)
    if old is None:
        tree = owned_by_write(field_set_on_create(schema, new), subresource, has_status=has_status)
        changed, removed = tree, None
    else:
        changed, removed = compare(schema, old, new)
        changed = owned_by_write(changed, subresource, has_status=has_status)
        removed = strip(removed)
    if changed is None and removed is None and not reset and (old is not None or not entries):
        return with_entries(new, entries)
    mine = (manager, operation, api_version, subresource)
    kept: list[Entry] = []
    found = False
    for entry in entries:
        fields: Tree | None = entry.fields
        if entry.identity == mine:
            found = True
            fields = union(difference(fields, removed), changed)
        else:
            fields = difference(difference(fields, changed), removed)
        if fields is not None and fields:
            moved = entry.identity == mine and fields != entry.fields
            kept.append(replace(entry, fields=fields, time=time if moved else entry.time))
    if not found and changed:
        kept.append(Entry(manager, operation, api_version, subresource, time, changed))
    return with_entries(new, in_order(_capped(kept)))


def _capped(entries: list[Entry]) -> list[Entry]:
    """At most ten update entries: the oldest are merged into one per version."""
    updates = sorted((e for e in entries if e.operation == "Update" and not e.subresource), key=lambda e: (e.time, e.manager))
    if len(updates) <= MOST_UPDATES:
        return entries
    rest = [entry for entry in entries if entry not in updates]
    while len(updates) > MOST_UPDATES:
        first, second = updates[0], updates[1]
        fields = union(first.fields, second.fields) or {}
        updates[:2] = [Entry(ANCIENT, "Update", second.api_version, "", second.time, fields)]
    return rest + updates


def field_set_on_create(schema: Schema, new: dict[str, Any]) -> Tree | None:
    """Everything in a new object, containers included, as a comparison with nothing has it."""
    changed, _ = compare(schema, MISSING, new)
    if changed is None:
        return field_set(schema, new)
    return {element: child for element, child in changed.items() if element != "."}
