"""A server, and in it a namespace of the test's own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.apiserver import DEFINITIONS, Api, Widgets, crd, server_under_test


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "embedded_only(reason): where the embedded server differs from a real one on purpose")
    if os.environ.get("KUBE_TEST_URL"):
        # A connection of TLS ends with an exchange of its own, which may be later than the loop of its test.
        config.addinivalue_line("filterwarnings", "ignore:unclosed:ResourceWarning")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A real server gets the tests that speak HTTP with it, those apart where ours is known to differ."""
    if not os.environ.get("KUBE_TEST_URL"):
        return
    here = Path(__file__).parent
    left = [
        item
        for item in items
        if here in item.path.parents
        and ("server" not in getattr(item, "fixturenames", ()) or item.get_closest_marker("embedded_only"))
    ]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with server_under_test() as api:
        yield api


@pytest.fixture
async def namespace(server: Api) -> AsyncIterator[str]:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "suite-"}}
    answer = await server.create("/api/v1/namespaces", body)
    assert answer.status == 201, answer.raw
    name = answer.body["metadata"]["name"]
    yield name
    await server.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
async def widgets(server: Api, namespace: str) -> AsyncIterator[Widgets]:
    group = f"{namespace}.example.com"
    definition = f"{DEFINITIONS}/widgets.{group}"
    await server.define(crd(group))
    path = f"/apis/{group}/v1/namespaces/{namespace}/widgets"
    yield Widgets(group, path, definition)
    await server.delete(definition)
