from __future__ import annotations

import json
from pathlib import Path

from support.acme import PLATFORM, SOURCES
from support.cluster import Cluster
from support.cozypkg import call

WARNING = "warning: Package acme.db is installed but not ready: no room\n"
BUNDLED = """\
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata:
  name: acme.db
  labels: {app.kubernetes.io/managed-by: Helm}
  annotations: {meta.helm.sh/release-name: cozystack-platform}
"""


def test_values_are_set_and_shown_as_a_difference(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    result = call(
        "set", "acme.db", "--set", "operator.image.tag=v2", "--set", "operator.replicas=3", "--enable", "seed", "-y",
        kubeconfig=cluster.kubeconfig,
    )  # fmt: skip
    assert result.both == (
        f"{WARNING}"
        "Package acme.db\n"
        "  components.operator.values.image.tag: (not set) -> v2\n"
        "  components.operator.values.replicas: (not set) -> 3\n"
        "  components.seed.enabled: false -> (not set)\n"
        "✓ Changed Package acme.db\n"
        "exit code 0\n"
    )
    assert cluster.get("Package", "acme.db")["spec"] == {
        "variant": "default",
        "components": {"operator": {"values": {"image": {"tag": "v2"}, "replicas": 3}}},
    }
    dropped = call("set", "acme.db", "--unset", "operator.image", "-y", "-o", "json", kubeconfig=cluster.kubeconfig)
    assert json.loads(dropped.out) == {
        "name": "acme.db",
        "written": True,
        "changes": [{"path": "components.operator.values.image.tag", "old": "v2"}],
        "added": [],
    }


def test_a_null_stays_a_null(cluster: Cluster) -> None:
    """To Helm it means that a default is dropped."""
    cluster.put(PLATFORM)
    assert call("set", "acme.db", "--set", "operator.limits=null", "-y", kubeconfig=cluster.kubeconfig).code == 0
    assert cluster.get("Package", "acme.db")["spec"]["components"]["operator"] == {"values": {"limits": None}}


def test_all_values_of_a_component_come_from_a_file(cluster: Cluster, tmp_path: Path) -> None:
    cluster.put(PLATFORM)
    (tmp_path / "values.yaml").write_text("a: {b: 1}\n")
    values = f"operator={tmp_path}/values.yaml"
    result = call("set", "acme.db", "--values", values, "--dry-run", kubeconfig=cluster.kubeconfig)
    assert (result.out, cluster.seen) == ("Package acme.db\n  components.operator.values.a.b: (not set) -> 1\n", [])
    piped = call("set", "acme.db", "--values", "operator=-", "-y", stdin="a: 2\n", kubeconfig=cluster.kubeconfig)
    assert piped.code == 0
    assert cluster.get("Package", "acme.db")["spec"]["components"]["operator"] == {"values": {"a": 2}}


def test_another_variant_brings_what_it_needs(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    assert call("set", "acme.db", "--variant", "ha", "-y", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: acme.net has several variants (required by acme.db), none of them called default: none, flannel: "
        "say --variant NAME=VARIANT, or --default-variants for the first\nexit code 1\n"
    )
    both = ("--variant", "ha", "--variant", "acme.net=flannel")
    assert call("set", "acme.db", *both, "-y", kubeconfig=cluster.kubeconfig).both == (
        f"{WARNING}"
        "Package acme.db\n"
        "  variant: default -> ha\n"
        "also added: acme.net\n"
        "✓ Added Package acme.net\n"
        "✓ Changed Package acme.db\n"
        "exit code 0\n"
    )
    assert cluster.get("Package", "acme.net")["spec"] == {"variant": "flannel"}
    assert call("set", "acme.db", "--variant", "default", "--no-deps", "-y", kubeconfig=cluster.kubeconfig).code == 0


def test_a_dependency_is_ignored_and_respected_again(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    ignored = call("set", "acme.db", "--ignore-dependency", "acme.crds", "-y", kubeconfig=cluster.kubeconfig)
    assert ignored.err.splitlines()[2] == '  ignoreDependencies: (not set) -> ["acme.crds"]'
    assert cluster.get("Package", "acme.db")["spec"]["ignoreDependencies"] == ["acme.crds"]
    assert call("set", "acme.db", "--respect-dependency", "acme.crds", "-y", kubeconfig=cluster.kubeconfig).code == 0
    assert "ignoreDependencies" not in cluster.get("Package", "acme.db")["spec"]


def test_nothing_is_written_where_nothing_differs(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    result = call("set", "acme.db", "--disable", "seed", kubeconfig=cluster.kubeconfig)
    assert (result.both, cluster.seen) == (f"{WARNING}nothing differs\nexit code 0\n", [])


def test_what_changed_meanwhile_is_not_written_over(cluster: Cluster) -> None:
    cluster.put(PLATFORM)

    async def somebody_else() -> None:
        await cluster.patch("Package", "acme.db", {"spec": {"variant": "ha"}})

    cluster.when("PATCH", "packages/acme.db", somebody_else)
    result = call("set", "acme.db", "--set", "operator.a=1", "-y", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (
        5,
        "cozypkg: Package acme.db has changed meanwhile; nothing was changed",
    )


def test_what_a_bundle_made_may_be_set_back(cluster: Cluster) -> None:
    """cozypkg-R5"""
    cluster.put(SOURCES + BUNDLED)
    assert call("set", "acme.db", "--disable", "seed", "--dry-run", kubeconfig=cluster.kubeconfig).err == (
        "note: the Helm release cozystack-platform made acme.db, and may set it back at its next upgrade\n"
    )


def test_offline_the_result_is_printed(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(SOURCES + BUNDLED)
    assert call("set", "acme.db", "--variant=ha", "--no-deps", "--offline", tmp_path).out == (
        "apiVersion: cozystack.io/v1alpha1\n"
        "kind: Package\n"
        "metadata:\n"
        "  name: acme.db\n"
        "  labels:\n"
        "    app.kubernetes.io/managed-by: Helm\n"
        "  annotations:\n"
        "    meta.helm.sh/release-name: cozystack-platform\n"
        "spec:\n"
        "  variant: ha\n"
    )


def test_bad_input_is_one_sentence_each(cluster: Cluster, tmp_path: Path) -> None:
    cluster.put(PLATFORM)
    (tmp_path / "list.yaml").write_text("[1]\n")
    for arguments, sentence in (
        (["acme.net", "--variant", "none"], "Package acme.net is not installed (cozypkg add acme.net installs it)"),
        (["ghost", "--variant", "none"], "Package ghost is not installed"),
        (["acme.db", "--variant", "tiny"], "acme.db has no variant tiny; it has default, ha"),
        (["acme.db", "--variant", "=tiny"], '--variant is VARIANT or NAME=VARIANT, not "=tiny"'),
        (["acme.db", "--disable", "x"], "variant default of acme.db has no component x; it has operator, seed"),
        (["acme.db", "--set", "operator"], '--set is COMPONENT.PATH=VALUE, not "operator"'),
        (["acme.db", "--set", "operator=1"], '"operator" is no path: it is COMPONENT.KEY, and maybe more keys'),
        (["acme.db", "--values", "operator"], '--values is COMPONENT=FILE, not "operator"'),
        (["acme.db", "--values", "operator=/gone"], "/gone: no such file or directory"),
        (
            ["acme.db", "--values", f"operator={tmp_path}/list.yaml"],
            f"{tmp_path}/list.yaml: values are a map, and this is none",
        ),
        (["acme.db", "--ignore-dependency", "x"], "variant default of acme.db does not need x; it needs acme.crds"),
    ):
        assert call("set", *arguments, kubeconfig=cluster.kubeconfig).both == f"cozypkg: {sentence}\nexit code 1\n"
    broken = call("set", "acme.db", "--set", "operator.a={", kubeconfig=cluster.kubeconfig)
    assert broken.err.startswith("cozypkg: the value of operator.a:2:1: ")
    assert call("set", "acme.db", kubeconfig=cluster.kubeconfig).code == 64
