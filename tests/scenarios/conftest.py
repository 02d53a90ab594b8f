from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.scenarios import Version


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Path]:
    """The first version, and the state of a sandbox that has installed it."""
    folder = tmp_path_factory.mktemp("first")
    first = Version(folder)
    ran = first.up(folder / "state")
    assert (ran.code, ran.summary.get("reason", "")) == (0, ""), ran.said
    return first, folder / "state"


@pytest.fixture
def platform(installed: tuple[Version, Path], tmp_path: Path) -> tuple[Version, Path]:
    """The same, in a copy of its own."""
    first, state = installed
    return first, Path(shutil.copytree(state, tmp_path / "state"))
