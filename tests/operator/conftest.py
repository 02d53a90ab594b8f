"""A cluster for each test: furnished, or bare as an installer chart leaves it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.operator import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Everything that packages need is there; no operator runs yet."""
    world = World()
    await world.furnish()
    yield world
    await world.close()


@pytest.fixture
async def bare() -> AsyncIterator[World]:
    """Nothing but the operator's namespace."""
    world = World()
    await world.found()
    yield world
    await world.close()
