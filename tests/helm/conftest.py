"""One cluster a module, and one engine a module and back end; a namespace a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cozystack.helm import HelmEngine
from helm.cluster import BACK_ENDS, Cluster, back_end, cluster


def pytest_report_header() -> str:
    reason = "" if "binary" in BACK_ENDS else " (the package that carries the helm program exists for x86_64 only)"
    return f"helm back ends: {', '.join(BACK_ENDS)}{reason}"


@pytest.fixture(scope="session")
def helm_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("helm-state")


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="cluster")
async def _cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=BACK_ENDS)
async def engine(request: pytest.FixtureRequest, helm_state: Path) -> AsyncIterator[HelmEngine]:
    found = back_end(request.param, helm_state)
    await found.start()
    try:
        yield found
    finally:
        await found.close()


@pytest_asyncio.fixture(loop_scope="module")
async def namespace(cluster: Cluster) -> str:
    return await cluster.namespace()
