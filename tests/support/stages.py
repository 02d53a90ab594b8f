"""Stages in the life of a platform. Each begins with a version that is installed and returns the one that is there after it.

They are played in the sandbox, each on a platform of its own (``tests/scenarios``), and one after the other on a real control
plane with real Flux (``e2e``).
"""

from __future__ import annotations

from pathlib import Path

from support.sandbox import Ran
from support.scenarios import (
    State,
    Version,
    config_map,
    ledger,
    leftovers,
    outcomes,
    packages_digest,
    revisions,
    upgraded,
    version,
)


def update_with_a_step(first: Version, state: State, folder: Path) -> Version:
    """The step sees the old packages and the old release, though the operator's source is at the new version already."""
    old, before = packages_digest(state), revisions(state)
    second = following(first, folder)
    assert is_ready(second.up(state))
    assert seen(state, first) == f"{old} {before['goldpinger']}"
    assert packages_digest(state) != old
    assert done(state, first)
    assert upgraded(before, revisions(state)) == {"cozystack-platform": 1, "goldpinger": 1}
    assert leftovers(state) == []
    return second


def update_that_fails_and_is_repaired(first: Version, state: State, folder: Path, *, retries: int = 3) -> Version:
    """A step that fails keeps everything where it is, until a version with a better one comes.

    ``retries`` are those of the Job, with 10 s before the first and twice as much before each further one.
    """
    old, before = packages_digest(state), revisions(state)
    broken = following(first, folder / "broken", fails="the disk is full")
    broken.set_retries(retries)
    ran = broken.up(state)
    assert (ran.code, ran.summary["ready"]) == (1, False), ran.said
    assert [failed["package"] for failed in ran.summary["failed"]] == ["cozystack.cozystack-platform"]
    assert "cozystack-migrations" in ran.summary["failed"][0]["message"]
    assert (version(state), outcomes(state)[step_of(first)]) == (str(first.number), "failed")
    assert "RuntimeError: the disk is full" in [record.error for record in ledger(state).records.values()]
    assert packages_digest(state) == old
    assert upgraded(before, revisions(state)).keys() <= {"cozystack-platform"}
    repaired = following(first, folder / "repaired")
    assert is_ready(repaired.up(state))
    assert done(state, first)
    assert seen(state, first) == f"{old} {before['goldpinger']}"
    after = upgraded(before, revisions(state))
    assert (after.pop("cozystack-platform") >= 1, after) == (True, {"goldpinger": 1})
    return repaired


def update_that_is_taken_back(first: Version, state: State, folder: Path) -> Version:
    """The old artifact brings the old packages back and leaves the number, so that no step runs a second time."""
    before, old = revisions(state), packages_digest(state)
    second = following(first, folder)
    assert is_ready(second.up(state))
    assert is_ready(first.up(state))
    assert packages_digest(state) == old
    assert upgraded(before, revisions(state)) == {"cozystack-platform": 2, "goldpinger": 2}
    assert done(state, first)
    assert is_ready(second.up(state))
    assert upgraded(before, revisions(state)) == {"cozystack-platform": 3, "goldpinger": 3}
    assert done(state, first)
    return second


def following(first: Version, folder: Path, *, fails: str = "") -> Version:
    """The next version: one step that looks at the cluster, and one package that has changed."""
    found = first.next(folder)
    found.step(fails=fails)
    found.change("goldpinger")
    return found


def is_ready(ran: Ran) -> bool:
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    return True


def step_of(first: Version) -> str:
    """The name of the step that leads from a version to the next one."""
    return f"witness-{first.number}"


def seen(state: State, first: Version) -> str:
    """What that step saw."""
    return (config_map(state, "witness") or {}).get(f"{first.number}.0", "")


def done(state: State, first: Version) -> bool:
    assert (version(state), outcomes(state).get(step_of(first))) == (str(first.number + 1), "done")
    return True
