from __future__ import annotations

import json

from support.acme import PLATFORM, condition
from support.cluster import Cluster
from support.cozypkg import call

REPOSITORY = """\
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: acme, namespace: cozy-system}
spec: {url: "oci://registry.acme.test/packages", interval: 5m, ref: {semver: ">=1"}}
status:
  artifact: {revision: "v1@sha256:abc", url: "http://x", path: x, lastUpdateTime: "2026-01-01T00:00:00Z"}
"""
TABLE = "REPOSITORY                       NOW             TO           PACKAGES\n"


def test_flux_is_asked_to_look_now(cluster: Cluster) -> None:
    cluster.put(PLATFORM + REPOSITORY)
    assert call("upgrade", "-y", kubeconfig=cluster.kubeconfig).both == (
        f"{TABLE}"
        "OCIRepository cozy-system/acme   v1@sha256:abc   the newest   acme.db\n"
        "✓ Asked OCIRepository cozy-system/acme\n"
        "exit code 0\n"
    )
    repository = cluster.get("OCIRepository", "acme", "cozy-system")
    assert list(repository["metadata"]["annotations"]) == ["reconcile.fluxcd.io/requestedAt"]
    assert repository["spec"]["ref"] == {"semver": ">=1"}


def test_another_version_replaces_whatever_chose_one_before(cluster: Cluster) -> None:
    cluster.put(PLATFORM + REPOSITORY)
    done = call("upgrade", "acme.db", "--to", "v2", "-y", kubeconfig=cluster.kubeconfig)
    assert (done.code, done.err.splitlines()[-1]) == (0, "✓ Changed OCIRepository cozy-system/acme")
    assert cluster.get("OCIRepository", "acme", "cozy-system")["spec"]["ref"] == {"tag": "v2"}
    digest = "sha256:" + "0" * 64
    assert call("upgrade", "--to", digest, "-y", kubeconfig=cluster.kubeconfig).code == 0
    assert cluster.get("OCIRepository", "acme", "cozy-system")["spec"]["ref"] == {"digest": digest}


def test_a_dry_run_says_who_is_concerned(cluster: Cluster) -> None:
    cluster.put(PLATFORM + REPOSITORY)
    result = call("upgrade", "acme.db", "--to", "v2", "--dry-run", "-o", "json", kubeconfig=cluster.kubeconfig)
    assert json.loads(result.out) == {
        "written": False,
        "repositories": [
            {
                "kind": "OCIRepository",
                "namespace": "cozy-system",
                "name": "acme",
                "now": "v1@sha256:abc",
                "to": "v2",
                "packages": ["acme.db"],
            }
        ],
    }
    assert cluster.seen == []


def test_waiting_ends_when_flux_has_looked_and_the_packages_are_ready(cluster: Cluster) -> None:
    cluster.put(PLATFORM + REPOSITORY)

    async def looked() -> None:
        repository = await cluster.read("OCIRepository", "acme", namespace="cozy-system")
        asked = repository["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"]
        handled = {"status": {"lastHandledReconcileAt": asked}}
        await cluster.patch("OCIRepository", "acme", handled, subresource="/status", namespace="cozy-system")

    async def ready() -> None:
        await cluster.patch("Package", "acme.db", {"status": condition("Ready", "True")}, subresource="/status")

    cluster.when("GET", "ocirepositories", looked, watch=True)
    cluster.when("GET", "/packages", ready, watch=True)
    result = call("upgrade", "-y", "--wait", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (0, "acme.db is ready")
    late = call("upgrade", "-y", "--wait", "--timeout", "1ms", kubeconfig=cluster.kubeconfig)
    assert (late.code, late.err.splitlines()[-1]) == (
        4,
        "cozypkg: the time is over, and Flux has not fetched the version",
    )


def test_bad_input_is_one_sentence_each(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    assert call("upgrade", "ghost", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: Package ghost is not installed\nexit code 1\n"
    )
    assert call("upgrade", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: OCIRepository cozy-system/acme is not there, which acme.db comes from\nexit code 1\n"
    )
