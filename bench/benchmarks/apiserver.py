"""The API server: reads, creates, applies that change nothing, a list of 10,000 objects, 500 watches.

The server is a process of its own, in memory and with SQLite; the client only sends prepared bytes and counts answers, so that
what is measured is the server. ConfigMaps of 1 KB, 16 connections, the median of ten rounds; the server's processor time per
request is steadier than its rate where others use the machine. The delay of an event goes from the moment when its write is
due to the moment when a watch has it, over all watches; writes are due at a fixed rate, whether or not the server keeps up.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable, Iterator
from random import Random

import msgspec

from bench.figures import Figure, Hold, Scale, percentile
from bench.load import connect, flood, request, watch
from bench.objects import config_map
from bench.processes import cpu_seconds, proportional_bytes
from bench.serving import Served, served

CONNECTIONS = 16
LISTED = 10_000
REQUESTS = 20_000
ROUNDS = 10
WATCHES = 500
EVENTS = 100
EVENTS_A_SECOND = 10
MAPS = "/api/v1/namespaces/default/configmaps"
PATIENCE = 30.0
"""Seconds after which events that are still missing count as lost."""


def measure(scale: Scale) -> list[Figure]:
    return [*asyncio.run(_storage(scale, sqlite=False)), *asyncio.run(_storage(scale, sqlite=True))]


async def _storage(scale: Scale, *, sqlite: bool) -> list[Figure]:
    """All figures of one storage; the objects of the list are there from the beginning, as in a platform that is in use."""
    where = "SQLite" if sqlite else "memory"
    count, listed = scale.objects(REQUESTS), scale.objects(LISTED)
    watches, events = scale.objects(WATCHES), scale.objects(EVENTS)
    with served(sqlite=sqlite, fill="configmaps", count=listed) as server:
        memory = proportional_bytes(server.pid) / 1e6
        lists = await _lists(server, listed, scale.repeat(10))
        reads, read_time = await _rate(server, _gets(count, listed), 200)
        await flood(server.port, _applies(listed), connections=CONNECTIONS, expect=200)
        before = await _version(server)
        applies, apply_time = await _rate(server, _applies(listed), 200)
        assert await _version(server) == before, "an apply has changed something"
        delays = await _delays(server, watches, events)
        creates, create_time = await _rate(server, _creates(count, listed), 201)
    followed = f"{watches} watches, {EVENTS_A_SECOND} events/s, {where}"
    return [
        Figure(f"GET, {where}", reads, "/s", Hold("≥", 2_000)),
        Figure(f"GET, {where}, server time", read_time, "ms"),
        Figure(f"create, {where}", creates, "/s", Hold("≥", 500)),
        Figure(f"create, {where}, server time", create_time, "ms"),
        Figure(f"apply without a change, {where}", applies, "/s"),
        Figure(f"apply without a change, {where}, server time", apply_time, "ms"),
        Figure(f"list of {listed:,} objects, {where}", lists, "s", Hold("<", 1)),
        Figure(f"event delay, {followed}, median", statistics.median(delays), "ms"),
        Figure(f"event delay, {followed}, p99", percentile(delays, 99), "ms", Hold("≤", 100)),
        Figure(f"memory of the server with {listed:,} objects, {where}", memory, "MB"),
    ]


async def _rate(server: Served, requests: Iterable[bytes], status: int) -> tuple[float, float]:
    """Requests a second (the median of some rounds), and milliseconds of the server's processor for each."""
    prepared = list(requests)
    size = len(prepared) // ROUNDS
    used, rates = cpu_seconds(server.pid), []
    for first in range(0, size * ROUNDS, size):
        began = time.perf_counter()
        await flood(server.port, prepared[first : first + size], connections=CONNECTIONS, expect=status)
        rates.append(size / (time.perf_counter() - began))
    spent = cpu_seconds(server.pid) - used
    return statistics.median(rates), spent / (size * ROUNDS) * 1000


async def _lists(server: Served, listed: int, times: int) -> float:
    """Seconds of one list of everything (median), to the last byte."""
    connection = await connect(server.port)
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        status = await connection.send(request("GET", MAPS))
        seconds.append(time.perf_counter() - began)
        assert status == 200
        assert connection.body.count(b'"kind":"ConfigMap"') == listed
    connection.close()
    return statistics.median(seconds)


async def _version(server: Served) -> str:
    """The version of the last write."""
    connection = await connect(server.port)
    await connection.send(request("GET", f"{MAPS}?limit=1"))
    version: str = msgspec.json.decode(connection.body)["metadata"]["resourceVersion"]
    connection.close()
    return version


async def _delays(server: Served, watches: int, events: int) -> list[float]:
    """Milliseconds from when a write is due to its event, for each write and each watch."""
    since = await _version(server)
    path = f"{MAPS}?watch=true&allowWatchBookmarks=false&resourceVersion={since}"
    open_watches = [await watch(server.port, path) for _ in range(watches)]
    connection = await connect(server.port)
    began = time.perf_counter() + 0.1
    moments = [began + number / EVENTS_A_SECOND for number in range(events)]
    for number, due in enumerate(moments):
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        patch = {"data": {"event": str(number)}}
        status = await connection.send(request("PATCH", f"{MAPS}/object-0", patch, content_type="application/merge-patch+json"))
        assert status == 200
    async with asyncio.timeout(PATIENCE):
        for found in open_watches:
            await found.seen(events)
    connection.close()
    for found in open_watches:
        found.close()
    return [(seen - due) * 1000 for found in open_watches for due, seen in zip(moments, found.moments, strict=True)]


def _gets(count: int, listed: int) -> Iterator[bytes]:
    random = Random(count)
    for _ in range(count):
        yield request("GET", f"{MAPS}/object-{random.randrange(listed)}")


def _creates(count: int, first: int) -> Iterator[bytes]:
    for number in range(first, first + count):
        yield request("POST", f"{MAPS}?fieldManager=bench", config_map(number))


def _applies(count: int) -> Iterator[bytes]:
    for number in range(count):
        path = f"{MAPS}/object-{number}?fieldManager=applier&force=true"
        yield request("PATCH", path, config_map(number), content_type="application/apply-patch+yaml")
