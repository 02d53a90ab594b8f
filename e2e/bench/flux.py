"""How long stock Flux takes for releases that wait for each other: with our operator, and left to its own timer.

A chain of six, and 113 releases in 16 levels that each wait for up to three of the level below; charts of one ConfigMap, five
workers, the settings of our Deployment. ``as shipped``: all releases are written at once (``--dependency-gate=written``), then
the operator is stopped, and what remains is helm-controller, which looks at dependencies every 30 s.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from bench.figures import Figure, Scale

from cozystack.api import names
from cozystack.api.cozystack import API_VERSION
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key, find_condition
from cozystack.api.resources import HELM_RELEASES, PACKAGE_SOURCES, PACKAGES
from cozystack.kube import Client
from e2e.acme import Acme, is_ready
from e2e.client import Cluster, started, until
from e2e.platform import MANAGER, ask_for_platform, install, publish, scale_operator

RELEASES, LEVELS, FAN_IN = 113, 16, 3
CHAIN = 6
PATIENCE = 1_800.0
Graph = dict[str, tuple[str, ...]]


def measure(scale: Scale) -> list[Figure]:
    graphs = {f"chain of {CHAIN} releases": chain()}
    if not scale.quick:
        graphs[f"{RELEASES} releases in {LEVELS} levels"] = layered()
    figures = []
    for gate in ("running", "written"):
        with TemporaryDirectory(prefix="e2e-") as folder, started(Path(folder, "state"), node=True) as cluster:
            figures += asyncio.run(_measured(cluster, Path(folder), graphs, gate))
    return figures


def chain() -> Graph:
    found = [f"link-{number}" for number in range(CHAIN)]
    return {name: (before,) if before else () for before, name in zip(("", *found), found, strict=False)}


def layered() -> Graph:
    random = Random(RELEASES)
    levels = [
        [f"node-{number}" for number in range(RELEASES * level // LEVELS, RELEASES * (level + 1) // LEVELS)]
        for level in range(LEVELS)
    ]
    found: Graph = {}
    for below, level in zip([[], *levels], levels, strict=False):
        for name in level:
            found[name] = tuple(sorted(random.sample(below, min(FAN_IN, len(below)))))
    return found


async def _measured(cluster: Cluster, folder: Path, graphs: dict[str, Graph], gate: str) -> list[Figure]:
    figures = []
    digest = await publish(cluster)
    await install(cluster, f"digest={digest}", f"--dependency-gate={gate}")
    async with cluster.client() as client:

        async def asked() -> bool:
            await ask_for_platform(cluster, client, "default")
            return True

        async def ready() -> bool:
            return is_ready(await client.get(PACKAGES, Key("", names.PLATFORM_PACKAGE)))

        await until("the operator serves Packages", asked)
        await until("the platform is ready", ready, patience=300)
        for what, graph in graphs.items():
            acme = Acme(cluster, client, folder / what.replace(" ", "-"))
            acme.chart("small")
            await acme.publish()
            if gate == "written":
                await scale_operator(client, 1)
            took = await _installed(acme, client, graph, stop=gate == "written")
            how = "as shipped" if gate == "written" else "with our operator"
            figures.append(Figure(f"{what}, {how}", took, "s"))
    return figures


async def _installed(acme: Acme, client: Client, graph: Graph, *, stop: bool) -> float:
    """Seconds from the first object until every release is ready."""
    began = time.perf_counter()
    for name, below in graph.items():
        await client.apply(PACKAGE_SOURCES, _source(acme, name, below), manager=MANAGER, force=True)
    for name in graph:
        package = {"apiVersion": API_VERSION, "kind": "Package", "metadata": {"name": acme.name(name)}, "spec": {}}
        await client.apply(PACKAGES, package, manager=MANAGER, force=True)

    async def own() -> list[HelmRelease]:
        found = (await client.list(HELM_RELEASES)).items
        return [release for release in found if acme.id in release.metadata.namespace]

    if stop:

        async def written() -> bool:
            return len(await own()) == len(graph)

        await until("every release is written", written)
        await scale_operator(client, 0)

    async def installed() -> bool:
        found = await own()
        return len(found) == len(graph) and all(map(_is_installed, found))

    await until("every release is ready", installed, patience=PATIENCE)
    return time.perf_counter() - began


def _is_installed(release: HelmRelease) -> bool:
    ready = find_condition(release.status.conditions, "Ready")
    return ready is not None and ready.status == "True"


def _source(acme: Acme, name: str, below: tuple[str, ...]) -> dict[str, Any]:
    component = {"name": name, "path": "system/small", "install": {"namespace": acme.namespace(name)}}
    repository = {"kind": "OCIRepository", "name": f"acme-{acme.id}", "namespace": names.SYSTEM_NAMESPACE, "path": "/"}
    variant = {"name": "default", "dependsOn": acme.names(*below), "components": [component]}
    return {
        "apiVersion": API_VERSION,
        "kind": "PackageSource",
        "metadata": {"name": acme.name(name)},
        "spec": {"sourceRef": repository, "variants": [variant]},
    }
