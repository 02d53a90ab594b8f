"""Storage: versions, compare-and-swap, snapshots, events; in memory and in a file that outlives the process."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozystack.apiserver.storage import (
    Event,
    Expired,
    StateInUse,
    StateTooNew,
    StateUnusable,
    Storage,
    VersionAhead,
    VersionMismatch,
    open_storage,
)
from cozystack.apiserver.storage.interface import WINDOW

CM = "/configmaps"


def obj(name: str, **data: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    found = open_storage(None if request.param == "memory" else tmp_path / "state.db")
    yield found
    found.close()


def seen(events: list[Event]) -> list[tuple[str, int, str]]:
    return [(event.kind, event.version, event.new.name) for event in events]


def test_versions_are_one_sequence_over_all_resources(storage: Storage) -> None:
    assert storage.put(CM, "ns", "a", obj("a")).version == 1
    assert storage.put("/secrets", "ns", "a", obj("a")).version == 2
    gone = storage.delete(CM, "ns", "a")
    assert gone is not None
    assert (gone.version, gone.object["metadata"]["resourceVersion"], storage.version) == (3, "3", 3)


def test_a_stored_object_carries_its_version_in_its_bytes(storage: Storage) -> None:
    stored = storage.put(CM, "ns", "a", obj("a", x="1"))
    assert stored.encoded == b'{"kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"1"},"data":{"x":"1"}}'
    assert storage.get(CM, "ns", "a") is stored


def test_a_write_with_another_version_in_mind_is_refused(storage: Storage) -> None:
    first = storage.put(CM, "ns", "a", obj("a"), expected=0)
    for wrong in (0, first.version + 1):
        with pytest.raises(VersionMismatch):
            storage.put(CM, "ns", "a", obj("a"), expected=wrong)
    with pytest.raises(VersionMismatch):
        storage.delete(CM, "ns", "a", expected=first.version + 1)
    assert storage.version == first.version
    storage.put(CM, "ns", "a", obj("a"), expected=first.version)
    assert storage.delete(CM, "ns", "none") is None


def test_objects_come_by_namespace_and_name(storage: Storage) -> None:
    for namespace, name in (("b", "x"), ("a", "y"), ("a-b", "z"), ("a", "x"), ("a.b", "w")):
        storage.put(CM, namespace, name, obj(name))
    ordered = [(stored.namespace, stored.name) for stored in storage.objects(CM)]
    assert ordered == sorted(ordered)
    assert [stored.name for stored in storage.objects(CM, "a")] == ["x", "y"]
    assert list(storage.objects(CM, "none")) == []
    assert storage.resources() == [CM]


def test_a_snapshot_of_the_past_takes_back_what_came_since(storage: Storage) -> None:
    storage.put(CM, "ns", "a", obj("a", x="1"))
    storage.put(CM, "ns", "b", obj("b"))
    storage.put(CM, "ns", "a", obj("a", x="2"))
    storage.delete(CM, "ns", "b")
    storage.put(CM, "ns", "b", obj("b", x="3"))
    past = [[(stored.name, stored.version) for stored in storage.snapshot(CM, at=version).items] for version in range(6)]
    assert past == [[], [("a", 1)], [("a", 1), ("b", 2)], [("a", 3), ("b", 2)], [("a", 3)], [("a", 3), ("b", 5)]]
    assert storage.snapshot(CM).version == 5
    assert list(storage.snapshot("/secrets", at=3).items) == []


def test_a_snapshot_beyond_the_window_or_of_the_future_is_not_to_be_had() -> None:
    storage = open_storage(None)
    for number in range(WINDOW + 2):
        storage.put(CM, "ns", "a", obj("a", n=number))
    assert [stored.version for stored in storage.snapshot(CM, at=2).items] == [2]
    with pytest.raises(Expired):
        storage.snapshot(CM, at=1)
    with pytest.raises(VersionAhead):
        storage.snapshot(CM, at=WINDOW + 3)


def test_a_subscription_begins_after_its_version(storage: Storage) -> None:
    storage.put(CM, "ns", "a", obj("a"))
    storage.put(CM, "ns", "b", obj("b"))
    storage.put("/secrets", "ns", "s", obj("s"))
    subscription = storage.subscribe(CM, 1)
    storage.put(CM, "ns", "a", obj("a", x="1"))
    storage.delete(CM, "ns", "b")
    assert seen(subscription.drain()) == [("ADDED", 2, "b"), ("MODIFIED", 4, "a"), ("DELETED", 5, "b")]
    assert subscription.drain() == []


def test_a_subscription_may_be_to_one_namespace_or_to_everything(storage: Storage) -> None:
    storage.put(CM, "one", "a", obj("a"))
    narrow = storage.subscribe(CM, 0, namespace="one")
    wide = storage.subscribe("")
    storage.put(CM, "two", "b", obj("b"))
    storage.put("/secrets", "one", "c", obj("c"))
    storage.put(CM, "one", "d", obj("d"))
    assert seen(narrow.drain()) == [("ADDED", 1, "a"), ("ADDED", 4, "d")]
    assert seen(wide.drain()) == [("ADDED", 2, "b"), ("ADDED", 3, "c"), ("ADDED", 4, "d")]


def test_an_event_has_what_was_before(storage: Storage) -> None:
    subscription = storage.subscribe(CM)
    first = storage.put(CM, "ns", "a", obj("a", x="1"))
    second = storage.put(CM, "ns", "a", obj("a", x="2"))
    storage.delete(CM, "ns", "a")
    added, modified, deleted = subscription.drain()
    assert (added.new, added.old) == (first, None)
    assert (modified.new, modified.old) == (second, first)
    assert (deleted.new.object["data"], deleted.old) == ({"x": "2"}, second)


def test_events_beyond_the_window_have_expired_for_their_resource_alone() -> None:
    storage = open_storage(None)
    storage.put("/secrets", "ns", "s", obj("s"))
    for number in range(WINDOW + 1):
        storage.put(CM, "ns", "a", obj("a", n=number))
    with pytest.raises(Expired):
        storage.subscribe(CM, 1)
    assert len(storage.subscribe(CM, 2).drain()) == WINDOW
    assert seen(storage.subscribe("/secrets", 0).drain()) == [("ADDED", 1, "s")]


def test_what_is_compacted_has_expired_where_there_was_something(storage: Storage) -> None:
    storage.put("/secrets", "ns", "s", obj("s"))
    for number in range(3):
        storage.put(CM, "ns", "a", obj("a", n=number))
    following = storage.subscribe(CM, 0)
    storage.compact(3)
    assert seen(following.drain()) == [("ADDED", 2, "a"), ("MODIFIED", 3, "a"), ("MODIFIED", 4, "a")]
    for since in (0, 2):
        with pytest.raises(Expired):
            storage.subscribe(CM, since)
        with pytest.raises(Expired):
            storage.snapshot(CM, at=since)
    assert seen(storage.subscribe(CM, 3).drain()) == [("MODIFIED", 4, "a")]
    assert [stored.version for stored in storage.snapshot(CM, at=3).items] == [3]
    with pytest.raises(Expired):
        storage.subscribe("/secrets", 0)
    assert storage.subscribe("/secrets", 1).drain() == []
    storage.compact(storage.version)
    assert storage.subscribe(CM, 4).drain() == []


def test_a_version_that_is_still_to_come_is_refused(storage: Storage) -> None:
    with pytest.raises(VersionAhead):
        storage.subscribe(CM, 1)


def test_a_subscriber_that_falls_too_far_behind_is_closed() -> None:
    storage = open_storage(None)
    slow, fast = storage.subscribe(CM), storage.subscribe(CM)
    for number in range(WINDOW + 1):
        storage.put(CM, "ns", "a", obj("a", n=number))
        fast.drain()
    assert (slow.closed, fast.closed) == (True, False)


async def test_waiting_ends_with_its_time() -> None:
    assert await open_storage(None).subscribe(CM).wait(0) == []


async def test_waiting_ends_with_an_event_or_with_the_storage() -> None:
    storage = open_storage(None)
    subscription = storage.subscribe(CM)
    waiting = asyncio.ensure_future(subscription.wait())
    await asyncio.sleep(0)
    storage.put(CM, "ns", "a", obj("a"))
    assert seen(await waiting) == [("ADDED", 1, "a")]
    again = asyncio.ensure_future(subscription.wait())
    await asyncio.sleep(0)
    storage.close()
    assert await again == []
    assert [event async for event in subscription] == []


Step = tuple[str, str, str, str]
NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.tuples(st.sampled_from(["put", "delete"]), NAMES, NAMES, st.sampled_from([CM, "/secrets"])), max_size=40)


@given(STEPS)
def test_a_list_and_the_events_after_it_give_the_present(steps: list[Step]) -> None:
    storage = open_storage(None)
    for step in steps[: len(steps) // 2]:
        change(storage, step)
    snapshot = storage.snapshot(CM)
    followed = {(stored.namespace, stored.name): stored.version for stored in snapshot.items}
    for step in steps[len(steps) // 2 :]:
        change(storage, step)
    for event in storage.subscribe(CM, snapshot.version).drain():
        if event.kind == "DELETED":
            del followed[event.new.namespace, event.new.name]
        else:
            followed[event.new.namespace, event.new.name] = event.version
    assert followed == {(stored.namespace, stored.name): stored.version for stored in storage.objects(CM)}


def change(storage: Storage, step: Step) -> None:
    action, namespace, name, resource = step
    if action == "put":
        storage.put(resource, namespace, name, obj(name))
    else:
        storage.delete(resource, namespace, name)


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Callable[[], Storage]]:
    """Open the state file; what was open before is closed first."""
    opened: list[Storage] = []

    def function() -> Storage:
        for storage in opened:
            storage.close()
        opened[:] = [open_storage(tmp_path / "state.db")]
        return opened[0]

    yield function
    for storage in opened:
        storage.close()


def test_a_file_gives_back_objects_and_versions(reopen: Callable[[], Storage]) -> None:
    storage = reopen()
    storage.put(CM, "ns", "a", obj("a", x="1"))
    storage.put(CM, "ns", "b", obj("b"))
    storage.put(CM, "ns", "a", obj("a", x="2"))
    storage.delete(CM, "ns", "b")
    again = reopen()
    assert again.version == 4
    assert [(stored.version, stored.object) for stored in again.objects(CM)] == [
        (3, {"kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "3"}, "data": {"x": "2"}})
    ]
    assert again.put(CM, "ns", "c", obj("c")).version == 5


def test_a_watch_goes_on_after_a_restart_when_nothing_was_missed(reopen: Callable[[], Storage]) -> None:
    storage = reopen()
    storage.put(CM, "ns", "a", obj("a"))
    storage.put("/secrets", "ns", "s", obj("s"))
    storage.delete("/secrets", "ns", "s")
    again = reopen()
    subscription = again.subscribe(CM, 1)
    again.put(CM, "ns", "b", obj("b"))
    assert seen(subscription.drain()) == [("ADDED", 4, "b")]
    with pytest.raises(Expired):
        again.subscribe("/secrets", 2)
    assert again.subscribe("/secrets", 3).drain() == []


def test_a_newer_state_file_is_refused_in_one_sentence(reopen: Callable[[], Storage], tmp_path: Path) -> None:
    reopen().close()
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(StateTooNew, match="The state folder is from a newer version of this program"):
        reopen()


def test_a_state_file_that_another_has_open_is_refused(reopen: Callable[[], Storage], tmp_path: Path) -> None:
    reopen()
    with pytest.raises(StateInUse, match="is in use by another process"):
        open_storage(tmp_path / "state.db")


def test_a_file_that_is_no_state_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"something else entirely, and long enough to be read as a header" * 20)
    with pytest.raises(StateUnusable, match="is not a state file"):
        open_storage(tmp_path / "state.db")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StateUnusable):
        open_storage(tmp_path / "folder")


WRITER = """
import sys
from pathlib import Path
from cozystack.apiserver.storage import open_storage

storage = open_storage(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    storage.put("/configmaps", "ns", f"n{number % 7}", {"metadata": {"name": f"n{number % 7}"}, "number": number})
    if number % 5 == 0:
        storage.delete("/configmaps", "ns", f"n{number % 7}")
    print(storage.version, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(500)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
    storage = open_storage(path)
    reached = storage.version
    found = {stored.name: stored.object["number"] for stored in storage.objects(CM)}
    storage.close()
    assert reached >= acknowledged[-1]
    assert found == written(reached)


def written(version: int) -> dict[str, int]:
    """What the writer above has stored when it has come to ``version``."""
    state: dict[str, int] = {}
    number = 0
    while version > 0:
        number += 1
        state[f"n{number % 7}"] = number
        version -= 1
        if number % 5 == 0 and version > 0:
            del state[f"n{number % 7}"]
            version -= 1
    return state
