"""What holds for server-side apply whatever is applied."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cozystack.apiserver.fields import ApplyConflict, apply, update
from cozystack.apiserver.fields.sets import (
    Tree,
    compare,
    difference,
    field_set,
    intersection,
    is_member,
    union,
)
from cozystack.apiserver.schema import Schema, from_crd

Obj = dict[str, Any]

SCHEMA = from_crd(json.loads((Path(__file__).parent / "recorded" / "schema.json").read_text()))

text = st.sampled_from("xyz")
string_map = st.dictionaries(st.sampled_from("kl"), text)
port = st.fixed_dictionaries(
    {"port": st.sampled_from((1, 2))}, optional={"protocol": st.sampled_from(("TCP", "UDP")), "label": text}
)
ports = st.lists(port, max_size=3, unique_by=lambda item: (item["port"], item.get("protocol", "TCP")))
item = st.fixed_dictionaries({"name": st.sampled_from("abc")}, optional={"value": text, "inner": string_map, "ports": ports})
nested = st.fixed_dictionaries(
    {}, optional={"x": text, "y": text, "sub": st.fixed_dictionaries({}, optional={"p": text, "q": text})}
)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "a": text,
    "n": st.integers(1, 2),
    "atomicMap": string_map,
    "strMap": string_map,
    "nested": nested,
    "list": st.lists(text, max_size=2),
    "set": st.lists(st.sampled_from("uvw"), unique=True),
    "items": st.lists(item, max_size=3, unique_by=lambda found: str(found["name"])),
    "free": st.recursive(text, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("fg"), inner)),
}


def objects_with(names: Iterable[str]) -> st.SearchStrategy[Obj]:
    metadata: st.SearchStrategy[Any] = st.just({})
    return st.fixed_dictionaries({"metadata": metadata}, optional={name: PARTS[name] for name in names})


objects = objects_with(PARTS)
writes = st.lists(st.tuples(st.sampled_from(("apply", "force", "update")), st.sampled_from("ab"), objects), max_size=5)


def applied(live: Obj | None, obj: Obj, manager: str, *, force: bool = False) -> Obj:
    return apply(SCHEMA, live, obj, manager=manager, force=force, time="t", api_version="v1")


def after(sequence: list[tuple[str, str, Obj]]) -> Obj | None:
    """An object with a history: what came of each write, conflicts passed over."""
    live: Obj | None = None
    for kind, manager, obj in sequence:
        if kind == "update":
            metadata = (live or {}).get("metadata", {})
            live = update(SCHEMA, live, {**obj, "metadata": metadata}, manager=manager, time="t", api_version="v1")
            continue
        try:
            live = applied(live, obj, manager, force=kind == "force")
        except ApplyConflict:
            continue
    return live


def owned(live: Obj, manager: str = "") -> Tree | None:
    """What ``manager`` owns as an applier, or everybody in any way."""
    found: Tree | None = None
    for entry in live["metadata"].get("managedFields", ()):
        if not manager or (entry["manager"], entry["operation"]) == (manager, "Apply"):
            found = union(found, entry["fieldsV1"])
    return found


def content(live: Obj | None) -> Obj:
    return {name: value for name, value in (live or {}).items() if name != "metadata"}


def in_metadata(tree: Tree | None) -> Tree | None:
    return {name: child for name, child in (tree or {}).items() if name != "f:metadata"} or None


@given(writes, objects)
def test_applying_twice_changes_nothing(history: list[tuple[str, str, Obj]], obj: Obj) -> None:
    once = applied(after(history), obj, "m", force=True)
    assert applied(once, obj, "m") is once or not owned(once, "m")


@given(writes, objects)
def test_an_applier_owns_exactly_what_it_applied(history: list[tuple[str, str, Obj]], obj: Obj) -> None:
    live = applied(after(history), obj, "a", force=True)
    assert owned(live, "a") == in_metadata(field_set(SCHEMA, obj))


@given(writes, objects)
def test_what_was_applied_is_there(history: list[tuple[str, str, Obj]], obj: Obj) -> None:
    live = applied(after(history), obj, "m", force=True)
    assert content(applied(live, obj, "other")) == content(live)


@given(writes, objects)
def test_nothing_is_applied_when_there_is_a_conflict_and_there_is_one_only_on_owned_fields(
    history: list[tuple[str, str, Obj]], obj: Obj
) -> None:
    live = after(history)
    try:
        applied(live, obj, "m")
    except ApplyConflict as error:
        assert live is not None
        assert {conflict.manager for conflict in error.conflicts} <= {
            *(entry["manager"] for entry in live["metadata"].get("managedFields", ())),
            "before-first-apply",
        }
        applied(live, obj, "m", force=True)


@given(st.data())
def test_managers_of_different_fields_never_conflict(data: st.DataObject) -> None:
    names = data.draw(st.permutations(sorted(PARTS)))
    middle = data.draw(st.integers(0, len(names)))
    first, second = (data.draw(objects_with(part)) for part in (names[:middle], names[middle:]))
    live = applied(applied(None, first, "a"), second, "b")
    assert content(live) == {**content(first), **content(second)}
    assert content(applied(live, {"metadata": {}}, "a")) == {
        name: value for name, value in content(live).items() if name in second or field_set(SCHEMA, {name: value}) is None
    }


@given(writes)
def test_an_owned_field_is_there_unless_it_is_a_container_that_became_empty(history: list[tuple[str, str, Obj]]) -> None:
    live = after(history) or {"metadata": {}}
    there, _ = compare(SCHEMA, {}, content(live))
    assert set(types(SCHEMA, difference(owned(live), there))) <= {"object", "array", ""}


def types(schema: Schema | None, tree: Tree | None) -> Iterator[str]:
    """The types of the members of a tree."""
    if tree is not None and is_member(tree):
        yield schema.type if schema is not None else ""
    for name, child in (tree or {}).items():
        if schema is not None and name != ".":
            yield from types(schema.child(name[2:]) if name.startswith("f:") else schema.items, child)


@given(writes, objects)
def test_an_update_owns_what_it_changed_and_nobody_else_does(history: list[tuple[str, str, Obj]], obj: Obj) -> None:
    live = after(history) or {"metadata": {}}
    new = update(SCHEMA, live, {**obj, "metadata": live["metadata"]}, manager="m", time="t", api_version="v1")
    changed, removed = compare(SCHEMA, content(live), content(new))
    entries = {entry["manager"]: entry["fieldsV1"] for entry in new["metadata"].get("managedFields", ())}
    assert entries.get("m") == changed
    for manager, fields in entries.items():
        assert manager == "m" or intersection(fields, union(changed, removed)) is None


@given(objects, objects)
def test_a_comparison_tells_every_difference(left: Obj, right: Obj) -> None:
    changed, removed = compare(SCHEMA, left, right)
    assert (changed is None and removed is None) == (unordered(left) == unordered(right))


def unordered(value: Any, name: str = "") -> Any:
    """A value without the order of its sets and of its lists with keys, which belongs to nobody."""
    if isinstance(value, dict):
        return {key: unordered(item, key) for key, item in value.items()}
    if name in ("set", "items", "ports"):
        return sorted((unordered(item) for item in value), key=str)
    return value


trees: st.SearchStrategy[Tree] = st.recursive(
    st.just({}), lambda inner: st.dictionaries(st.sampled_from(("f:a", "f:b", ".")), inner, min_size=1), max_leaves=8
).map(lambda tree: clean(tree))


def clean(tree: Tree) -> Tree:
    """A tree as it is written: nothing below the mark of a member."""
    return {name: {} if name == "." else clean(child) for name, child in tree.items()}


def members(tree: Tree | None, prefix: str = "") -> set[str]:
    if tree is None:
        return set()
    found = {prefix} if is_member(tree) else set()
    for name, child in tree.items():
        if name != ".":
            found |= members(child, f"{prefix}/{name}")
    return found


@given(trees, trees)
def test_trees_are_sets_of_their_members(left: Tree, right: Tree) -> None:
    assert members(union(left, right)) == members(left) | members(right)
    assert members(intersection(left, right)) == members(left) & members(right)
    assert members(difference(left, right)) == members(left) - members(right)
