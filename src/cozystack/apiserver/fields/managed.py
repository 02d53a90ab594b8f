"""``metadata.managedFields``: its entries, and how an update changes them.

An update (or create, or patch) makes its manager the owner of every field that it changed, takes those away from all others,
and forgets fields that are gone. The rules are those of Kubernetes' structured-merge-diff.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final

from cozystack.apiserver.fields.sets import Tree, compare, difference, field_set, same, union, without_subtrees
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


@dataclass(frozen=True, slots=True)
class Resets:
    """What a write leaves as it is, whatever it says of it, and so never owns: the status, or all but the status."""

    fields: Tree

    def rest(self, tree: Tree | None) -> Tree | None:
        """``tree`` without it."""
        return without_subtrees(tree, self.fields) if self.fields else tree


NO_RESETS: Final = Resets({})


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

    @property
    def sorting(self) -> str:
        """By which owners are put in order when nothing else does."""
        manager, operation, version, subresource = self.identity
        parts = {"manager": manager, "operation": operation, "apiVersion": version, "subresource": subresource}
        return json.dumps({name: part for name, part in parts.items() if part}, ensure_ascii=False, separators=(",", ":"))


def is_readable(raw: Any) -> bool:
    """Whether these are entries: if not, they are not looked at, all of them."""
    return isinstance(raw, list) and all(
        isinstance(item, dict)
        and item.get("operation") in ("Apply", "Update")
        and item.get("apiVersion")
        and item.get("fieldsType") == "FieldsV1"
        and isinstance(item.get("fieldsV1") or {}, dict)
        for item in raw
    )


def read_entries(obj: dict[str, Any] | None) -> list[Entry]:
    """The entries of an object; of two of the same owner the last counts."""
    raw = (obj or {}).get("metadata", {}).get("managedFields") or []
    entries = [
        Entry(
            item.get("manager", ""),
            item.get("operation", "Update"),
            item.get("apiVersion", ""),
            item.get("subresource", ""),
            item.get("time") or "",
            item.get("fieldsV1") or {},
        )
        for item in raw
        if isinstance(item, dict) and item.get("fieldsV1")
    ]
    return list({entry.identity: entry for entry in entries}.values()) if len(entries) > 1 else entries


def with_entries(obj: dict[str, Any], entries: list[Entry]) -> dict[str, Any]:
    """``obj`` with these entries; the object itself is not changed."""
    metadata = dict(obj.get("metadata", {}))
    if entries:
        metadata["managedFields"] = [_written(entry) for entry in entries]
    else:
        metadata.pop("managedFields", None)
    return {**obj, "metadata": metadata}


def _written(entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {"manager": entry.manager, "operation": entry.operation, "apiVersion": entry.api_version}
    if entry.time:
        item["time"] = entry.time
    item["fieldsType"] = "FieldsV1"
    item["fieldsV1"] = entry.fields
    if entry.subresource:
        item["subresource"] = entry.subresource
    return item


def same_but_times(before: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether nothing differs but times of entries: that alone is no change."""
    if same(before, new):
        return True
    old_entries, entries = (obj["metadata"].get("managedFields") or [] for obj in (before, new))
    if not entries or len(entries) != len(old_entries):
        return False
    if not all(same({**left, "time": ""}, {**right, "time": ""}) for left, right in zip(old_entries, entries, strict=True)):
        return False
    return same({**before, "metadata": {**before["metadata"], "managedFields": entries}}, new)


def strip(tree: Tree | None) -> Tree | None:
    """``tree`` without what nobody owns."""
    return difference(tree, _STRIPPED)


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
    resets: Resets = NO_RESETS,
    empty: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """``new`` with the ownership that writing it over ``old`` gives.

    A new object owns what it has more than an ``empty`` one of its kind, where there is such.
    An empty list of managed fields in ``new`` forgets all ownership, as Kubernetes has it.
    """
    raw = new.get("metadata", {}).get("managedFields")
    reset = not subresource and raw is not None and (raw == [] or raw == [{}])
    entries: list[Entry] = []
    if not reset:
        # What a client sends counts, since it may have changed it (kubectl moves ownership so); else what there is.
        given = raw and not subresource and is_readable(raw)
        entries = read_entries(new if given else old)
    if old is None and empty is not None:
        changed, removed = compare(schema, empty, new)[0], None
    elif old is None:
        changed, removed = field_set_on_create(schema, new), None
    else:
        changed, removed = compare(schema, old, new)
    own = strip(resets.rest(changed))
    if changed is None and removed is None and not reset and (old is not None or not entries):
        return with_entries(new, entries)
    changed, removed = resets.rest(changed), resets.rest(removed)
    mine = (manager, "Update", api_version, subresource)
    kept: list[Entry] = []
    found = False
    for entry in entries:
        fields = difference(difference(entry.fields, changed), removed)
        if entry.identity == mine:
            found = True
            fields = union(fields, own)
        if fields is not None and fields:
            moved = entry.identity == mine and own
            kept.append(replace(entry, fields=fields, time=time if moved else entry.time))
    if not found and own:
        kept.append(Entry(manager, "Update", api_version, subresource, time, own))
    return with_entries(new, in_order(_capped(kept)))


def _capped(entries: list[Entry]) -> list[Entry]:
    """At most ten update entries: the oldest are put together, those of one version each."""
    updates = sorted((e for e in entries if e.operation == "Update"), key=lambda e: (e.time, e.sorting))
    if len(updates) <= MOST_UPDATES:
        return entries
    managed = {entry.identity: entry for entry in entries}
    first: dict[str, tuple[str, str, str, str]] = {}
    count = len(updates)
    for entry in updates:
        if count <= MOST_UPDATES:
            break
        version = entry.api_version
        if version not in first:
            first[version] = entry.identity
            continue
        bucket = (ANCIENT, "Update", version, "")
        before = managed[bucket] if bucket in managed else managed.pop(first[version])
        both = union(entry.fields, before.fields) or {}
        managed.pop(entry.identity, None)
        managed[bucket] = Entry(ANCIENT, "Update", version, "", entry.time, both)
        count -= 1
    return list(managed.values())


def field_set_on_create(schema: Schema, new: dict[str, Any]) -> Tree | None:
    """Everything in a new object, containers included, as a comparison with nothing has it."""
    changed, _ = compare(schema, MISSING, new)
    if changed is None:
        return field_set(schema, new)
    return {element: child for element, child in changed.items() if element != "."}
