"""A plan for another version of the platform, saved and applied: to exactly the artifact that it was made for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.cluster import Cluster
from support.cozypkg import Result, call
from support.versions import ANVILS, HAMMERS, LEDGER, STAMP, repository

SOURCE = """\
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: cozystack-platform, namespace: cozy-system}
spec: {url: "oci://%s", interval: 5m, ref: {tag: stable}}
"""
OPERATOR = """\
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cozystack-operator, namespace: cozy-system}
spec:
  selector: {matchLabels: {app: operator}}
  template:
    metadata: {labels: {app: operator}}
    spec: {containers: [{name: operator, image: "operator:1", args: ["--platform-source-ref=%s"]}]}
"""


@pytest.fixture
def pushed(registry: str, tmp_path: Path) -> dict[str, str]:
    """Three versions in a registry: their digests, by their tags."""
    versions = {
        "57": repository(tmp_path / "57", 57),
        "58": repository(tmp_path / "58", 58, [ANVILS]),
        "59": repository(tmp_path / "59", 59, [ANVILS, HAMMERS]),
    }
    found = {}
    for tag, folder in versions.items():
        done = call("push", folder, f"oci://{registry}/platform:{tag}", "-o", "json")
        found[tag] = json.loads(done.out)["digest"]
    return found


@pytest.fixture
def there(cluster: Cluster, registry: str) -> Cluster:
    """A cluster at version 58, whose operator follows a tag."""
    cluster.put((STAMP % "58") + LEDGER + (SOURCE % f"{registry}/platform") + (OPERATOR % "tag=stable"))
    return cluster


def plan(cluster: Cluster, registry: str, tag: str, file: Path, *more: str | Path) -> Result:
    reference = f"oci://{registry}/platform:{tag}"
    return call("plan", "--repository", reference, "--out", file, *more, kubeconfig=cluster.kubeconfig)


def reference(cluster: Cluster) -> Any:
    return cluster.get("OCIRepository", "cozystack-platform", "cozy-system")["spec"]["ref"]


def test_the_platform_is_pinned_to_what_was_planned(
    there: Cluster, registry: str, pushed: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    assert plan(there, registry, "57", file).code == 2
    call("push", tmp_path / "59", f"oci://{registry}/platform:57")
    applied = call("apply", file, "--yes", kubeconfig=there.kubeconfig)
    assert applied.code == 0
    assert reference(there) == {"tag": "stable", "digest": pushed["57"]}
    assert "This goes BACK, from version 58 to 57." in applied.err
    assert f"✓ Pinned OCIRepository cozy-system/cozystack-platform to {pushed['57']}\n" in applied.err
    assert f"give the installer cozystackOperator.platformSourceRef=digest={pushed['57']}," in applied.err
    again = call("apply", file, "--yes", kubeconfig=there.kubeconfig)
    assert (again.code, "has changed since the plan was made; nothing was written" in again.err) == (5, True)


def test_where_there_is_no_way_back_a_yes_is_not_enough(
    there: Cluster, registry: str, pushed: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    assert plan(there, registry, "59", file).code == 2
    refused = call("apply", file, "--yes", kubeconfig=there.kubeconfig)
    assert (refused.code, refused.err.splitlines()[-1]) == (
        3,
        "cozypkg: There is no way back from 58 melt-hammers. Say --confirm one-way",
    )
    asked = call("apply", file, stdin="y\n", terminal=True, kubeconfig=there.kubeconfig)
    assert (asked.code, "Type one-way to go on: " in asked.err) == (3, True)
    shown = call("apply", file, "--dry-run", kubeconfig=there.kubeconfig)
    assert (shown.code, "THERE IS NO WAY BACK from 58 melt-hammers" in shown.err) == (0, True)
    assert (reference(there), there.seen) == ({"tag": "stable"}, [])
    assert call("apply", file, "--confirm", "one-way", kubeconfig=there.kubeconfig).code == 0
    assert reference(there)["digest"] == pushed["59"]


def test_an_operator_that_names_a_digest_itself_goes_back_to_it(
    cluster: Cluster, registry: str, pushed: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    flag = f"digest={pushed['58']}"
    cluster.put((STAMP % "58") + LEDGER + (SOURCE % f"{registry}/platform") + (OPERATOR % flag))
    plan(cluster, registry, "57", file)
    applied = call("apply", file, "--yes", kubeconfig=cluster.kubeconfig)
    assert f"  the operator is told {flag}, and goes back to it when it starts again:\n" in applied.err


@pytest.mark.parametrize(
    "more", [("--add", "acme.anvil"), ("--variant", "default"), ("--set", "acme.anvil:a.b=1"), ("--values", "/dev/null")]
)
def test_such_a_plan_holds_nothing_else(
    more: tuple[str, ...], there: Cluster, registry: str, pushed: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    result = plan(there, registry, "57", file, *more)
    assert (result.code, file.exists()) == (1, False)


def test_what_cannot_be_rolled_out_is_not_saved(there: Cluster, registry: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    folder = repository(tmp_path / "57", 57)
    result = call("plan", "--repository", folder, "--out", file, kubeconfig=there.kubeconfig)
    assert "plan oci:// alone, or leave --out out" in result.err
    call("push", folder, f"oci://{registry}/elsewhere:57")
    result = call("plan", "--repository", f"oci://{registry}/elsewhere:57", "--out", file, kubeconfig=there.kubeconfig)
    assert f"the platform comes from oci://{registry}/platform, and a plan of another repository" in result.err
    assert not file.exists()


def test_a_cluster_without_a_platform_has_nothing_to_pin(
    cluster: Cluster, registry: str, pushed: dict[str, str], tmp_path: Path
) -> None:
    result = plan(cluster, registry, "57", tmp_path / "plan.json")
    assert "there is no OCIRepository cozy-system/cozystack-platform, which the platform would come from" in result.err


def test_a_plan_whose_version_was_edited_is_refused(
    there: Cluster, registry: str, pushed: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    plan(there, registry, "57", file)
    file.write_text(file.read_text().replace(pushed["57"], pushed["59"]))
    result = call("apply", file, "--yes", kubeconfig=there.kubeconfig)
    assert "was changed since it was made; make it again" in result.err
