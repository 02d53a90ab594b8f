"""Why packages are not ready, on a cluster and on a dump of it."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest

from cozystack.cozypkg.focus import read_around
from cozystack.cozypkg.session import Session
from support.cluster import PATHS, Cluster
from support.cozypkg import call

PATHS.setdefault("Secret", "/api/v1/namespaces/{namespace}/secrets")
PATHS.setdefault("Deployment", "/apis/apps/v1/namespaces/{namespace}/deployments")
PATHS.setdefault("ReplicaSet", "/apis/apps/v1/namespaces/{namespace}/replicasets")
PATHS.setdefault("Pod", "/api/v1/namespaces/{namespace}/pods")

BROKEN = """\
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.db}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - name: default
      components: [{name: db, path: system/db, install: {namespace: acme-db}}]
---
apiVersion: cozystack.io/v1alpha1
kind: PackageSource
metadata: {name: acme.app}
spec:
  sourceRef: {kind: OCIRepository, name: acme, namespace: cozy-system}
  variants:
    - name: default
      dependsOn: [acme.db]
      components: [{name: app, path: system/app, install: {namespace: acme-app}}]
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata: {name: acme.db}
spec: {components: {db: {values: {adminPassword: hunter2, replicas: 1}}}}
status:
  observedGeneration: 1
  conditions:
    - type: Ready
      status: "False"
      reason: HelmReleaseFailed
      message: 0 of 1 releases are ready
      lastTransitionTime: "2026-01-01T00:00:00Z"
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata: {name: acme.app}
status:
  observedGeneration: 1
  conditions:
    - {type: Ready, status: "False", reason: DependencyNotReady, message: it waits, lastTransitionTime: "2026-01-01T00:00:00Z"}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: db
  namespace: acme-db
  labels: {cozystack.io/package: acme.db}
spec: {interval: 5m, values: {adminPassword: hunter2}}
status:
  observedGeneration: 1
  conditions:
    - type: Ready
      status: "False"
      reason: InstallFailed
      message: "Helm install failed: timed out waiting for the condition"
      lastTransitionTime: "2026-01-01T00:00:00Z"
      observedGeneration: 1
---
apiVersion: v1
kind: Secret
metadata: {name: cozystack-values, namespace: acme-db}
data: {values.yaml: aHVudGVyMg==}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: db
  namespace: acme-db
  annotations: {meta.helm.sh/release-name: db, meta.helm.sh/release-namespace: acme-db}
spec:
  replicas: 1
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "registry.example.org/db:v9", env: [{name: PGPASSWORD, value: hunter2}]}]}
status: {replicas: 1, updatedReplicas: 1}
---
apiVersion: v1
kind: Pod
metadata:
  name: db-0
  namespace: acme-db
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: db, uid: UID, controller: true}]
spec: {containers: [{name: db, image: "registry.example.org/db:v9", env: [{name: PGPASSWORD, value: hunter2}]}]}
status:
  phase: Pending
  containerStatuses:
    - name: db
      image: "registry.example.org/db:v9"
      imageID: ""
      ready: false
      restartCount: 0
      state: {waiting: {reason: ImagePullBackOff, message: "registry.example.org/db:v9: not found"}}
"""
CHAIN = """\
acme.app
  cause: Pod/acme-db/db-0: container db: registry.example.org/db:v9: not found (image-not-found)
    Package/acme.app: waits for Package acme.db
      └ Package/acme.db: 0 of 1 releases are ready
        └ HelmRelease/acme-db/db: Helm install failed: timed out waiting for the condition
          └ Deployment/acme-db/db: 0 of 1 Pods are ready
            └ Pod/acme-db/db-0: container db: registry.example.org/db:v9: not found
  to unblock it: correct the image registry.example.org/db:v9, or push it
"""


@pytest.fixture
def broken(cluster: Cluster) -> Cluster:
    first, _, pod = BROKEN.rpartition("---\n")
    cluster.put(first)
    deployment = cluster.do(cluster.read("Deployment", "db", namespace="acme-db"))
    cluster.put(pod.replace("UID", deployment["metadata"]["uid"]))
    return cluster


def test_the_chain_leads_from_the_package_to_the_pod(broken: Cluster) -> None:
    result = call("explain", "acme.app", kubeconfig=broken.kubeconfig)
    assert result.both == CHAIN + "exit code 2\n"


def test_a_server_that_is_asked_by_name_and_label_says_what_its_lists_say(broken: Cluster) -> None:
    session = Session(kubeconfig=broken.kubeconfig, env={})
    _, read = session.on_cluster(lambda client: read_around(client, ["acme.app"], few=0))
    _, listed = session.on_cluster(lambda client: read_around(client, ["acme.app"]))
    assert [str(key) for key in read.releases] == ["acme-db/db"]
    for name in ("acme.app", "acme.db"):
        assert read.plan(name) == listed.plan(name)


def test_without_a_name_each_cause_is_told_once_where_it_belongs(broken: Cluster) -> None:
    out = call("explain", kubeconfig=broken.kubeconfig).out
    assert out.startswith("acme.db\n  cause: Pod/acme-db/db-0: ")
    assert out.endswith("\nWaiting for these: acme.app\n")
    assert out.count("cause:") == 1


def test_json_holds_the_chain_as_data(broken: Cluster) -> None:
    found = msgspec.json.decode(call("explain", "acme.app", "-o", "json", kubeconfig=broken.kubeconfig).out)
    (diagnosis,) = found["acme.app"]
    assert diagnosis["cause"] == "image-not-found"
    assert [link["object"] for link in diagnosis["chain"]] == [
        "Package/acme.app",
        "Package/acme.db",
        "HelmRelease/acme-db/db",
        "Deployment/acme-db/db",
        "Pod/acme-db/db-0",
    ]


def test_a_dump_explains_the_same_and_holds_no_secret(broken: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "dump.json.gz"
    assert call("dump", file, kubeconfig=broken.kubeconfig).code == 0
    assert call("explain", "acme.app", "--dump", file).both == CHAIN + "exit code 2\n"
    text = gzip.decompress(file.read_bytes()).decode()
    assert "hunter2" not in text
    assert "aHVudGVyMg" not in text
    assert "(removed)" in text
    assert file.stat().st_mode & 0o077 == 0


def test_packages_that_are_ready_are_said_to_be(cluster: Cluster) -> None:
    assert call("explain", kubeconfig=cluster.kubeconfig).both == "All packages are ready.\nexit code 0\n"


def test_a_name_that_nobody_has_is_an_error(cluster: Cluster) -> None:
    assert call("explain", "acme.ghost", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: the cluster has neither a Package nor a PackageSource acme.ghost\nexit code 1\n"
    )


@pytest.mark.parametrize("content", [b"", b"{}", b"\x1f\x8bnonsense", b"[1]"])
def test_a_file_that_is_no_dump_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "dump.json"
    file.write_bytes(content)
    result = call("explain", "--dump", file)
    assert result.code == 1
    assert result.err.startswith(f"cozypkg: {file} is no dump: ")


def test_whoever_may_not_see_pods_is_told_what_can_be_known(broken: Cluster) -> None:
    broken.answers("GET", "/pods", 403, "Forbidden", "pods is forbidden")
    out = call("explain", "acme.app", kubeconfig=broken.kubeconfig).out
    assert "Deployment/acme-db/db: 0 of 1 Pods are ready" in out or "HelmRelease/acme-db/db" in out
