"""Every command, every option and every form of output, as people and programs see them: golden, over TLS."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cozystack.apiserver import pki
from support.stories import perform, recorded, stories


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.ensure(tmp_path_factory.mktemp("pki"), datetime.now(UTC))


@pytest.mark.parametrize("name", stories())
def test_a_story_is_told_as_it_was_recorded(name: str, keys: pki.Pki, tmp_path: Path) -> None:
    assert perform(name, tmp_path, keys) == recorded(name)
