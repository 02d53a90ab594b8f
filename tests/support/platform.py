"""A small platform as the operator leaves it, for golden tests: the real one ran on virtual time, with a Flux that reports.

Of its packages ``acme.crds`` comes from a bundle and is ready, ``acme.net`` was pulled in and is ready, ``acme.db`` fails
because an image cannot be pulled, ``acme.app`` waits for it, ``acme.logs`` is paused, ``acme.stuck`` is being deleted and held
by a foreign finalizer, ``acme.old`` has lost its PackageSource. ``acme.cache`` and ``acme.web`` are offered and not installed.
"""

from __future__ import annotations

from cozystack.api.resources import HELM_RELEASES, OCI_REPOSITORIES, PACKAGE_SOURCES, PACKAGES, untyped
from cozystack.apiserver.storage import Storage
from support.operator import Obj, World, available_flux, component, condition_of, owner_of, package, plain, source

CHARTS = {"kind": "OCIRepository", "name": "charts", "namespace": "cozy-system"}
_BUNDLE = {"meta.helm.sh/release-name": "cozystack-platform", "meta.helm.sh/release-namespace": "cozy-system"}
_DEPENDENCY = {"operator.cozystack.io/installed-as": "dependency"}
_IMAGE = "registry.example.org/db:v9"


def offered() -> list[Obj]:
    """The PackageSources."""
    net = source("acme.net")
    net["spec"]["variants"] = [
        {"name": "none"},
        {"name": "flannel", "dependsOn": ["acme.crds"], "components": [component("flannel", "acme-net", privileged=True)]},
        {"name": "calico-with-long-name", "dependsOn": ["acme.crds"], "components": [component("calico", "acme-net")]},
    ]
    database = [component("operator", "acme-db"), component("db", "acme-db", dependsOn=["operator"])]
    database[1]["valuesFiles"] = ["values.yaml", "values-small.yaml"]
    db = source("acme.db", *database, depends_on=["acme.net"])
    db["spec"]["variants"].append(
        {"name": "ha", "dependsOn": ["acme.net", "acme.cache"], "components": [*database, component("tool")]}
    )
    cache = source("acme.cache")
    cache["spec"]["variants"] = [
        {"name": size, "components": [component("cache", "acme-cache")]} for size in ("small", "large")
    ]
    return [
        source("acme.crds", component("crds", "acme-crds")),
        net,
        db,
        cache,
        source("acme.app", component("app", "acme-app"), depends_on=["acme.db"]),
        source("acme.web", component("web", "acme-web"), depends_on=["acme.app"]),
        source("acme.logs", component("logs", "acme-logs")),
        source("acme.stuck", component("stuck", "acme-stuck")),
        source("acme.old", component("old", "acme-old")),
    ]


def wanted() -> list[Obj]:
    """The Packages."""
    bundled = package("acme.crds")
    bundled["metadata"] |= {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": dict(_BUNDLE)}
    pulled_in = package("acme.net", variant="flannel")
    pulled_in["metadata"]["annotations"] = dict(_DEPENDENCY)
    db = package("acme.db", components={"db": {"values": {"replicas": 1, "adminPassword": "hunter2"}}})
    return [bundled, pulled_in, db, package("acme.app"), *map(package, ("acme.logs", "acme.stuck", "acme.old"))]


async def platform() -> Storage:
    """The store of such a cluster."""
    world = World()
    await world.furnish()
    world.start()
    try:
        await world.put(*offered(), *wanted())
        await _fetched(world)
        await world.settle()
        await world.flux.build(*(each["metadata"]["name"] for each in offered()))
        for _ in range(3):
            await world.settle(1)
            there = await world.names(HELM_RELEASES)
            await world.flux.deploy(*(name for name in there if name != "acme-db/db"))
        await world.flux.fail("acme-db/db", "Helm install failed: timed out waiting for the condition")
        await world.put(*_objects())
        await _broken_pod(world)
        await world.edit(PACKAGES, "acme.logs", {"metadata": {"annotations": {"operator.cozystack.io/paused": "true"}}})
        await world.edit(HELM_RELEASES, "acme-stuck/stuck", {"metadata": {"finalizers": ["example.org/hold"]}})
        await world.delete(PACKAGES, "acme.stuck")
        await world.delete(PACKAGE_SOURCES, "acme.old")
        await world.settle(60)
        assert condition_of(await world.status("acme.net"), "Ready")[0] == "True"
        return world.backup()
    finally:
        await world.close()


async def _fetched(world: World) -> None:
    artifact = {"revision": "v1@sha256:abc", "digest": "sha256:abc", "url": "http://flux.example.org/charts.tar.gz"}
    status = {"artifact": {**artifact, "path": "charts.tar.gz", "lastUpdateTime": "2026-01-01T00:00:00Z"}}
    await world.edit(OCI_REPOSITORIES, "cozy-system/charts", {"status": status}, subresource="status")


def _objects() -> list[Obj]:
    release = {"meta.helm.sh/release-name": "db", "meta.helm.sh/release-namespace": "acme-db"}
    labels = {"app": "db"}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "db", "image": _IMAGE}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": pods}
    operator = {"name": "operator", "image": "registry.example.org/operator:v1", "args": ["--install-flux=true"]}
    template = {"metadata": {"labels": {"app": "cozystack-operator"}}, "spec": {"containers": [operator]}}
    running = {"replicas": 1, "selector": {"matchLabels": {"app": "cozystack-operator"}}, "template": template}
    return [
        plain("apps/v1", "Deployment", "db", "acme-db", annotations=release, spec=spec),
        plain("apps/v1", "Deployment", "cozystack-operator", "cozy-system", spec=running),
    ]


async def _broken_pod(world: World) -> None:
    deployments, pods = untyped("apps", "v1", "Deployment", "deployments"), untyped("", "v1", "Pod", "pods")
    pod = plain("v1", "Pod", "db-0", "acme-db", spec={"containers": [{"name": "db", "image": _IMAGE}]})
    pod["metadata"]["ownerReferences"] = [owner_of(await world.get(deployments, "acme-db/db"), "apps/v1", "Deployment")]
    await world.put(pod)
    waiting = {"reason": "ImagePullBackOff", "message": f"{_IMAGE}: not found"}
    container = {"name": "db", "image": _IMAGE, "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}
    status = {"phase": "Pending", "containerStatuses": [container]}
    await world.edit(pods, "acme-db/db-0", {"status": status}, subresource="status")
    await world.edit(deployments, "acme-db/db", {"status": {"replicas": 1, "updatedReplicas": 1}}, subresource="status")
    await world.edit(deployments, "cozy-system/cozystack-operator", available_flux(), subresource="status")
