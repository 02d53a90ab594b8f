"""Whatever happens to a platform, once it is left alone it is what its objects say: by seeds, each of them replayable.

``make simulate FIRST=0 LAST=10000`` plays many; a failure names its seed, ``make simulate FIRST=17 LAST=18`` plays it again.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from cozystack.api.resources import HELM_RELEASES
from support.simulation import FOREIGN, Simulation, fresh

SEEDS = range(int(os.environ.get("SIMULATION_FIRST", "0")), int(os.environ.get("SIMULATION_LAST", "100")))
STEPS = 14


def differences(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    return {key: (left.get(key), right.get(key)) for key in left.keys() | right.keys() if left.get(key) != right.get(key)}


def told(seed: int, simulation: Simulation) -> str:
    return f"seed {seed} (make simulate FIRST={seed} LAST={seed + 1}):\n" + "\n".join(simulation.log)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_platform_comes_to_what_its_objects_say(seed: int) -> None:
    simulation = Simulation(seed)
    try:
        await simulation.play(STEPS)
        await simulation.rest()
        expected, found = await fresh(simulation), await simulation.outcome()
        # Namespaces stay when their packages go, with their copy of the values; artifacts of sources too.
        kept = {key for key in found if key.split()[0] in ("Namespace", "Secret")}
        different = {key: pair for key, pair in differences(found, expected).items() if key not in kept or key in expected}
        assert different == {}, told(seed, simulation)
        assert await simulation.world.exists(HELM_RELEASES, FOREIGN)
        assert simulation.operator is not None
        before = len(simulation.operator.writes)
        await simulation.world.settle(1200)
        assert simulation.operator.writes[before:] == [], "it writes though nothing changes: " + told(seed, simulation)
    finally:
        await simulation.close()
