from __future__ import annotations

import json

from support.acme import PLATFORM
from support.cluster import Cluster
from support.cozypkg import call

BUNDLED = """\
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata:
  name: bundled
  labels: {app.kubernetes.io/managed-by: Helm, mine: "yes"}
  annotations: {meta.helm.sh/release-name: cozystack-platform, helm.sh/resource-policy: keep}
"""
EXPORTED = """\
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata:
  name: acme.app
spec:
  variant: default
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata:
  name: acme.crds
  annotations:
    operator.cozystack.io/installed-as: dependency
spec:
  variant: default
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata:
  name: acme.db
spec:
  variant: default
  components:
    seed:
      enabled: false
"""


def test_what_is_wanted_is_printed_without_what_a_cluster_adds(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    assert call("export", kubeconfig=cluster.kubeconfig).both == f"{EXPORTED}exit code 0\n"
    assert call("export", "-f", "-", stdin=PLATFORM).out == EXPORTED


def test_what_a_bundle_made_is_left_out_and_said_so(cluster: Cluster) -> None:
    cluster.put(PLATFORM + BUNDLED)
    result = call("export", "-o", "name", kubeconfig=cluster.kubeconfig)
    assert (result.out, result.err) == (
        "acme.app\nacme.crds\nacme.db\n",
        "note: 1 that a bundle made left out; --bundled includes them\n",
    )
    assert json.loads(call("export", "bundled", "-o", "json", kubeconfig=cluster.kubeconfig).out) == {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "cozystack.io/v1alpha1",
                "kind": "Package",
                "metadata": {"name": "bundled", "labels": {"mine": "yes"}},
            }
        ],
    }
    assert call("export", "--bundled", "-o", "name", kubeconfig=cluster.kubeconfig).out.splitlines()[-1] == "bundled"


def test_sources_come_along_on_request(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    assert call("export", "acme.crds", "--sources", kubeconfig=cluster.kubeconfig).out == (
        "apiVersion: cozystack.io/v1alpha1\n"
        "kind: PackageSource\n"
        "metadata:\n"
        "  name: acme.crds\n"
        "spec:\n"
        "  variants:\n"
        "  - name: default\n"
        "---\n" + EXPORTED.split("---\n")[1]
    )


def test_a_name_that_is_not_installed_is_an_error(cluster: Cluster) -> None:
    assert call("export", "a", "b", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: the cluster has no Package a\ncozypkg: the cluster has no Package b\nexit code 1\n"
    )
