"""The operator on a real API server: N packages installed, edited, woken, restarted, left alone.

The same measurement as ``bench.benchmarks.operator``, on kube-apiserver and etcd: twelve layers of packages that each depend on
three of the layer below, and a Flux that is done at once. Requests by verb and resource come from the audit log of the server.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.benchmarks.operator import on_server
from bench.figures import Figure, Hold, Scale
from bench.processes import apart, cpu_seconds, peak_bytes
from bench.serving import TOKEN, Served

from e2e.audit import Asked, AuditLog, counted
from e2e.client import Cluster, started

AGENT = "cozystack-operator"
APART = ("leases", "events")
ORIGINAL = {
    "installation, 1,000 packages": 281.0,
    "installation, 1,000 packages, processor time of the operator": 260.0,
    "installation, 1,000 packages, writes in the audit log": 23_700.0,
    "edit to release written, 1,000 packages, median": 188.0,
    "edit to release written, 1,000 packages, p99": 1_400.0,
    "writes for an edit, 1,000 packages": 31.0,
    "restart to quiet, 1,000 packages": 110.0,
    "restart, 1,000 packages, requests in the audit log": 8_400.0,
}
"""What the operator that ours replaces took, on two cores that it shared with the server (docs/e2e.md)."""


def measure(scale: Scale, sizes: tuple[int, ...]) -> list[Figure]:
    figures: list[Figure] = []
    for size in sizes:
        figures += apart(_measured, size, scale)
    return [*figures, *_against_the_original(figures)]


def _measured(size: int, scale: Scale) -> list[Figure]:
    with TemporaryDirectory(prefix="e2e-") as folder, started(Path(folder), token=TOKEN) as cluster:
        log = AuditLog(cluster.state.audit)
        parts: dict[str, list[Asked]] = {}

        def look(part: str) -> None:
            parts[part] = [asked for asked in log.read() if asked.agent == AGENT]

        found = asyncio.run(on_server(serving(cluster), size, scale, look=look))
        pids = cluster.running.pids
        where = f"{size:,} packages"
        figures = [*found.figures]
        for part in ("installation", "edits", "steady state", "restart"):
            figures += _requests(part, where, parts[part])
        figures += [
            Figure(f"{name}, {where}, processor time", cpu_seconds(pid), "s")
            for name, pid in pids.items()
            if name in ("etcd", "kube-apiserver")
        ]
        figures.append(Figure(f"kube-apiserver, {where}, memory, highest", peak_bytes(pids["kube-apiserver"]) / 2**20, "MiB"))
        return figures


def serving(cluster: Cluster) -> Served:
    """The API server of a cluster, as the benchmarks know one."""
    ca = (cluster.state.certificates / "ca.crt").read_text()
    running = cluster.running
    return Served(pid=running.pids["kube-apiserver"], port=running.ports["api"], size=0, ca=ca)


def _requests(part: str, where: str, asked: list[Asked]) -> list[Figure]:
    """How many requests the operator has sent, in all and by verb and resource; the Lease and Events apart."""
    some = [each for each in asked if each.resource.partition("/")[0] not in APART]
    failed = [each for each in some if each.code >= 400]
    figures = [
        Figure(f"{part}, {where}, requests in the audit log", len(some), "requests"),
        Figure(f"{part}, {where}, writes in the audit log", sum(each.is_write for each in some), "writes"),
        Figure(f"{part}, {where}, requests that were refused", len(failed), "requests"),
    ]
    for (verb, resource), count in sorted(counted(some).items()):
        figures.append(Figure(f"{part}, {where}, {verb} {resource}", count, "requests"))
    return figures


def _against_the_original(figures: list[Figure]) -> list[Figure]:
    """How many times less each figure is than the original's."""
    values = {figure.name: figure.value for figure in figures}
    return [
        Figure(f"{name}: the original's to ours", before / value, "times", Hold("≥", 1))
        for name, before in ORIGINAL.items()
        if (value := values.get(name))
    ]
