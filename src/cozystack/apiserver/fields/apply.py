"""Server-side apply: lay a configuration over an object, field by field, with owners.

The applied object is merged into the live one; fields that the manager applied before and leaves out now are removed unless
somebody else owns them too; fields that others own and this would change are conflicts, or change hands when forced. When
nothing changes the live object itself is returned, so that nothing is written. After Kubernetes' structured-merge-diff.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cozystack.apiserver.fields.managed import (
    Entry,
    in_order,
    owned_by_write,
    read_entries,
    strip,
    with_entries,
)
from cozystack.apiserver.fields.sets import (
    SELF,
    Tree,
    compare,
    difference,
    field_set,
    intersection,
    is_associative,
    is_atomic_map,
    is_member,
    item_element,
    paths,
    same,
    union,
)
from cozystack.apiserver.schema.model import Schema


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that another manager owns."""

    manager: str
    operation: str
    subresource: str
    api_version: str
    time: str
    path: str

    @property
    def owner(self) -> str:
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == "Update":
            text += f" using {self.api_version}"
            if self.time:
                text += f" at {self.time}"
        return text


class ApplyConflict(Exception):  # noqa: N818 - it names what it is
    """Fields that this apply would change belong to others."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        self.conflicts = tuple(conflicts)
        super().__init__(self._message())

    def _message(self) -> str:
        if len(self.conflicts) == 1:
            only = self.conflicts[0]
            return f"Apply failed with 1 conflict: conflict with {only.owner}: {only.path}"
        owners: dict[str, list[str]] = {}
        for conflict in self.conflicts:
            owners.setdefault(conflict.owner, []).append(conflict.path)
        lines = []
        for owner, fields in owners.items():
            lines.append(f"conflicts with {owner}:")
            lines += [f"- {path}" for path in fields]
        return f"Apply failed with {len(self.conflicts)} conflicts: " + "\n".join(lines)


def apply(
    schema: Schema,
    live: dict[str, Any] | None,
    applied: dict[str, Any],
    *,
    manager: str,
    force: bool,
    time: str,
    api_version: str,
    subresource: str = "",
    has_status: bool = False,
) -> dict[str, Any]:
    """The object after the apply, ownership included; raises ``ApplyConflict``.

    Returns ``live`` itself when neither the object nor any ownership changes.
    """
    entries = read_entries(live)
    mine = (manager, "Apply", "", subresource)
    last = next((entry for entry in entries if entry.identity == mine), None)
    others = [entry for entry in entries if entry.identity != mine]
    wanted = owned_by_write(strip(field_set(schema, applied)), subresource, has_status=has_status)
    base = live if live is not None else {}
    merged = merge(schema, base, applied)
    if last is not None:
        owned = wanted
        for entry in others:
            owned = union(owned, entry.fields)
        dropped = difference(last.fields, wanted)
        if dropped is not None:
            merged = _prune(schema, merged, dropped, owned)
    if live is not None:
        changed, removed = compare(schema, live, merged)
        changed, removed = strip(changed), strip(removed)
        conflicts = [(entry, intersection(entry.fields, changed)) for entry in others]
        if not force:
            _refuse([(entry, fields) for entry, fields in conflicts if fields is not None])
        others = [_reduced(entry, fields, removed) for entry, fields in conflicts]
        others = [entry for entry in others if entry.fields]
    same_set = last is not None and wanted is not None and last.fields == wanted and last.api_version == api_version
    stamp = last.time if last is not None and same_set else time
    kept = [*others, Entry(manager, "Apply", api_version, subresource, stamp, wanted)] if wanted else others
    kept = in_order(kept)
    if live is not None and same_set and kept == in_order(entries) and same(live, {**merged, "metadata": merged["metadata"]}):
        return live
    return with_entries(merged, kept)


def _refuse(conflicts: list[tuple[Entry, Tree]]) -> None:
    found = [
        Conflict(entry.manager, entry.operation, entry.subresource, entry.api_version, entry.time, path)
        for entry, fields in conflicts
        for path in paths(fields)
    ]
    if found:
        raise ApplyConflict(found)


def _reduced(entry: Entry, lost: Tree | None, removed: Tree | None) -> Entry:
    if lost is None and removed is None:
        return entry
    fields = difference(difference(entry.fields, lost), removed)
    if fields == entry.fields:
        return entry
    return Entry(entry.manager, entry.operation, entry.api_version, entry.subresource, entry.time, fields or {})


def merge(schema: Schema | None, live: Any, applied: Any) -> Any:
    """``applied`` laid over ``live``; ``live`` itself when that changes nothing."""
    if isinstance(applied, dict) and isinstance(live, dict):
        if is_atomic_map(schema):
            return live if same(live, applied) else applied
        properties = schema.properties if schema is not None else {}
        additional = schema.additional if schema is not None else None
        result: dict[str, Any] | None = None
        for name, item in applied.items():
            if name in live:
                new = merge(properties.get(name) or additional, live[name], item)
                if new is live[name]:
                    continue
            else:
                new = item
            if result is None:
                result = dict(live)
            result[name] = new
        return live if result is None else result
    if isinstance(applied, list) and isinstance(live, list) and schema is not None and is_associative(schema):
        return _merge_list(schema, live, applied)
    return live if same(live, applied) and type(live) is type(applied) else applied


def _merge_list(schema: Schema, live: list[Any], applied: list[Any]) -> list[Any]:
    """Items by key. The applied order counts; items that only ``live`` has keep their place before the next common one."""
    live_keys = [item_element(schema, item) for item in live]
    applied_keys = [item_element(schema, item) for item in applied]
    if None in live_keys or None in applied_keys:
        return live if same(live, applied) else applied
    by_key = dict(zip(live_keys, live, strict=True))
    wanted = set(applied_keys)
    result: list[Any] = []
    position = 0
    for key, item in zip(applied_keys, applied, strict=True):
        if key in by_key:
            # What only the live list has and stands before this item stays before it.
            if key in live_keys[position:]:
                index = live_keys.index(key, position)
                result += [live[i] for i in range(position, index) if live_keys[i] not in wanted]
                position = index + 1
            result.append(merge(schema.items, by_key[key], item) if schema.list_type == "map" else by_key[key])
        else:
            result.append(item)
    result += [live[i] for i in range(position, len(live)) if live_keys[i] not in wanted]
    unchanged = len(result) == len(live) and all(new is old for new, old in zip(result, live, strict=True))
    return live if unchanged else result


_GONE = object()


def _prune(schema: Schema, merged: dict[str, Any], dropped: Tree, owned: Tree | None) -> dict[str, Any]:
    result = _pruned(schema, merged, dropped, owned)
    return merged if result is _GONE else result


def _pruned(schema: Schema | None, value: Any, dropped: Tree, owned: Tree | None) -> Any:
    """``value`` without the members of ``dropped`` that nobody in ``owned`` has; ``_GONE`` when nothing of it is left."""
    if owned is None and is_member(dropped):
        return _GONE
    if isinstance(value, dict):
        properties = schema.properties if schema is not None else {}
        additional = schema.additional if schema is not None else None
        result = dict(value)
        for element, child in dropped.items():
            name = element[2:]
            if element == SELF or name not in result:
                continue
            kept = _pruned(properties.get(name) or additional, result[name], child, (owned or {}).get(element))
            if kept is _GONE:
                del result[name]
            else:
                result[name] = kept
        return result if result or not value or owned is not None else _GONE
    if isinstance(value, list) and schema is not None:
        items = []
        for item in value:
            key = item_element(schema, item) if is_associative(schema) else None
            if key is None or key not in dropped:
                items.append(item)
                continue
            kept = _pruned(schema.items, item, dropped[key], (owned or {}).get(key))
            if kept is not _GONE:
                items.append(kept)
        return items if items or not value or owned is not None else _GONE
    return value
