"""What a plan says of migrations when it is for another version of the package repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.cluster import Cluster
from support.cozypkg import Result, call
from support.versions import ANVILS, HAMMERS, LEDGER, STAMP, repository


@pytest.fixture
def versions(tmp_path: Path) -> list[Path]:
    """Three versions: a step with a way back, then one without."""
    return [
        repository(tmp_path / "57", 57),
        repository(tmp_path / "58", 58, [ANVILS]),
        repository(tmp_path / "59", 59, [ANVILS, HAMMERS]),
    ]


def plan(new: Path, against: Path, *more: str | Path) -> Result:
    return call("plan", "--repository", new, "--against", against, *more)


def plan_on(cluster: Cluster, new: Path, *more: str) -> Result:
    return call("plan", "--repository", new, *more, kubeconfig=cluster.kubeconfig)


def migrations(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.out)["migrations"]
    return found


def test_an_update_tells_its_steps_before_anything_else(versions: list[Path]) -> None:
    result = plan(versions[2], versions[0])
    assert result.code == 2
    assert result.out.startswith(
        "Migrations, from version 57 to 59, before any package moves:\n"
        "  57 label-anvils: Give the Deployments of the anvil a label.\n"
        "      reads Deployment\n"
        "      writes Deployment: patch\n"
        "      way back: An older release does not look at the label.\n"
        "  58 melt-hammers: Melt the hammers down.\n"
        "      reads Deployment\n"
        "      writes Deployment: patch\n"
        "      way back: NONE\n"
        "\n"
        "THERE IS NO WAY BACK from 58 melt-hammers: an older release cannot be relied on afterwards.\n"
    )
    found = migrations(plan(versions[2], versions[0], "-o", "json"))
    assert (found["version"], found["target"], found["rollback"], found["oneWay"]) == (57, 59, False, ["58 melt-hammers"])
    assert found["run"] == [{**ANVILS, "described": True}, {**HAMMERS, "described": True}]


def test_a_rollback_says_what_stays_and_that_there_is_no_way_back(versions: list[Path]) -> None:
    result = plan(versions[0], versions[2])
    assert result.code == 2
    assert result.out.startswith("This goes BACK, from version 59 to 57. What migrations have done stays done:\n")
    assert "  The cluster keeps version 59, so that an update does not run them again.\n" in result.out
    assert "\nTHERE IS NO WAY BACK from 58 melt-hammers: an older release cannot be relied on afterwards.\n" in result.out
    found = migrations(plan(versions[0], versions[2], "-o", "json"))
    assert (found["rollback"], found["run"], found["oneWay"]) == (True, [], ["58 melt-hammers"])
    assert [step["name"] for step in found["behind"]] == ["label-anvils", "melt-hammers"]


def test_a_rollback_over_steps_with_a_way_back_says_it_for_each(versions: list[Path]) -> None:
    result = plan(versions[0], versions[1])
    assert "      way back: An older release does not look at the label.\n" in result.out
    assert "NO WAY BACK" not in result.out


def test_the_version_and_the_ledger_of_the_cluster_decide(cluster: Cluster, versions: list[Path]) -> None:
    """Also where the version that ran the steps is not the one that is compared with."""
    cluster.put(STAMP % "58")
    found = migrations(plan_on(cluster, versions[2], "-o", "json"))
    assert (found["version"], [step["number"] for step in found["run"]]) == (58, [58])
    cluster.put(LEDGER)
    found = migrations(plan_on(cluster, versions[0], "-o", "json"))
    assert [(step["number"], step["wayBack"]) for step in found["behind"]] == [(57, "It stays.")]


def test_whoever_may_not_read_the_version_is_told_so(cluster: Cluster, versions: list[Path]) -> None:
    cluster.put(STAMP % "57")
    cluster.answers("GET", "configmaps/cozystack-version", 403, "Forbidden", "configmaps is forbidden")
    result = plan_on(cluster, versions[1], "-o", "json")
    assert "warning: the version of the platform cannot be told: configmaps is forbidden" in result.err
    assert "migrations" not in json.loads(result.out)


def test_an_update_that_would_stop_says_so(cluster: Cluster, versions: list[Path]) -> None:
    cluster.put(STAMP % "40")
    result = plan_on(cluster, versions[1])
    assert (
        "  The update would stop here: the cluster is at 40, and this release migrates from 56 on.\n"
        "    to go on, upgrade to a release first that brings the cluster to 56\n" in result.out
    )


def test_steps_that_the_repository_does_not_describe_are_counted(versions: list[Path], tmp_path: Path) -> None:
    """Such as those of the original, or of a folder of one's own."""
    result = plan(repository(tmp_path / "own", 58), versions[0])
    assert "  57: nobody says what it does; `cozystack-migrate plan` of its image does\n      way back: NONE\n" in result.out
    assert "NO WAY BACK from 57:" in result.out


def test_migrations_that_are_off_are_said_to_be(versions: list[Path], tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("migrations: {enabled: false}\n")
    result = plan(versions[1], versions[0], "--values", values)
    assert "  They are off (migrations.enabled is false), so these would not run:\n" in result.out


def test_a_plan_without_migrations_says_nothing_of_them(versions: list[Path], tmp_path: Path) -> None:
    assert "igration" not in plan(versions[0], versions[0]).out
    (versions[0] / "core/platform/values.yaml").write_text("{}\n")
    assert "migrations" not in json.loads(plan(versions[0], versions[0], "-o", "json").out)


def test_a_description_that_cannot_be_read_is_named(versions: list[Path]) -> None:
    file = versions[1] / "core/platform/migrations.yaml"
    file.write_text("steps: 5\n")
    result = plan(versions[1], versions[0])
    assert (result.code, result.out) == (1, "")
    assert "core/platform: migrations: Expected `array`, got `int`" in result.err
    file.write_text("a: [\n")
    assert f"{file}:" in plan(versions[1], versions[0]).err
