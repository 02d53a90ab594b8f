"""What must hold after any play: a seed in, nothing or an ``AssertionError`` with the whole story out."""

from __future__ import annotations

from typing import Any

from cozystack.api import names
from cozystack.api.resources import HELM_RELEASES
from simulation.play import FOREIGN, Simulation, fresh

STEPS = 14
QUIET = 1200.0
"""Seconds in which an operator that has nothing to do is watched doing nothing."""


async def judge(seed: int, steps: int = STEPS) -> int:
    """Play the seed and judge what came of it; how many creations of releases the watchdog has seen."""
    simulation = Simulation(seed)
    try:
        await simulation.play(steps)
        await simulation.rest()
        _holds(simulation.watchdog.broken, "what may never happen has happened", seed, simulation)
        different = _differences(await simulation.outcome(), await fresh(simulation), simulation)
        _holds(different, "it is not what its objects say", seed, simulation)
        assert await simulation.world.exists(HELM_RELEASES, FOREIGN)
        before = simulation.writes
        await simulation.world.settle(QUIET)
        _holds(simulation.writes[len(before) :], "it writes though nothing changes", seed, simulation)
        await simulation.restart()
        before = simulation.writes
        await simulation.world.settle(60)
        _holds(simulation.writes[len(before) :], "it writes after a restart though nothing changed", seed, simulation)
        return simulation.watchdog.checked
    finally:
        await simulation.close()


def replay(seed: int) -> str:
    return f"make simulate FIRST={seed} LAST={seed + 1}"


def _holds(wrong: Any, what: str, seed: int, simulation: Simulation) -> None:
    if wrong:
        raise AssertionError(f"{what}: {wrong}\n\nseed {seed}, {replay(seed)}:\n" + "\n".join(simulation.log))


def _differences(found: dict[str, Any], expected: dict[str, Any], simulation: Simulation) -> dict[str, Any]:
    """What differs, apart from what stays when its Package goes: namespaces, their copy of the values, orphaned releases."""
    different = {}
    orphaned = {name for name in found if name not in expected and _is_orphaned(found[name], simulation)}
    # Where they are, the namespace goes on to need what they need.
    homes = {"Namespace " + name.split()[1].partition("/")[0] for name in orphaned}
    for name in found.keys() | expected.keys():
        stays = name in orphaned or name in homes or (name not in expected and name.split()[0] in ("Namespace", "Secret"))
        if found.get(name) != expected.get(name) and not stays:
            different[name] = _apart(found.get(name), expected.get(name))
    return different


def _apart(found: Any, expected: Any) -> Any:
    """Two values without what is equal in both."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
        return {key: _apart(found.get(key), expected.get(key)) for key in sorted(keys)}
    if isinstance(found, tuple) and isinstance(expected, tuple) and len(found) == len(expected):
        return [_apart(one, other) for one, other in zip(found, expected, strict=True) if one != other]
    return f"{found} instead of {expected}"


def _is_orphaned(found: Any, simulation: Simulation) -> bool:
    """Whether a release was left by a Package that is gone, or that was made again and had never adopted it (D3).

    Such a Package does not want the release, or it would be expected; it does not own it either, so it leaves it, and its
    condition ``Leftover`` says so.
    """
    labels, owners = (found[1], found[2]) if isinstance(found, tuple) and len(found) > 2 else (None, [])
    package = (labels or {}).get(names.PACKAGE_LABEL, "")
    return package in simulation.orphaned and (package not in simulation.packages or not owners)
