"""List and follow 5,000 objects of 4 KB through the client, from the API server in another process.

HelmReleases, with status and ``managedFields`` as the operator and helm-controller write them, and PackageSources. Listing is
``Client.list`` in pages of 500, decoded into typed objects; the informer also condenses ``managedFields`` and
shares equal parts as the operator does, and fills its store. Memory is what the first list or sync of a new process holds (PSS,
free memory given back).
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from bench.figures import Figure, Hold, Scale
from bench.processes import apart, held_megabytes
from bench.serving import TOKEN, Kind, served
from cozystack.api.names import PACKAGE_MANAGER
from cozystack.api.resources import HELM_RELEASES, NAMESPACES, PACKAGE_SOURCES, Resource
from cozystack.kube import Client, ClusterConfig, HttpTransport, Informer, SystemClock, ownership
from cozystack.kube.store import Entry
from cozystack.operator.sharing import shared_parts
from cozystack.runtime import tune_gc

T = TypeVar("T")
Read: TypeAlias = Callable[[Client, Resource[Any]], Awaitable[object]]

OBJECTS = 5_000
FAST = Hold("≤", 300)
SMALL = Hold("<", 60)


def measure(scale: Scale) -> list[Figure]:
    return [
        *_measured(scale, "releases", HELM_RELEASES),
        *_measured(scale, "sources", PACKAGE_SOURCES),
    ]


def _measured(scale: Scale, fill: Kind, resource: Resource[Any]) -> list[Figure]:
    count = scale.objects(OBJECTS)
    with served(fill=fill, count=count) as server:
        lists, syncs = apart(_times, server.url, resource, scale.repeat(10))
        list_held, informer_held = (apart(_held, server.url, resource, what) for what in (_list, _sync))
        size = server.size / 1000
    what = f"{count:,} {resource.kind}s"
    return [
        Figure(f"list of {what}", lists, "ms", FAST),
        Figure(f"list of {what}, memory", list_held, "MB"),
        Figure(f"informer sync of {what}", syncs, "ms", FAST),
        Figure(f"informer of {what}, memory", informer_held, "MB", SMALL),
        Figure(f"size of a {resource.kind}", size, "KB"),
    ]


def _times(url: str, resource: Resource[Any], times: int) -> tuple[float, float]:
    """Milliseconds of a list, and of an informer's sync (medians)."""

    async def run(client: Client) -> tuple[float, float]:
        lists: list[float] = []
        syncs: list[float] = []
        for _ in range(times):
            for read, measured in ((_list, lists), (_sync, syncs)):
                gc.collect()
                began = time.perf_counter()
                await read(client, resource)
                measured.append((time.perf_counter() - began) * 1000)
        return statistics.median(lists), statistics.median(syncs)

    return asyncio.run(_connected(url, run))


def _held(url: str, resource: Resource[Any], read: Read) -> float:
    """MB that the first list or sync of this process holds."""

    async def run(client: Client) -> float:
        await client.list(NAMESPACES)
        before = held_megabytes()
        kept = await read(client, resource)
        held = held_megabytes() - before
        del kept
        return held

    return asyncio.run(_connected(url, run))


async def _connected(url: str, run: Callable[[Client], Awaitable[T]]) -> T:
    tune_gc()
    clock = SystemClock()
    transport = HttpTransport(ClusterConfig(url, token=TOKEN), clock=clock)
    try:
        return await run(Client(transport, clock=clock))
    finally:
        await transport.close()


async def _list(client: Client, resource: Resource[Any]) -> object:
    return await client.list(resource)


async def _sync(client: Client, resource: Resource[Any]) -> object:
    """The store of an informer that has everything in it."""
    transform: Callable[[Any], Entry[Any]] = shared_parts() if resource == PACKAGE_SOURCES else ownership((PACKAGE_MANAGER,))
    informer = Informer(client, resource, transform=transform)
    running = asyncio.create_task(informer.run())
    await informer.wait_synced()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return informer.store
