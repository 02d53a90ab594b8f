"""A platform from its installation to its end, on a cluster of its own: updates, one that fails, one taken back, teardown.

The stages are those of ``tests/scenarios``. Every test begins with a platform that is installed, whatever came before it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cozystack.api import names
from cozystack.helm import Target, open_helm
from e2e.client import Cluster, started
from e2e.ground import Ground
from e2e.platform import RELEASE
from support.sandbox import environment
from support.scenarios import Version, packages, version
from support.stages import is_ready, update_that_fails_and_is_repaired, update_that_is_taken_back, update_with_a_step

FINALIZER = "operator.cozystack.io/ordered-deletion"
REFUSAL = "cozypkg teardown removes the whole platform. To delete this object alone, take its label off first: kubectl label "
GUARDED = {
    "namespace/cozy-system": "namespaces cozy-system",
    "namespace/tenant-root": "namespaces tenant-root",
    "crd/packages.cozystack.io": "customresourcedefinitions.apiextensions.k8s.io packages.cozystack.io",
    "configmap/cozystack-version": "configmaps cozystack-version --namespace=cozy-system",
    "configmap/cozystack-migrations": "configmaps cozystack-migrations --namespace=cozy-system",
    "ocirepository/cozystack-packages": "ocirepositories.source.toolkit.fluxcd.io cozystack-packages --namespace=cozy-system",
    "clusterissuer/selfsigned-cluster-issuer": "clusterissuers.cert-manager.io selfsigned-cluster-issuer",
}


class Life:
    """The cluster, and the version that is installed on it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.ground = Ground(cluster)
        self.version = Version(folder / "first")
        self.is_installed = False

    def install(self) -> tuple[Version, Ground]:
        """Unless it is."""
        if not self.is_installed:
            assert is_ready(self.version.up(self.ground))
            self.is_installed = True
        return self.version, self.ground

    def teardown(self, *arguments: str) -> subprocess.Popen[str]:
        """``cozypkg teardown`` as a person calls it."""
        program = [
            sys.executable,
            "-m",
            "cozystack.cozypkg.main",
            "teardown",
            "--kubeconfig",
            str(self.cluster.state.kubeconfig),
        ]
        context = self.cluster.kubectl("config", "current-context").stdout.strip()
        command = [*program, "--confirm", context, *arguments]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    with started(tmp_path_factory.mktemp("life"), node=True) as cluster:
        yield Life(cluster, tmp_path_factory.mktemp("versions"))


def test_a_platform_comes_up_from_nothing(life: Life) -> None:
    _, ground = life.install()
    assert len(packages(ground)) > 20
    assert version(ground) == str(life.version.number)


def test_a_step_runs_before_any_component_moves(life: Life, tmp_path: Path) -> None:
    life.version = update_with_a_step(*life.install(), tmp_path / "second")


def test_a_step_that_fails_keeps_everything_where_it_is_until_it_is_repaired(life: Life, tmp_path: Path) -> None:
    life.version = update_that_fails_and_is_repaired(*life.install(), tmp_path, retries=0)


def test_the_old_artifact_brings_the_old_packages_back_and_leaves_the_version(life: Life, tmp_path: Path) -> None:
    life.version = update_that_is_taken_back(*life.install(), tmp_path / "second")


def test_what_the_platform_cannot_do_without_is_guarded_from_people_and_not_from_flux(life: Life) -> None:
    """packages-G1"""
    life.install()
    cluster = life.cluster
    for guarded, named in GUARDED.items():
        refused = cluster.kubectl("-n", names.SYSTEM_NAMESPACE, "delete", guarded, check=False)
        assert f"{REFUSAL}{named} {names.NO_DELETE_LABEL}-" in refused.stderr
    package = "package/cozystack.cert-manager"
    for enabled in (False, True):
        patch = f'{{"spec": {{"components": {{"cert-manager-issuers": {{"enabled": {str(enabled).lower()}}}}}}}}}'
        cluster.kubectl("patch", package, "--type=merge", "-p", patch)
        waited = "--for=create" if enabled else "--for=delete"
        cluster.kubectl("wait", waited, "clusterissuer/selfsigned-cluster-issuer", "--timeout=100s")
    cluster.kubectl("wait", "--for=condition=Ready", package, "--timeout=100s")


def test_the_installer_is_uninstalled_by_helm_and_installed_again(life: Life) -> None:
    """Nothing of it is guarded; what it leaves behind is free of the operator, and the next one takes it over as it is."""
    _, ground = life.install()
    there = packages(ground)
    asyncio.run(uninstalled(life.cluster))
    finalizers = [package["metadata"].get("finalizers", []) for package in ground.stored("cozystack.io/packages")]
    assert [found for found in finalizers if FINALIZER in found] == []
    assert packages(ground) == there
    assert is_ready(life.version.up(ground))


def test_a_teardown_that_was_killed_goes_on_and_leaves_a_cluster_for_another_platform(life: Life) -> None:
    life.install()
    assert killed_at(life, "Deleted Package cozystack.metrics-server") == -signal.SIGKILL
    process = life.teardown("--all")
    _, said = process.communicate(timeout=300)
    assert (process.returncode, said.splitlines()[-1]) == (0, "The platform is gone"), said
    life.is_installed = False
    found = life.cluster.kubectl("get", "namespaces,crds,clusterroles,clusterrolebindings", "-o", "name").stdout.split()
    found += life.cluster.kubectl("get", "validatingadmissionpolicies", "-o", "name").stdout.split()
    assert [name for name in found if "cozy" in name or "flux" in name] == ["namespace/cozy-public"]
    _, ground = life.install()
    assert version(ground) == str(life.version.number)


async def uninstalled(cluster: Cluster) -> None:
    helm = await open_helm("auto", state=cluster.state.folder / "helm")
    try:
        await helm.uninstall(Target(RELEASE, names.SYSTEM_NAMESPACE, str(cluster.state.kubeconfig), timeout=120.0))
    finally:
        await helm.close()


def killed_at(life: Life, text: str) -> int:
    """Kill the program when it says ``text``; its exit code."""
    with life.teardown() as process:
        assert process.stderr is not None
        for line in process.stderr:
            if text in line:
                os.kill(process.pid, signal.SIGKILL)
                break
        return process.wait(60)
