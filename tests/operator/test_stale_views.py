"""What an operator is about to write may be out of date when it arrives: nothing is made or taken by that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from cozystack.api.resources import HELM_RELEASES, PACKAGES
from cozystack.kube.transport import EMPTY, Response
from support.operator import Wire, World, component, package, plain, source

DB = "acme-db/db"
LINE = "PATCH /apis/helm.toolkit.fluxcd.io/v2/namespaces/acme-db/helmreleases/db"


class LateWire(Wire):
    """A line on which something happens while ``LINE`` is under way, once."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        if f"{method} {path}" == LINE and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return await super().request(method, path, query=query, headers=headers, body=body, timeout=timeout)


async def installed(world: World) -> LateWire:
    operator, _ = world.operator()
    operator.client.transport = wire = LateWire(world.server)
    world.running(operator, wire, asyncio.ensure_future(operator.run()))
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.install(2)
    return wire


async def test_a_release_that_somebody_replaced_meanwhile_is_not_taken(world: World) -> None:
    wire = await installed(world)
    chart = {"kind": "ExternalArtifact", "name": "x", "namespace": "elsewhere"}
    theirs = plain("helm.toolkit.fluxcd.io/v2", "HelmRelease", "db", "acme-db", spec={"interval": "9m", "chartRef": chart})

    async def replaced() -> None:
        await world.delete(HELM_RELEASES, DB)
        await world.put(theirs)

    wire.meanwhile = replaced
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"size": 3}}}}})
    await world.settle(30)
    live = await world.get(HELM_RELEASES, DB)
    assert live["spec"] == theirs["spec"]
    assert {entry["manager"] for entry in live["metadata"]["managedFields"]} == {"user"}
    assert await world.ready("acme.db") == ("False", "ReleaseOwnedByOther")


async def test_an_update_of_a_release_that_is_gone_makes_none(world: World) -> None:
    wire = await installed(world)

    async def gone() -> None:
        await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"enabled": False}}}})
        await world.delete(HELM_RELEASES, DB)

    wire.meanwhile = gone
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"size": 3}}}}})
    await world.settle(30)
    assert not await world.exists(HELM_RELEASES, DB)
    assert wire.sent.count(LINE) == 2
