"""Server-side apply: lay a configuration over an object, field by field, with owners.

The applied object is merged into the live one; fields that the manager applied before and leaves out now are removed unless
somebody else owns them too; fields that others own and this would change are conflicts, or change hands when forced. When
nothing changes the live object itself is returned, so that nothing is written. After Kubernetes' structured-merge-diff.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cozystack.apiserver.fields.managed import (
    NO_RESETS,
    Entry,
    Resets,
    field_set_on_create,
    in_order,
    read_entries,
    strip,
    with_entries,
)
from cozystack.apiserver.fields.sets import (
    Tree,
    by_element,
    compare,
    difference,
    ensure_named,
    field_set,
    intersection,
    is_associative,
    is_atomic_map,
    item_element,
    paths,
    same,
    union,
    without,
)
from cozystack.apiserver.fields.typed import fits, refuse_untyped
from cozystack.apiserver.schema.model import Schema

BEFORE_FIRST_APPLY: Final = "before-first-apply"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL: Final = "kubectl"
_MOST_ANNOTATIONS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that another manager owns."""

    entry: Entry
    path: str

    @property
    def manager(self) -> str:
        return self.entry.manager

    @property
    def owner(self) -> str:
        text = f'"{self.manager}"'
        if self.entry.subresource:
            text += f' with subresource "{self.entry.subresource}"'
        if self.entry.operation == "Update":
            text += f" using {self.entry.api_version}"
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
    resets: Resets = NO_RESETS,
    empty: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The object after the apply, ownership included; raises ``ApplyConflict``, and ``ApiError`` when ``applied`` does not fit
    the schema. ``applied`` is what was sent, as it was sent.

    Returns ``live`` itself when neither the object nor any ownership changes. A container that has lost all that was in it is
    null in the result.
    """
    refuse_untyped(schema, applied)
    entries = before = read_entries(live)
    if live is not None and not entries:
        entries = _owned_before(schema, live, empty, time, api_version, subresource, resets)
    mine = (manager, "Apply", "", subresource)
    last = next((entry for entry in entries if entry.identity == mine), None)
    others = [entry for entry in entries if entry.identity != mine]
    configured = resets.rest(field_set(schema, applied))
    wanted = strip(configured)
    base = live if live is not None else {}
    merged = merge(schema, base, applied)
    same_fields = last is not None and last.fields == wanted
    if last is not None and not same_fields and difference(last.fields, wanted) is not None:
        merged = _given_up(schema, merged, last.fields, [configured, *(entry.fields for entry in others)])
    stamp = time
    if live is not None:
        others = _left_to_others(schema, live, merged, others, manager, api_version, resets, force=force)
        if merged is live or same(live, merged):
            # Only a change of the object moves the time: who comes to own what was there already has none.
            stamp = last.time if last is not None else ""
    kept = [*others, Entry(manager, "Apply", api_version, subresource, stamp, wanted)] if wanted else others
    kept = in_order(kept)
    if manager == _KUBECTL:
        merged = _with_last_applied(merged, applied)
    if live is not None and kept == in_order(before) and same(live, merged):
        return live
    return with_entries(merged, kept)


def _left_to_others(
    schema: Schema,
    live: dict[str, Any],
    merged: dict[str, Any],
    others: list[Entry],
    manager: str,
    api_version: str,
    resets: Resets,
    *,
    force: bool,
) -> list[Entry]:
    """What others own of ``merged``; raises ``ApplyConflict`` when it changes what they own of ``live``."""
    changed, removed = map(resets.rest, compare(schema, live, merged))
    if changed is None and removed is None:
        return others
    lost = [(entry, intersection(entry.fields, changed)) for entry in others]
    if not force and any(fields is not None for _, fields in lost):
        allowed = _from_client_side(schema, live, api_version) if manager == _KUBECTL else None
        _refuse([(entry, difference(fields, allowed)) for entry, fields in lost])
    return [entry for entry in (_reduced(entry, fields, removed) for entry, fields in lost) if entry.fields]


def _owned_before(
    schema: Schema,
    live: dict[str, Any],
    empty: dict[str, Any] | None,
    time: str,
    api_version: str,
    subresource: str,
    resets: Resets,
) -> list[Entry]:
    """Who owns an object that has no owners: whoever wrote it before anybody applied, as one manager.

    That is what it has more than an ``empty`` one of its kind, where there is such."""
    there = field_set_on_create(schema, live) if empty is None else compare(schema, empty, live)[0]
    fields = strip(resets.rest(there))
    return [Entry(BEFORE_FIRST_APPLY, "Update", api_version, subresource, time, fields)] if fields else []


def _from_client_side(schema: Schema, live: dict[str, Any], api_version: str) -> Tree | None:
    """What kubectl has set by client-side apply and nobody has changed since: it may go on to apply it by the server."""
    try:
        last = msgspec.json.decode((live["metadata"].get("annotations") or {}).get(LAST_APPLIED) or "null")
    except msgspec.DecodeError:
        return None
    if not isinstance(last, dict) or last.get("apiVersion") != api_version or not (fits(schema, last) and fits(schema, live)):
        return None
    changed, removed = compare(schema, last, live)
    return difference(difference(field_set(schema, last), changed), removed)


def _with_last_applied(merged: dict[str, Any], applied: dict[str, Any]) -> dict[str, Any]:
    """``merged`` with the annotation of client-side apply brought up to date where there is one, so that kubectl can change
    between the two ways of applying."""
    annotations = merged["metadata"].get("annotations") or {}
    if LAST_APPLIED not in annotations:
        return merged
    text = json.dumps(applied, separators=(",", ":"), sort_keys=True) + "\n"
    others = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
    fits = sum(len(name) + len(value) for name, value in others.items()) + len(LAST_APPLIED) + len(text) <= _MOST_ANNOTATIONS
    annotations = {**others, LAST_APPLIED: text} if fits else others
    if annotations == merged["metadata"].get("annotations"):
        return merged
    return {**merged, "metadata": {**merged["metadata"], "annotations": annotations}}


def _refuse(conflicts: list[tuple[Entry, Tree | None]]) -> None:
    """Raises ``ApplyConflict`` when there are any."""
    by_owner = sorted(conflicts, key=lambda conflict: conflict[0].sorting)
    found = [Conflict(entry, path) for entry, fields in by_owner if fields is not None for path in paths(fields)]
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
        properties, additional = (schema.properties, schema.additional) if schema is not None else ({}, None)
        result: dict[str, Any] | None = None
        for name, item in applied.items():
            if name in live:
                old = live[name]
                if type(item) is str and item == old:
                    continue
                new = merge(properties.get(name) or additional, old, item)
                if new is old:
                    continue
            else:
                new = item
            if result is None:
                result = dict(live)
            result[name] = new
        return live if result is None else result
    if isinstance(applied, list) and isinstance(live, list) and schema is not None and is_associative(schema):
        return _merge_list(schema, live, applied)
    if applied is None and _has_parts(schema, live):
        return live
    return live if same(live, applied) and type(live) is type(applied) else applied


def _has_parts(schema: Schema | None, value: Any) -> bool:
    """Whether ``value`` holds something that is merged by itself: null leaves that alone."""
    if isinstance(value, dict):
        return bool(value) and not is_atomic_map(schema) and (schema is None or schema.type in ("object", ""))
    return isinstance(value, list) and bool(value) and is_associative(schema)


def _merge_list(schema: Schema, live: list[Any], applied: list[Any]) -> list[Any]:
    """Items by key. Common items come in the applied order, items that only ``live`` has before whatever is new."""
    elements = [item_element(schema, item) for item in live]
    proper = None not in elements and len(set(elements)) == len(elements)
    if proper and elements == [item_element(schema, item) for item in applied]:
        merged = [merge(schema.items, old, new) for old, new in zip(live, applied, strict=True)]
        return live if all(new is old for new, old in zip(merged, live, strict=True)) else merged
    live_items, applied_items = by_element(schema, live), by_element(schema, applied)
    if live_items is None or applied_items is None:
        return live if same(live, applied) else applied
    result: list[Any] = []
    for index, element in _order(elements, list(applied_items)):
        if element not in applied_items:
            result.append(live[index])
            continue
        item, known = applied_items[element][0], live_items.get(element, [])
        # Of a key that is there twice nobody can say which of the two is meant.
        result.append(merge(schema.items, known[0], item) if len(known) == 1 else item)
    unchanged = len(result) == len(live) and all(new is old for new, old in zip(result, live, strict=True))
    return live if unchanged else result


def _order(live: list[str | None], applied: list[str]) -> Iterator[tuple[int, str | None]]:
    """Path elements of the merged list, each with its index in ``live`` (which counts for those that only ``live`` has)."""
    known, wanted = set(live), set(applied)
    common = deque(element for element in applied if element in known)
    done: set[str] = set()
    position = 0
    for element in applied:
        while position < len(live) and live[position] != element:
            there = live[position]
            if there not in wanted:
                yield position, there
            elif there in done and not common:
                # Nothing common is left to come: what is new goes before what only the live list has from here on.
                position += 1
                break
            elif not common or there == common[0]:
                break
            position += 1
        if position < len(live) and live[position] == element:
            position += 1
        if common and common[0] == element:
            common.popleft()
        done.add(element)
        yield -1, element
    yield from ((index, live[index]) for index in range(position, len(live)) if live[index] not in wanted)


def _given_up(schema: Schema, merged: dict[str, Any], last: Tree, owners: Sequence[Tree | None]) -> dict[str, Any]:
    """``merged`` without what the manager applied before and nobody owns now.

    A container that goes takes along what is in it and belongs to nobody (defaults), but what belongs to nobody elsewhere
    stays. So first everything goes that was applied before, then what somebody owns comes back, then what was not applied
    before.
    """
    owned: Tree | None = None
    for fields in owners:
        owned = union(owned, fields)
    owned, last_named = ensure_named(schema, owned), ensure_named(schema, last) or {}
    there = ensure_named(schema, field_set(schema, merged))
    left = ensure_named(schema, _members(schema, without(schema, merged, last_named)))
    unowned = difference(there, union(left, owned))
    kept = without(schema, merged, unowned) if unowned is not None else merged
    gone = intersection(difference(there, ensure_named(schema, _members(schema, kept))), last_named)
    return (without(schema, merged, gone) or {}) if gone is not None else merged


def _members(schema: Schema, value: dict[str, Any] | None) -> Tree | None:
    return field_set(schema, value) if value else None
