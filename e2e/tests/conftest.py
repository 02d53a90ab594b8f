"""One cluster for all tests, with the operator in it; ``E2E_STATE`` names the folder of one that runs already."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cozystack.api import names
from cozystack.api.meta import Key
from cozystack.api.resources import CUSTOM_RESOURCE_DEFINITIONS, PACKAGES
from cozystack.kube import Client
from e2e.acme import Acme, is_ready
from e2e.client import Cluster, started, until
from e2e.platform import ask_for_platform, install, publish
from e2e.state import State

PLATFORM = Key("", names.PLATFORM_PACKAGE)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    given = os.environ.get("E2E_STATE")
    if given:
        yield Cluster(State(Path(given)))
        return
    with started(tmp_path_factory.mktemp("cluster"), node=True) as found:
        yield found


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with cluster.client() as found:
        yield found


@pytest.fixture(scope="session")
def operated(cluster: Cluster) -> Cluster:
    """The cluster with the operator installed by Helm, and the smallest platform that gives releases their values."""

    async def bring_up() -> None:
        digest = await publish(cluster)
        await install(cluster, f"digest={digest}")
        async with cluster.client() as client:

            async def served() -> bool:
                definitions = await client.list(CUSTOM_RESOURCE_DEFINITIONS)
                found = {definition.metadata.name for definition in definitions.items}
                return {"packages.cozystack.io", "helmreleases.helm.toolkit.fluxcd.io"} <= found

            await until("the operator has installed its CRDs and those of Flux", served)
            if await client.find(PACKAGES, PLATFORM) is None:
                await ask_for_platform(cluster, client, "default")

            async def ready() -> bool:
                return is_ready(await client.get(PACKAGES, PLATFORM))

            await until("the platform is ready", ready, patience=300)

    asyncio.run(bring_up())
    return cluster


@pytest.fixture
async def acme(operated: Cluster, client: Client, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Acme]:
    """A package repository of the test's own; what it has installed is gone afterwards."""
    found = Acme(operated, client, tmp_path)
    yield found
    await found.gone()
