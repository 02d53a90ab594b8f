from __future__ import annotations

from support.acme import PLATFORM, SOURCES
from support.cluster import Cluster
from support.cozypkg import call


def test_what_was_exported_is_the_same_on_another_cluster(cluster: Cluster) -> None:
    exported = call("export", "-f", "-", stdin=PLATFORM).out
    cluster.put(SOURCES)
    assert call("import", "-", "-y", stdin=exported, kubeconfig=cluster.kubeconfig).both == (
        "ACTION   NAME        VARIANT   CHOSEN     BECAUSE\n"
        "create   acme.crds   default   as asked   asked for\n"
        "create   acme.db     default   as asked   asked for\n"
        "create   acme.app    default   as asked   asked for\n"
        "✓ Added Package acme.crds\n"
        "✓ Added Package acme.db\n"
        "✓ Added Package acme.app\n"
        "exit code 0\n"
    )
    assert call("export", kubeconfig=cluster.kubeconfig).out == exported
    again = call("import", "-", stdin=exported, kubeconfig=cluster.kubeconfig)
    assert again.both == "everything is installed already\nexit code 0\n"


def test_what_differs_becomes_as_it_is_in_the_file_also_after_set(cluster: Cluster) -> None:
    cluster.put(SOURCES)
    exported = call("export", "-f", "-", stdin=PLATFORM).out
    assert call("import", "-", "-y", stdin=exported, kubeconfig=cluster.kubeconfig).code == 0
    changed = call("set", "acme.db", "--enable", "seed", "--set", "operator.a=1", "-y", kubeconfig=cluster.kubeconfig)
    assert changed.code == 0
    result = call("import", "-", "-y", stdin=exported, kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (0, "✓ Updated Package acme.db")
    assert call("export", kubeconfig=cluster.kubeconfig).out == exported


def test_what_is_needed_beside_the_files_is_added(cluster: Cluster) -> None:
    cluster.put(SOURCES)
    only = "apiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata: {name: acme.db}\n"
    result = call("import", "-", "--dry-run", "-o", "name", stdin=only, kubeconfig=cluster.kubeconfig)
    assert result.out == "acme.crds\nacme.db\n"
    alone = call("import", "-", "--dry-run", "--no-deps", "-o", "name", stdin=only, kubeconfig=cluster.kubeconfig)
    assert alone.out == "acme.db\n"


def test_a_package_whose_source_is_not_there_is_named(cluster: Cluster) -> None:
    only = "apiVersion: cozystack.io/v1alpha1\nkind: Package\nmetadata: {name: acme.db}\n"
    assert call("import", "-", "-y", stdin=only, kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: there is no PackageSource acme.db\nexit code 1\n"
    )
    assert call("import").code == 64
