"""Server-side apply is skipped exactly when it could not change anything."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cozystack.api.core import ConfigMap
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key
from cozystack.api.resources import CONFIG_MAPS, HELM_RELEASES, untyped
from cozystack.kube import AppliedFields, Applier, Client, Entry, needs_apply
from cozystack.kube.compare import equal
from cozystack.runtime import VirtualClock
from support.kube import FakeApi, error

few = settings(max_examples=40, deadline=None)
names = st.sampled_from(["a", "b", "c", "d"])
scalars = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "1"]), st.just(1.5))
lists = st.lists(st.one_of(scalars, st.dictionaries(names, scalars, max_size=2)), max_size=3)
trees = st.recursive(
    st.one_of(scalars, lists), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=8
)
specs = st.dictionaries(names, trees, min_size=1, max_size=4)


def tree_of(value: Any) -> dict[str, Any]:
    """The field set of a value where every list is atomic."""
    if isinstance(value, dict) and value:
        return {f"f:{name}": tree_of(part) for name, part in value.items()}
    return {}


def fields_of(desired: dict[str, Any]) -> bytes:
    return msgspec.json.encode(tree_of(desired))


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for name, part in value.items() for leaf in leaves(part, (*path, name))]
    return [path]


def changed(value: Any, path: tuple[str, ...], new: Any) -> Any:
    """A copy with another value at a path; ``None`` takes the path away."""
    copied = copy.deepcopy(value)
    place = copied
    for name in path[:-1]:
        place = place[name]
    if new is None:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return copied


def parents(value: Any, path: tuple[str, ...]) -> list[Any]:
    """The maps on the way to a path."""
    found = []
    for name in path:
        found.append(value)
        value = value.get(name, {})
    return found


def with_more(value: Any, extra: Any) -> Any:
    """``value`` with fields of others beside its own."""
    if isinstance(value, dict) and isinstance(extra, dict):
        both = {name: with_more(value[name], extra.get(name)) if name in value else part for name, part in extra.items()}
        return {**value, **both}
    return value


@few
@given(specs, specs)
def test_what_is_there_and_ours_is_not_applied_whatever_others_added(spec: dict[str, Any], extra: dict[str, Any]) -> None:
    desired = {"spec": spec}
    live = {"metadata": {"name": "x", "uid": "1"}, "spec": with_more(spec, extra), "status": {"ready": True}}
    assert not needs_apply(desired, live, fields_of(desired))


@few
@given(specs, st.data())
def test_a_leaf_that_differs_is_applied(spec: dict[str, Any], data: st.DataObject) -> None:
    desired = {"spec": spec}
    path = data.draw(st.sampled_from(leaves(desired)))
    assert needs_apply(desired, changed(desired, path, "something else"), fields_of(desired))


@few
@given(specs, st.data())
def test_a_leaf_that_is_missing_is_applied(spec: dict[str, Any], data: st.DataObject) -> None:
    desired = {"spec": spec}
    path = data.draw(st.sampled_from(leaves(desired)))
    assert needs_apply(desired, changed(desired, path, None), fields_of(desired))


@few
@given(specs, st.data())
def test_a_field_that_is_no_longer_wanted_is_applied_so_that_it_goes(spec: dict[str, Any], data: st.DataObject) -> None:
    before = {"spec": spec}
    path = data.draw(st.sampled_from(leaves(before)))
    assert needs_apply(changed(before, path, None), before, fields_of(before))


@few
@given(specs, st.data())
def test_a_field_that_we_do_not_own_yet_is_applied(spec: dict[str, Any], data: st.DataObject) -> None:
    desired = {"spec": spec}
    path = data.draw(st.sampled_from(leaves(desired)))
    ours = changed(desired, path, None)
    assume({} not in parents(ours, path))  # recorded, an empty map looks like one that is owned whole
    assert needs_apply(desired, desired, fields_of(ours))


@few
@given(trees, trees, trees)
def test_any_shapes_can_be_compared(desired: Any, live: Any, recorded: Any) -> None:
    assert needs_apply({"spec": desired}, {"spec": live}, msgspec.json.encode({"f:spec": tree_of(recorded)})) in (True, False)


@few
@given(trees, trees)
def test_equality_is_that_of_json(one: Any, other: Any) -> None:
    assert equal(one, one)
    assert equal(one, other) == equal(other, one)
    assert equal(one, other) == (msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted"))


def test_true_is_not_one() -> None:
    assert not equal(True, 1)
    assert not equal([0], [False])
    assert equal(1, 1.0)


def test_nothing_recorded_means_that_nothing_is_ours() -> None:
    assert needs_apply({"spec": {}}, {"spec": {}}, b"")
    assert needs_apply({"metadata": {"labels": {"x": "y"}}}, {"metadata": {"labels": {"x": "y"}}}, b"")


def test_an_object_of_which_nothing_is_wanted_but_that_it_exists_is_not_applied_again() -> None:
    desired = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    assert not needs_apply(desired, {**desired, "spec": {"finalizers": ["kubernetes"]}}, b"")


def test_identity_and_what_the_server_writes_are_never_owned() -> None:
    desired = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "n", "labels": {"x": "y"}},
        "data": {"k": "v"},
    }
    recorded = b'{"f:metadata":{"f:labels":{"f:x":{}}},"f:data":{"f:k":{}}}'
    assert not needs_apply(desired, {**desired, "metadata": {**desired["metadata"], "uid": "7"}}, recorded)  # type: ignore[dict-item]


OWNERS = [{"apiVersion": "v1", "kind": "Package", "name": "p", "uid": "u1"}]
OWNED = b'{"f:metadata":{"f:ownerReferences":{"k:{\\"uid\\":\\"u1\\"}":{}},"f:finalizers":{".":{},"v:\\"keep\\"":{}}}}'


def metadata(owners: list[dict[str, str]], finalizers: list[str]) -> dict[str, Any]:
    return {"metadata": {"ownerReferences": owners, "finalizers": finalizers}}


def test_items_of_others_in_associative_lists_and_sets_are_no_difference() -> None:
    desired = metadata(OWNERS, ["keep"])
    theirs = {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "u2"}
    assert not needs_apply(desired, metadata([theirs, *OWNERS], ["other", "keep"]), OWNED)
    assert needs_apply(desired, metadata([theirs], ["keep"]), OWNED)
    assert needs_apply(desired, metadata(OWNERS, ["other"]), OWNED)


def test_items_that_are_new_or_no_longer_wanted_are_applied() -> None:
    live = metadata(OWNERS, ["keep"])
    assert needs_apply(metadata([], ["keep"]), live, OWNED)
    assert needs_apply(metadata(OWNERS, []), live, OWNED)
    assert needs_apply(metadata(OWNERS, ["keep", "more"]), metadata(OWNERS, ["keep", "more"]), OWNED)
    assert needs_apply(metadata([{**OWNERS[0], "uid": "u9"}], ["keep"]), live, OWNED)


def test_an_item_is_found_by_keys_that_the_server_filled_in() -> None:
    recorded = b'{"f:ports":{"k:{\\"port\\":80,\\"protocol\\":\\"TCP\\"}":{".":{},"f:port":{}}}}'
    desired = {"ports": [{"port": 80}]}
    assert not needs_apply(desired, {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}, recorded)
    assert needs_apply(desired, {"ports": [{"port": 81, "protocol": "TCP"}]}, recorded)


def release(**spec: Any) -> HelmRelease:
    return msgspec.convert(
        {"apiVersion": "v2", "kind": "HelmRelease", "metadata": {"name": "r", "namespace": "n"}, "spec": spec}, HelmRelease
    )


def test_a_struct_is_compared_with_its_defaults() -> None:
    recorded = b'{"f:spec":{"f:interval":{},"f:suspend":{}}}'
    assert not needs_apply({"spec": {"interval": "5m", "suspend": False}}, release(interval="5m"), recorded)
    assert needs_apply({"spec": {"interval": "5m", "suspend": True}}, release(interval="5m"), recorded)


def test_atomic_lists_of_structs_are_compared_whole() -> None:
    recorded = b'{"f:spec":{"f:interval":{},"f:dependsOn":{}}}'
    live = release(interval="5m", dependsOn=[{"name": "a"}, {"name": "b", "namespace": "m"}])
    desired = {"spec": {"interval": "5m", "dependsOn": [{"name": "a"}, {"name": "b", "namespace": "m"}]}}
    assert not needs_apply(desired, live, recorded)
    desired["spec"]["dependsOn"] = [{"name": "a"}]
    assert needs_apply(desired, live, recorded)
    desired["spec"]["dependsOn"] = [{"name": "b", "namespace": "m"}, {"name": "a"}]
    assert needs_apply(desired, live, recorded)


def test_a_field_that_the_type_does_not_declare_cannot_be_compared() -> None:
    assert needs_apply({"spec": {"nobodyKnows": 1}}, release(interval="5m"), b'{"f:spec":{"f:nobodyKnows":{}}}')


def test_a_struct_can_be_desired() -> None:
    live = release(interval="5m")
    assert not needs_apply(
        Client(FakeApi(), clock=VirtualClock()).codec(HELM_RELEASES).plain(live), live, b'{"f:spec":{"f:interval":{}}}'
    )


class Bench:
    def __init__(self) -> None:
        self.api = FakeApi(CONFIG_MAPS, HELM_RELEASES)
        self.applier = Applier(Client(self.api, clock=VirtualClock()), "me")

    def entry(self, fields: bytes = b"") -> Entry[ConfigMap]:
        obj = msgspec.convert(self.api.object(CONFIG_MAPS, Key("n", "a")), ConfigMap)
        return Entry(obj, (AppliedFields("me", "", fields),) if fields else ())


WISH = {"metadata": {"namespace": "n", "name": "a"}, "data": {"k": "1"}}


async def test_an_object_that_is_not_there_is_created() -> None:
    bench = Bench()
    outcome = await bench.applier.apply(CONFIG_MAPS, WISH, None)
    assert (outcome.changed, outcome.sent, outcome.object.data) == (True, True, {"k": "1"})
    assert bench.api.requests[0].query == {"fieldManager": "me", "force": "true"}


async def test_an_object_that_is_as_wanted_is_not_written() -> None:
    bench = Bench()
    bench.api.put(CONFIG_MAPS, WISH)
    outcome = await bench.applier.apply(CONFIG_MAPS, WISH, bench.entry(b'{"f:data":{"f:k":{}}}'))
    assert (outcome.changed, outcome.sent) == (False, False)
    assert bench.api.requests == []


async def test_the_same_wish_on_a_state_that_is_behind_our_own_write_is_not_sent_again() -> None:
    bench = Bench()
    bench.api.put(CONFIG_MAPS, {**WISH, "data": {"k": "0"}})
    stale = bench.entry()
    assert (await bench.applier.apply(CONFIG_MAPS, WISH, stale)).changed
    outcome = await bench.applier.apply(CONFIG_MAPS, WISH, stale)
    assert (outcome.changed, outcome.sent, len(bench.api.requests)) == (False, False, 1)


async def test_a_wish_that_the_server_does_not_keep_as_it_is_is_sent_once_for_each_state() -> None:
    bench = Bench()
    bench.api.put(CONFIG_MAPS, WISH)
    for _ in range(3):
        await bench.applier.apply(CONFIG_MAPS, WISH, bench.entry())
    assert len(bench.api.requests) == 1
    bench.api.put(CONFIG_MAPS, {**WISH, "data": {"k": "drift"}})
    for _ in range(3):
        await bench.applier.apply(CONFIG_MAPS, WISH, bench.entry())
    assert len(bench.api.requests) == 2
    assert bench.entry().object.data == {"k": "1"}


async def test_another_wish_on_the_same_state_is_sent() -> None:
    bench = Bench()
    bench.api.put(CONFIG_MAPS, {**WISH, "data": {"k": "0"}})
    stale = bench.entry()
    await bench.applier.apply(CONFIG_MAPS, WISH, stale)
    await bench.applier.apply(CONFIG_MAPS, {**WISH, "data": {"k": "2"}}, stale)
    assert bench.entry().object.data == {"k": "2"}


async def test_what_is_forgotten_is_sent_again() -> None:
    bench = Bench()
    bench.api.put(CONFIG_MAPS, WISH)
    await bench.applier.apply(CONFIG_MAPS, WISH, bench.entry())
    bench.applier.forget(CONFIG_MAPS, Key("n", "a"))
    await bench.applier.apply(CONFIG_MAPS, WISH, bench.entry())
    assert len(bench.api.requests) == 2


async def test_a_failed_apply_is_not_remembered() -> None:
    bench = Bench()
    bench.api.put(CONFIG_MAPS, WISH)
    bench.api.fail(error(409, "Conflict"))
    with pytest.raises(Exception, match="told to fail"):
        await bench.applier.apply(CONFIG_MAPS, WISH, bench.entry(), force=False)
    assert (await bench.applier.apply(CONFIG_MAPS, WISH, bench.entry())).sent


async def test_untyped_objects_can_be_applied() -> None:
    bench = Bench()
    plain = untyped("", "v1", "ConfigMap", "configmaps")
    outcome = await bench.applier.apply(plain, WISH, None)
    assert outcome.object["data"] == {"k": "1"}
