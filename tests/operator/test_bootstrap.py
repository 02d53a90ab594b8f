"""From a bare cluster to one where packages can be installed, by the real operator and on virtual time."""

from __future__ import annotations

import asyncio
import copy
from random import Random

import pytest

from cozystack.api import names
from cozystack.api.crds import crds
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    GIT_REPOSITORIES,
    LEASES,
    OCI_REPOSITORIES,
    PACKAGE_SOURCES,
)
from cozystack.operator.bootstrap import keep_what_is_there
from cozystack.operator.fluxinstall import FLUX_VERSION, flux_crds
from cozystack.operator.main import LEASE
from cozystack.runtime import LeaderElector
from support.operator import Obj, Running, World, available_flux, plain

PLATFORM = (
    "--install-crds",
    "--install-flux",
    "--platform-source-url=oci://registry.example.org/packages",
    "--platform-source-ref=tag=v1",
)
DEPLOYMENT = "cozy-fluxcd/flux"
SOURCE = "cozy-system/cozystack-platform"
PLATFORM_SOURCE = "cozystack.cozystack-platform"
INVENTORY_MADE = ("configmaps/cozystack-operator-installed", "cozy-system/configmaps")
"""It is looked for by a patch, and made when it is not there."""


def kinds(writes: list[str]) -> list[str]:
    """What was written, as plural/name, in order."""
    return ["/".join(line.split("/")[-2:]) for line in writes]


def led(world: World, *flags: str, place: str, process: int) -> Running:
    """An operator that waits for the lease first; its identity begins with its place, as that of the program."""
    operator, wire = world.operator(*flags, "--leader-elect")
    elector = LeaderElector(
        operator.client,
        namespace=names.SYSTEM_NAMESPACE,
        name=LEASE,
        identity=f"{place}_{process}",
        clock=world.clock,
        random=Random(process),  # noqa: S311
        place=f"{place}_",
    )
    return world.running(operator, wire, asyncio.ensure_future(elector.run(operator.run)))


async def crd(world: World, name: str) -> Obj:
    return await world.get(CUSTOM_RESOURCE_DEFINITIONS, name)


async def change_crd(world: World, name: str, *, version: str, annotations: Obj | None = None) -> Obj:
    """Somebody else's CRD: one more property in our version, and one more version."""
    live = await crd(world, name)
    ours = copy.deepcopy(live["spec"]["versions"][0])
    ours["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["colour"] = {"type": "string"}
    other = {**copy.deepcopy(ours), "name": version, "storage": False}
    patch: Obj = {"spec": {"versions": [ours, other]}}
    if annotations is not None:
        patch["metadata"] = {"annotations": annotations}
    await world.edit(CUSTOM_RESOURCE_DEFINITIONS, name, patch)
    return await crd(world, name)


async def test_a_bare_cluster_gets_crds_then_flux_then_the_platforms_source_then_its_package_source(bare: World) -> None:
    running = bare.start(*PLATFORM)
    await bare.settle(1)
    assert running.operator.bootstrap.done
    flux = sorted(crd["metadata"]["name"] for crd in flux_crds())
    assert kinds(running.writes) == [
        *(f"customresourcedefinitions/{crd['metadata']['name']}" for crd in crds()),
        *(f"customresourcedefinitions/{name}" for name in flux),
        *INVENTORY_MADE,
        "namespaces/cozy-fluxcd",
        "resourcequotas/flux",
        "serviceaccounts/flux",
        "clusterroles/flux-view",
        "clusterrolebindings/flux",
        "services/flux",
        "deployments/flux",
        "configmaps/cozystack-operator-installed",
        "ocirepositories/cozystack-platform",
        f"packagesources/{PLATFORM_SOURCE}",
        f"artifactgenerators/{PLATFORM_SOURCE}",
        f"{PLATFORM_SOURCE}/status",
    ]


async def test_what_is_there_already_is_not_written_again(bare: World) -> None:
    first = bare.start(*PLATFORM)
    await bare.settle(5)
    await first.stop()
    second = bare.start(*PLATFORM)
    await bare.settle(60)
    assert second.operator.bootstrap.done
    assert second.writes == []


async def test_without_the_flags_nothing_is_installed(bare: World) -> None:
    running = bare.start()
    await bare.settle(1)
    assert running.operator.bootstrap.done
    assert running.writes == []


async def test_without_install_crds_the_package_source_of_the_platform_is_left_to_others(world: World) -> None:
    running = world.start(PLATFORM[2])
    await world.settle(1)
    assert kinds(running.writes) == [*INVENTORY_MADE, "ocirepositories/cozystack-platform"]


async def test_a_step_that_fails_is_tried_again_until_it_succeeds_and_what_follows_waits() -> None:
    """Weakness operator-B2."""
    world = World()
    running = world.start(*PLATFORM)
    await world.settle(40)
    done = [running.operator.bootstrap.done]
    assert [line for line in kinds(running.writes) if line.startswith("packagesources")] == []
    await world.found()
    await world.settle(40)
    assert [*done, running.operator.bootstrap.done] == [False, True]
    assert kinds(running.writes)[-3:] == [
        f"packagesources/{PLATFORM_SOURCE}",
        f"artifactgenerators/{PLATFORM_SOURCE}",
        f"{PLATFORM_SOURCE}/status",
    ]
    await world.close()


async def test_nothing_is_installed_before_the_lease_is_held(bare: World) -> None:
    """Weakness operator-B1."""
    first = led(bare, *PLATFORM, place="a", process=1)
    await bare.settle(5)
    second = led(bare, *PLATFORM, place="b", process=2)
    await bare.settle(120)
    assert first.operator.bootstrap.done
    assert not second.operator.leading
    assert {line.rpartition("/")[2] for line in second.wire.sent} == {LEASE}
    await first.stop()
    await bare.settle(10)
    assert second.operator.bootstrap.done
    assert [line for line in second.writes if "/leases" not in line] == []


async def test_the_lease_of_a_dead_container_of_the_same_pod_is_taken_over_at_once(bare: World) -> None:
    first = led(bare, *PLATFORM, place="a", process=1)
    await bare.settle(5)
    await first.kill()
    second = led(bare, *PLATFORM, place="a", process=2)
    await bare.settle(0.1)
    assert second.operator.bootstrap.done
    lease = await bare.get(LEASES, f"{names.SYSTEM_NAMESPACE}/{LEASE}")
    assert lease["spec"]["leaseTransitions"] == 1


async def test_a_crd_that_a_newer_operator_installed_is_left_as_it_is(bare: World) -> None:
    newer = bare.start(*PLATFORM, version="v2.0.0")
    await bare.settle(5)
    await newer.stop()
    before = await change_crd(bare, "packages.cozystack.io", version="v1")
    older = bare.start(*PLATFORM, version="v1.9.9")
    await bare.settle(5)
    assert older.operator.bootstrap.done
    assert await crd(bare, "packages.cozystack.io") == before
    assert older.writes == []


async def test_a_newer_operator_marks_the_crds_as_its_own(bare: World) -> None:
    older = bare.start(*PLATFORM, version="v1.9.9")
    await bare.settle(5)
    await older.stop()
    newer = bare.start(*PLATFORM, version="v2.0.0")
    await bare.settle(5)
    assert kinds(newer.writes) == [f"customresourcedefinitions/{crd['metadata']['name']}" for crd in crds()]
    live = await crd(bare, "packages.cozystack.io")
    assert live["metadata"]["annotations"]["operator.cozystack.io/version"] == "v2.0.0"


@pytest.mark.parametrize("name", ["packages.cozystack.io", "helmreleases.helm.toolkit.fluxcd.io"])
async def test_no_served_version_and_no_property_of_a_crd_is_taken_away(bare: World, name: str) -> None:
    first = bare.start(*PLATFORM)
    await bare.settle(5)
    await first.stop()
    before = await change_crd(bare, name, version="v9")
    await bare.edit(CUSTOM_RESOURCE_DEFINITIONS, name, {"metadata": {"annotations": {"operator.cozystack.io/version": None}}})
    second = bare.start(*PLATFORM)
    await bare.settle(5)
    assert second.operator.bootstrap.done
    assert (await crd(bare, name))["spec"] == before["spec"]
    await second.stop()
    third = bare.start(*PLATFORM)
    await bare.settle(5)
    assert third.writes == []


async def test_a_property_of_ours_that_was_lost_comes_back(bare: World) -> None:
    first = bare.start(*PLATFORM)
    await bare.settle(5)
    await first.stop()
    whole = await crd(bare, "packages.cozystack.io")
    versions = copy.deepcopy(whole["spec"]["versions"])
    del versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["variant"]
    await bare.edit(CUSTOM_RESOURCE_DEFINITIONS, "packages.cozystack.io", {"spec": {"versions": versions}})
    bare.start(*PLATFORM)
    await bare.settle(5)
    assert (await crd(bare, "packages.cozystack.io"))["spec"] == whole["spec"]


def test_versions_that_objects_are_stored_in_stay_even_unserved() -> None:
    def version(name: str, *, served: bool, storage: bool) -> Obj:
        return {"name": name, "served": served, "storage": storage}

    ours = {"spec": {"versions": [version("v1", served=True, storage=True)]}}
    live = {
        "spec": {
            "versions": [
                version("v1alpha1", served=False, storage=False),
                version("v1alpha2", served=False, storage=False),
                version("v1beta1", served=True, storage=True),
            ]
        },
        "status": {"storedVersions": ["v1alpha2", "v1beta1"]},
    }
    assert keep_what_is_there(ours, live)["spec"]["versions"] == [
        version("v1", served=True, storage=True),
        version("v1alpha2", served=False, storage=False),
        version("v1beta1", served=True, storage=False),
    ]


async def test_a_newer_flux_is_left_as_it_is(bare: World) -> None:
    first = bare.start(*PLATFORM)
    await bare.settle(5)
    await first.stop()
    label = {"metadata": {"labels": {"app.kubernetes.io/version": "v99.0.0"}}}
    await bare.edit(DEPLOYMENTS, DEPLOYMENT, {**label, "spec": {"replicas": 3}})
    before = await bare.get(DEPLOYMENTS, DEPLOYMENT)
    second = bare.start(*PLATFORM)
    await bare.settle(5)
    assert second.writes == []
    assert await bare.get(DEPLOYMENTS, DEPLOYMENT) == before


async def test_crds_of_a_newer_flux_are_left_as_they_are_though_it_was_installed_elsewhere(bare: World) -> None:
    first = bare.start(*PLATFORM)
    await bare.settle(5)
    await first.stop()
    name = "helmreleases.helm.toolkit.fluxcd.io"
    await change_crd(bare, name, version="v3")
    await bare.edit(CUSTOM_RESOURCE_DEFINITIONS, name, {"metadata": {"labels": {"app.kubernetes.io/version": "v99.0.0"}}})
    before = await crd(bare, name)
    await bare.delete(DEPLOYMENTS, DEPLOYMENT)
    second = bare.start(*PLATFORM)
    await bare.settle(5)
    assert kinds(second.writes) == ["deployments/flux"]
    assert await crd(bare, name) == before


async def test_what_others_changed_in_flux_is_put_right_and_what_they_added_stays(bare: World) -> None:
    first = bare.start(*PLATFORM)
    await bare.settle(5)
    await first.stop()
    live = await bare.get(DEPLOYMENTS, DEPLOYMENT)
    whole = live["spec"]["template"]["spec"]["containers"]
    sidecar = {"name": "sidecar", "image": "registry.example.org/sidecar:v1"}
    changed = [{**whole[0], "image": "registry.example.org/other:v0"}, *whole[1:], sidecar]
    await bare.edit(DEPLOYMENTS, DEPLOYMENT, {"spec": {"template": {"spec": {"containers": changed}}}})
    second = bare.start(*PLATFORM)
    await bare.settle(5)
    assert kinds(second.writes) == ["deployments/flux"]
    images = {
        each["name"]: each["image"]
        for each in (await bare.get(DEPLOYMENTS, DEPLOYMENT))["spec"]["template"]["spec"]["containers"]
    }
    assert images == {**{each["name"]: each["image"] for each in whole}, "sidecar": "registry.example.org/sidecar:v1"}


async def test_the_platforms_source_follows_the_flags(bare: World) -> None:
    first = bare.start(*PLATFORM, "--platform-source-secret=pull")
    await bare.settle(5)
    assert (await bare.get(OCI_REPOSITORIES, SOURCE))["spec"] == {
        "url": "oci://registry.example.org/packages",
        "interval": "5m0s",
        "ref": {"tag": "v1"},
        "secretRef": {"name": "pull"},
        "provider": "generic",
        "timeout": "60s",
    }
    await first.stop()
    second = bare.start(*PLATFORM[:3], "--platform-source-ref=semver=>=2")
    await bare.settle(5)
    assert kinds(second.writes) == ["ocirepositories/cozystack-platform"]
    assert (await bare.get(OCI_REPOSITORIES, SOURCE))["spec"] == {
        "url": "oci://registry.example.org/packages",
        "interval": "5m0s",
        "ref": {"semver": ">=2"},
        "provider": "generic",
        "timeout": "60s",
    }


async def test_a_platform_that_moves_from_oci_to_git_takes_its_package_source_along(bare: World) -> None:
    first = bare.start(*PLATFORM)
    await bare.settle(5)
    await first.stop()
    bare.start("--install-crds", "--install-flux", "--platform-source-url=https://git.example.org/packages")
    await bare.settle(5)
    assert (await bare.get(GIT_REPOSITORIES, SOURCE))["spec"]["url"] == "https://git.example.org/packages"
    assert (await bare.get(PACKAGE_SOURCES, PLATFORM_SOURCE))["spec"]["sourceRef"] == {
        "kind": "GitRepository",
        "name": "cozystack-platform",
        "namespace": "cozy-system",
        "path": "/packages",
    }
    generator = await bare.get(ARTIFACT_GENERATORS, f"cozy-system/{PLATFORM_SOURCE}")
    assert [each["kind"] for each in generator["spec"]["sources"]] == ["GitRepository"]


async def test_what_others_hang_on_the_platforms_objects_stays(bare: World) -> None:
    """Weakness operator-B4."""
    first = bare.start(*PLATFORM)
    await bare.settle(5)
    await first.stop()
    await bare.edit(OCI_REPOSITORIES, SOURCE, {"metadata": {"labels": {"team": "a"}}, "spec": {"suspend": True}})
    before = await bare.get(OCI_REPOSITORIES, SOURCE)
    second = bare.start(*PLATFORM)
    await bare.settle(5)
    assert second.writes == []
    assert await bare.get(OCI_REPOSITORIES, SOURCE) == before


async def test_flux_is_looked_at_until_it_is_available_and_then_left_alone(bare: World) -> None:
    running = bare.start(*PLATFORM)
    await bare.settle(10)
    looks = running.counts["get", "deployments.apps"]
    await bare.settle(10)
    assert running.counts["get", "deployments.apps"] == looks + 5
    await bare.edit(DEPLOYMENTS, DEPLOYMENT, available_flux(), subresource="status")
    await bare.settle(10)
    sent = len(running.wire.sent)
    await bare.settle(60)
    assert running.wire.sent[sent:] == []


async def test_an_unversioned_flux_of_somebody_else_in_our_place_is_taken_over(bare: World) -> None:
    await bare.put(plain("v1", "Namespace", "cozy-fluxcd"))
    labels = {"app.kubernetes.io/name": "flux"}
    container = {"name": "notification-controller", "image": "registry.example.org/notification-controller:v1"}
    await bare.put(
        plain(
            "apps/v1",
            "Deployment",
            "flux",
            "cozy-fluxcd",
            spec={
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        )
    )
    bare.start(*PLATFORM)
    await bare.settle(5)
    live = await bare.get(DEPLOYMENTS, DEPLOYMENT)
    assert live["metadata"]["labels"]["app.kubernetes.io/version"] == FLUX_VERSION
    assert sorted(each["name"] for each in live["spec"]["template"]["spec"]["containers"]) == [
        "helm-controller",
        "notification-controller",
        "source-controller",
        "source-watcher",
    ]


async def test_the_version_of_a_crd_decides_by_itself(bare: World) -> None:
    """One CRD was left behind by an operator that stopped half way: only the older is brought up."""
    first = bare.start(*PLATFORM, version="v2.0.0")
    await bare.settle(5)
    await first.stop()
    mark = {"metadata": {"annotations": {"operator.cozystack.io/version": "v1.0.0"}}}
    await bare.edit(CUSTOM_RESOURCE_DEFINITIONS, "packagesources.cozystack.io", mark)
    second = bare.start(*PLATFORM, version="v1.5.0")
    await bare.settle(5)
    assert kinds(second.writes) == ["customresourcedefinitions/packagesources.cozystack.io"]
