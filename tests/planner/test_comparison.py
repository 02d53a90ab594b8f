"""What a change would do, said beforehand."""

from __future__ import annotations

from typing import Any

import msgspec

from cozystack.api import yaml
from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key
from cozystack.planner import Catalogue
from cozystack.planner.comparison import (
    Comparison,
    FieldChange,
    ObjectChange,
    ReleaseChange,
    assume_installed,
    measured_durations,
)
from support.comparing import between

SOURCES = """
kind: PackageSource
metadata: {name: acme.net}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - name: default
      components:
        - {name: net, path: system/net, install: {namespace: acme-net}}
    - name: flannel
      components:
        - {name: flannel, path: system/flannel, install: {namespace: acme-net, privileged: true}}
---
kind: PackageSource
metadata: {name: acme.db}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - name: default
      dependsOn: [acme.net]
      components:
        - {name: operator, path: system/operator, install: {namespace: acme-db}}
        - {name: seed, path: system/seed, install: {namespace: acme-db, dependsOn: [operator]}}
"""
PACKAGES = """
kind: Package
metadata: {name: acme.net}
---
kind: Package
metadata: {name: acme.db}
spec: {components: {operator: {values: {replicas: 1, image: {tag: v1}}}}}
"""


def view(*texts: str) -> Catalogue:
    found = Catalogue()
    with found.batch():
        for text in texts:
            for document in yaml.load_all(text):
                value: Any = document.value
                kind: Any = {"Package": Package, "PackageSource": PackageSource}[value["kind"]]
                found.put(msgspec.convert({"apiVersion": "cozystack.io/v1alpha1", **value}, kind))
    return found


def change(old: str, new: str, **options: Any) -> Comparison:
    return between(view(SOURCES, old), view(SOURCES, new), **options)


def test_equal_worlds_differ_in_nothing() -> None:
    found = change(PACKAGES, PACKAGES)
    assert found.empty
    assert found == Comparison()


def test_a_package_that_comes_is_installed_in_waves_with_an_estimate() -> None:
    found = change("", PACKAGES, durations={Key("acme-db", "operator"): 4.0, Key("acme-net", "net"): 2.0})
    assert [(each.kind, each.name, each.action) for each in found.objects] == [
        ("Package", "acme.db", "add"),
        ("Package", "acme.net", "add"),
        ("Namespace", "acme-db", "add"),
        ("Namespace", "acme-net", "add"),
    ]
    assert [(str(each.key), each.action) for each in found.releases] == [
        ("acme-db/operator", "install"),
        ("acme-db/seed", "install"),
        ("acme-net/net", "install"),
    ]
    assert found.waves == (("acme.net",), ("acme.db",))
    assert found.estimate is not None
    assert found.estimate.path == ("acme-net/net", "acme-db/operator", "acme-db/seed")
    # The seed was never installed: it counts as the median of the others.
    assert (found.estimate.seconds, found.estimate.known, found.estimate.total) == (9.0, 2, 3)


def test_a_value_is_named_by_its_path_with_both_sides() -> None:
    found = change(PACKAGES, PACKAGES.replace("replicas: 1", "replicas: 3"))
    assert found.releases == (
        ReleaseChange(
            namespace="acme-db",
            name="operator",
            package="acme.db",
            action="upgrade",
            component="operator",
            fields=(FieldChange(path="values.replicas", old=1, new=3),),
        ),
    )
    assert found.objects == (
        ObjectChange(
            kind="Package",
            name="acme.db",
            action="change",
            fields=(FieldChange(path="components.operator.values.replicas", old=1, new=3),),
        ),
    )


def test_another_variant_removes_what_only_the_old_one_had_and_says_so() -> None:
    found = change(PACKAGES, PACKAGES.replace("{name: acme.net}", "{name: acme.net}\nspec: {variant: flannel}"))
    assert [(str(each.key), each.action, each.destroys) for each in found.releases if each.package == "acme.net"] == [
        ("acme-net/flannel", "install", ""),
        ("acme-net/net", "remove", "the release and its objects"),
    ]
    assert (
        ObjectChange(
            kind="Namespace", name="acme-net", action="change", fields=(FieldChange(path="privileged", old=False, new=True),)
        )
        in found.objects
    )


def test_a_package_that_goes_takes_its_releases_with_it() -> None:
    found = change(PACKAGES, PACKAGES.partition("---")[0])
    assert [(str(each.key), each.action) for each in found.destructive] == [
        ("acme-db/operator", "remove"),
        ("acme-db/seed", "remove"),
    ]


def test_a_release_under_another_name_is_a_move_that_is_held_back() -> None:
    moved = SOURCES.replace("install: {namespace: acme-net}", "install: {namespace: acme-net, releaseName: network}")
    found = between(view(SOURCES, PACKAGES), view(moved, PACKAGES))
    moves = [each for each in found.releases if each.action == "move"]
    assert [(str(each.key), each.moves_to, each.held_back) for each in moves] == [
        ("acme-net/net", "acme-net/network", "MoveRefused")
    ]
    assert moves[0].destroys


def test_a_release_that_is_suspended_does_not_move() -> None:
    there = view(SOURCES, PACKAGES)
    with there.batch():
        assume_installed(there)
    for release in list(there.releases.values()):
        suspended = msgspec.structs.replace(release.spec, suspend=release.key.name == "net")
        there.set_release(msgspec.structs.replace(release, spec=suspended))
    found = between(there, there, live=True, changed_charts=["acme-net-default-net", "acme-db-default-seed"])
    assert [(str(each.key), each.held_back) for each in found.releases] == [("acme-db/seed", ""), ("acme-net/net", "Suspended")]


def test_a_chart_with_other_content_is_an_upgrade_of_whoever_uses_it() -> None:
    found = change(PACKAGES, PACKAGES, changed_charts=["acme-net-default-net"])
    assert found.releases == (
        ReleaseChange(namespace="acme-net", name="net", package="acme.net", action="upgrade", component="net", chart=True),
    )


def test_problems_that_a_change_brings_and_solves_are_told_apart() -> None:
    broken = PACKAGES.replace("{name: acme.net}", "{name: acme.net}\nspec: {variant: none}")
    assert [type(each).__name__ for each in change(PACKAGES, broken).new_problems] == ["MissingVariant"]
    assert [type(each).__name__ for each in change(broken, PACKAGES).solved_problems] == ["MissingVariant"]


def test_on_a_cluster_only_the_difference_to_what_would_happen_anyway_is_told() -> None:
    before, after = view(SOURCES, PACKAGES), view(SOURCES, PACKAGES.replace("tag: v1", "tag: v2"))
    found = between(before, after, live=True)
    # Nothing is installed yet, so everything is pending; the operator's release is installed with another value.
    assert found.pending == 3
    assert [(str(each.key), each.action) for each in found.releases] == [("acme-db/operator", "install")]


def test_how_long_a_release_took_is_read_off_its_last_action() -> None:
    release = {
        "metadata": {"name": "net", "namespace": "acme-net"},
        "spec": {"interval": "5m"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:42Z"}],
            "history": [{"lastDeployed": "2026-01-01T00:00:30Z"}],
        },
    }
    assert measured_durations([msgspec.convert(release, HelmRelease)]) == {Key("acme-net", "net"): 12.0}
    release["status"]["conditions"][0]["lastTransitionTime"] = "2025-12-31T00:00:00Z"  # type: ignore[index]
    assert measured_durations([msgspec.convert(release, HelmRelease)]) == {}


DATABASE = "kind: Package\nmetadata: {name: acme.db}\n"
BARE_NET = """
---
kind: PackageSource
metadata: {name: acme.bare}
spec: {variants: [{name: default}]}
---
kind: PackageSource
metadata: {name: acme.tool}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - name: default
      dependsOn: [acme.bare]
      components: [{name: tool, path: system/tool, install: {namespace: acme-tool}}]
"""


def test_what_waits_for_nobody_is_held_back() -> None:
    """Its dependency is not there and nobody adds it, or it waits in a loop: no time brings it."""
    found = change("", DATABASE)
    assert [(str(each.key), each.held_back) for each in found.releases] == [
        ("acme-db/operator", "MissingDependency"),
        ("acme-db/seed", "MissingDependency"),
    ]
    loop = SOURCES.replace(
        "    - name: default\n      components:\n        - {name: net",
        "    - name: default\n      dependsOn: [acme.db]\n      components:\n        - {name: net",
    )
    turning = between(view(loop), view(loop, PACKAGES))
    assert {each.held_back for each in turning.releases} == {"DependencyCycle"}


def test_what_a_change_sets_free_is_part_of_it() -> None:
    """It was wanted before, in vain, and nothing of it differs but that it can come now."""
    tool = "---\nkind: Package\nmetadata: {name: acme.tool}\n"
    bare = "---\nkind: Package\nmetadata: {name: acme.bare}\n"
    before, after = view(SOURCES, BARE_NET + tool), view(SOURCES, BARE_NET + tool + bare)
    found = between(before, after, live=True)
    assert [(str(each.key), each.action, each.held_back) for each in found.releases] == [("acme-tool/tool", "install", "")]
    assert between(after, view(SOURCES, BARE_NET + tool + bare), live=True).releases == ()
