from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cozystack.api.meta import Key
from cozystack.api.resources import ARTIFACT_GENERATORS, EXTERNAL_ARTIFACTS, OCI_REPOSITORIES, PACKAGES
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.upgrading import Seen, follow_upgrade, starting_from
from cozystack.kube import Client
from cozystack.kube.transport import ResponseStream
from support.acme import PLATFORM, condition
from support.cluster import Cluster
from support.cozypkg import call
from support.inprocess import InProcess
from support.operator import PUBLISHED, Obj, World, component, package, source

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


PLATFORM_SOURCES = """\
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: cozystack-platform, namespace: cozy-system}
spec: {url: "oci://registry.acme.test/platform", interval: 5m, ref: {tag: v1}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: cozystack-packages, namespace: cozy-system}
spec: {url: "oci://registry.acme.test/platform", interval: 5m, ref: {tag: v1, digest: "sha256:0"}}
"""


@pytest.mark.parametrize("named", [["acme.db"], []])
def test_packages_of_the_platform_move_after_its_migrations_and_never_by_themselves(named: list[str], cluster: Cluster) -> None:
    cluster.put(PLATFORM.replace("name: acme, namespace", "name: cozystack-packages, namespace") + PLATFORM_SOURCES)
    done = call("upgrade", *named, "--to", "v2", "-y", kubeconfig=cluster.kubeconfig)
    assert done.err.splitlines()[-2:] == [
        "✓ Asked OCIRepository cozy-system/cozystack-packages",
        "✓ Changed OCIRepository cozy-system/cozystack-platform",
    ]
    assert cluster.get("OCIRepository", "cozystack-platform", "cozy-system")["spec"]["ref"] == {"tag": "v2"}
    copied = cluster.get("OCIRepository", "cozystack-packages", "cozy-system")
    assert copied["spec"]["ref"] == {"tag": "v1", "digest": "sha256:0"}


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
        await answer(cluster, "True", "stored")

    async def ready() -> None:
        await cluster.patch("Package", "acme.db", {"status": condition("Ready", "True")}, subresource="/status")

    cluster.when("GET", "ocirepositories", looked, watch=True)
    cluster.when("GET", "/packages", ready, watch=True)
    result = call("upgrade", "-y", "--wait", "--timeout", "30s", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (0, "acme.db is ready")
    late = call("upgrade", "-y", "--wait", "--timeout", "1ms", kubeconfig=cluster.kubeconfig)
    assert (late.code, late.err.splitlines()[-2:]) == (
        4,
        [
            "OCIRepository cozy-system/acme: it is being fetched",
            "cozypkg: the time is over, and Flux has not fetched the version",
        ],
    )


def test_a_version_that_cannot_be_fetched_ends_the_waiting_at_once(cluster: Cluster) -> None:
    cluster.put(PLATFORM + REPOSITORY)

    async def looked() -> None:
        await answer(cluster, "False", "GET https://registry.acme.test/v2/packages/manifests/v9:\nMANIFEST_UNKNOWN")

    cluster.when("GET", "ocirepositories", looked, watch=True)
    result = call("upgrade", "-y", "--to", "v9", "--wait", "--timeout", "30s", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (
        1,
        "cozypkg: OCIRepository cozy-system/acme cannot be fetched: "
        "GET https://registry.acme.test/v2/packages/manifests/v9: MANIFEST_UNKNOWN",
    )


async def answer(cluster: Cluster, status: str, message: str) -> None:
    """Let Flux have looked at what was asked for."""
    repository = await cluster.read("OCIRepository", "acme", namespace="cozy-system")
    asked = repository["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"]
    generation = repository["metadata"]["generation"]
    handled = {**condition("Ready", status, message), "observedGeneration": generation, "lastHandledReconcileAt": asked}
    await cluster.patch("OCIRepository", "acme", {"status": handled}, subresource="/status", namespace="cozy-system")


async def test_a_package_that_runs_the_old_charts_is_not_done() -> None:
    """Its condition says ready all the while: first it has to be built from the new version, then to run it."""
    async with following(source("acme.db", component("db", "acme-db")), package("acme.db")) as (world, waiting):
        await fetched(world, "v2@sha256:2")
        assert await missing(waiting) == {"acme.db": "its charts are being built"}
        # An operator that is late has not said so on the Package yet.
        await world.operators[0].stop()
        await world.flux.build("acme.db", content="2")
        await seen(world, "acme.db", "sha256:of-v2")
        assert await missing(waiting) == {"acme.db": "HelmRelease acme-db/db does not run its new chart yet"}
        world.start()
        await world.settle(PUBLISHED)
        assert await missing(waiting) == {"acme.db": "progressing: 0 of 1 releases are ready"}
        await world.flux.deploy("acme-db/db")
        await world.settle(PUBLISHED)
        assert await missing(waiting) == {}


async def test_a_version_that_changes_nothing_is_not_waited_for() -> None:
    async with following(source("acme.db", component("db", "acme-db")), package("acme.db")) as (world, waiting):
        await fetched(world, "v1@sha256:1")
        assert await missing(waiting) == {}


class Deaf(InProcess):
    """A transport whose watches of charts never say anything."""

    @asynccontextmanager
    async def stream(self, method: str, path: str, **more: Any) -> AsyncIterator[ResponseStream]:
        async with super().stream(method, path, **more) as answer:
            deaf = path.endswith(EXTERNAL_ARTIFACTS.plural) and "watch" in more.get("query", {})
            yield ResponseStream(answer.status, answer.headers, _nothing()) if deaf else answer


async def _nothing() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def test_watches_that_are_not_in_step_do_not_end_the_waiting() -> None:
    """The generator is seen to be done, and its chart is not seen to be new."""
    async with following(source("acme.db", component("db", "acme-db")), package("acme.db")) as (world, _):
        places = [("OCIRepository", Key("cozy-system", "charts"))]
        upgrade = await starting_from(world.client, places, "now", ("acme.db",))
        client = Client(Deaf(world.server), clock=world.clock)
        waiting = asyncio.ensure_future(follow_upgrade(client, upgrade, timeout=600))
        await world.settle()
        await fetched(world, "v2@sha256:2")
        await world.flux.build("acme.db", content="2")
        await seen(world, "acme.db", "sha256:of-v2")
        await world.settle(10)
        assert not waiting.done()
        await world.flux.deploy("acme-db/db")
        await world.settle(PUBLISHED)
        await world.settle(10)
        assert (await waiting).missing == {}


async def test_a_package_that_the_version_takes_away_is_not_waited_for() -> None:
    async with following(source("acme.db", component("db", "acme-db")), package("acme.db")) as (world, waiting):
        await fetched(world, "v1@sha256:1")
        await world.delete(PACKAGES, "acme.db")
        await world.settle(PUBLISHED)
        assert (await waiting()).missing == {}


async def test_charts_that_cannot_be_built_end_the_waiting() -> None:
    async with following(source("acme.db", component("db", "acme-db")), package("acme.db")) as (world, waiting):
        await fetched(world, "v2@sha256:2")
        await world.flux.generated("acme.db", "False", "BuildFailed", "no such file:\nsystem/db")
        with pytest.raises(CommandError, match=r"the charts of acme\.db cannot be built: no such file: system/db"):
            await missing(waiting)


CHARTS = "cozy-system/charts"
Waiting = Callable[[], Awaitable[Seen]]


@asynccontextmanager
async def following(*objects: Obj) -> AsyncIterator[tuple[World, Waiting]]:
    """A platform at rest at version v1 of its charts, and what a look at an upgrade says at each moment."""
    world = World()
    await world.furnish()
    world.start()
    try:
        await world.put(*objects)
        await world.install()
        await seen(world, "acme.db", "sha256:of-v1")
        await fetched(world, "v1@sha256:1", asked="")
        places = [("OCIRepository", Key("cozy-system", "charts"))]
        upgrade = await starting_from(world.client, places, "now", ("acme.db",))

        async def look() -> Seen:
            return await world.clock.run(follow_upgrade(world.client, upgrade, timeout=1))

        yield world, look
    finally:
        await world.close()


async def missing(waiting: Waiting) -> dict[str, str]:
    return (await waiting()).missing


async def fetched(world: World, revision: str, asked: str = "now") -> None:
    there = await world.get(OCI_REPOSITORIES, CHARTS)
    digest = f"sha256:{'0' * 64}"
    artifact = {
        "revision": revision,
        "digest": digest,
        "url": "http://x",
        "path": "x",
        "lastUpdateTime": "2026-01-01T00:00:00Z",
    }
    status = {
        **condition("Ready", "True"),
        "artifact": artifact,
        "lastHandledReconcileAt": asked,
        "observedGeneration": there["metadata"]["generation"],
    }
    await world.edit(OCI_REPOSITORIES, CHARTS, {"status": status}, subresource="status")
    await world.settle()


async def seen(world: World, name: str, digest: str) -> None:
    """Let a generator have seen its sources."""
    patch = {"status": {"observedSourcesDigest": digest}}
    await world.edit(ARTIFACT_GENERATORS, f"cozy-system/{name}", patch, subresource="status")
    await world.settle()


def test_bad_input_is_one_sentence_each(cluster: Cluster) -> None:
    cluster.put(PLATFORM)
    assert call("upgrade", "ghost", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: Package ghost is not installed\nexit code 1\n"
    )
    assert call("upgrade", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: OCIRepository cozy-system/acme is not there, which acme.db comes from\nexit code 1\n"
    )
    cluster.do(cluster.delete("PackageSource", "acme.db"))
    assert call("upgrade", "acme.db", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: Package acme.db follows no repository: there is no PackageSource acme.db\nexit code 1\n"
    )
    assert call("upgrade", "acme.app", kubeconfig=cluster.kubeconfig).both == (
        "cozypkg: Package acme.app follows no repository: its PackageSource names none\nexit code 1\n"
    )


def test_a_refusal_changes_nothing(cluster: Cluster) -> None:
    cluster.put(PLATFORM + REPOSITORY)
    cluster.answers("PATCH", "/ocirepositories/acme", 403, "Forbidden", "ocirepositories is forbidden")
    result = call("upgrade", "-y", kubeconfig=cluster.kubeconfig)
    assert (result.code, result.err.splitlines()[-1]) == (
        1,
        "cozypkg: OCIRepository cozy-system/acme is refused: ocirepositories is forbidden; nothing was changed",
    )
