from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster import Cluster, running_cluster
from support.registry import running_registry


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with CRDs and nothing else."""
    with running_cluster(tmp_path) as found:
        yield found


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of a registry on loopback."""
    with running_registry(tmp_path / "registry") as host:
        yield host
