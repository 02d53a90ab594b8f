"""The platform as the guide installs it: real Helm, our packages out of a real registry, real Flux, every package ready."""

from __future__ import annotations

from cozystack.api import names
from cozystack.api.cozystack import Package
from cozystack.api.meta import Key
from cozystack.api.resources import HELM_RELEASES, PACKAGES
from cozystack.kube import Client
from e2e.acme import is_ready
from e2e.client import Cluster, until
from e2e.platform import ask_for_platform

PATIENCE = 600.0


async def test_every_package_of_a_larger_variant_gets_ready_and_stays_so_when_one_is_edited(
    operated: Cluster, client: Client
) -> None:
    await ask_for_platform(operated, client, "isp-full-generic")
    packages = await until("every Package is ready", lambda: all_ready(client), patience=PATIENCE)
    assert len(packages) > 20
    metallb = Key("", "cozystack.metallb")
    generation = (await client.get(PACKAGES, metallb)).metadata.generation
    edit = {"spec": {"components": {"metallb": {"values": {"global": {"note": "edited"}}}}}}
    await client.patch(PACKAGES, metallb, edit)

    async def edited() -> bool:
        found = await client.get(PACKAGES, metallb)
        return found.metadata.generation > generation and is_ready(found)

    await until("the edited Package is ready", edited)
    releases = (await client.list(HELM_RELEASES)).items
    owned = [release for release in releases if names.PACKAGE_LABEL in release.metadata.labels]
    assert len(owned) >= len(packages)
    await until("every other is ready still", lambda: all_ready(client))


async def all_ready(client: Client) -> list[Package]:
    """All Packages of the platform, nothing while one of them is not ready."""
    found = [each for each in (await client.list(PACKAGES)).items if each.metadata.name.startswith("cozystack.")]
    return found if len(found) > 5 and all(map(is_ready, found)) else []
