from __future__ import annotations

import json
from pathlib import Path

from support.acme import PACKAGES, SOURCES, condition
from support.cluster import Cluster
from support.cozypkg import call

PLAN = (
    "ACTION   NAME        VARIANT   CHOSEN         BECAUSE\n"
    "create   acme.crds   default   the only one   needed by acme.db\n"
    "create   acme.db     default   by default     needed by acme.app\n"
    "create   acme.app    default   the only one   asked for\n"
)


def test_one_plan_is_shown_confirmed_and_written(cluster: Cluster) -> None:
    """cozypkg-A1 cozypkg-A8 cozypkg-A9"""
    cluster.put(SOURCES)
    result = call("add", "acme.app", "-y", kubeconfig=cluster.kubeconfig)
    assert result.both == (f"{PLAN}✓ Added Package acme.crds\n✓ Added Package acme.db\n✓ Added Package acme.app\nexit code 0\n")
    assert cluster.names("Package") == ["acme.app", "acme.crds", "acme.db"]
    assert cluster.get("Package", "acme.crds")["metadata"]["annotations"] == {
        "operator.cozystack.io/installed-as": "dependency"
    }
    assert "annotations" not in cluster.get("Package", "acme.app")["metadata"]
    assert cluster.managers("Package", "acme.app") == {"cozypkg": "Apply"}


def test_a_script_must_say_yes(cluster: Cluster) -> None:
    """cozypkg-A2"""
    cluster.put(SOURCES)
    assert call("add", "acme.app", kubeconfig=cluster.kubeconfig).both == (
        f"{PLAN}cozypkg: 3 objects will be written. Do you want to continue? This is no terminal: say --yes\nexit code 3\n"
    )
    assert cluster.seen == []


def test_a_dry_run_shows_the_plan_and_writes_nothing(cluster: Cluster) -> None:
    cluster.put(SOURCES)
    result = call("add", "acme.app", "--dry-run", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.out, result.err, cluster.seen) == (0, PLAN, "", [])


def test_on_a_terminal_variants_are_asked_for_by_number_or_name(cluster: Cluster) -> None:
    """cozypkg-A15: what the first answer needs is asked for next, and nothing else."""
    cluster.put(SOURCES)
    result = call("add", "acme.app", terminal=True, stdin="9\n2\nflannel\ny\n", kubeconfig=cluster.kubeconfig)
    assert result.both == (
        "\n"
        "PackageSource: acme.db\n"
        "Available variants:\n"
        "  1. default (installs operator, seed; needs acme.crds)\n"
        "  2. ha (installs operator, tool; needs acme.crds, acme.net)\n"
        'Select variant (1-2) [default]: "9" is none of them: a number from 1 to 2, or a name\n'
        "Select variant (1-2) [default]: \n"
        "PackageSource: acme.net\n"
        "Available variants:\n"
        "  1. none (installs nothing)\n"
        "  2. flannel (installs flannel; needs acme.crds)\n"
        "Select variant (1-2): ACTION   NAME        VARIANT   CHOSEN         BECAUSE\n"
        "create   acme.crds   default   the only one   needed by acme.db, acme.net\n"
        "create   acme.net    flannel   as asked       needed by acme.db\n"
        "create   acme.db     ha        as asked       needed by acme.app\n"
        "create   acme.app    default   the only one   asked for\n"
        "4 objects will be written. Do you want to continue? [y/N] ✓ Added Package acme.crds\n"
        "✓ Added Package acme.net\n"
        "✓ Added Package acme.db\n"
        "✓ Added Package acme.app\n"
        "exit code 0\n"
    )


def test_no_is_a_no(cluster: Cluster) -> None:
    cluster.put(SOURCES)
    result = call("add", "acme.crds", terminal=True, stdin="n\n", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1], cluster.seen) == (
        3,
        "1 object will be written. Do you want to continue? [y/N] cozypkg: nothing was changed",
        [],
    )
    ended = call("add", "acme.crds", terminal=True, stdin="", kubeconfig=cluster.kubeconfig)
    assert ended.code == 3
    assert ended.err.endswith("cozypkg: the input has ended before the question was answered\n")


def test_variants_are_named_on_the_command_line(cluster: Cluster) -> None:
    """cozypkg-A2"""
    cluster.put(SOURCES)
    result = call(
        "add", "acme.db=ha", "--variant", "acme.net=none", "-y", "-o", "json", "--plain", kubeconfig=cluster.kubeconfig
    )
    assert result.err.splitlines()[-1] == "+ Added Package acme.db"
    assert json.loads(result.out) == {
        "written": True,
        "sources": [],
        "packages": [
            {
                "name": "acme.crds",
                "variant": "default",
                "why": "only",
                "action": "create",
                "asked": False,
                "requiredBy": ["acme.db"],
            },
            {
                "name": "acme.net",
                "variant": "none",
                "why": "asked",
                "action": "create",
                "asked": False,
                "requiredBy": ["acme.db"],
            },
            {"name": "acme.db", "variant": "ha", "why": "asked", "action": "create", "asked": True, "requiredBy": []},
        ],
        "warnings": [],
    }


def test_what_is_not_decided_is_an_error_in_a_script(cluster: Cluster) -> None:
    cluster.put(SOURCES)
    assert call("add", "acme.net", "-y", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: acme.net has several variants, none of them called default: none, flannel: "
        "say --variant NAME=VARIANT, or --default-variants for the first\nexit code 1\n"
    )
    result = call("add", "acme.net", "--default-variants", "--dry-run", kubeconfig=cluster.kubeconfig)
    assert result.out.splitlines()[1] == "create   acme.net   none      the first   asked for"


def test_all_variants_and_no_deps(cluster: Cluster) -> None:
    cluster.put(SOURCES)
    everything = call("add", "acme.app", "--all-variants", "--default-variants", "--dry-run", "-o", "name",
                      kubeconfig=cluster.kubeconfig)  # fmt: skip
    assert everything.out == "acme.crds\nacme.net\nacme.db\nacme.app\n"
    alone = call("add", "acme.app", "--no-deps", "--dry-run", "-o", "name", kubeconfig=cluster.kubeconfig)
    assert alone.out == "acme.app\n"


def test_what_is_installed_stays_and_a_dependency_that_is_asked_for_is_kept(cluster: Cluster) -> None:
    cluster.put(SOURCES + PACKAGES)
    assert call("add", "acme.app", kubeconfig=cluster.kubeconfig).both == (
        "warning: Package acme.db is installed but not ready (required by acme.app): no room\n"
        "everything is installed already\n"
        "exit code 0\n"
    )
    assert call("add", "acme.crds", "-y", kubeconfig=cluster.kubeconfig).both == (
        "ACTION   NAME        VARIANT   CHOSEN      BECAUSE\n"
        "keep     acme.crds   default   installed   was a dependency, is asked for now\n"
        "✓ Keeping Package acme.crds\n"
        "exit code 0\n"
    )
    assert "annotations" not in cluster.get("Package", "acme.crds")["metadata"]


def test_a_folder_of_files_is_honoured_document_by_document(cluster: Cluster, tmp_path: Path) -> None:
    """cozypkg-A3 cozypkg-A6 cozypkg-A16: values of a Package in a folder arrive, sources are applied."""
    folder = tmp_path / "files"
    folder.mkdir()
    crds, rest = SOURCES.split("---\n", 1)
    cluster.put(crds)
    (folder / "a.yaml").write_text(rest)
    (folder / "b.yml").write_text(
        "apiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata: {name: acme.db, uid: of-another-cluster}\n"
        "spec: {components: {operator: {values: {replicas: 3}}}}\n"
    )
    result = call("add", "-f", folder, "--variant", "acme.net=none", "-y", kubeconfig=cluster.kubeconfig)
    assert result.both == (
        "ACTION   NAME        VARIANT   CHOSEN                    BECAUSE\n"
        "apply    acme.net              PackageSource of a file\n"
        "apply    acme.db               PackageSource of a file\n"
        "apply    acme.app              PackageSource of a file\n"
        "create   acme.net    none      as asked                  asked for\n"
        "create   acme.crds   default   the only one              needed by acme.db\n"
        "create   acme.db     default   as asked                  asked for\n"
        "create   acme.app    default   the only one              asked for\n"
        "✓ Added PackageSource acme.net\n"
        "✓ Added PackageSource acme.db\n"
        "✓ Added PackageSource acme.app\n"
        "✓ Added Package acme.net\n"
        "✓ Added Package acme.crds\n"
        "✓ Added Package acme.db\n"
        "✓ Added Package acme.app\n"
        "exit code 0\n"
    )
    assert cluster.get("Package", "acme.db")["spec"] == {"components": {"operator": {"values": {"replicas": 3}}}}


FILE = """\
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata: {name: acme.crds}
spec: {variant: default, components: {x: {enabled: false}}}
"""


def test_a_file_that_differs_updates_only_on_request(cluster: Cluster) -> None:
    """cozypkg-A5"""
    cluster.put(SOURCES)
    assert call("add", "acme.crds", "-y", kubeconfig=cluster.kubeconfig).code == 0
    assert call("add", "-f", "-", "-y", stdin=FILE, kubeconfig=cluster.kubeconfig).both == (
        "warning: Package acme.crds is installed and differs from standard input:1: say --update to change it\n"
        "everything is installed already\n"
        "exit code 0\n"
    )
    assert call("add", "-f", "-", "-y", "--update", stdin=FILE, kubeconfig=cluster.kubeconfig).both == (
        "ACTION   NAME        VARIANT   CHOSEN      BECAUSE\n"
        "update   acme.crds   default   installed   changed by a file\n"
        "✓ Updated Package acme.crds\n"
        "exit code 0\n"
    )
    assert cluster.get("Package", "acme.crds")["spec"]["components"] == {"x": {"enabled": False}}


def test_fields_that_others_manage_are_taken_over_only_on_request(cluster: Cluster) -> None:
    """cozypkg-A4"""
    cluster.put(SOURCES + FILE.replace("enabled: false", "enabled: true").join(("---\n", "")))
    refused = call("add", "-f", "-", "-y", "--update", stdin=FILE, kubeconfig=cluster.kubeconfig)
    assert refused.code == 1
    assert refused.err.splitlines()[-1].startswith(
        "cozypkg: Package acme.crds: others manage fields of it (say --force-conflicts to take them over): "
    )
    assert refused.err.endswith("; nothing was changed\n")
    forced = call("add", "-f", "-", "-y", "--update", "--force-conflicts", stdin=FILE, kubeconfig=cluster.kubeconfig)
    assert (forced.code, cluster.get("Package", "acme.crds")["spec"]["components"]) == (0, {"x": {"enabled": False}})


def test_another_variant_of_what_is_installed_is_an_update(cluster: Cluster) -> None:
    """cozypkg-A13"""
    cluster.put(SOURCES + PACKAGES)
    assert call("add", "acme.db=ha", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: Package acme.db is installed with variant default, not ha: say --update to change it\nexit code 1\n"
    )
    done = call("add", "acme.db=ha", "acme.net=none", "--update", "-y", kubeconfig=cluster.kubeconfig)
    assert done.code == 0
    assert cluster.get("Package", "acme.db")["spec"] == {"variant": "ha", "components": {"seed": {"enabled": False}}}


def test_offline_a_file_is_the_cluster_and_what_would_be_is_printed(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(SOURCES)
    assert call("add", "acme.net=flannel", "--offline", tmp_path).both == (
        "apiVersion: cozystack.io/v1alpha1\n"
        "kind: Package\n"
        "metadata:\n"
        "  name: acme.crds\n"
        "  annotations:\n"
        "    operator.cozystack.io/installed-as: dependency\n"
        "spec:\n"
        "  variant: default\n"
        "---\n"
        "apiVersion: cozystack.io/v1alpha1\n"
        "kind: Package\n"
        "metadata:\n"
        "  name: acme.net\n"
        "spec:\n"
        "  variant: flannel\n"
        "exit code 0\n"
    )


def test_a_refusal_of_the_server_leaves_nothing_half_done(cluster: Cluster) -> None:
    """cozypkg-A4: the last of three is forbidden, so the first is not written either."""
    cluster.put(SOURCES)
    cluster.answers("PATCH", "packages/acme.app", 403, "Forbidden", "you may not touch acme.app")
    result = call("add", "acme.app", "-y", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1], cluster.names("Package")) == (
        1,
        "cozypkg: Package acme.app is refused: you may not touch acme.app; nothing was changed",
        [],
    )


def test_what_changes_between_plan_and_write_is_not_written_over(cluster: Cluster) -> None:
    cluster.put(SOURCES + PACKAGES)

    async def somebody_else() -> None:
        await cluster.patch("Package", "acme.crds", {"metadata": {"labels": {"touched": "yes"}}})

    cluster.when("PATCH", "packages/acme.crds", somebody_else)
    result = call("add", "acme.crds", "-y", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (
        5,
        "cozypkg: Package acme.crds has changed meanwhile; nothing was changed",
    )


def test_wait_stays_until_all_of_it_is_ready(cluster: Cluster) -> None:
    cluster.put(SOURCES)

    async def ready() -> None:
        await cluster.patch("Package", "acme.crds", {"status": condition("Ready", "True")}, subresource="/status")

    cluster.when("GET", "packages", ready, watch=True)
    done = call("add", "acme.crds", "-y", "--wait", kubeconfig=cluster.kubeconfig)
    assert (done.code, done.err.splitlines()[-1]) == (0, "acme.crds is ready")
    late = call("add", "acme.db", "-y", "--wait", "--timeout", "1ms", kubeconfig=cluster.kubeconfig)
    assert (late.code, late.err.splitlines()[-1]) == (4, "cozypkg: the time is over, and 1 of 2 are not ready")


def test_bad_input_is_one_sentence_each(cluster: Cluster) -> None:
    cluster.put(SOURCES)
    for arguments, sentence in (
        ([], "no packages specified"),
        (["ghost"], "there is no PackageSource ghost"),
        (["app"], "there is no PackageSource app; is it acme.app?"),
        (["acme.db=tiny"], "acme.db has no variant tiny; it has default, ha"),
        (["acme.db="], "no variant is named for acme.db"),
        (["acme.db=ha", "--variant", "acme.db=default"], "two variants are asked for acme.db: ha and default"),
        (["acme.db", "--variant", "ha"], '--variant is NAME=VARIANT, not "ha"'),
        (["ghost", "zombie"], "there is no PackageSource ghost\ncozypkg: there is no PackageSource zombie"),
    ):
        assert call("add", *arguments, kubeconfig=cluster.kubeconfig).both == f"cozypkg: {sentence}\nexit code 1\n"
    different = FILE + "---\n" + FILE.replace("false", "true")
    assert call("add", "-f", "-", stdin=different, kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: standard input:6: Package acme.crds is in standard input:1 too, and differs\nexit code 1\n"
    )
    assert call("add", "-f", "-", "--dry-run", stdin=FILE + "---\n" + FILE, kubeconfig=cluster.kubeconfig).code == 0
