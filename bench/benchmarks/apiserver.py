"""The API server: reads, creates, applies that change nothing, a list of 10,000 objects, 500 watches, memory, start-up.

The server is a process of its own, in memory and with SQLite, as the sandbox has it: roles are enforced, every request goes
into the audit log; no TLS. The client only sends prepared bytes and counts answers, so that what is measured is the server.
ConfigMaps of 1 KB, 16 connections, the median of ten rounds; the server's processor time per request is steadier than its rate
where others use the machine. What is applied without a change is a Deployment of 5 KB, in the same bytes as before and in
others (another order of keys, another indentation, different in each request). The delay of an event goes from the moment when
its write is due to the moment when a watch has it, over all watches; writes are due at a fixed rate, whether or not the server
keeps up.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec

from bench.figures import Figure, Hold, Scale, percentile
from bench.load import connect, flood, request, watch
from bench.objects import config_map, deployment, otherwise
from bench.processes import cpu_seconds, proportional_bytes
from bench.serving import Served, served

CONNECTIONS = 16
LISTED = 10_000
REQUESTS = 20_000
APPLIED = 200
APPLIES = 4_000
ROUNDS = 10
WATCHES = 500
EVENTS = 100
EVENTS_A_SECOND = 10
STARTS = 5
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PATIENCE = 30.0
"""Seconds after which events that are still missing count as lost."""


def measure(scale: Scale) -> list[Figure]:
    return [
        *asyncio.run(_storage(scale, sqlite=False)),
        *asyncio.run(_storage(scale, sqlite=True)),
        *_applied(scale),
        *_held(scale),
    ]


async def _storage(scale: Scale, *, sqlite: bool) -> list[Figure]:
    """The figures of one storage; the objects of the list are there from the beginning, as in a platform that is in use."""
    where = "SQLite" if sqlite else "memory"
    count, listed = scale.objects(REQUESTS), scale.objects(LISTED)
    watches, events = scale.objects(WATCHES), scale.objects(EVENTS)
    with served(sqlite=sqlite, guarded=True, count=listed) as server:
        lists = await _lists(server, listed, scale.repeat(10))
        reads, read_time = await _rate(server, _gets(server, count, listed), 200)
        delays = await _delays(server, watches, events)
        creates, create_time = await _rate(server, _creates(server, count, listed), 201)
    followed = f"{watches} watches, {EVENTS_A_SECOND} events/s, {where}"
    return [
        Figure(f"GET, {where}", reads, "/s", Hold("≥", 2_000)),
        Figure(f"GET, {where}, server time", read_time, "ms"),
        Figure(f"create, {where}", creates, "/s", Hold("≥", 500)),
        Figure(f"create, {where}, server time", create_time, "ms"),
        Figure(f"list of {listed:,} objects, {where}", lists, "s", Hold("<", 1)),
        Figure(f"event delay, {followed}, median", statistics.median(delays), "ms"),
        Figure(f"event delay, {followed}, p99", percentile(delays, 99), "ms", Hold("<", 100)),
    ]


def _applied(scale: Scale) -> list[Figure]:
    """Applies that change nothing, of a Deployment of 5 KB."""
    return [
        figure
        for sqlite in (False, True)
        for how in ("the same bytes", "other bytes")
        for figure in asyncio.run(_unchanged(scale, sqlite=sqlite, how=how))
    ]


async def _unchanged(scale: Scale, *, sqlite: bool, how: str) -> list[Figure]:
    where = "SQLite" if sqlite else "memory"
    random = Random(0) if how == "other bytes" else None
    with served(sqlite=sqlite, guarded=True, fill="deployments", count=scale.objects(APPLIED)) as server:
        before = await _version(server, DEPLOYMENTS)
        prepared = _applies(server, scale.objects(APPLIES), scale.objects(APPLIED), random)
        applies, apply_time = await _rate(server, prepared, 200)
        assert await _version(server, DEPLOYMENTS) == before, "an apply has changed something"
    name = f"apply of 5 KB without a change, {how}, {where}"
    return [Figure(name, applies, "/s", Hold("≥", 800)), Figure(f"{name}, server time", apply_time, "ms")]


def _held(scale: Scale) -> list[Figure]:
    """Memory with many HelmReleases (a third of each is ``managedFields``), and a start with them in the file."""
    count = scale.objects(LISTED)
    with TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder, "state.db")
        with served(guarded=True, fill="releases", count=count, database=path) as server:
            filled, size = proportional_bytes(server.pid), server.size
        seconds, memory, used = [], [], []
        for _ in range(scale.repeat(STARTS)):
            began = time.perf_counter()
            with served(guarded=True, database=path) as server:
                seconds.append(time.perf_counter() - began)
                used.append(cpu_seconds(server.pid))
                memory.append(proportional_bytes(server.pid))
    named = f"{count:,} objects of {size / 1000:.1f} KB"
    return [
        Figure(f"memory, {named}, after they were written", filled / 2**20, "MiB", Hold("<", 250)),
        Figure(f"memory, {named}, after a start", max(memory) / 2**20, "MiB", Hold("<", 250)),
        Figure(f"start, {named} in the file", statistics.median(seconds), "s", Hold("<", 2)),
        Figure(f"start, {named} in the file, processor time", statistics.median(used), "s"),
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
        status = await connection.send(request("GET", MAPS, token=server.token))
        seconds.append(time.perf_counter() - began)
        assert status == 200
        assert connection.body.count(b'"kind":"ConfigMap"') == listed
    connection.close()
    return statistics.median(seconds)


async def _version(server: Served, path: str = MAPS) -> str:
    """The version of the last write."""
    connection = await connect(server.port)
    await connection.send(request("GET", f"{path}?limit=1", token=server.token))
    version: str = msgspec.json.decode(connection.body)["metadata"]["resourceVersion"]
    connection.close()
    return version


async def _delays(server: Served, watches: int, events: int) -> list[float]:
    """Milliseconds from when a write is due to its event, for each write and each watch."""
    since = await _version(server)
    path = f"{MAPS}?watch=true&allowWatchBookmarks=false&resourceVersion={since}"
    open_watches = [await watch(server.port, path, token=server.token) for _ in range(watches)]
    connection = await connect(server.port)
    began = time.perf_counter() + 0.1
    moments = [began + number / EVENTS_A_SECOND for number in range(events)]
    for number, due in enumerate(moments):
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        patch = {"data": {"event": str(number)}}
        kind = "application/merge-patch+json"
        status = await connection.send(request("PATCH", f"{MAPS}/object-0", patch, content_type=kind, token=server.token))
        assert status == 200
    async with asyncio.timeout(PATIENCE):
        for found in open_watches:
            await found.seen(events)
    connection.close()
    for found in open_watches:
        found.close()
    return [(seen - due) * 1000 for found in open_watches for due, seen in zip(moments, found.moments, strict=True)]


def _gets(server: Served, count: int, listed: int) -> Iterator[bytes]:
    random = Random(count)
    for _ in range(count):
        yield request("GET", f"{MAPS}/object-{random.randrange(listed)}", token=server.token)


def _creates(server: Served, count: int, first: int) -> Iterator[bytes]:
    for number in range(first, first + count):
        yield request("POST", f"{MAPS}?fieldManager=bench", config_map(number), token=server.token)


def _applies(server: Served, count: int, objects: int, random: Random | None) -> Iterator[bytes]:
    """Applies of what is there; ``random`` writes it in other bytes each time."""
    kind = "application/apply-patch+yaml"
    for number in range(count):
        wanted = deployment(number % objects)
        body = otherwise(wanted, random) if random is not None else msgspec.json.encode(wanted)
        path = f"{DEPLOYMENTS}/object-{number % objects}?fieldManager=applier&force=true"
        yield request("PATCH", path, body, content_type=kind, token=server.token)
