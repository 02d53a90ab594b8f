"""An update that is broken off again and again, at random, ends where an undisturbed one ends."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from random import Random

import pytest

from support.sandbox import Running, running
from support.scenarios import (
    SYSTEM,
    Version,
    config_map,
    leftovers,
    outcomes,
    packages,
    packages_digest,
    revisions,
    upgraded,
    version,
)

pytestmark = pytest.mark.xdist_group("scenarios")

SEEDS = range(int(os.environ.get("SCENARIO_SEEDS", "3")))
OPERATOR, RUNNER, FLUX = "cozystack.operator.main", "cozystack.migrate.main", "cozystack.flux"


def following(first: Version, folder: Path) -> Version:
    """Two steps of several requests, one changed, one new and one removed package."""
    second = first.next(folder / "second")
    second.step(parts=3, pause=0.3)
    third = second.next(folder / "third")
    third.step(parts=3, pause=0.3)
    third.change("goldpinger")
    third.add_anvil()
    third.remove("grafana-operator")
    return third


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_it_ends_in_the_same_state(seed: int, installed: tuple[Version, Path], tmp_path: Path) -> None:
    first, clean = installed
    random = Random(seed)  # noqa: S311 - the same every time
    state = Path(shutil.copytree(clean, tmp_path / "state"))
    before = revisions(state)
    before.pop("grafana-operator")
    update = following(first, tmp_path)
    for _ in range(3):
        with running(state, *update.arguments()) as sandbox:
            sandbox.until("installer")
            for _ in range(3):
                read_on(sandbox, random.randrange(1, 25))
                strike(sandbox, random)
            if random.random() < 0.5:
                sandbox.process.kill()
                sandbox.process.wait()
    ran = update.up(state)
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    assert (version(state), outcomes(state)) == ("59", {"witness-57": "done", "witness-58": "done"})
    assert (config_map(state, "witness") or {}).keys() == {f"{step}.{part}" for step in (57, 58) for part in range(3)}
    assert packages(state) & {"anvil", "grafana-operator"} == {"anvil"}
    after = upgraded(before, revisions(state))
    # What a killed Helm had begun is tried again as one more revision; what has not changed has none.
    assert after.keys() == {"cozystack-platform", "goldpinger", "anvil"}
    assert packages_digest(state) != packages_digest(clean)
    assert leftovers(state) == []


def read_on(sandbox: Running, lines: int) -> None:
    """Let things go on for so many lines of what the sandbox says, or until it has come to rest."""
    assert sandbox.process.stdout is not None
    for _ in range(lines):
        if not sandbox.said or "The sandbox runs until" not in sandbox.said[-1]:
            sandbox.said.append(sandbox.process.stdout.readline())


def strike(sandbox: Running, random: Random) -> None:
    """Kill one of the programs, or delete the Pod of one."""
    victims = sandbox.pids(random.choice((OPERATOR, RUNNER, FLUX)))
    if victims:
        os.kill(random.choice(victims), signal.SIGKILL)
    elif random.random() < 0.5:
        sandbox.kubectl("-n", SYSTEM, "delete", "pod", "--selector=app=cozystack-operator", "--wait=false")
