"""The operator as a process of its own, and what it says of itself at ``/metrics``."""

from __future__ import annotations

import asyncio
import base64
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from bench.load import Connection, connect, request
from bench.processes import cpu_seconds, peak_bytes
from bench.serving import TOKEN, Served
from cozystack.api import names

STOPPING = 60.0
PATIENCE = 60.0
LOOK_EVERY = 0.02
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_WRITES = frozenset(("create", "update", "patch", "apply", "delete"))
_APART = ("leases", "events")


class Sample(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


class Metrics(msgspec.Struct, frozen=True):
    """The metrics of one moment."""

    samples: tuple[Sample, ...]

    def requests(self) -> dict[str, int]:
        """How many requests were sent, by verb; without those for the Lease and for Events."""
        counts: dict[str, int] = {}
        for sample in self._requests():
            verb = sample.labels["verb"]
            counts[verb] = counts.get(verb, 0) + int(sample.value)
        return counts

    @property
    def writes(self) -> int:
        """Writes, without those to the Lease and Events."""
        return sum(count for verb, count in self.requests().items() if verb in _WRITES)

    @property
    def events(self) -> int:
        """Writes of Events."""
        return sum(
            int(sample.value)
            for sample in self._named("cozystack_requests_total")
            if sample.labels["resource"].startswith("events")
        )

    @property
    def work(self) -> tuple[float, float]:
        """Two numbers that stand still when the operator has nothing to do."""
        reconciles = sum(sample.value for sample in self._named("cozystack_reconciles_total"))
        return reconciles, sum(sample.value for sample in self._requests())

    @property
    def idle(self) -> bool:
        """No key is waiting for a worker, and none is being worked on."""
        keys = self._named("cozystack_controller_keys")
        return not any(sample.value for sample in keys if sample.labels["state"] in ("ready", "running"))

    @property
    def ready(self) -> int:
        """Packages that the operator holds to be ready."""
        return sum(int(sample.value) for sample in self._named("cozystack_packages") if sample.labels["ready"] == "True")

    def _requests(self) -> Iterator[Sample]:
        for sample in self._named("cozystack_requests_total"):
            if sample.labels["resource"].partition(".")[0] not in _APART:
                yield sample

    def _named(self, name: str) -> Iterator[Sample]:
        return (sample for sample in self.samples if sample.name == name)


class Operator:
    """A running operator."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._port = port
        self._connection: Connection | None = None
        self.began = time.perf_counter()

    @property
    def cpu(self) -> float:
        """Processor seconds so far."""
        return cpu_seconds(self._process.pid)

    @property
    def peak(self) -> int:
        """The most memory that it has held, in bytes (RSS)."""
        return peak_bytes(self._process.pid)

    async def metrics(self) -> Metrics:
        """What it says now; waits until it listens."""
        deadline = time.monotonic() + PATIENCE
        while self._connection is None:
            if self._process.poll() is not None:
                raise RuntimeError(f"the operator has ended (exit code {self._process.returncode})")
            try:
                self._connection = await connect(self._port)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LOOK_EVERY)
        status = await self._connection.send(request("GET", "/metrics"))
        assert status == 200, status
        return Metrics(tuple(_samples(self._connection.body.decode())))

    async def quiet(self, seconds: float = 1.0) -> tuple[float, Metrics]:
        """Wait until it has done nothing for so long; when it did the last thing (``perf_counter``), and its metrics."""
        before, since = (-1.0, -1.0), time.perf_counter()
        while True:
            metrics = await self.metrics()
            now = time.perf_counter()
            if metrics.work != before or not metrics.idle:
                before, since = metrics.work, now
            elif now - since >= seconds:
                return since, metrics
            await asyncio.sleep(LOOK_EVERY)

    def stop(self) -> float:
        """Stop it as Kubernetes does; the seconds that this took."""
        began = time.perf_counter()
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(STOPPING):
            raise RuntimeError(f"the operator has ended with exit code {self._process.returncode}")
        return time.perf_counter() - began


@contextmanager
def operating(server: Served, *flags: str) -> Iterator[Operator]:
    """An operator that works on ``server``, under its lease; ended when this ends."""
    with TemporaryDirectory(prefix="bench-") as folder:
        kubeconfig = Path(folder, "kubeconfig")
        kubeconfig.write_bytes(_kubeconfig(server))
        port = _free_port()
        command = [
            *(sys.executable, "-m", "cozystack.operator.main", "--leader-elect"),
            f"--leader-election-namespace={names.SYSTEM_NAMESPACE}",
            f"--metrics-bind-address=127.0.0.1:{port}",
            "--health-probe-bind-address=0",
            *flags,
        ]
        environment = {"KUBECONFIG": str(kubeconfig), "PATH": "/usr/bin:/bin", "HOME": folder}
        with Path(folder, "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
            try:
                yield Operator(process, port)
            finally:
                process.kill()


def _samples(text: str) -> Iterator[Sample]:
    for line in text.splitlines():
        if found := _SAMPLE.match(line):
            yield Sample(found[1], dict(_LABEL.findall(found[2] or "")), float(found[3]))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _kubeconfig(server: Served) -> bytes:
    cluster = {"server": server.url}
    if server.ca:
        cluster["certificate-authority-data"] = base64.b64encode(server.ca.encode()).decode()
    return msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bench", "cluster": cluster}],
            "users": [{"name": "bench", "user": {"token": TOKEN}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
            "current-context": "bench",
        }
    )
