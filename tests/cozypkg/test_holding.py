"""What is said before anything is rolled back or resumed; that it works with a real Helm, `tests/scenarios` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cozystack.api import yaml
from cozystack.cozypkg.holding import write_kubeconfig
from cozystack.kube.config import ClusterConfig, ExecConfig, load_config
from support.acme import PLATFORM
from support.cluster import Cluster
from support.cozypkg import call

RELEASE = """\
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: operator
  namespace: acme-db
  labels: {cozystack.io/package: acme.db}
spec: {interval: 5m, suspend: %s, chartRef: {kind: ExternalArtifact, name: acme-db-default-operator, namespace: cozy-system}}
"""


@pytest.fixture
def there(cluster: Cluster) -> Cluster:
    cluster.put(PLATFORM)
    return cluster


@pytest.mark.parametrize("command", ["rollback", "resume"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["acme.ghost"], "Package acme.ghost is not installed"),
        (["acme.db"], "Package acme.db has no releases"),
        (["acme.db", "--component", "web"], "Package acme.db has no release of component web"),
    ],
)
def test_what_is_not_there_cannot_be_held(command: str, arguments: list[str], says: str, there: Cluster) -> None:
    result = call(command, *arguments, "--yes", kubeconfig=there.kubeconfig)
    assert (result.code, result.err) == (1, f"cozypkg: {says}\n")


def test_the_platform_itself_goes_back_by_its_artifact(there: Cluster) -> None:
    result = call("rollback", "cozystack.cozystack-platform", "--yes", kubeconfig=there.kubeconfig)
    assert (result.code, result.out) == (1, "")
    assert "plan and apply the earlier version instead (cozypkg plan --repository, cozypkg apply)" in result.err


def test_a_release_goes_on_when_it_is_resumed_and_nothing_of_the_hold_stays(there: Cluster) -> None:
    there.put(RELEASE % "true")
    shown = call("resume", "acme.db", "--dry-run", kubeconfig=there.kubeconfig)
    assert (shown.both, there.seen) == ("  ~ HelmRelease acme-db/operator\nexit code 0\n", [])
    assert call("resume", "acme.db", kubeconfig=there.kubeconfig).code == 3
    done = call("resume", "acme.db", "--yes", kubeconfig=there.kubeconfig)
    assert done.both == "  ~ HelmRelease acme-db/operator\n✓ Resumed HelmRelease acme-db/operator\nexit code 0\n"
    release = there.get("HelmRelease", "operator", "acme-db")
    assert "suspend" not in release["spec"]
    assert list(release["metadata"]["annotations"]) == ["reconcile.fluxcd.io/requestedAt"]


def test_what_is_not_held_is_left_alone(there: Cluster) -> None:
    there.put(RELEASE % "false")
    result = call("resume", "acme.db", "--yes", kubeconfig=there.kubeconfig)
    assert (result.both, there.seen) == ("No release of acme.db is held\nexit code 0\n", [])


def test_a_release_that_changes_meanwhile_is_not_resumed(there: Cluster) -> None:
    there.put(RELEASE % "true")
    there.answers("PATCH", "helmreleases/operator", 409, "Conflict", "the object has been modified")
    result = call("resume", "acme.db", "--yes", kubeconfig=there.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (
        5,
        "cozypkg: HelmRelease acme-db/operator has changed meanwhile; look again",
    )


@pytest.mark.parametrize(
    ("config", "user"),
    [
        (ClusterConfig("https://a:1", ca_data=b"ca", token="t"), {"token": "t"}),
        (ClusterConfig("https://a:1", client_cert_data=b"c", client_key_data=b"k"), None),
        (ClusterConfig("https://a:1", insecure_skip_tls_verify=True, username="u", password="p"), None),
        (ClusterConfig("https://a:1", tls_server_name="b", token_file=Path("/run/token")), {"tokenFile": "/run/token"}),
        (
            ClusterConfig("https://a:1", exec=ExecConfig("client.authentication.k8s.io/v1", "login", ("-x",), {"A": "1"})),
            None,
        ),
    ],
)
def test_helm_talks_to_the_same_cluster_as_the_same_user(config: ClusterConfig, user: Any, tmp_path: Path) -> None:
    path = write_kubeconfig(config, tmp_path)
    read = load_config(path, None, {})
    same = ("server", "ca_data", "insecure_skip_tls_verify", "tls_server_name", "client_cert_data", "client_key_data")
    for name in (*same, "username", "password"):
        assert getattr(read, name) == getattr(config, name)
    assert (read.exec is None) == (config.exec is None)
    if read.exec is not None and config.exec is not None:
        assert (read.exec.command, read.exec.args, read.exec.env) == (config.exec.command, config.exec.args, config.exec.env)
    if user is not None:
        assert yaml.load(path.read_bytes())["users"][0]["user"] == user
    assert path.stat().st_mode & 0o077 == 0
