"""A server, and in it a namespace of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.apiserver import Api, Widgets, crd, server_under_test


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
    definition = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{group}"
    answer = await server.create(definition.rpartition("/")[0], crd(group))
    assert answer.status == 201, answer.raw
    path = f"/apis/{group}/v1/namespaces/{namespace}/widgets"
    yield Widgets(group, path, definition)
    await server.delete(definition)
