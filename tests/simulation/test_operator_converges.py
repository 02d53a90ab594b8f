"""Whatever happens to a platform, once it is left alone it is what its objects say: by seeds, each of them replayable."""

from __future__ import annotations

import pytest

from simulation.verdict import judge

SEEDS = range(50)
"""``make simulate`` plays ten thousand."""


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_platform_comes_to_what_its_objects_say(seed: int) -> None:
    await judge(seed)
