"""What an older version installed and a newer one does not is removed: only that, and only when nobody uses it."""

from __future__ import annotations

import pytest

from cozystack.api import names
from cozystack.api.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    GIT_REPOSITORIES,
    NAMESPACES,
    OCI_REPOSITORIES,
    PACKAGE_SOURCES,
    untyped,
)
from cozystack.operator.inventory import INVENTORY
from support.operator import Obj, World, available_flux, component, json_of, key, plain, source

SERVICES = untyped("", "v1", "Service", "services")
ROLES = untyped("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
DEPLOYMENTS = untyped("apps", "v1", "Deployment", "deployments")
FLUX = ("--install-crds", "--install-flux")
OCI = "--platform-source-url=oci://registry.example.org/packages"
GIT = "--platform-source-url=https://git.example.org/packages"
SOURCE = "cozy-system/cozystack-platform"
OLD = "cozy-fluxcd/notification-controller"


async def installed(world: World) -> dict[str, list[str]]:
    """What is written down, by step."""
    data = (await world.get(CONFIG_MAPS, str(INVENTORY)))["data"]
    return {step: text.splitlines() for step, text in data.items()}


async def write_down(world: World, *lines: str) -> None:
    text = "".join(f"{line}\n" for line in sorted({*(await installed(world))["flux"], *lines}))
    await world.edit(CONFIG_MAPS, str(INVENTORY), {"data": {"flux": text}})


def old_service() -> Obj:
    return plain("v1", "Service", "notification-controller", "cozy-fluxcd", spec={"ports": [{"port": 80}]})


async def an_older_version(world: World) -> None:
    """Flux as it is now, with a Service and a role more."""
    first = world.start(*FLUX)
    await world.settle(1)
    await first.stop()
    role = plain("rbac.authorization.k8s.io/v1", "ClusterRole", "flux-old", rules=[])
    for resource, obj in ((SERVICES, old_service()), (ROLES, role)):
        await world.client.apply(resource, obj, manager=names.OPERATOR_MANAGER)
    await write_down(world, f"v1 Service {OLD}", "rbac.authorization.k8s.io/v1 ClusterRole flux-old")


async def test_operator_b7_what_is_not_installed_any_more_is_removed(bare: World) -> None:
    await an_older_version(bare)
    bare.start(*FLUX)
    await bare.settle(1)
    assert not await bare.exists(SERVICES, OLD)
    assert not await bare.exists(ROLES, "flux-old")
    assert await installed(bare) == {
        "flux": [
            "apps/v1 Deployment cozy-fluxcd/flux",
            "rbac.authorization.k8s.io/v1 ClusterRole flux-view",
            "rbac.authorization.k8s.io/v1 ClusterRoleBinding flux",
            "v1 ResourceQuota cozy-fluxcd/flux",
            "v1 Service cozy-fluxcd/flux",
            "v1 ServiceAccount cozy-fluxcd/flux",
        ]
    }


@pytest.mark.parametrize("requests", range(40))
async def test_operator_b7_a_crash_at_any_request_leaves_nothing_behind(bare: World, requests: int) -> None:
    await an_older_version(bare)
    bare.start(*FLUX, lives=requests)
    await bare.settle(1)
    bare.start(*FLUX)
    await bare.settle(60)
    assert not await bare.exists(SERVICES, OLD)
    assert "flux-old" not in str(await installed(bare))


async def test_operator_b7_no_crd_and_no_namespace_is_ever_removed(bare: World) -> None:
    await an_older_version(bare)
    await bare.client.apply(json_of(NAMESPACES), plain("v1", "Namespace", "cozy-old"), manager=names.OPERATOR_MANAGER)
    crd = "buckets.source.toolkit.fluxcd.io"
    await write_down(bare, "v1 Namespace cozy-old", f"apiextensions.k8s.io/v1 CustomResourceDefinition {crd}")
    bare.start(*FLUX)
    await bare.settle(60)
    assert await bare.exists(NAMESPACES, "cozy-old")
    assert await bare.exists(CUSTOM_RESOURCE_DEFINITIONS, crd)


async def test_operator_b7_what_somebody_else_has_made_in_its_place_stays(bare: World) -> None:
    await an_older_version(bare)
    await bare.delete(SERVICES, OLD)
    await bare.put(old_service())
    bare.start(*FLUX)
    await bare.settle(60)
    assert await bare.exists(SERVICES, OLD)


async def test_operator_b7_nothing_is_removed_by_an_older_version(bare: World) -> None:
    await an_older_version(bare)
    newer = {"metadata": {"labels": {"app.kubernetes.io/version": "v99.0.0"}}}
    await bare.edit(DEPLOYMENTS, "cozy-fluxcd/flux", newer)
    bare.start(*FLUX)
    await bare.settle(60)
    assert await bare.exists(SERVICES, OLD)


async def test_operator_b7_without_the_flag_what_was_installed_stays(bare: World) -> None:
    await an_older_version(bare)
    bare.start()
    await bare.settle(60)
    assert await bare.exists(SERVICES, OLD)


async def test_a_source_of_another_kind_takes_the_place_of_the_old_one(bare: World) -> None:
    first = bare.start(*FLUX, OCI)
    await bare.settle(1)
    await first.stop()
    assert await bare.exists(OCI_REPOSITORIES, SOURCE)
    second = bare.start(*FLUX, GIT)
    await bare.edit(DEPLOYMENTS, "cozy-fluxcd/flux", available_flux(), subresource="status")
    await bare.settle(60)
    assert not await bare.exists(OCI_REPOSITORIES, SOURCE)
    assert await bare.exists(GIT_REPOSITORIES, SOURCE)
    assert (await installed(bare))["platform-source"] == ["source.toolkit.fluxcd.io/v1 GitRepository " + SOURCE]
    await second.stop()
    third = bare.start(*FLUX, GIT)
    await bare.settle(600)
    assert third.writes == []


async def test_a_source_that_packages_still_come_from_stays_until_they_do_not(bare: World) -> None:
    first = bare.start(*FLUX, OCI)
    await bare.settle(1)
    await first.stop()
    user = source("acme.db", component("db", "acme-db"))
    user["spec"]["sourceRef"]["name"] = key(SOURCE).name
    await bare.put(user)
    bare.start(*FLUX, GIT)
    await bare.settle(600)
    assert await bare.exists(OCI_REPOSITORIES, SOURCE)
    await bare.delete(PACKAGE_SOURCES, "acme.db")
    await bare.settle()
    await bare.settle(1200)
    assert not await bare.exists(OCI_REPOSITORIES, SOURCE)


async def test_what_may_not_be_removed_holds_nothing_up(bare: World) -> None:
    await an_older_version(bare)
    running = bare.start(*FLUX)
    running.wire.refused[f"DELETE /api/v1/namespaces/cozy-fluxcd/services/{key(OLD).name}"] = (403, "Forbidden", "no")
    await bare.settle(60)
    assert (running.operator.bootstrap.done, running.task.done()) == (True, False)
    assert f"v1 Service {OLD}" in (await installed(bare))["flux"]
    running.wire.refused.clear()
    await bare.settle(1200)
    assert not await bare.exists(SERVICES, OLD)
