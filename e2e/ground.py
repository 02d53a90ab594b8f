"""A real cluster as the ground of scenarios: what ``cozystack up`` does on a sandbox, by the steps of the guide.

The scenarios themselves are in ``tests/support``; there they know a folder with the state of a sandbox, here this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from cozystack.api import names
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key, find_condition
from cozystack.api.resources import CUSTOM_RESOURCE_DEFINITIONS, HELM_RELEASES, OCI_REPOSITORIES, PACKAGES
from cozystack.kube import Client
from cozystack.kube.errors import ApiError, ConnectionFailed
from cozystack.sandbox.progress import Row, is_built, plan_of, read_catalogue, row_of, unready
from e2e.client import Cluster, until
from e2e.platform import ask_for_platform, install, publish
from support.sandbox import Ran
from support.scenarios import VARIANT, Version

OWN = ("packages.cozystack.io", "packagesources.cozystack.io", "helmreleases.helm.toolkit.fluxcd.io")
PLATFORM_RELEASE = Key(names.SYSTEM_NAMESPACE, names.PLATFORM_SOURCE)
_PATIENCE = 300.0
_CALM = 4.0
"""Seconds without any change after which a platform in which something has failed counts as stuck."""
_LOOK_EVERY = 0.3


class Ground:
    """See the module; a ``support.scenarios.Ground``."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def up(self, version: Version, values: Mapping[str, Any]) -> Ran:
        return asyncio.run(self._up(version, values))

    def stored(self, resource: str) -> list[dict[str, Any]]:
        group, _, plural = resource.rpartition("/")
        said = self.cluster.kubectl("get", f"{plural}.{group}".rstrip("."), "-A", "-o", "json").stdout
        found: list[dict[str, Any]] = msgspec.json.decode(said)["items"]
        return found

    async def _up(self, version: Version, values: Mapping[str, Any]) -> Ran:
        digest = await publish(self.cluster, version.packages, tag=f"v{version.number}")
        await install(self.cluster, f"digest={digest}", folder=version.packages)
        async with self.cluster.client() as client:
            await until("the operator has installed CRDs", lambda: _defined(client))
            await ask_for_platform(self.cluster, client, VARIANT, dict(values))
            return await _ended(client, digest)


async def _defined(client: Client) -> bool:
    return set(OWN) <= {each.metadata.name for each in (await client.list(CUSTOM_RESOURCE_DEFINITIONS)).items}


async def _ended(client: Client, digest: str) -> Ran:
    """Wait until everything is ready and made from what was pushed, or until nothing goes on any more."""
    deadline = time.monotonic() + _PATIENCE
    last: tuple[str, ...] = ()
    changed = time.monotonic()
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        try:
            packages = (await client.list(PACKAGES)).items
            releases = (await client.list(HELM_RELEASES)).items
            rows = [row_of(package) for package in packages]
            if all(row.state == "ready" for row in rows) and await _is_ready(client, digest):
                return Ran(0, {"ready": True}, "")
        except (ApiError, ConnectionFailed):
            continue
        now = tuple(each.metadata.resource_version for each in (*packages, *releases))
        if now != last:
            last, changed = now, time.monotonic()
        moving = any(row.state == "working" for row in rows) or any(map(_is_moving, releases))
        failed = any(row.state == "failed" for row in rows) and await _was_tried(client, digest)
        if time.monotonic() > deadline or (failed and not moving and time.monotonic() - changed > _CALM):
            return Ran(1, {"ready": False, "failed": _told(rows, "failed")}, str(_told(rows, "failed", "waiting", "working")))


def _is_moving(release: HelmRelease) -> bool:
    """Whether Helm works on it. Real Flux calls a release reconciling too while it waits for its next attempt."""
    found = find_condition(release.status.conditions, "Reconciling")
    return found is not None and found.status == "True" and found.reason != "ProgressingWithRetry"


async def _is_ready(client: Client, digest: str) -> bool:
    """Whether all Packages are ready by the objects themselves, and these are made from what was pushed."""
    catalogue = await read_catalogue(client)
    return is_built(catalogue, digest) and not unready(plan_of(catalogue, {}))


async def _was_tried(client: Client, digest: str) -> bool:
    """Whether Helm has tried to install what was pushed: before that, what has failed is of an earlier version."""
    repository = await client.find(OCI_REPOSITORIES, PLATFORM_RELEASE)
    artifact = repository.status.artifact if repository is not None else None
    release = await client.find(HELM_RELEASES, PLATFORM_RELEASE)
    if artifact is None or not artifact.revision.endswith(digest) or release is None or release.spec.chart_ref is None:
        return False
    built = (await read_catalogue(client)).artifact(release.spec.chart_ref.name)
    return built is not None and release.status.last_attempted_revision_digest in (built.revision, built.digest)


def _told(rows: list[Row], *states: str) -> list[dict[str, str]]:
    return [{"package": row.name, "message": row.because} for row in rows if row.state in states]
