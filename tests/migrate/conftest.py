from __future__ import annotations

import pytest

from support.migrations import World


@pytest.fixture
def world() -> World:
    """A cluster on virtual time."""
    return World()
