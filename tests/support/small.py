"""The cluster of a sandbox without listeners, certificates and processes, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cozystack.api.meta import Key
from cozystack.api.resources import Resource
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.storage import Storage, open_storage
from cozystack.kube import Client, Informer
from cozystack.runtime import Controller, Log, VirtualClock
from cozystack.sandbox import kinds
from cozystack.sandbox.controllers import Workloads
from cozystack.sandbox.kubelet import Credentials, Kubelet
from cozystack.sandbox.workloads.actions import Obj
from cozystack.sandbox.workloads.surroundings import node
from support.inprocess import InProcess
from support.kube import seeded


class Small:
    """What runs; ``until`` lets time pass until something is so."""

    def __init__(self, clock: VirtualClock, storage: Storage, client: Client) -> None:
        self.clock = clock
        self.storage = storage
        self.client = client

    async def create(self, resource: Resource[Any], obj: Obj) -> None:
        await self.clock.run(self.client.create(resource, obj))

    async def patch(self, resource: Resource[Any], name: str, patch: Obj, *, namespace: str = "default") -> None:
        await self.clock.run(self.client.patch(resource, Key(namespace, name), patch))

    async def delete(self, resource: Resource[Any], name: str, *, namespace: str = "default") -> None:
        await self.clock.run(self.client.delete(resource, Key(namespace, name), propagation="Background"))

    def all(self, resource: str, namespace: str = "") -> list[Obj]:
        return [stored.object for stored in self.storage.objects(resource, namespace)]

    def one(self, resource: str, name: str, namespace: str = "default") -> Obj:
        stored = self.storage.get(resource, namespace, name)
        assert stored is not None, name
        return stored.object

    async def until(self, predicate: Callable[[], object], *, within: float = 600.0) -> None:
        await self.clock.run_until(predicate, within=within)

    def told(self, kind: str) -> list[str]:
        """Reasons and messages of the Events about objects of a kind, without those that are equal."""
        events = [event for event in self.all("/events") if event["involvedObject"]["kind"] == kind]
        return sorted({f"{event['reason']}: {event['message']}" for event in events})


@asynccontextmanager
async def small(folder: Path, storage: Storage | None = None) -> AsyncIterator[Small]:
    """A small cluster with one node; its Pods need a second for each stage."""
    clock, kept = VirtualClock(), storage if storage is not None else open_storage(None)
    api = ApiServer(kept, clock=clock.now, key=b"k" * 32)
    lifecycle = Lifecycle(api.objects, sleep=clock.sleep)
    lifecycle.start()
    client = Client(InProcess(api), clock=clock)
    pods: Informer[Obj] = Informer(client, kinds.PODS)
    random = seeded()
    workloads = Workloads(client, pods, clock=clock, random=random)
    kubelet = Kubelet(
        client, pods, clock=clock, log=Log("small"), folder=folder, issue=_none, note=workloads.note, start_delay=1.0
    )
    controller = Controller("pods", kubelet.reconcile, clock=clock, random=random)
    kubelet.attach(controller)
    runs: list[Callable[[], Awaitable[None]]] = [lifecycle.run, pods.run, controller.run]
    runs += [service.run for service in workloads.services()]
    tasks = [asyncio.ensure_future(run()) for run in runs]
    made = Small(clock, kept, client)
    try:
        await made.create(kinds.NODES, node("small"))
        yield made
    finally:
        for task in tasks:
            task.cancel()
        api.end_watches()
        await asyncio.gather(*tasks, return_exceptions=True)
        kept.close()


async def _none(_pod: Obj, _folder: Path) -> Credentials:
    raise AssertionError("no Pod runs for real")
