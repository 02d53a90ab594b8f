"""What objects have in common is kept once, and what has been replaced keeps no bytes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cozystack.apiserver.storage import SqliteStorage, open_storage
from cozystack.apiserver.storage.memory import _LINES_KEPT
from cozystack.apiserver.storage.sharing import Sharing

Obj = dict[str, Any]

FIELDS = {"f:spec": {"f:image": {}}, "f:metadata": {"f:labels": {".": {}, "f:app": {}}}}
TEXT = "a text that is not short enough to be shared by Python itself"
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.sampled_from(("", "a", "a" * 300, TEXT))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner))


def new(name: str) -> Obj:
    """An object that shares nothing with any other."""
    made = {"metadata": {"name": name, "managedFields": [{"manager": "m", "fieldsV1": FIELDS}]}, "spec": {"image": [TEXT]}}
    decoded: Obj = msgspec.json.decode(msgspec.json.encode(made))
    return decoded


def shared(left: Obj, right: Obj) -> tuple[bool, bool]:
    """Whether two objects have the same text, and the same tree of fields, not only equal ones."""
    ours, theirs = (obj["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"] for obj in (left, right))
    return left["spec"]["image"][0] is right["spec"]["image"][0], ours is theirs


def test_equal_parts_of_different_objects_are_kept_once() -> None:
    storage = open_storage(None)
    first, second = (storage.put("/x", "", name, new(name)).object for name in ("a", "b"))
    assert shared(first, second) == (True, True)


def test_equal_parts_are_kept_once_after_a_start_too(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "state.db")
    for name in ("a", "b"):
        storage.put("/x", "", name, new(name))
    storage.close()
    storage = open_storage(tmp_path / "state.db")
    first, second = (stored.object for stored in storage.objects("/x"))
    storage.close()
    assert shared(first, second) == (True, True)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=4))
def test_sharing_changes_no_value(pairs: list[tuple[Any, Any]]) -> None:
    sharing, old = Sharing(), None
    for spec, fields in pairs:
        managed = [{"fieldsV1": fields}, fields, {"fieldsV1": {"f:spec": fields if isinstance(fields, dict) else {}}}]
        obj: Obj = {"metadata": {"managedFields": managed}, "spec": spec}
        before = msgspec.json.encode(copy.deepcopy(obj))
        sharing.share(obj, old)
        assert msgspec.json.encode(obj) == before
        old = obj


def test_tables_are_bounded() -> None:
    sharing = Sharing()
    for number in range(3_000):
        fields: Obj = {"f:spec": {f"f:{number}": {}}}
        texts = [f"text {number} {place}" for place in range(40)]
        sharing.share({"metadata": {"managedFields": [{"fieldsV1": fields}]}, "spec": texts})
    assert len(sharing._texts) <= 65_536 + 40
    assert len(sharing._trees) <= 1_024


def test_what_was_replaced_keeps_no_bytes(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "state.db")
    old = storage.put("/x", "", "a", new("a"))
    kept = [old._encoded is not None]
    storage.put("/x", "", "a", new("a"))
    kept.append(old._encoded is not None)
    assert kept == [True, False]
    assert msgspec.json.decode(old.encoded)["metadata"]["resourceVersion"] == "1"
    storage.close()


def test_lines_of_old_events_are_forgotten() -> None:
    storage = open_storage(None)
    follower = storage.subscribe("/x")
    for number in range(_LINES_KEPT + 10):
        storage.put("/x", "", f"n{number}", new(f"n{number}"))
        for event in follower.drain():
            event.lines["form"] = b"a line"
    events = storage.subscribe("/x", 0).drain()
    assert [bool(event.lines) for event in events] == [False] * 10 + [True] * _LINES_KEPT
