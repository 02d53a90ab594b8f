"""``cozypkg teardown``: on a small cluster without an operator, and on a platform that runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cozystack.apiserver.http.messages import Request, Response
from support.acme import PLATFORM, release
from support.cluster import Cluster
from support.cozypkg import call
from support.guard import SENTENCE, guard
from support.sandbox import environment, running, up_once

FINALIZER = "operator.cozystack.io/ordered-deletion"
LABEL = "platform.cozystack.io/no-delete"
BASE = f"""\
---
apiVersion: v1
kind: Namespace
metadata: {{name: cozy-system, labels: {{cozystack.io/system: "true", {LABEL}: "true"}}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: kube-system, labels: {{cozystack.io/system: "true"}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: cozystack-version, namespace: cozy-system, labels: {{{LABEL}: "true"}}}}
data: {{version: "57"}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: cozystack, namespace: cozy-system, annotations: {{meta.helm.sh/release-name: mine}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: sh.helm.release.v1.mine.v1, namespace: cozy-system, labels: {{owner: helm, name: mine}}}}
type: helm.sh/release.v1
---
apiVersion: v1
kind: Secret
metadata: {{name: cozystack-values, namespace: cozy-system}}
---
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {{name: cozystack.cozystack-platform}}
spec: {{variants: [{{name: default}}]}}
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata: {{name: cozystack.cozystack-platform, finalizers: [{FINALIZER}]}}
spec: {{variant: default}}
"""
SMALL = PLATFORM.replace("metadata: {name: acme.db, ", f"metadata: {{name: acme.db, finalizers: [{FINALIZER}], ") + BASE
SHOWN = """\
STEP   NAME                           VARIANT
1      acme.app                       default
2      acme.db                        default
3      acme.crds                      default
4      cozystack.cozystack-platform   default
Then PackageSources: acme.app, acme.crds, acme.db, acme.net, cozystack.cozystack-platform
Then by name: ConfigMap cozy-system/cozystack-version, ServiceAccount cozy-system/cozystack
"""
YES = ("--confirm", "here", "--timeout", "5s")


def test_it_shows_what_goes_in_which_order_before_it_asks_for_the_word(cluster: Cluster) -> None:
    cluster.put(SMALL)
    dry = call("teardown", "--dry-run", kubeconfig=cluster.kubeconfig)
    assert dry.both == f"{SHOWN}exit code 0\n"
    refused = call("teardown", kubeconfig=cluster.kubeconfig)
    assert refused.both == f"{SHOWN}cozypkg: All of this goes from here. Say --confirm here\nexit code 3\n"
    wrong = call("teardown", terminal=True, stdin="yes\n", kubeconfig=cluster.kubeconfig)
    assert wrong.both.endswith("All of this goes from here. Type here to go on: cozypkg: nothing was changed\nexit code 3\n")
    assert cluster.seen == []


def test_the_same_as_data_with_the_namespaces_and_the_data_in_them(cluster: Cluster) -> None:
    claim = (
        "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: disk, namespace: cozy-system}\n"
        "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
    )
    cluster.put(SMALL + claim)
    result = call("teardown", "--namespaces", "--dry-run", "-o", "json", kubeconfig=cluster.kubeconfig)
    assert json.loads(result.out) == {
        "packages": [
            {"step": 1, "name": "acme.app", "variant": "default"},
            {"step": 2, "name": "acme.db", "variant": "default"},
            {"step": 3, "name": "acme.crds", "variant": "default"},
            {"step": 4, "name": "cozystack.cozystack-platform", "variant": "default"},
        ],
        "suspended": [],
        "sources": ["acme.app", "acme.crds", "acme.db", "acme.net", "cozystack.cozystack-platform"],
        "objects": ["ConfigMap cozy-system/cozystack-version", "ServiceAccount cozy-system/cozystack"],
        "namespaces": ["cozy-system"],
        "volumes": ["cozy-system/disk"],
    }
    shown = call("teardown", "--namespaces", "--dry-run", kubeconfig=cluster.kubeconfig).out.splitlines()[-2:]
    assert shown == [
        "Then namespaces, with all that is in them: cozy-system",
        "DATA IS LOST with these PersistentVolumeClaims: cozy-system/disk",
    ]


def test_everything_goes_in_order_also_without_an_operator(cluster: Cluster) -> None:
    """packages-G1 packages-G2"""
    cluster.put(SMALL)
    assert call("teardown", *YES, kubeconfig=cluster.kubeconfig).both == (
        f"{SHOWN}"
        f"✓ Took the label {LABEL} off 4 objects\n"
        "note: the operator does not run: its finalizers are taken off here\n"
        "✓ Deleted Package acme.app\n"
        "✓ Deleted Package acme.db\n"
        "✓ Deleted Package acme.crds\n"
        "✓ Deleted Package cozystack.cozystack-platform\n"
        "✓ Deleted all PackageSources, and 1 object that the platform had left\n"
        "✓ Deleted the operator: 3 objects\n"
        "The platform is gone\n"
        "exit code 0\n"
    )
    assert left(cluster) == ([], [], [], [], [])
    assert cluster.get("Namespace", "cozy-system")["metadata"]["labels"].get(LABEL) is None
    again = call("teardown", *YES, kubeconfig=cluster.kubeconfig)
    assert again.both == "There is nothing of the platform to remove\nexit code 0\n"


def test_it_may_be_stopped_at_any_write_and_called_again(cluster: Cluster) -> None:
    """At each call one write more is let through, until all are."""
    cluster.put(SMALL)
    calls = 0
    while True:
        allowed = Allowed(calls)
        cluster.server.hooks.append(allowed)
        result = call("teardown", *YES, kubeconfig=cluster.kubeconfig)
        cluster.server.hooks.remove(allowed)
        calls += 1
        assert calls < 200, result.both
        if result.code == 0:
            break
    assert calls > 10
    assert left(cluster) == ([], [], [], [], [])


def test_the_originals_guard_that_lets_nobody_pass_is_in_nobodys_way(cluster: Cluster) -> None:
    """packages-G1: also when an upgrade puts the label on again after it was taken off."""
    cluster.put(SMALL)
    guard(cluster)
    with pytest.raises(LookupError, match=SENTENCE):
        cluster.do(cluster.delete("Namespace", "cozy-system"))

    async def labelled_again() -> None:
        labels = {"metadata": {"labels": {LABEL: "true"}}}
        await cluster.patch("ConfigMap", "cozystack-version", labels, namespace="cozy-system")
        await cluster.patch("Package", "acme.db", labels)

    cluster.when("DELETE", "packages/acme.app", labelled_again)
    assert call("teardown", *YES, kubeconfig=cluster.kubeconfig).code == 0
    assert left(cluster) == ([], [], [], [], [])


def test_releases_are_waited_for_and_those_that_are_suspended_are_resumed(cluster: Cluster) -> None:
    suspended = release("operator", "acme-db", "acme.db").replace("interval: 5m", "interval: 5m, suspend: true")
    cluster.put(SMALL + suspended)
    result = call("teardown", *YES, "--timeout", "50ms", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-2:]) == (
        4,
        [
            "acme.db: releases that are still there: acme-db/operator",
            "cozypkg: the time is over, and acme.db did not go; call it again to go on from here",
        ],
    )
    assert "Suspended, and resumed so that they can be uninstalled: acme-db/operator" in result.err
    assert cluster.get("HelmRelease", "operator", "acme-db")["spec"]["suspend"] is False
    assert cluster.names("Package") == ["acme.crds", "cozystack.cozystack-platform"]
    cluster.do(cluster.delete("HelmRelease", "operator", namespace="acme-db"))
    assert call("teardown", *YES, kubeconfig=cluster.kubeconfig).code == 0
    assert cluster.names("Package") == []


def test_flux_stays_while_others_use_it(cluster: Cluster) -> None:
    other = (
        "---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n"
        "metadata: {name: theirs, namespace: tenant-root}\nspec: {interval: 5m}\n"
        "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\n"
        "metadata: {name: theirs, namespace: tenant-root}\nspec: {url: oci://acme.test/x, interval: 5m}\n"
    )
    cluster.put(SMALL + other)
    assert call("teardown", "--all", *YES, kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: Flux stays, others use it: HelmRelease tenant-root/theirs, OCIRepository tenant-root/theirs. "
        "Delete them first, or leave --flux out\nexit code 1\n"
    )
    assert cluster.seen == []
    result = call("teardown", *YES, kubeconfig=cluster.kubeconfig)
    assert (result.code, "These releases stay, without charts from here: tenant-root/theirs" in result.err) == (0, True)
    assert cluster.names("HelmRelease", "tenant-root") == ["theirs"]


def test_a_refusal_says_what_and_why(cluster: Cluster) -> None:
    cluster.put(SMALL)
    cluster.answers("DELETE", "packages/acme.app", 403, "Forbidden", "you may not delete it")
    result = call("teardown", *YES, kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (
        1,
        "cozypkg: Package acme.app cannot be deleted: you may not delete it",
    )


@pytest.mark.slow
def test_a_platform_that_runs_goes_in_order_and_can_be_installed_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running(state, "--variant", "isp-hosted") as sandbox:
        sandbox.until("The platform is ready")
        code, said = teardown(state)
        assert (code, said.splitlines()[-1]) == (0, "The platform is gone"), said
        assert sandbox.kubectl("get", "packages,packagesources,helmreleases,ocirepositories", "-A", "-o", "name") == ""
        assert sandbox.kubectl("-n", "cozy-system", "get", "deploy,pods,secrets,leases", "-o", "name") == ""
    ran = up_once(state, "--variant", "isp-hosted")
    assert (ran.code, ran.summary.get("ready")) == (0, True), ran.said


@pytest.mark.slow
def test_a_teardown_that_was_killed_goes_on_where_it_was_and_leaves_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running(state, "--variant", "isp-hosted") as sandbox:
        sandbox.until("The platform is ready")
        for line in (
            "Suspended HelmRelease",
            "Deleted Package cozystack.metrics-server",
            "Deleted Package cozystack.networking",
        ):
            assert stopped_at(state, line) == -signal.SIGKILL
        code, said = teardown(state, "--all")
        assert (code, said.splitlines()[-1]) == (0, "The platform is gone"), said
        names = sandbox.kubectl("get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}").split()
        # What a chart has kept for its users stays.
        assert [name for name in names if not name.startswith("kube-")] == ["cozy-public", "default", "tenant-root"]
        assert "fluxcd" not in sandbox.kubectl("get", "crds,clusterroles,clusterrolebindings", "-o", "name")


class Allowed:
    """Lets so many writes through and refuses all others, as if the program had been stopped there."""

    def __init__(self, count: int) -> None:
        self._left = count

    async def __call__(self, request: Request) -> Response | None:
        if request.method == "GET":
            return None
        if self._left:
            self._left -= 1
            return None
        return Response(403, b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}')


def left(cluster: Cluster) -> tuple[list[str], ...]:
    """Objects of the platform that are still there."""
    return (
        cluster.names("Package"),
        cluster.names("PackageSource"),
        cluster.names("ConfigMap", "cozy-system"),
        cluster.names("Secret", "cozy-system"),
        [name for name in cluster.names("ServiceAccount", "cozy-system") if name != "default"],
    )


def program(state: Path, *arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "cozystack.cozypkg.main", "teardown"),
        *("--kubeconfig", str(state / "kubeconfig"), "--confirm", "sandbox", *arguments),
    ]


def teardown(state: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        program(state, *arguments), capture_output=True, text=True, env=environment(), timeout=120, check=False
    )
    return done.returncode, done.stderr


def stopped_at(state: Path, text: str) -> int:
    """Kill the program when it says ``text``; its exit code."""
    process = subprocess.Popen(program(state), stderr=subprocess.PIPE, text=True, env=environment())
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if text in line:
                os.kill(process.pid, signal.SIGKILL)
                break
    return process.wait(60)
