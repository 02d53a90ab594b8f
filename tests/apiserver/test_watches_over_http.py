"""Watches: what happens from a version on, in order, as a selector sees it."""

from __future__ import annotations

from typing import Any

import pytest

from support.apiserver import Api, Widgets, config_map, embedded_only


async def version(server: Api, path: str) -> str:
    found: str = (await server.get(path)).body["metadata"]["resourceVersion"]
    return found


async def test_every_change_is_told_in_its_order(server: Api, config_maps: str) -> None:
    since = await version(server, config_maps)
    await server.create(config_maps, config_map("a", {"k": "1"}))
    async with server.watch(config_maps, resourceVersion=since, fieldSelector="metadata.name=a") as watch:
        await server.patch(f"{config_maps}/a", {"data": {"k": "2"}})
        await server.delete(f"{config_maps}/a")
        events = [await watch.next() for _ in range(3)]
    assert [(kind, obj["data"]["k"]) for kind, obj in events] == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]
    versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in events]
    assert versions == sorted(set(versions))


async def test_a_watch_without_a_version_begins_with_what_there_is(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a", labels={"l": "v"}))
    await server.create(config_maps, config_map("b", labels={"l": "v"}))
    async with server.watch(config_maps, labelSelector="l=v") as watch:
        assert sorted(await watch.names(2)) == [("ADDED", "a"), ("ADDED", "b")]
        await server.delete(f"{config_maps}/a")
        assert await watch.names(1) == [("DELETED", "a")]


async def test_an_object_comes_into_a_selection_and_leaves_it(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a"))
    since = await version(server, config_maps)
    async with server.watch(config_maps, resourceVersion=since, labelSelector="l=v") as watch:
        for label in ("v", "v2", "v"):
            await server.patch(f"{config_maps}/a", {"metadata": {"labels": {"l": label}}})
        assert await watch.names(3) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]


async def test_what_leaves_a_selection_is_told_as_it_was_in_it(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a", {"k": "1"}, labels={"l": "v"}))
    since = await version(server, config_maps)
    async with server.watch(config_maps, resourceVersion=since, labelSelector="l=v") as watch:
        patch = {"metadata": {"labels": {"l": None}}, "data": {"k": "2"}}
        left = (await server.patch(f"{config_maps}/a", patch)).body["metadata"]["resourceVersion"]
        kind, obj = await watch.next()
    assert (kind, obj["data"], obj["metadata"]["labels"]) == ("DELETED", {"k": "1"}, {"l": "v"})
    assert obj["metadata"]["resourceVersion"] == left


async def test_a_list_can_be_streamed_and_ends_with_a_bookmark(server: Api, config_maps: str) -> None:
    for name in ("b", "a"):
        await server.create(config_maps, config_map(name, labels={"l": "v"}))
    query: dict[str, Any] = {"sendInitialEvents": True, "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": True}
    async with server.watch(config_maps, labelSelector="l=v", **query) as watch:
        assert sorted(await watch.names(2)) == [("ADDED", "a"), ("ADDED", "b")]
        kind, obj = await watch.next()
        assert (kind, obj["kind"], obj["apiVersion"]) == ("BOOKMARK", "ConfigMap", "v1")
        assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        await server.patch(f"{config_maps}/a", {"data": {"k": "1"}})
        assert await watch.names(1) == [("MODIFIED", "a")]


async def test_initial_events_want_bookmarks_and_a_match(server: Api, config_maps: str) -> None:
    for query in ({"sendInitialEvents": True}, {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"}):
        answer = await server.get(config_maps, watch=True, **query)
        assert (answer.status, answer.body["reason"]) == (422, "Invalid")


async def test_a_watch_ends_when_its_time_is_over(server: Api, config_maps: str) -> None:
    since = await version(server, config_maps)
    async with server.watch(config_maps, resourceVersion=since, timeoutSeconds=1, fieldSelector="metadata.name=a") as watch:
        await server.create(config_maps, config_map("a"))
        assert [kind for kind, _ in await watch.rest()] == ["ADDED"]


async def test_a_custom_resource_is_watched_over_all_namespaces(server: Api, widgets: Widgets) -> None:
    path = f"/apis/{widgets.group}/v1/widgets"
    since = await version(server, path)
    async with server.watch(path, resourceVersion=since) as watch:
        await server.create(widgets.path, widgets.widget("w", {"size": 1}))
        await server.patch(f"{widgets.path}/w/status", {"status": {"phase": "Up"}})
        events = [await watch.next() for _ in range(2)]
    assert [(kind, obj["kind"], obj.get("status")) for kind, obj in events] == [
        ("ADDED", "Widget", None),
        ("MODIFIED", "Widget", {"phase": "Up"}),
    ]


async def test_one_object_is_watched_by_its_name(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a"))
    since = await version(server, config_maps)
    async with server.watch(config_maps, resourceVersion=since, fieldSelector="metadata.name=a") as watch:
        await server.create(config_maps, config_map("b"))
        await server.delete(f"{config_maps}/a")
        assert await watch.names(1) == [("DELETED", "a")]


async def test_a_change_that_changes_nothing_is_not_told(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a", {"k": "1"}))
    since = await version(server, config_maps)
    async with server.watch(config_maps, resourceVersion=since, fieldSelector="metadata.name=a") as watch:
        await server.patch(f"{config_maps}/a", {"data": {"k": "1"}})
        await server.patch(f"{config_maps}/a", {"data": {"k": "2"}})
        kind, obj = await watch.next()
    assert (kind, obj["data"]) == ("MODIFIED", {"k": "2"})


async def test_an_object_that_waits_for_a_finalizer_is_told_twice(server: Api, config_maps: str) -> None:
    await server.create(config_maps, config_map("a", finalizers=["example.com/hold"]))
    since = await version(server, config_maps)
    async with server.watch(config_maps, resourceVersion=since, fieldSelector="metadata.name=a") as watch:
        await server.delete(f"{config_maps}/a")
        kind, obj = await watch.next()
        assert (kind, "deletionTimestamp" in obj["metadata"]) == ("MODIFIED", True)
        await server.patch(f"{config_maps}/a", {"metadata": {"finalizers": None}})
        assert await watch.names(1) == [("DELETED", "a")]


@embedded_only("a real server calls this an error of its own (500), which clients try again")
@pytest.mark.parametrize("since", ["x", "-1"])
async def test_a_version_that_is_none_is_refused(server: Api, config_maps: str, since: str) -> None:
    answer = await server.get(config_maps, watch=True, resourceVersion=since)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
