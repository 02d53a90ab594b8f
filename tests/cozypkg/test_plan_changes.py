"""What ``plan`` is told by name: variants, values and components of Packages; and that ``apply`` does what it said."""

from __future__ import annotations

import json
from pathlib import Path

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
        - {name: probe, path: system/probe, install: {namespace: acme-net}}
    - name: small
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
metadata: {name: acme.net, annotations: {cozypkg.cozystack.io/note: kept}}
spec: {components: {net: {values: {mtu: 1500, keep: null}}}}
"""


@pytest.fixture
def there(cluster: Cluster) -> Cluster:
    cluster.put(WORLD)
    return cluster


@pytest.fixture
def world(tmp_path: Path) -> Path:
    file = tmp_path / "world.yaml"
    file.write_text(WORLD)
    return file


def test_one_value_is_planned_and_nothing_else_of_the_package(world: Path) -> None:
    assert call("plan", "--offline", world, "--set", "acme.net:net.mtu=9000").both == (
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


def test_a_component_that_is_left_out_takes_its_release_along(world: Path) -> None:
    result = call("plan", "--offline", world, "--disable", "acme.net:probe", "-o", "json")
    assert [(each["action"], each["name"]) for each in json.loads(result.out)["releases"]] == [("remove", "probe")]


def test_a_package_that_is_added_can_be_given_values_at_once(world: Path) -> None:
    result = call("plan", "--offline", world, "--add", "acme.db", "--set", "acme.db:db.size=10Gi", "-o", "json")
    assert [(each["action"], each["name"]) for each in json.loads(result.out)["releases"]] == [("install", "db")]


def test_what_was_planned_by_name_is_applied_as_it_was_said(there: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    changes = ("--set", "acme.net:net.mtu=9000", "--variant", "acme.net=small", "--add", "acme.db")
    assert call("plan", *changes, "--out", file, kubeconfig=there.kubeconfig).code == 2
    assert call("apply", file, "--yes", kubeconfig=there.kubeconfig).both == (
        "  ~ Package acme.net\n  + Package acme.db\nwrote Package acme.net\nwrote Package acme.db\nexit code 0\n"
    )
    changed = there.get("Package", "acme.net")
    assert changed["metadata"] == {"name": "acme.net", "annotations": {"cozypkg.cozystack.io/note": "kept"}}
    assert changed["spec"] == {"variant": "small", "components": {"net": {"values": {"mtu": 9000, "keep": None}}}}
    again = call("plan", *changes, kubeconfig=there.kubeconfig)
    assert again.both == "Nothing would change.\nexit code 0\n"


def test_another_variant_leaves_alone_what_was_applied_before(there: Cluster, tmp_path: Path) -> None:
    """A manifest with the variant alone would take away the values that came with the one before."""
    values = "{components: {net: {values: {mtu: 9000}}}}"
    text = f"apiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata: {{name: acme.net}}\nspec: {values}\n"
    assert call("add", "-f", "-", "--update", "--force-conflicts", "-y", stdin=text, kubeconfig=there.kubeconfig).code == 0
    file = tmp_path / "plan.json"
    call("plan", "--add", "acme.net=small", "--out", file, kubeconfig=there.kubeconfig)
    assert call("apply", file, "--yes", kubeconfig=there.kubeconfig).code == 0
    spec = there.get("Package", "acme.net")["spec"]
    assert (spec["variant"], spec["components"]["net"]["values"]["mtu"]) == ("small", 9000)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--set", "acme.net.mtu=1"), '--set is NAME:COMPONENT.PATH=VALUE, not "acme.net.mtu=1"'),
        (("--set", "acme.net:net.mtu"), '--set is NAME:COMPONENT.PATH=VALUE, not "acme.net:net.mtu"'),
        (("--set", "acme.db:db.size=1"), "Package acme.db is not installed; --add acme.db installs it"),
        (("--set", "ghost:x.y=1"), "Package ghost is not installed"),
        (("--disable", "acme.net:prob"), "variant default of acme.net has no component prob; it has net, probe"),
        (("--enable", "acme.net"), '--enable is NAME:COMPONENT, not "acme.net"'),
        (
            ("--add", "acme.net=small", "--variant", "acme.net=default"),
            "two variants are asked for acme.net: small and default",
        ),
        (("--add", "acme.net="), '--add is NAME or NAME=VARIANT, not "acme.net="'),
        (
            ("--set", "acme.net:net.mtu=1", "--del", "acme.net"),
            "two changes of acme.net contradict each other: say one of them",
        ),
    ],
)
def test_bad_changes_are_one_sentence_each(arguments: tuple[str, ...], says: str, world: Path) -> None:
    assert call("plan", "--offline", world, *arguments).both == f"cozypkg: {says}\nexit code 1\n"


def test_a_variant_without_a_name_is_that_of_a_repository(world: Path) -> None:
    result = call("plan", "--offline", world, "--variant", "isp-full")
    assert (result.code, result.err.splitlines()[-1]) == (
        64,
        'Error: --variant is NAME=VARIANT where there is no --repository, not "isp-full"',
    )
