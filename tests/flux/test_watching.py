"""Which objects of a manifest a release waits for, and who is woken when one changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from cozystack.api.cozystack import HealthCheckExpr
from cozystack.api.meta import Key
from cozystack.api.resources import CONFIG_MAPS
from cozystack.flux.health import CURRENT, Health
from cozystack.flux.watching import Target, Watcher, targets_of
from flux.bench import NS, Bench, key


def target(kind: str, name: str, *, api_version: str = "v1", namespace: str = NS) -> Target:
    return Target(api_version, kind, Key(namespace, name))


def test_objects_worth_waiting_for_come_in_order_and_once() -> None:
    manifest = f"""---
# Source: app/templates/a.yaml
apiVersion: v1
kind: ConfigMap
metadata: {{name: a}}
---
apiVersion: apps/v1
kind: "Deployment"
metadata: {{name: web}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: other}}
--- # again
kind: Deployment
apiVersion: apps/v1
metadata: {{name: web, namespace: {NS}}}
---
# nothing but a comment
---
just: text
kind: none
"""
    assert targets_of(manifest, NS, ()) == [
        target("Deployment", "web", api_version="apps/v1"),
        target("Service", "web", namespace="other"),
    ]


def test_a_kind_with_an_expression_is_waited_for_though_it_has_no_status() -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: b}\n"
    expr = HealthCheckExpr(api_version="v1", kind="ConfigMap", current="true")
    assert targets_of(manifest, NS, (expr,)) == [target("ConfigMap", "a")]


def test_a_kind_of_another_group_with_a_name_of_the_core_is_waited_for() -> None:
    manifest = "apiVersion: acme.io/v1\nkind: Role\nmetadata: {name: a}\n"
    assert targets_of(manifest, NS, ()) == [target("Role", "a", api_version="acme.io/v1")]


def test_a_list_is_its_items() -> None:
    manifest = """apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: a}}
- {apiVersion: v1, kind: Service, metadata: {name: b, namespace: other}}
"""
    assert targets_of(manifest, NS, ()) == [target("Service", "a"), target("Service", "b", namespace="other")]


@pytest.mark.parametrize("manifest", ["", "---\n", "# nothing\n", "kind: Service\n"])
def test_a_manifest_without_objects_has_nothing_to_wait_for(manifest: str) -> None:
    assert targets_of(manifest, NS, ()) == []


@pytest.fixture
async def woken(bench: Bench) -> AsyncIterator[tuple[Watcher, list[Key]]]:
    keys: list[Key] = []
    watcher = Watcher(bench.client, keys.append)
    task = asyncio.create_task(watcher.run())
    yield watcher, keys
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def change(bench: Bench, name: str, value: str) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NS}, "data": {"x": value}}
    await bench.client.apply(CONFIG_MAPS, obj, manager="user")
    await bench.quiet()


async def test_a_release_is_woken_by_its_own_objects_until_it_is_forgotten(
    bench: Bench, woken: tuple[Watcher, list[Key]]
) -> None:
    watcher, keys = woken
    watcher.wait(key("one"), [target("ConfigMap", "a"), target("ConfigMap", "b")])
    watcher.wait(key("two"), [target("ConfigMap", "b")])
    assert await watcher.look(target("ConfigMap", "a"), ()) == Health("NotFound", "not found")
    await change(bench, "a", "1")
    assert keys == [key("one")]
    assert await watcher.look(target("ConfigMap", "a"), ()) == CURRENT
    await change(bench, "b", "1")
    assert sorted(keys[1:]) == [key("one"), key("two")]
    watcher.forget(key("one"))
    await change(bench, "b", "2")
    await bench.client.delete(CONFIG_MAPS, key("b"))
    await change(bench, "a", "2")
    assert keys[3:] == [key("two"), key("two")]


async def test_waiting_again_replaces_what_was_waited_for(bench: Bench, woken: tuple[Watcher, list[Key]]) -> None:
    watcher, keys = woken
    watcher.wait(key("one"), [target("ConfigMap", "a")])
    watcher.wait(key("one"), [target("ConfigMap", "b")])
    await watcher.look(target("ConfigMap", "b"), ())
    await change(bench, "a", "1")
    assert keys == []
    await change(bench, "b", "1")
    assert keys == [key("one")]


async def test_a_kind_that_is_not_served_is_in_progress(woken: tuple[Watcher, list[Key]]) -> None:
    watcher, _ = woken
    found = await watcher.look(target("Thing", "a", api_version="acme.io/v1"), ())
    assert found == Health("InProgress", "the server does not serve acme.io/v1 Thing yet")
