from __future__ import annotations

import json
from pathlib import Path

from support.acme import PACKAGES, PLATFORM, SOURCES, release
from support.cluster import Cluster
from support.cozypkg import call
from support.guard import LABEL, SENTENCE, guard
from support.guard import NAME as GUARD

PLAN = (
    "STEP   NAME        VARIANT   RELEASES   BECAUSE\n"
    "1      acme.app    default   0          needs acme.db\n"
    "2      acme.db     default   1          needs acme.crds\n"
    "3      acme.crds   default   0          asked for\n"
)
PROTECTED = """\
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata: {name: cozystack.cozystack-platform}
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata: {name: kept, labels: {platform.cozystack.io/no-delete: "true"}}
"""
BUNDLED = """\
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata:
  name: bundled
  labels: {app.kubernetes.io/managed-by: Helm}
  annotations: {meta.helm.sh/release-name: cozystack-platform}
"""


def test_layers_go_one_after_the_other_and_each_waits_for_its_releases(cluster: Cluster) -> None:
    """cozypkg-R2 cozypkg-R9"""
    cluster.put(PLATFORM + release("operator", "acme-db", "acme.db"))
    order: list[str] = []

    async def uninstalled() -> None:
        order.append("the release of acme.db goes")
        await cluster.delete("HelmRelease", "operator", namespace="acme-db")

    async def db_goes() -> None:
        order.append("acme.db is deleted")
        cluster.when("GET", "helmreleases", uninstalled, watch=True)

    async def crds_go() -> None:
        order.append("acme.crds is deleted")

    cluster.when("DELETE", "packages/acme.db", db_goes)
    cluster.when("DELETE", "packages/acme.crds", crds_go)
    assert call("del", "acme.crds", "-y", kubeconfig=cluster.kubeconfig).both == (
        f"{PLAN}"
        "✓ Deleted Package acme.app\n"
        "acme.app is gone\n"
        "✓ Deleted Package acme.db\n"
        "acme.db is gone\n"
        "✓ Deleted Package acme.crds\n"
        "acme.crds is gone\n"
        "exit code 0\n"
    )
    assert order == ["acme.db is deleted", "the release of acme.db goes", "acme.crds is deleted"]
    assert cluster.names("Package") == []


def test_whoever_says_the_extra_word_has_the_label_taken_off_too(cluster: Cluster) -> None:
    """packages-G1 cozypkg-R4"""
    cluster.put(PROTECTED)
    guard(cluster)
    result = call("del", "kept", "-y", "--confirm", "kept", "--no-wait", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (0, "✓ Deleted Package kept")
    assert cluster.names("Package") == ["cozystack.cozystack-platform"]


def test_a_label_that_was_put_on_after_the_plan_counts(cluster: Cluster) -> None:
    """packages-G1"""
    cluster.put(PLATFORM)
    guard(cluster)

    async def labelled() -> None:
        await cluster.patch("Package", "acme.app", {"metadata": {"labels": {LABEL: "true"}}})

    cluster.when("DELETE", "packages/acme.app", labelled)
    result = call("del", "acme.app", "-y", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (
        1,
        'cozypkg: Package acme.app cannot be deleted: packages.cozystack.io "acme.app" is forbidden: ValidatingAdmissionPolicy '
        f"'{GUARD}' with binding '{GUARD}' denied request: {SENTENCE}",
    )
    assert "acme.app" in cluster.names("Package")


def test_what_does_not_go_stops_the_rest(cluster: Cluster) -> None:
    """cozypkg-R2"""
    cluster.put(PLATFORM + release("operator", "acme-db", "acme.db"))
    result = call("del", "acme.crds", "-y", "--timeout", "50ms", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-2:]) == (
        4,
        [
            "acme.db: releases that are still there: acme-db/operator",
            "cozypkg: the time is over, and acme.db did not go; not deleted because of that: acme.crds",
        ],
    )
    assert cluster.names("Package") == ["acme.crds"]


def test_a_script_must_say_yes_and_a_person_is_asked(cluster: Cluster) -> None:
    """cozypkg-R3 cozypkg-R10"""
    cluster.put(PLATFORM)
    question = "3 Packages will be deleted. Do you want to continue?"
    result = call("del", "acme.crds", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (3, f"cozypkg: {question} This is no terminal: say --yes")
    result = call("del", "acme.crds", terminal=True, stdin="no\n", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (3, f"{question} [y/N] cozypkg: nothing was changed")
    assert cluster.seen == []
    assert call("del", "acme.app", terminal=True, stdin="Y\n", kubeconfig=cluster.kubeconfig).code == 0


def test_a_dry_run_shows_it_as_a_table_and_as_data(cluster: Cluster) -> None:
    cluster.put(PLATFORM + release("operator", "acme-db", "acme.db"))
    assert call("del", "acme.crds", "--dry-run", kubeconfig=cluster.kubeconfig).both == f"{PLAN}exit code 0\n"
    result = call("del", "acme.db", "ghost", "--dry-run", "-o", "json", kubeconfig=cluster.kubeconfig)
    assert result.err == "warning: Package ghost is not installed, skipping\n"
    assert json.loads(result.out) == {
        "deleted": False,
        "packages": [
            {
                "step": 1,
                "name": "acme.app",
                "variant": "default",
                "because": "dependent",
                "needs": ["acme.db"],
                "releases": [],
                "protected": "",
                "bundle": "",
            },
            {
                "step": 2,
                "name": "acme.db",
                "variant": "default",
                "because": "asked",
                "needs": [],
                "releases": ["acme-db/operator"],
                "protected": "",
                "bundle": "",
            },
        ],
        "absent": ["ghost"],
    }
    assert call("del", "acme.db", "--dry-run", "-o", "name", kubeconfig=cluster.kubeconfig).out == "acme.app\nacme.db\n"
    assert cluster.seen == []


def test_no_cascade_refuses_where_something_else_needs_it(cluster: Cluster) -> None:
    """cozypkg-R8"""
    cluster.put(PLATFORM)
    assert call("del", "acme.crds", "acme.db", "--no-cascade", "-y", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: Package acme.db stays: acme.app needs it\nexit code 1\n"
    )
    assert call("del", "acme.app", "--no-cascade", "-y", kubeconfig=cluster.kubeconfig).code == 0
    assert cluster.names("Package") == ["acme.crds", "acme.db"]


def test_autoremove_takes_dependencies_along_that_nothing_needs_any_more(cluster: Cluster) -> None:
    """cozypkg-R8"""
    cluster.put(PLATFORM)
    assert call("del", "--autoremove", kubeconfig=cluster.kubeconfig).both == "No packages found to delete\nexit code 0\n"
    result = call("del", "acme.db", "--autoremove", "--dry-run", kubeconfig=cluster.kubeconfig)
    assert result.out.splitlines()[1:] == [
        "1      acme.app    default   0          needs acme.db",
        "2      acme.db     default   0          asked for",
        "3      acme.crds   default   0          nothing needs it any more",
    ]
    assert call("del", "acme.db", "-y", kubeconfig=cluster.kubeconfig).code == 0
    assert call("del", "--autoremove", "-y", kubeconfig=cluster.kubeconfig).both == (
        "STEP   NAME        VARIANT   RELEASES   BECAUSE\n"
        "1      acme.crds   default   0          nothing needs it any more\n"
        "✓ Deleted Package acme.crds\n"
        "acme.crds is gone\n"
        "exit code 0\n"
    )


def test_the_platform_and_what_must_stay_need_an_extra_word(cluster: Cluster) -> None:
    """cozypkg-R4"""
    cluster.put(PROTECTED)
    both = ("cozystack.cozystack-platform", "kept")
    assert call("del", *both, "-y", kubeconfig=cluster.kubeconfig).both == (
        "STEP   NAME                           VARIANT   RELEASES   BECAUSE\n"
        "1      cozystack.cozystack-platform   default   0          asked for\n"
        "1      kept                           default   0          asked for\n"
        "cozypkg: cozystack.cozystack-platform: it is the platform itself, which holds all PackageSources; "
        "kept: it carries the label platform.cozystack.io/no-delete. Nothing was deleted: "
        "say --confirm cozystack.cozystack-platform --confirm kept\n"
        "exit code 3\n"
    )
    wrong = call("del", "kept", "-y", terminal=True, stdin="kpet\n", kubeconfig=cluster.kubeconfig)
    assert (wrong.code, wrong.err.splitlines()[-1]) == (
        3,
        "kept: it carries the label platform.cozystack.io/no-delete. Type kept to go on: cozypkg: nothing was changed",
    )
    assert cluster.seen == []
    assert call("del", "kept", "-y", terminal=True, stdin="kept\n", kubeconfig=cluster.kubeconfig).code == 0
    platform = call("del", both[0], "-y", "--confirm", both[0], kubeconfig=cluster.kubeconfig)
    assert (platform.code, cluster.names("Package")) == (0, [])


def test_what_a_bundle_made_says_how_to_keep_it_away(cluster: Cluster) -> None:
    """cozypkg-R5"""
    cluster.put(BUNDLED)
    assert call("del", "bundled", "--dry-run", kubeconfig=cluster.kubeconfig).err == (
        "note: bundled comes from the bundle of the Helm release cozystack-platform, which may make it again; "
        "to keep it away, add it to bundles.disabledPackages in the values of the platform\n"
    )


def test_what_was_made_anew_meanwhile_is_left_alone(cluster: Cluster) -> None:
    """cozypkg-R7"""
    cluster.put(PLATFORM)

    async def made_anew() -> None:
        await cluster.delete("Package", "acme.app")
        await cluster.make("Package", "acme.app")

    cluster.when("DELETE", "packages/acme.app", made_anew)
    result = call("del", "acme.app", "-y", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (
        5,
        "cozypkg: Package acme.app is not the one that was shown: somebody has made it anew; it was left alone",
    )


def test_what_somebody_else_deleted_meanwhile_is_no_error(cluster: Cluster) -> None:
    cluster.put(PLATFORM)

    async def gone() -> None:
        await cluster.delete("Package", "acme.app")

    cluster.when("DELETE", "packages/acme.app", gone)
    assert call("del", "acme.app", "-y", kubeconfig=cluster.kubeconfig).err.splitlines()[-2:] == [
        "warning: Package acme.app is gone already",
        "acme.app is gone",
    ]


def test_a_refusal_says_why(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    cluster.answers("DELETE", "packages/acme.app", 403, "Forbidden", "you may not delete it")
    result = call("del", "acme.app", "-y", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (
        1,
        "cozypkg: Package acme.app cannot be deleted: you may not delete it",
    )


def test_names_come_from_files_too_and_nothing_named_is_an_error(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    assert call("del", "-f", "-", "--dry-run", "-o", "name", stdin=PACKAGES, kubeconfig=cluster.kubeconfig).out == (
        "acme.app\nacme.db\nacme.crds\n"
    )
    assert call("del", kubeconfig=cluster.kubeconfig).both == "cozypkg: no packages specified\nexit code 1\n"
    assert call("del", "ghost", kubeconfig=cluster.kubeconfig).both == (
        "warning: Package ghost is not installed, skipping\nNo packages found to delete\nexit code 0\n"
    )


def test_offline_a_file_is_the_cluster_and_what_is_left_is_printed(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(SOURCES + PACKAGES)
    assert call("del", "acme.db", "--offline", tmp_path).both == (
        "apiVersion: cozystack.io/v1alpha1\n"
        "kind: Package\n"
        "metadata:\n"
        "  name: acme.crds\n"
        "  annotations:\n"
        "    operator.cozystack.io/installed-as: dependency\n"
        "spec:\n"
        "  variant: default\n"
        "exit code 0\n"
    )
