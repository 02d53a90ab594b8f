from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cozystack.oci import Reference, Registry, RegistryClient
from oci.registries import running


@pytest.fixture
async def artifact(tmp_path: Path) -> AsyncIterator[Reference]:
    """A tag in a registry of the test's own; nothing was pushed yet."""
    async with running(Registry(tmp_path / "registry")) as host:
        yield Reference(host, "acme/packages", "v1")


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    async with RegistryClient() as found:
        yield found
