"""Telemetry: how many of what there is, sent to an endpoint that somebody has named, and to nobody else.

A report holds numbers, versions and settings: no name of any object, no value, nothing of a Secret. The cluster is told apart
from others by a digest, from which its identity cannot be read. Only the leader reports. A report that cannot be sent is given
up: it is news, not state, and nothing waits for it. ``docs/operator.md`` describes every field.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec

from cozystack.api.cozystack import Package, PackageSource
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import find_condition
from cozystack.kube import Client
from cozystack.kube.clock import Clock
from cozystack.kube.errors import KubeError
from cozystack.planner import Catalogue
from cozystack.runtime import Log

SECONDS = 10.0
"""How long an endpoint may take."""
FORMAT = 1
_SALT = b"cozystack-telemetry/"
Send = Callable[[str, bytes], Awaitable[int]]
"""Sends a body to an address; the HTTP status."""


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is sent, as JSON."""

    format: int = FORMAT
    cluster: str
    operator_version: str
    kubernetes_version: str
    dependency_gate: str
    ordered_deletion: bool
    webhook: bool
    packages: int
    packages_ready: int
    packages_blocked: dict[str, int]
    sources: int
    sources_ready: int
    releases: int
    releases_ready: int


class Telemetry:
    """Sends what ``report`` returns, at the start and then every ``interval`` seconds."""

    def __init__(
        self, report: Callable[[], Awaitable[Report]], *, endpoint: str, interval: float, clock: Clock, log: Log, send: Send
    ) -> None:
        self._report = report
        self._endpoint = endpoint
        self._interval = interval
        self._clock = clock
        self._log = log
        self._send = send

    async def run(self) -> None:
        """Report until cancelled."""
        self._log.info("telemetry is on", endpoint=self._endpoint, interval=f"{self._interval:g}s")
        while True:
            try:
                status = await self._send(self._endpoint, msgspec.json.encode(await self._report()))
            except (KubeError, aiohttp.ClientError, OSError, TimeoutError) as error:
                self._log.debug("telemetry could not be sent", reason=str(error) or type(error).__name__)
            else:
                self._log.debug("telemetry sent", status=status)
            await self._clock.sleep(self._interval)


async def post(address: str, body: bytes) -> int:
    """Send JSON, following no redirect; the status. Raises ``aiohttp.ClientError``, ``OSError`` and ``TimeoutError``."""
    async with (
        asyncio.timeout(SECONDS),
        aiohttp.ClientSession(trust_env=True) as session,
        session.post(address, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False) as answer,
    ):
        return answer.status


async def report(
    client: Client, catalogue: Catalogue, *, version: str, dependency_gate: str, ordered_deletion: bool, webhook: bool
) -> Report:
    """What is there now; raises ``KubeError``."""
    kubernetes = await client.request_json("/version")
    system = catalogue.namespaces.get("kube-system")
    identity = system.metadata.uid if system is not None else ""
    packages, sources, releases = catalogue.packages.values(), catalogue.sources.values(), catalogue.releases.values()
    return Report(
        cluster=hashlib.sha256(_SALT + identity.encode()).hexdigest()[:32],
        operator_version=version,
        kubernetes_version=str(kubernetes.get("gitVersion", "")),
        dependency_gate=dependency_gate,
        ordered_deletion=ordered_deletion,
        webhook=webhook,
        packages=len(packages),
        packages_ready=sum(map(is_ready, packages)),
        packages_blocked=dict(Counter(filter(None, map(reason_of, packages)))),
        sources=len(sources),
        sources_ready=sum(map(is_ready, sources)),
        releases=len(releases),
        releases_ready=sum(map(is_ready, releases)),
    )


def reason_of(package: Package) -> str:
    """Why a Package is blocked, as one of the words that we write; what somebody else may have written is not passed on."""
    reason = package.status.blocked_by[0].reason if package.status.blocked_by else ""
    return reason if re.fullmatch("[A-Z][A-Za-z]{1,63}", reason) else ""


def is_ready(obj: Package | PackageSource | HelmRelease) -> bool:
    ready = find_condition(obj.status.conditions, "Ready")
    return ready is not None and ready.status == "True"
