"""The command line as people and scripts meet it: new processes, from start to end, beyond what a bare interpreter takes.

The cluster is the embedded API server in another process, with a PackageSource (4 KB) and a Package for each of 1,000 packages;
``list`` asks it for all of one kind. What the server takes to answer is part of the figure.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, Hold, Scale
from bench.objects import package_name
from bench.serving import TOKEN, served
from cozystack.api.cozystack import API_VERSION
from cozystack.api.resources import PACKAGES
from cozystack.kube import Client, ClusterConfig, HttpTransport, SystemClock

PACKAGES_LISTED = 1_000
REPEAT = 15
HELP = Hold("≤", 100)
LIST = Hold("≤", 400)

_PROGRAM = (sys.executable, "-c", "import sys; from cozystack.cozypkg.main import main; sys.exit(main())")


def measure(scale: Scale) -> list[Figure]:
    return [*_start(scale), *_lists(scale)]


def _start(scale: Scale) -> list[Figure]:
    """What it takes to say something that needs no cluster."""
    helps = beyond_bare(("--help",), scale.repeat(REPEAT))
    return [Figure("cozypkg --help, beyond a bare interpreter", helps, "ms", HELP)]


def _lists(scale: Scale) -> list[Figure]:
    count = scale.objects(PACKAGES_LISTED)
    with served(fill="sources", count=count) as server, TemporaryDirectory(prefix="bench-") as folder:
        asyncio.run(_create_packages(server.url, count))
        kubeconfig = Path(folder, "kubeconfig")
        kubeconfig.write_text(kubeconfig_of(server.url))
        at = ("--kubeconfig", str(kubeconfig))
        offered = beyond_bare(("list", *at), scale.repeat(REPEAT))
        installed = beyond_bare(("list", "--installed", *at), scale.repeat(REPEAT))
        status = beyond_bare(("status", *at), scale.repeat(REPEAT))
    return [
        Figure(f"cozypkg list of {count:,} packages, beyond a bare interpreter", offered, "ms", LIST),
        Figure(f"cozypkg list --installed of {count:,} packages, beyond a bare interpreter", installed, "ms", LIST),
        Figure(f"cozypkg status of {count:,} packages, beyond a bare interpreter", status, "ms"),
    ]


def beyond_bare(arguments: Iterable[str], times: int) -> float:
    """Milliseconds of one call of the program more than of an interpreter that does nothing (medians, taken in turns)."""
    program = (*_PROGRAM, *arguments)
    bare = (sys.executable, "-c", "pass")
    both: tuple[list[float], list[float]] = ([], [])
    _milliseconds(program)
    for _ in range(times):
        for command, taken in zip((program, bare), both, strict=True):
            taken.append(_milliseconds(command))
    return statistics.median(both[0]) - statistics.median(both[1])


def _milliseconds(command: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


def kubeconfig_of(url: str) -> str:
    return (
        "apiVersion: v1\nkind: Config\ncurrent-context: bench\n"
        f"clusters: [{{name: bench, cluster: {{server: '{url}'}}}}]\n"
        f"users: [{{name: bench, user: {{token: {TOKEN}}}}}]\n"
        "contexts: [{name: bench, context: {cluster: bench, user: bench}}]\n"
    )


async def _create_packages(url: str, count: int) -> None:
    clock = SystemClock()
    transport = HttpTransport(ClusterConfig(url, token=TOKEN), clock=clock)
    try:
        client = Client(transport, clock=clock)
        known = {package.metadata.name for package in (await client.list(PACKAGES)).items}
        for number in range(count):
            name = package_name(number)
            if name not in known:
                value = {
                    "apiVersion": API_VERSION,
                    "kind": "Package",
                    "metadata": {"name": name},
                    "spec": {"variant": "default"},
                }
                await client.apply(PACKAGES, value, manager="bench")
    finally:
        await transport.close()
