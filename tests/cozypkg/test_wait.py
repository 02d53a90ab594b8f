from __future__ import annotations

import json

from support.acme import PLATFORM, condition, release
from support.cluster import Cluster
from support.cozypkg import call


def test_it_ends_when_all_are_ready(cluster: Cluster) -> None:
    cluster.put(PLATFORM)

    async def everything_is_ready() -> None:
        for name in ("acme.crds", "acme.db"):
            await cluster.patch("Package", name, {"status": condition("Ready", "True")}, subresource="/status")

    cluster.when("GET", "packages", everything_is_ready, watch=True)
    assert call("wait", "acme.db", "acme.crds", kubeconfig=cluster.kubeconfig).both == (
        "acme.crds is ready\nacme.db is ready\nexit code 0\n"
    )


def test_when_the_time_is_over_it_says_what_each_waits_for(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    assert call("wait", "--all", "--timeout", "1ms", kubeconfig=cluster.kubeconfig).both == (
        "acme.app is ready\n"
        "acme.crds: unknown: the operator has not looked at it yet\n"
        "acme.db: failed: no room\n"
        "cozypkg: the time is over, and 2 Packages did not get there\n"
        "exit code 4\n"
    )
    ghost = call("wait", "ghost", "--timeout", "1ms", "-o", "json", kubeconfig=cluster.kubeconfig)
    assert (ghost.code, json.loads(ghost.out)) == (
        4,
        {"for": "ready", "reached": False, "waiting": {"ghost": "there is no such Package"}},
    )


def test_accepted_means_that_the_operator_has_understood_it(cluster: Cluster) -> None:
    cluster.put(PLATFORM)

    async def accepted() -> None:
        await cluster.patch("Package", "acme.db", {"status": condition("Accepted", "True")}, subresource="/status")

    cluster.when("GET", "packages", accepted, watch=True)
    result = call("wait", "acme.db", "--for", "accepted", "-o", "json", kubeconfig=cluster.kubeconfig)
    assert json.loads(result.out) == {"for": "accepted", "reached": True, "waiting": {}}


def test_deleted_means_that_its_releases_are_gone_as_well(cluster: Cluster) -> None:
    cluster.put(release("operator", "acme-db", "acme.db"))
    assert call("wait", "acme.db", "--for", "deleted", "--timeout", "1ms", kubeconfig=cluster.kubeconfig).both == (
        "acme.db: releases that are still there: acme-db/operator\n"
        "cozypkg: the time is over, and 1 Package did not get there\n"
        "exit code 4\n"
    )

    async def uninstalled() -> None:
        await cluster.delete("HelmRelease", "operator", namespace="acme-db")

    cluster.when("GET", "helmreleases", uninstalled, watch=True)
    assert call("wait", "acme.db", "--for", "deleted", kubeconfig=cluster.kubeconfig).both == "acme.db is gone\nexit code 0\n"


def test_a_package_that_nobody_deletes_is_not_waited_for_in_silence(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    result = call("wait", "acme.db", "--for", "deleted", "--timeout", "1ms", kubeconfig=cluster.kubeconfig)
    assert result.err.splitlines()[0] == "acme.db: it is not being deleted"


def test_a_refusal_is_said_at_once(cluster: Cluster) -> None:
    cluster.answers("GET", "/packages", 403, "Forbidden", "packages.cozystack.io is forbidden: nobody may list them")
    assert call("wait", "acme.db", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: the cluster does not allow it: packages.cozystack.io is forbidden: nobody may list them\nexit code 1\n"
    )


def test_names_or_all_and_not_both(cluster: Cluster) -> None:
    for arguments in (["wait"], ["wait", "a", "--all"], ["wait", "a", "--timeout", "soon"]):
        assert call(*arguments, kubeconfig=cluster.kubeconfig).code == 64
