"""Flux at an interval of one minute for half an hour: what the operator writes meanwhile, which must be nothing.

Six packages on real Flux, each of whose releases is reconciled every minute. Counted are the operator's requests in the audit
log of the server, Leases and watches apart, and the writes of anybody to Packages.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, Hold, Scale

from cozystack.api import names
from cozystack.api.meta import Key
from cozystack.api.resources import PACKAGES
from e2e.acme import Acme, is_ready
from e2e.audit import Asked, AuditLog
from e2e.bench.operator import AGENT, APART
from e2e.client import Cluster, started, until
from e2e.platform import ask_for_platform, install, publish

MINUTES = 30
PACKAGES_IN_A_CHAIN = 6
FLUX = "helm-controller"


def measure(scale: Scale, minutes: float = MINUTES) -> list[Figure]:
    with TemporaryDirectory(prefix="e2e-") as folder, started(Path(folder, "state"), node=True) as cluster:
        return asyncio.run(_measured(cluster, Path(folder), minutes / 10 if scale.quick else minutes))


async def _measured(cluster: Cluster, folder: Path, minutes: float) -> list[Figure]:
    digest = await publish(cluster)
    await install(cluster, f"digest={digest}", helmReleaseInterval="1m")
    async with cluster.client() as client:

        async def asked() -> bool:
            await ask_for_platform(cluster, client, "default")
            return True

        async def ready() -> bool:
            return is_ready(await client.get(PACKAGES, Key("", names.PLATFORM_PACKAGE)))

        await until("the operator serves Packages", asked)
        await until("the platform is ready", ready, patience=300)
        acme = Acme(cluster, client, folder / "charts")
        chain = [f"link-{number}" for number in range(PACKAGES_IN_A_CHAIN)]
        await acme.chain(*chain)
        await acme.until_ready(*chain)
        await asyncio.sleep(60)
        log = AuditLog(cluster.state.audit)
        await asyncio.sleep(minutes * 60)
        return _figures(log.read(), minutes)


def _figures(requests: list[Asked], minutes: float) -> list[Figure]:
    where = f"{minutes:g} minutes at an interval of one"
    own = [each for each in requests if each.agent == AGENT and each.resource.partition("/")[0] not in APART]
    packages = [each for each in requests if each.is_write and each.resource.partition("/")[0] == "packages"]
    flux = [each for each in requests if each.agent == FLUX and each.is_write and each.resource == "helmreleases/status"]
    return [
        Figure(f"{where}: writes of the operator", sum(each.is_write for each in own), "writes", Hold("≤", 0)),
        Figure(f"{where}: reads of the operator", sum(each.verb in ("get", "list") for each in own), "requests", Hold("≤", 0)),
        Figure(f"{where}: writes to Packages", len(packages), "writes", Hold("≤", 0)),
        Figure(f"{where}: writes of Flux to its releases", len(flux), "writes"),
    ]
