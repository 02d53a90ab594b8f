"""Fresh installs of the presets that `make run` does not use by default, and an installation that lost its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.sandbox import running, stored, up_once
from support.scenarios import SYSTEM, Version, config_map, ledger, packages, revisions, upgraded, version

pytestmark = pytest.mark.xdist_group("scenarios")

Platform = tuple[Version, Path]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["default", "isp-full", "isp-full-generic"])
def test_a_preset_comes_up_from_nothing(preset: str, tmp_path: Path) -> None:
    ran = up_once(tmp_path, "--variant", preset)
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    assert set(revisions(tmp_path).values()) == {1}
    assert (version(tmp_path), ledger(tmp_path).baseline.why) == ("57", "fresh")
    assert [job["metadata"]["name"] for job in stored(tmp_path, "batch/jobs") if "migrat" in job["metadata"]["name"]] == []


@pytest.mark.slow
def test_a_number_that_was_deleted_is_found_again(platform: Platform, tmp_path: Path) -> None:
    """packages-M4."""
    first, state = platform
    with running(state) as sandbox:
        sandbox.until("The sandbox runs until Ctrl-C")
        # Without its label the guard does not keep it.
        sandbox.kubectl("-n", SYSTEM, "label", "configmap", "cozystack-version", "platform.cozystack.io/no-delete-")
        sandbox.kubectl("-n", SYSTEM, "delete", "configmap", "cozystack-version")
    second = first.next(tmp_path / "second")
    second.step()
    ran = second.up(state)
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    assert version(state) == "58"
    assert config_map(state, "witness") is not None


@pytest.mark.slow
def test_the_platform_taken_away_and_asked_for_again_changes_no_package(platform: Platform) -> None:
    """Its Packages, its number and its ledger stay when its own Package goes."""
    first, state = platform
    before, there = revisions(state), packages(state)
    with running(state) as sandbox:
        sandbox.until("The sandbox runs until Ctrl-C")
        sandbox.kubectl("delete", "package", "cozystack.cozystack-platform", "--timeout=60s")
    assert packages(state) == there - {"cozystack-platform"}
    ran = first.up(state)
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said
    assert (packages(state), version(state)) == (there, "57")
    before.pop("cozystack-platform")
    assert upgraded(before, revisions(state)) == {"cozystack-platform": 1}


@pytest.mark.slow
def test_what_the_platform_cannot_do_without_is_guarded_from_people_and_not_from_its_own(platform: Platform) -> None:
    """packages-G1: Flux may uninstall a release that holds guarded objects."""
    _, state = platform
    with running(state) as sandbox:
        sandbox.until("The sandbox runs until Ctrl-C")
        for guarded in ("configmap/cozystack-version", "ocirepository/cozystack-packages"):
            with pytest.raises(AssertionError, match="cozypkg teardown removes the whole platform"):
                sandbox.kubectl("-n", SYSTEM, "delete", guarded)
        sandbox.kubectl("delete", "package", "cozystack.cozystack-platform", "--timeout=60s")
    left = [source["metadata"]["name"] for source in stored(state, "source.toolkit.fluxcd.io/ocirepositories")]
    assert left == ["cozystack-platform"]
    assert version(state) == "57"
