"""The embedded API server beside a real one: reads, a list, creates, applies, watches, in one run on one machine.

Both serve TLS and keep their objects in memory or, the real one, in etcd without syncing to disk; no audit log. ConfigMaps of
1 KB, eight connections. Processor time is the server's own, with etcd's where there is one.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, Scale, percentile
from bench.flux import Line, trust
from bench.load import Watching, request
from bench.objects import config_map
from bench.processes import cpu_seconds, proportional_bytes
from bench.serving import TOKEN, Served, served

from e2e.bench.operator import serving
from e2e.client import started

CONNECTIONS = 8
LISTED = 10_000
REQUESTS = 4_000
WATCHES = 200
EVENTS = 50
MAPS = "/api/v1/namespaces/default/configmaps"
PATIENCE = 60.0
OURS, THEIRS = "embedded", "real"


def measure(scale: Scale) -> list[Figure]:
    with served(tls=True) as server:
        ours = asyncio.run(_measured(server, [server.pid], scale))
    with TemporaryDirectory(prefix="e2e-") as folder, started(Path(folder), audit=False, token=TOKEN) as cluster:
        pids = cluster.running.pids
        theirs = asyncio.run(_measured(serving(cluster), [pids["kube-apiserver"], pids["etcd"]], scale))
    figures = []
    for left, right in zip(ours, theirs, strict=True):
        assert left.value
        assert right.value
        faster = left.value / right.value if left.unit == "/s" else right.value / left.value
        figures += [
            Figure(f"{left.name}, {OURS}", left.value, left.unit),
            Figure(f"{left.name}, {THEIRS}", right.value, left.unit),
            Figure(f"{left.name}, {OURS} better than {THEIRS}", faster, "times"),
        ]
    return figures


async def _measured(server: Served, pids: Sequence[int], scale: Scale) -> list[Figure]:
    count, listed = scale.objects(REQUESTS), scale.objects(LISTED)
    figures = []
    creates = [request("POST", f"{MAPS}?fieldManager=bench", config_map(number)) for number in range(listed)]
    figures += await _rate("create", server, pids, creates, 201)
    gets = [request("GET", f"{MAPS}/object-{number % listed}") for number in range(count)]
    figures += await _rate("GET", server, pids, gets, 200)
    applies = [_apply(listed + number, "first") for number in range(count)]
    figures += await _rate("apply that creates", server, pids, applies, 201)
    changes = [_apply(listed + number, "second") for number in range(count)]
    figures += await _rate("apply that changes", server, pids, changes, 200)
    figures += await _rate("apply that changes nothing", server, pids, changes, 200)
    figures.append(Figure(f"list of {listed + count:,} objects", await _list(server, scale.repeat(5)), "s"))
    delays = await _delays(server, scale.objects(WATCHES), scale.objects(EVENTS))
    followed = f"event delay, {scale.objects(WATCHES)} watches"
    figures += [
        Figure(f"{followed}, median", statistics.median(delays), "ms"),
        Figure(f"{followed}, p99", percentile(delays, 99), "ms"),
        Figure(f"memory with {listed + count:,} objects", sum(map(proportional_bytes, pids)) / 1e6, "MB"),
    ]
    return figures


def _apply(number: int, text: str) -> bytes:
    path = f"{MAPS}/object-{number}?fieldManager=applier&force=true"
    return request("PATCH", path, config_map(number, text=text * 100), content_type="application/apply-patch+yaml")


async def _rate(name: str, server: Served, pids: Sequence[int], requests: Iterable[bytes], status: int) -> list[Figure]:
    waiting = list(requests)
    size = len(waiting)
    used, began = sum(map(cpu_seconds, pids)), time.perf_counter()

    async def worker() -> None:
        line = Line(server)
        try:
            while waiting:
                answered = await line.send(waiting.pop())
                if answered != status:
                    raise RuntimeError(f"{name}: {answered} {line.body.decode()[:200]}")
        finally:
            line.close()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    took = time.perf_counter() - began
    spent = sum(map(cpu_seconds, pids)) - used
    return [Figure(name, size / took, "/s"), Figure(f"{name}, processor time", spent / size * 1000, "ms")]


async def _list(server: Served, times: int) -> float:
    line = Line(server)
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        assert await line.send(request("GET", MAPS)) == 200
        seconds.append(time.perf_counter() - began)
    line.close()
    return statistics.median(seconds)


async def _delays(server: Served, watches: int, events: int) -> list[float]:
    """Milliseconds from when a write is sent to its event, for each write and each watch."""
    content = request("GET", f"{MAPS}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dobject-0")
    loop, tls = asyncio.get_running_loop(), trust(server)
    followers = []
    for _ in range(watches):
        _, found = await loop.create_connection(lambda: Watching(content), "127.0.0.1", server.port, ssl=tls)
        followers.append(found)
    line = Line(server)
    sent = []
    async with asyncio.timeout(PATIENCE):
        for follower in followers:
            await follower.seen(1)
        for number in range(events):
            sent.append(time.perf_counter())
            patch = {"data": {"event": str(number)}}
            body = request("PATCH", f"{MAPS}/object-0", patch, content_type="application/merge-patch+json")
            assert await line.send(body) == 200
            await asyncio.sleep(0.05)
        for follower in followers:
            await follower.seen(events + 1)
    line.close()
    for follower in followers:
        follower.close()
    return [(seen - due) * 1000 for follower in followers for due, seen in zip(sent, follower.moments[1:], strict=True)]
