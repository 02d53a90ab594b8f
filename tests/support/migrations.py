"""A cluster on virtual time, steps to run in it, and a runner that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from cozystack.api.meta import Key
from cozystack.api.resources import CONFIG_MAPS, untyped
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.storage import open_storage
from cozystack.kube import Client
from cozystack.kube.errors import NotFound
from cozystack.kube.transport import EMPTY, Response
from cozystack.migrate import planning
from cozystack.migrate.access import Cluster, reads, writes
from cozystack.migrate.changes import Plan, patch
from cozystack.migrate.runner import Report, Runner, locked
from cozystack.migrate.step import ModuleStep, Step
from cozystack.planner.ledger import Ledger, StepId, ledger_key, read_ledger, version_key
from cozystack.runtime import Log, VirtualClock
from support.inprocess import InProcess

NAMESPACE = "cozy-system"
TALLY = Key(NAMESPACE, "tally")
MAPS = untyped("", "v1", "ConfigMap", "configmaps")


class Mortal(InProcess):
    """A transport of a process that dies at its request number ``dies_at``: before it is sent, or before it is answered."""

    def __init__(self, server: ApiServer, *, dies_at: int = 0, answered: bool = False) -> None:
        super().__init__(server)
        self._dies_at = dies_at
        self._answered = answered
        self.dead = asyncio.Event()

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
        last = len(self.sent) + 1 == self._dies_at
        if self.dead.is_set() or (last and not self._answered):
            await self._die()
        response = await super().request(method, path, query=query, headers=headers, body=body, timeout=timeout)
        if last:
            await self._die()
        return response

    async def _die(self) -> None:
        """Never come back."""
        self.dead.set()
        await asyncio.Event().wait()


@dataclass
class World:
    """A cluster, and what is done in it."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    identities: int = 0

    def __post_init__(self) -> None:
        self.server = ApiServer(open_storage(None), clock=self.clock.now)
        self.client = Client(InProcess(self.server), clock=self.clock)

    async def start(self, version: str | None = None, **tally: str) -> None:
        """A namespace with an object that steps change, and a version."""
        await self.create("Namespace", "namespaces", {"metadata": {"name": NAMESPACE}}, namespaced=False)
        await self.create("ConfigMap", "configmaps", {"metadata": {"name": "tally", "namespace": NAMESPACE}, "data": tally})
        if version is not None:
            await self.set_version(version)

    async def create(self, kind: str, plural: str, obj: dict[str, Any], *, group: str = "", namespaced: bool = True) -> None:
        resource = untyped(group, "v1", kind, plural, namespaced=namespaced)
        await self.client.create(resource, {"apiVersion": resource.api_version, "kind": kind, **obj})

    async def set_version(self, text: str) -> None:
        key = version_key()
        try:
            await self.client.patch(MAPS, key, {"data": {"version": text}})
        except NotFound:
            await self.create(
                "ConfigMap", "configmaps", {"metadata": {"name": key.name, "namespace": NAMESPACE}, "data": {"version": text}}
            )

    async def version(self) -> str | None:
        found = await self.client.find(CONFIG_MAPS, version_key())
        return None if found is None else found.data.get("version")

    async def ledger(self) -> Ledger | None:
        found = await self.client.find(CONFIG_MAPS, ledger_key())
        return None if found is None else read_ledger(found.data)

    async def outcomes(self) -> dict[str, str]:
        ledger = await self.ledger()
        assert ledger is not None
        return {str(step): record.outcome for step, record in ledger.records.items()}

    async def tally(self) -> dict[str, str]:
        return dict((await self.client.get(CONFIG_MAPS, TALLY)).data)

    def runner(self, steps: Sequence[Step], target: int, *, client: Client | None = None, oldest: int = 0) -> Runner:
        return Runner(client or self.client, steps, target=target, clock=self.clock, log=Log("test"), oldest=oldest, by="1.0")

    async def run(self, steps: Sequence[Step], target: int, *, transport: InProcess | None = None, oldest: int = 0) -> Report:
        """A run under the Lease, on virtual time."""
        client = self.client if transport is None else Client(transport, clock=self.clock)
        self.identities += 1
        work = locked(
            self.runner(steps, target, client=client, oldest=oldest),
            client,
            clock=self.clock,
            identity=f"runner-{self.identities}",
            namespace=NAMESPACE,
            random=Random(1),  # noqa: S311 - the same every time
        )
        return await self.clock.run(work)

    async def run_until_death(self, steps: Sequence[Step], target: int, dies_at: int, *, answered: bool) -> bool:
        """Whether a runner dies at that request; it ends undisturbed when it sends fewer."""
        transport = Mortal(self.server, dies_at=dies_at, answered=answered)
        task = asyncio.ensure_future(self.run(steps, target, transport=transport))
        dead = asyncio.ensure_future(transport.dead.wait())
        await asyncio.wait((task, dead), return_when=asyncio.FIRST_COMPLETED)
        for each in (task, dead):
            each.cancel()
        await asyncio.wait((task, dead))
        return transport.dead.is_set()

    async def plan(self, steps: Sequence[Step], target: int, *, oldest: int = 0) -> planning.Planned:
        return await planning.plan(self.client, steps, target=target, namespace=NAMESPACE, clock=self.clock, oldest=oldest)

    async def status(self, steps: Sequence[Step], target: int, *, oldest: int = 0) -> planning.Status:
        return await planning.status(self.client, steps, target=target, namespace=NAMESPACE, oldest=oldest)


def step(number: int, name: str = "", *, digest: str = "sha256:1", way_back: str | None = "It stays.") -> ModuleStep:
    """A step that writes two keys into the tally, one request each."""
    named = name or f"step-{number}"

    async def plan(cluster: Cluster) -> Plan:
        tally = await cluster.find(MAPS, TALLY.name)
        assert tally is not None
        data = tally.get("data") or {}
        wanted = next((key for key in (f"{named}.a", f"{named}.b") if key not in data), None)
        if wanted is None:
            return Plan(left=[f"look at {named}"])
        return Plan([patch(MAPS, tally, {"data": {wanted: "done"}}, f"{wanted} is missing")], [f"look at {named}"])

    accesses = (reads(MAPS, TALLY.name), writes(MAPS, "patch", names=[TALLY.name]))
    return ModuleStep(StepId(number, named), f"Does {named}", way_back, accesses, digest, plan, None)


def failing(number: int, reason: str = "the disk is full") -> ModuleStep:
    """A step that does half of its work, then fails."""
    whole = step(number)

    async def run(cluster: Cluster) -> None:
        found = await whole.plan(cluster)
        await found.changes[0].perform(cluster)
        raise RuntimeError(reason)

    return ModuleStep(whole.id, whole.about, whole.way_back, whole.accesses, "sha256:0", whole.plan_function, run)
