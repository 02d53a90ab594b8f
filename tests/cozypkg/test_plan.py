"""What a change would do, without a cluster."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from support.cluster import Cluster
from support.cozypkg import call

WORLD = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.net}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - name: default
      components:
        - {name: net, path: system/net, install: {namespace: acme-net}}
---
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.db}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - name: default
      dependsOn: [acme.net]
      components:
        - {name: db, path: system/db, install: {namespace: acme-db}}
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata: {name: acme.net}
spec: {components: {net: {values: {mtu: 1500}}}}
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    file = tmp_path / "world.yaml"
    file.write_text(WORLD)
    return file


def test_an_addition_brings_what_it_needs_and_says_in_which_order(world: Path) -> None:
    assert call("plan", "--offline", world, "--add", "acme.db").both == (
        "Packages:\n"
        "  + acme.db\n"
        "\n"
        "Namespaces:\n"
        "  + acme-db\n"
        "\n"
        "Releases:\n"
        "  + acme-db/db is installed (acme.db)\n"
        "\n"
        "Order:\n"
        "  1. acme.db\n"
        "  Critical path: acme-db/db\n"
        "\n"
        "Releases: 1 to install.\n"
        "exit code 2\n"
    )


def test_an_edited_file_shows_values_with_both_sides(world: Path) -> None:
    edited = WORLD.rpartition("---\n")[2].replace("1500", "9000")
    assert call("plan", "--offline", world, "-f", "-", stdin=edited).both == (
        "Packages:\n"
        "  ~ acme.net\n"
        "\n"
        "Releases:\n"
        "  ~ acme-net/net is upgraded (acme.net)\n"
        "      values.mtu: 1500 -> 9000\n"
        "\n"
        "Order:\n"
        "  1. acme.net\n"
        "  Critical path: acme-net/net\n"
        "\n"
        "Releases: 1 to upgrade.\n"
        "exit code 2\n"
    )


def test_a_removal_says_what_it_destroys(world: Path) -> None:
    assert call("plan", "--offline", world, "--del", "acme.net").both == (
        "Packages:\n"
        "  - acme.net\n"
        "\n"
        "Releases:\n"
        "  - acme-net/net is removed (acme.net); DESTROYS the release and its objects\n"
        "\n"
        "Releases: 1 to remove. 1 of them destroys something.\n"
        "exit code 2\n"
    )


def test_nothing_to_do_is_said_and_ends_with_zero(world: Path) -> None:
    assert call("plan", "--offline", world, "-f", world).both == "Nothing would change.\nexit code 0\n"


def test_json_holds_the_same_and_problems_as_data_and_sentences(world: Path) -> None:
    broken = "apiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata: {name: acme.net}\nspec: {variant: flannel}\n"
    result = call("plan", "--offline", world, "-f", "-", "-o", "json", stdin=broken)
    found = msgspec.json.decode(result.out)
    assert result.code == 2
    assert found["changes"] is True
    assert [problem["type"] for problem in found["newProblems"]] == ["MissingVariant"]
    assert found["newProblems"][0]["message"]
    assert found["newProblems"][0]["unblock"]


def test_what_cannot_be_added_is_said_before_anything_is_planned(world: Path) -> None:
    assert call("plan", "--offline", world, "--add", "acme.ghost").both == (
        "cozypkg: there is no PackageSource acme.ghost\nexit code 1\n"
    )


def test_a_plan_without_a_cluster_cannot_be_saved(world: Path, tmp_path: Path) -> None:
    result = call("plan", "--offline", world, "--out", tmp_path / "plan.json")
    assert result.code == 1
    assert result.err == "cozypkg: a plan can be saved for a cluster only: leave --offline and --against out\n"
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is no plan: Input data was truncated"),
        ("{}", "is no plan of this version: `cozypkg plan --out FILE` writes them"),
        ('{"format": "cozypkg-plan/v1"}', "is no plan: Object missing required field `server`"),
        (
            '{"format": "cozypkg-plan/v1", "server": "s", "basis": {}, "edits": [], "comparison": {}, "digest": "x"}',
            "was changed since it was made; make it again",
        ),
    ],
)
def test_a_file_that_is_no_plan_is_refused(content: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(content)
    assert call("apply", file).both == f"cozypkg: {file} {says}\nexit code 1\n"


# On a cluster


@pytest.fixture
def there(cluster: Cluster) -> Cluster:
    cluster.put(WORLD)
    return cluster


EDITED = WORLD.rpartition("---\n")[2].replace("1500", "9000")


def test_a_saved_plan_is_applied_exactly_once(there: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    planned = call("plan", "-f", "-", "--add", "acme.db", "--out", file, stdin=EDITED, kubeconfig=there.kubeconfig)
    assert planned.code == 2
    assert there.names("Package") == ["acme.net"]
    assert file.stat().st_mode & 0o077 == 0
    applied = call("apply", file, "--yes", kubeconfig=there.kubeconfig)
    assert applied.both == (
        "  + Package acme.net\n  + Package acme.db\nwrote Package acme.net\nwrote Package acme.db\nexit code 0\n"
    )
    assert there.get("Package", "acme.net")["spec"] == {"components": {"net": {"values": {"mtu": 9000}}}}
    assert there.get("Package", "acme.db")["spec"] == {"variant": "default"}
    again = call("plan", "-f", "-", stdin=EDITED, kubeconfig=there.kubeconfig)
    assert again.both == "Nothing would change.\nexit code 0\n"
    repeated = call("apply", file, "--yes", kubeconfig=there.kubeconfig)
    assert repeated.code == 5
    assert "changed since the plan was made; nothing was written" in repeated.err


def test_a_plan_is_refused_when_somebody_else_was_quicker(there: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    call("plan", "--add", "acme.db", "--out", file, kubeconfig=there.kubeconfig)
    there.do(there.delete("PackageSource", "acme.db"))
    result = call("apply", file, "--yes", kubeconfig=there.kubeconfig)
    assert result.both == (
        "cozypkg: PackageSource/acme.db has changed since the plan was made; nothing was written\nexit code 5\n"
    )
    assert there.names("Package") == ["acme.net"]


def test_a_plan_is_for_one_cluster(there: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    call("plan", "--add", "acme.db", "--out", file, kubeconfig=there.kubeconfig)
    other = tmp_path / "other"
    other.write_text(there.kubeconfig.read_text().replace("127.0.0.1", "localhost"))
    result = call("apply", file, "--yes", kubeconfig=other)
    assert result.code == 5
    assert result.err.startswith("cozypkg: the plan is for http://127.0.0.1:")


def test_nothing_is_applied_without_being_asked_or_told(there: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    call("plan", "--add", "acme.db", "--out", file, kubeconfig=there.kubeconfig)
    assert call("apply", file, kubeconfig=there.kubeconfig).code == 3
    assert call("apply", file, stdin="n\n", terminal=True, kubeconfig=there.kubeconfig).code == 3
    assert call("apply", file, "--dry-run", kubeconfig=there.kubeconfig).both == "  + Package acme.db\nexit code 0\n"
    assert there.names("Package") == ["acme.net"]
    assert call("apply", file, stdin="y\n", terminal=True, kubeconfig=there.kubeconfig).code == 0
    assert there.names("Package") == ["acme.db", "acme.net"]


def test_what_the_server_refuses_is_refused_before_anything_is_written(there: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    call("plan", "-f", "-", "--add", "acme.db", "--out", file, stdin=EDITED, kubeconfig=there.kubeconfig)
    there.answers("PATCH", "/packages/acme.db", 403, "Forbidden", "quota exceeded")
    result = call("apply", file, "--yes", kubeconfig=there.kubeconfig)
    assert result.code == 1
    assert "Package acme.db" in result.err
    assert "nothing was written" in result.err
    assert there.get("Package", "acme.net")["spec"] == {"components": {"net": {"values": {"mtu": 1500}}}}


def test_a_full_disk_leaves_no_half_of_a_plan(there: Cluster, tmp_path: Path) -> None:
    result = call("plan", "--add", "acme.db", "--out", "/dev/full/plan.json", kubeconfig=there.kubeconfig)
    assert (result.code, result.out) == (1, "")
    assert result.err == "cozypkg: /dev/full/plan.json cannot be written: not a directory\n"


def test_whoever_may_only_read_gets_a_plan_too(there: Cluster) -> None:
    there.answers("PATCH", "/packages", 403, "Forbidden", "packages is forbidden")
    result = call("plan", "-f", "-", stdin=EDITED, kubeconfig=there.kubeconfig)
    assert result.code == 2
    assert "  ~ acme.net\n" in result.out
    assert "is planned as its file has it" in result.err
