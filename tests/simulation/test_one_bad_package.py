"""One bad package delays no other, in whatever way it is bad."""

from __future__ import annotations

import pytest

from simulation.bad import kinds, ready_times

KINDS = kinds()
SEED = 3


@pytest.mark.parametrize("kind", KINDS)
async def test_one_bad_package_delays_no_other(kind: str) -> None:
    alone, together = await ready_times(SEED, None), await ready_times(SEED, KINDS[kind]())
    assert len(alone) == 12
    assert {name: time for name, time in together.items() if time > alone[name]} == {}
    assert together.keys() == alone.keys()
