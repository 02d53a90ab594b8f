"""The informer: its store equals what the server holds, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozystack.api.core import ConfigMap
from cozystack.api.meta import Key
from cozystack.api.resources import CONFIG_MAPS, untyped
from cozystack.kube import Client, Entry, Informer, Malformed, ownership
from cozystack.kube.errors import ConfigError
from cozystack.kube.transport import Response
from cozystack.runtime import VirtualClock
from support.kube import FakeApi, error, lost, seeded

A, B, C = Key("n", "a"), Key("n", "b"), Key("n", "c")


def config_map(name: str, value: str = "1", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": name, **metadata}, "data": {"value": value}}


class Follower:
    """A running informer, its clock, and what its handler was told."""

    def __init__(self, api: FakeApi, **options: Any) -> None:
        self.api = api
        self.clock = VirtualClock()
        self.client = Client(api, clock=self.clock, random=seeded(), attempts=1)
        self.informer: Informer[ConfigMap] = Informer(self.client, CONFIG_MAPS, random=seeded(), **options)
        self.told: list[str] = []
        self.informer.on_change(self._note)

    def _note(self, kind: str, old: ConfigMap | None, new: ConfigMap | None) -> None:
        values = "->".join(obj.data["value"] for obj in (old, new) if obj is not None)
        obj = new or old
        assert obj is not None
        self.told.append(f"{kind} {obj.metadata.name} {values}")

    def held(self) -> dict[str, str]:
        return {obj.metadata.name: obj.data["value"] for obj in self.informer.store.objects()}


Follow = Callable[..., Any]


@asynccontextmanager
async def following(api: FakeApi, **options: Any) -> AsyncIterator[Follower]:
    follower = Follower(api, **options)
    task = asyncio.create_task(follower.informer.run())
    await follower.clock.settle()
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.wait((task,))


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi(CONFIG_MAPS)
    api.put(CONFIG_MAPS, config_map("a"))
    api.put(CONFIG_MAPS, config_map("b"))
    return api


async def test_what_exists_is_told_as_added_and_then_the_informer_is_synced(api: FakeApi) -> None:
    async with following(api) as follower:
        assert follower.informer.synced
        assert follower.told == ["added a 1", "added b 1"]
        assert follower.held() == {"a": "1", "b": "1"}


async def test_an_informer_is_not_synced_while_the_list_fails(api: FakeApi) -> None:
    api.fail(error(500, "InternalError"), times=3)
    async with following(api) as follower:
        assert not follower.informer.synced
        await follower.clock.run(follower.informer.wait_synced())
        assert follower.held() == {"a": "1", "b": "1"}
        assert follower.clock.monotonic() < 1.0


async def test_changes_arrive_with_the_old_and_the_new_object(api: FakeApi) -> None:
    async with following(api) as follower:
        follower.told.clear()
        api.put(CONFIG_MAPS, config_map("a", "2"))
        api.put(CONFIG_MAPS, config_map("c"))
        api.remove(CONFIG_MAPS, B)
        await follower.clock.settle()
        assert follower.told == ["updated a 1->2", "added c 1", "deleted b 1"]
        assert follower.held() == {"a": "2", "c": "1"}


async def test_pages_are_read_to_the_end(api: FakeApi) -> None:
    for index in range(7):
        api.put(CONFIG_MAPS, config_map(f"x{index}"))
    async with following(api, page_size=2) as follower:
        assert len(follower.informer.store) == 9
        assert len(api.lines()) == 5 + 1


async def test_an_expired_page_token_lists_again_without_pages(api: FakeApi) -> None:
    api.fail(error(410, "Expired"), when=lambda seen: "continue" in seen.query)
    async with following(api, page_size=1) as follower:
        assert follower.held() == {"a": "1", "b": "1"}
        assert [seen.query.get("limit") for seen in api.requests] == ["1", "1", None, None]


async def test_a_stream_that_ends_is_resumed_where_it_stopped(api: FakeApi) -> None:
    async with following(api) as follower:
        api.put(CONFIG_MAPS, config_map("a", "2"))
        await follower.clock.settle()
        api.end_watches()
        api.put(CONFIG_MAPS, config_map("a", "3"))
        await follower.clock.advance(1)
        assert follower.told[2:] == ["updated a 1->2", "updated a 2->3"]
        assert follower.informer.lists == 1
        assert api.requests[-1].query["resourceVersion"] == "103"


async def test_a_bookmark_moves_the_version_from_which_a_watch_resumes(api: FakeApi) -> None:
    async with following(api) as follower:
        api.bookmark(CONFIG_MAPS)
        await follower.clock.settle()
        api.end_watches(lost())
        api.forget_history()
        await follower.clock.advance(1)
        assert follower.informer.lists == 1
        assert api.requests[-1].query["resourceVersion"] == str(api.version)


async def test_a_deletion_inside_a_gap_is_seen_after_410(api: FakeApi) -> None:
    async with following(api) as follower:
        follower.told.clear()
        api.end_watches(lost())
        api.remove(CONFIG_MAPS, A)
        api.put(CONFIG_MAPS, config_map("b", "2"))
        api.put(CONFIG_MAPS, config_map("c"))
        api.forget_history()
        await follower.clock.advance(2)
        assert follower.told == ["deleted a 1", "updated b 1->2", "added c 1"]
        assert follower.informer.lists == 2


async def test_a_relist_tells_nothing_about_objects_that_are_the_same(api: FakeApi) -> None:
    async with following(api) as follower:
        follower.told.clear()
        api.end_watches()
        api.bookmark(CONFIG_MAPS)
        api.forget_history()
        await follower.clock.advance(2)
        assert (follower.told, follower.informer.lists) == ([], 2)


async def test_an_object_that_was_replaced_by_another_of_its_name_in_a_gap_is_told_as_updated(api: FakeApi) -> None:
    async with following(api) as follower:
        follower.told.clear()
        api.end_watches()
        api.remove(CONFIG_MAPS, A)
        api.put(CONFIG_MAPS, config_map("a", "new"))
        api.forget_history()
        await follower.clock.advance(2)
        assert follower.told == ["updated a 1->new"]


async def test_a_server_that_ends_every_stream_at_once_is_not_asked_in_a_tight_loop(api: FakeApi) -> None:
    async with following(api) as follower:
        for _ in range(100):
            api.fail(Response(200), when=lambda seen: "watch" in seen.query)
        api.end_watches()
        await follower.clock.advance(60)
        assert follower.informer.watches < 15


async def test_failures_are_retried_with_growing_delays_up_to_half_a_minute(api: FakeApi) -> None:
    async with following(api) as follower:
        api.fail(lost(), times=30)
        api.end_watches(lost())
        before = len(api.requests)
        await follower.clock.advance(300)
        assert 15 < len(api.requests) - before < 40


async def test_a_configuration_that_cannot_be_used_is_not_tried_again(api: FakeApi) -> None:
    api.fail(ConfigError("the client certificate and its key do not fit"))
    follower = Follower(api)
    with pytest.raises(ConfigError):
        await follower.clock.run(follower.informer.run())


async def test_a_version_from_the_future_lists_again(api: FakeApi) -> None:
    body = (
        b'{"kind":"Status","status":"Failure","reason":"Timeout","code":504,"message":"Too large resource version: 900",'
        b'"details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}'
    )
    async with following(api) as follower:
        api.fail(Response(504, {}, body), when=lambda seen: "watch" in seen.query)
        api.end_watches()
        await follower.clock.advance(5)
        assert follower.informer.lists == 2


async def test_a_watch_that_goes_back_in_time_lists_again(api: FakeApi) -> None:
    """The server was set back to a backup while the stream stayed open: what it holds now is all that counts."""
    async with following(api) as follower:
        api.put(CONFIG_MAPS, config_map("c"))
        await follower.clock.settle()
        assert follower.held() == {"a": "1", "b": "1", "c": "1"}
        line = b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"1"}}}\n'
        api.send(CONFIG_MAPS, line)
        await follower.clock.advance(5)
        assert follower.informer.lists == 2


async def test_a_kind_that_is_no_longer_served_keeps_its_objects(api: FakeApi) -> None:
    async with following(api) as follower:
        api.fail(error(404, "NotFound"), times=5)
        api.end_watches()
        await follower.clock.advance(1)
        assert follower.held() == {"a": "1", "b": "1"}
        await follower.clock.advance(60)
        assert follower.informer.lists == 2


async def test_a_handler_that_comes_late_is_told_what_is_known(api: FakeApi) -> None:
    async with following(api) as follower:
        late: list[str] = []
        follower.informer.on_change(lambda kind, old, new: late.append(f"{kind} {new.metadata.name if new else old}"))
        assert late == ["added a", "added b"]


async def test_a_handler_that_fails_does_not_hinder_the_others(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    follower = Follower(api)

    def fail(kind: str, old: ConfigMap | None, new: ConfigMap | None) -> None:
        raise RuntimeError("a bug")

    seen: list[str] = []
    follower.informer.on_change(fail)
    follower.informer.on_change(lambda kind, old, new: seen.append(kind))
    task = asyncio.create_task(follower.informer.run())
    await follower.clock.settle()
    task.cancel()
    await asyncio.wait((task,))
    assert seen == ["added", "added"]
    assert "a handler of changes to configmaps failed" in caplog.text


async def test_selectors_go_to_the_server(api: FakeApi) -> None:
    api.put(CONFIG_MAPS, config_map("c", labels={"app": "x"}))
    async with following(api, namespace="n", label_selector="app=x", field_selector="metadata.name!=z") as follower:
        assert follower.held() == {"c": "1"}
        watch = api.requests[-1]
        assert watch.path == "/api/v1/namespaces/n/configmaps"
        assert (watch.query["labelSelector"], watch.query["fieldSelector"]) == ("app=x", "metadata.name!=z")


async def test_an_object_that_does_not_fit_its_type_hides_no_other(api: FakeApi) -> None:
    api.put(CONFIG_MAPS, {"metadata": {"namespace": "n", "name": "bad"}, "data": 7})
    malformed: list[Malformed] = []
    async with following(api, on_malformed=malformed.append) as follower:
        assert follower.held() == {"a": "1", "b": "1"}
        assert [each.key for each in malformed] == [Key("n", "bad")]
        assert "data" in malformed[0].message


async def test_an_object_that_becomes_unreadable_keeps_its_last_state_and_can_still_be_deleted(api: FakeApi) -> None:
    malformed: list[Malformed] = []
    async with following(api, on_malformed=malformed.append) as follower:
        api.put(CONFIG_MAPS, {"metadata": {"namespace": "n", "name": "a"}, "data": 7})
        await follower.clock.settle()
        assert follower.held() == {"a": "1", "b": "1"}
        api.end_watches()
        api.bookmark(CONFIG_MAPS)
        api.forget_history()
        await follower.clock.advance(2)
        assert follower.held() == {"a": "1", "b": "1"}
        api.remove(CONFIG_MAPS, A)
        await follower.clock.settle()
        assert follower.held() == {"b": "1"}
        assert len(malformed) == 3


@pytest.mark.parametrize("line", [b"{not json}\n", b'{"type":"WHAT","object":{}}\n', b'{"type":"ADDED"}\n', b"\xff\xfe\n"])
async def test_nonsense_in_a_stream_starts_a_new_one(api: FakeApi, line: bytes) -> None:
    async with following(api) as follower:
        api.send(CONFIG_MAPS, line)
        await follower.clock.advance(1)
        api.put(CONFIG_MAPS, config_map("c"))
        await follower.clock.settle()
        assert follower.held() == {"a": "1", "b": "1", "c": "1"}
        assert follower.informer.watches == 2


async def test_a_line_that_arrives_in_pieces_is_one_event(api: FakeApi) -> None:
    async with following(api) as follower:
        metadata = b'{"namespace":"n","name":"a","resourceVersion":"900"}'
        line = b'{"type":"MODIFIED","object":{"metadata":' + metadata + b',"data":{"value":"9"}}}\n'
        for index in range(0, len(line), 7):
            api.send(CONFIG_MAPS, line[index : index + 7])
        await follower.clock.settle()
        assert follower.held() == {"a": "9", "b": "1"}


async def test_a_line_that_was_cut_off_is_dropped_and_told_again_by_the_next_stream(api: FakeApi) -> None:
    async with following(api) as follower:
        api.send(CONFIG_MAPS, b'{"type":"MODIFIED","obj')
        api.end_watches()
        api.put(CONFIG_MAPS, config_map("a", "2"))
        await follower.clock.advance(1)
        assert follower.told[2:] == ["updated a 1->2"]


async def test_a_streamed_first_state_needs_no_list(api: FakeApi) -> None:
    async with following(api, streaming=True) as follower:
        assert follower.informer.synced
        assert api.lines() == ["GET /api/v1/configmaps"]
        assert api.requests[0].query["sendInitialEvents"] == "true"
        api.put(CONFIG_MAPS, config_map("a", "2"))
        await follower.clock.settle()
        assert follower.told == ["added a 1", "added b 1", "updated a 1->2"]


async def test_a_server_that_does_not_stream_the_first_state_is_listed(api: FakeApi) -> None:
    api.fail(error(422, "Invalid", "sendInitialEvents is forbidden"), when=lambda seen: "sendInitialEvents" in seen.query)
    async with following(api, streaming=True) as follower:
        await follower.clock.run(follower.informer.wait_synced())
        assert follower.held() == {"a": "1", "b": "1"}


async def test_managed_fields_are_not_kept(api: FakeApi) -> None:
    api.put(CONFIG_MAPS, config_map("a", managedFields=[{"manager": "m", "operation": "Apply", "fieldsV1": {"f:data": {}}}]))
    async with following(api) as follower:
        entry = follower.informer.store.entry(A)
        assert entry is not None
        assert (entry.object.metadata.managed_fields, entry.applied, entry.legacy) == ((), (), False)


async def test_ownership_keeps_what_our_managers_applied_and_the_mark_of_a_legacy_one(api: FakeApi) -> None:
    fields: dict[str, Any] = {"f:data": {"f:value": {}}}
    api.put(
        CONFIG_MAPS,
        config_map(
            "a",
            managedFields=[
                {"manager": "ours", "operation": "Apply", "fieldsV1": fields},
                {"manager": "ours", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
                {"manager": "theirs", "operation": "Apply", "fieldsV1": fields},
                {"manager": "old", "operation": "Update", "fieldsV1": fields},
            ],
        ),
    )
    api.put(CONFIG_MAPS, config_map("b", managedFields=[{"manager": "ours", "operation": "Apply", "fieldsV1": fields}]))
    api.put(
        CONFIG_MAPS,
        config_map("c", managedFields=[{"manager": "old", "operation": "Update", "subresource": "status", "fieldsV1": {}}]),
    )
    async with following(api, transform=ownership(["ours"], legacy=["old"])) as follower:
        a, b, c = (follower.informer.store.entry(key) for key in (A, B, C))
        assert a is not None
        assert b is not None
        assert c is not None
        assert a.applied_fields("ours") == b'{"f:data":{"f:value":{}}}'
        assert a.applied_fields("ours", "status") == b'{"f:status":{}}'
        assert a.applied_fields("theirs") == b""
        assert (a.legacy, b.legacy, c.legacy) == (True, False, False)
        assert a.applied[0] is b.applied[0]


async def test_untyped_objects_are_plain_json(api: FakeApi) -> None:
    resource = untyped("", "v1", "ConfigMap", "configmaps")
    clock = VirtualClock()
    informer = Informer(Client(api, clock=clock), resource, transform=ownership(["ours"]))
    task = asyncio.create_task(informer.run())
    await clock.settle()
    task.cancel()
    await asyncio.wait((task,))
    obj = informer.store.get(A)
    assert obj is not None
    assert (obj["kind"], obj["data"]) == ("ConfigMap", {"value": "1"})


async def test_an_index_follows_every_change(api: FakeApi) -> None:
    async with following(api) as follower:
        store = follower.informer.store
        store.index("by-value", lambda obj: [obj.data["value"]])
        assert store.keys_by("by-value", "1") == [A, B]
        api.put(CONFIG_MAPS, config_map("a", "2"))
        await follower.clock.settle()
        assert [obj.metadata.name for obj in store.by("by-value", "2")] == ["a"]
        assert store.keys_by("by-value", "1") == [B]
        api.remove(CONFIG_MAPS, B)
        await follower.clock.settle()
        assert store.keys_by("by-value", "1") == []


def test_an_index_name_is_taken_once() -> None:
    from cozystack.kube import Store

    store: Store[ConfigMap] = Store()
    store.index("x", lambda obj: [])
    with pytest.raises(ValueError, match='"x" already'):
        store.index("x", lambda obj: [])
    with pytest.raises(KeyError):
        store.by("y", 1)


def test_an_entry_without_recorded_fields_applied_nothing() -> None:
    assert Entry("object").applied_fields("ours") == b""


steps = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("abcd")),
    st.tuples(st.just("remove"), st.sampled_from("abcd")),
    st.tuples(st.just("bad"), st.sampled_from("abcd")),
    st.tuples(
        st.sampled_from(["end", "reset", "forget", "bookmark", "garbage", "refuse", "gone", "busy", "wait"]), st.just("")
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=30), st.booleans(), st.sampled_from([1, 500]))
def test_whatever_happens_the_store_becomes_what_the_server_holds(
    script: list[tuple[str, str]], streaming: bool, page_size: int
) -> None:
    """What handlers were told adds up to the same: added, updated and deleted, each only where it can be."""

    async def scenario() -> None:
        api = FakeApi(CONFIG_MAPS)
        held: dict[str, str] = {}

        def replay(kind: str, old: ConfigMap | None, new: ConfigMap | None) -> None:
            obj = new or old
            assert obj is not None
            name = obj.metadata.name
            assert (name in held) == (kind != "added")
            assert ((old is None), (new is None)) == ((kind == "added"), (kind == "deleted"))
            if new is None:
                del held[name]
            else:
                held[name] = new.data["value"]

        async with following(api, streaming=streaming, page_size=page_size, on_malformed=lambda each: None) as follower:
            follower.informer.on_change(replay)
            for count, (step, name) in enumerate(script):
                disturb(api, step, name, count)
                await follower.clock.advance(40.0 if step == "wait" else 0.05)
            for name in "abcd":  # what cannot be read is made readable again
                if Key("n", name) in api.objects(CONFIG_MAPS):
                    api.put(CONFIG_MAPS, config_map(name, "last"))
            await follower.clock.advance(120)
            expected = {key.name: obj["data"]["value"] for key, obj in api.objects(CONFIG_MAPS).items()}
            assert (follower.held(), held) == (expected, expected)

    asyncio.run(scenario())


def disturb(api: FakeApi, step: str, name: str, count: int) -> None:
    """One thing that can happen to a server or to the way to it."""
    key = Key("n", name)
    if step == "put":
        api.put(CONFIG_MAPS, config_map(name, str(count)))
    elif step == "bad":
        api.put(CONFIG_MAPS, {"metadata": {"namespace": "n", "name": name}, "data": 7})
    elif step == "remove":
        if key in api.objects(CONFIG_MAPS):
            api.remove(CONFIG_MAPS, key)
    elif step == "end":
        api.end_watches()
    elif step == "reset":
        api.end_watches(lost())
    elif step == "forget":
        api.forget_history()
    elif step == "bookmark":
        api.bookmark(CONFIG_MAPS)
    elif step == "garbage":
        api.send(CONFIG_MAPS, b"{\n")
    elif step in ("refuse", "gone", "busy"):
        busy = error(429, "TooManyRequests", Retry_After="3")
        faults: dict[str, Response | Exception] = {"refuse": lost(), "gone": error(410, "Expired"), "busy": busy}
        api.fail(faults[step], times=2)
