"""The operator at work: an installation of N packages, edits, wake-ups, a restart, and nothing to do.

A PackageSource with one component and a Package each, in a namespace of its own; twelve layers, each package depends on three
of the layer below. Three processes: the API server (in memory, TLS), the operator as it is deployed (under its lease), and this
one, which plays the user and a Flux that is done at once (``bench.flux``).

Requests are those that the operator counts itself; writes are without Events and the Lease. Delays are from the moment at which
a request is sent that changes something to the moment at which a watch tells what the operator has made of it, one at a time on
a platform that has nothing else to do.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any, NamedTuple

from bench.figures import Figure, Hold, Scale, percentile
from bench.flux import MERGE, Flux, Line
from bench.load import request
from bench.operating import Metrics, Operator, operating
from bench.processes import apart
from bench.serving import Served, served
from cozystack.api import names
from cozystack.api.cozystack import API_VERSION
from cozystack.api.crds import crds
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import JSON, Key
from cozystack.api.names import artifact_name
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    CUSTOM_RESOURCE_DEFINITIONS,
    EXTERNAL_ARTIFACTS,
    HELM_RELEASES,
    NAMESPACES,
    OCI_REPOSITORIES,
    PACKAGE_SOURCES,
    PACKAGES,
    SECRETS,
)
from cozystack.operator.fluxinstall import flux_crds

DEPTH = 12
FAN_IN = 3
EDITS = 200
WAKES = 100
STEADY = 60.0
"""Seconds of having nothing to do."""
INTERVAL = 300.0
"""Seconds after which Flux looks at a release again."""
SIZES, FULL = (100, 1_000), (5_000, 10_000)
WRITERS = 8
PATIENCE = 60.0
MEMORY = {1_000: Hold("<", 150), 10_000: Hold("<", 600)}
RESTART = {1_000: Hold("<", 4), 10_000: Hold("<", 15)}


Look = Callable[[str], None]


class Measured(NamedTuple):
    figures: list[Figure]
    edit: float
    """Milliseconds of an edit, median."""
    requests: float
    """Requests for an edit."""


def measure(scale: Scale) -> list[Figure]:
    sizes = (scale.objects(SIZES[-1]),) if scale.quick else (*SIZES, *FULL) if scale.full else SIZES
    found = {size: apart(_measured, size, scale) for size in sizes}
    figures = [figure for each in found.values() for figure in each.figures]
    if len(sizes) > 1:
        most, fewest = found[sizes[-1]], found[sizes[0]]
        what = f"{sizes[-1]:,} packages to {sizes[0]:,}"
        figures.append(Figure(f"edit, median: {what}", most.edit / fewest.edit, "times", Hold("≤", 2)))
        figures.append(Figure(f"requests for an edit: {what}", most.requests / fewest.requests, "times", Hold("≤", 1)))
    return figures


def _measured(size: int, scale: Scale) -> Measured:
    return asyncio.run(_platform(size, scale))


async def _platform(size: int, scale: Scale) -> Measured:
    with served(tls=True) as server:
        return await on_server(server, size, scale)


async def on_server(server: Served, size: int, scale: Scale, *, look: Look = lambda what: None) -> Measured:
    """All figures of one size, on a server that has nothing yet; ``look`` is called after each part, with its name."""
    figures: list[Figure] = []
    where = f"{size:,} packages"
    await _furnish(server)
    async with Flux(server) as flux:
        with operating(server) as operator:
            await operator.quiet()
            look("start")
            bench = _Bench(server, flux, operator, size)
            figures += await _installation(bench, where)
            look("installation")
            edits, writes, requests = await _edits(bench, scale.objects(EDITS))
            look("edits")
            wakes = await _wakes(bench, scale.objects(WAKES))
            steady = STEADY if not scale.quick else STEADY / 10
            look("wakes")
            idle, idle_cpu = await _steady(bench, steady)
            look("steady state")
            peak = operator.peak / 2**20
            stopping = operator.stop()
            look("stop")
        with operating(server) as operator:
            restart = await _restarted(operator, size)
            look("restart")
            flux.check()
    figures += [
        Figure(f"edit to release written, {where}, median", statistics.median(edits), "ms", Hold("<", 30)),
        Figure(f"edit to release written, {where}, p99", percentile(edits, 99), "ms", Hold("<", 150)),
        Figure(f"writes for an edit, {where}", writes, "writes", Hold("≤", 4)),
        Figure(f"requests for an edit, {where}", requests, "requests"),
        Figure(f"dependency ready to release woken, {where}, median", statistics.median(wakes), "ms"),
        Figure(f"dependency ready to release woken, {where}, p99", percentile(wakes, 99), "ms", Hold("<", 100)),
        Figure(f"writes in {steady:g} s of nothing to do, {where}", idle, "writes", Hold("≤", 0)),
        Figure(f"processor time in {steady:g} s of nothing to do, {where}", idle_cpu, "s"),
        Figure(f"memory of the operator, {where}, highest", peak, "MiB", MEMORY.get(size)),
        Figure(f"stop, {where}", stopping, "s"),
        Figure(f"restart to quiet, {where}", restart.seconds, "s", RESTART.get(size)),
        Figure(f"restart, {where}, processor time", restart.cpu, "s"),
        Figure(f"restart, {where}, writes", restart.metrics.writes, "writes", Hold("≤", 0)),
        Figure(f"restart, {where}, neither list nor watch", restart.others, "requests", Hold("≤", 0)),
        Figure(f"restart, {where}, memory", restart.memory, "MiB", MEMORY.get(size)),
    ]
    return Measured(figures, statistics.median(edits), requests)


class _Bench:
    """What a measurement needs."""

    def __init__(self, server: Served, flux: Flux, operator: Operator, size: int) -> None:
        self.server = server
        self.flux = flux
        self.operator = operator
        self.size = size
        self.sources = list(platform(size))
        self.random = Random(size)

    async def until_ready(self, package: str, change: Callable[[], Awaitable[None]]) -> None:
        """Make a change, then wait until ``package`` is ready again in a version that came after it."""
        before = self.flux.packages[package].metadata.resource_version
        await change()
        await self.until(lambda: self.flux.packages[package].metadata.resource_version != before and self.flux.ready(package))

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until it is so, looking after every event of a Package."""
        moved = asyncio.Event()
        self.flux.on_package = lambda package, moment: moved.set()
        async with asyncio.timeout(PATIENCE):
            while not reached():
                moved.clear()
                await moved.wait()
        self.flux.on_package = lambda package, moment: None


# The platform


def platform(size: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names of packages, and of those that each depends on; always the same for the same size."""
    random = Random(size)
    layers = [range(size * layer // DEPTH, size * (layer + 1) // DEPTH) for layer in range(DEPTH)]
    for below, layer in zip([range(0), *layers], layers, strict=False):
        for number in layer:
            yield _name(number), tuple(_name(each) for each in sorted(random.sample(below, min(FAN_IN, len(below)))))


def _name(number: int) -> str:
    return f"example.package-{number}"


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _release(name: str) -> Key:
    return Key(f"example-{_short(name)}", _short(name))


def _source(name: str, depends_on: tuple[str, ...]) -> JSON:
    component = {
        "name": _short(name),
        "path": f"system/{_short(name)}",
        "install": {"namespace": _release(name).namespace},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "PackageSource",
        "metadata": {"name": name},
        "spec": {
            "sourceRef": {"kind": "OCIRepository", "name": "charts", "namespace": names.SYSTEM_NAMESPACE, "path": "/"},
            "variants": [{"name": "default", "dependsOn": list(depends_on), "components": [component]}],
        },
    }


def _package(name: str) -> JSON:
    return {"apiVersion": API_VERSION, "kind": "Package", "metadata": {"name": name}, "spec": {}}


async def _furnish(server: Served) -> None:
    """What there is before the first package: CRDs, the system's namespace with the values, the source of the charts."""
    line = Line(server)
    system = names.SYSTEM_NAMESPACE
    for crd in (*crds(), *flux_crds()):
        await line.write("POST", CUSTOM_RESOURCE_DEFINITIONS.path(), crd)
    for resource in (PACKAGES, PACKAGE_SOURCES, OCI_REPOSITORIES, ARTIFACT_GENERATORS, EXTERNAL_ARTIFACTS, HELM_RELEASES):
        # A real server serves a definition a little after it was created.
        while True:
            if await line.send(request("GET", resource.path())) == 200:
                break
            await asyncio.sleep(0.05)
    await line.write("POST", NAMESPACES.path(), {"metadata": {"name": system, "labels": {names.SYSTEM_LABEL: "true"}}})
    secret = {"metadata": {"name": names.VALUES_SECRET}, "stringData": {names.VALUES_KEY: "domain: example.org\n" * 40}}
    await line.write("POST", SECRETS.path(system), secret)
    repository = {
        "apiVersion": OCI_REPOSITORIES.api_version,
        "kind": "OCIRepository",
        "metadata": {"name": "charts", "namespace": system},
        "spec": {"url": "oci://charts.example.org/packages", "interval": "5m"},
    }
    await line.write("POST", OCI_REPOSITORIES.path(system), repository)
    line.close()


# What is measured


async def _installation(bench: _Bench, where: str) -> list[Figure]:
    """From the first object that is created until every Package is ready, and the operator is quiet."""
    operator, flux = bench.operator, bench.flux
    before, cpu, began = await operator.metrics(), operator.cpu, time.perf_counter()
    kinds = {
        PACKAGE_SOURCES.path(): [_source(*each) for each in bench.sources],
        PACKAGES.path(): [_package(name) for name, _ in bench.sources],
    }
    for path, objects in kinds.items():
        await _created(bench.server, path, objects)
    ready: set[str] = set()
    last = began
    while len(ready) < bench.size:
        await asyncio.sleep(0.1)
        flux.check()
        now = {name for name in flux.packages if flux.ready(name)}
        if now != ready:
            last = time.perf_counter()
        elif time.perf_counter() - last > PATIENCE:
            raise RuntimeError(f"only {len(now)} of {bench.size} packages have become ready")
        ready = now
    _, after = await operator.quiet()
    counts = {verb: count - before.requests().get(verb, 0) for verb, count in after.requests().items()}
    return [
        Figure(f"installation, {where}", last - began, "s"),
        Figure(f"installation, {where}, processor time of the operator", operator.cpu - cpu, "s"),
        *(Figure(f"installation, {where}, {verb}", count, "requests") for verb, count in sorted(counts.items())),
        Figure(f"installation, {where}, Events", after.events - before.events, "writes"),
        Figure(
            f"installation, {where}, writes for a package",
            (after.writes - before.writes) / bench.size,
            "writes",
            Hold("≤", 8),
        ),
    ]


async def _created(server: Served, path: str, objects: list[JSON]) -> None:
    waiting = iter(objects)

    async def create() -> None:
        line = Line(server)
        for obj in waiting:
            await line.write("POST", path, obj)
        line.close()

    await asyncio.gather(*(create() for _ in range(WRITERS)))


async def _edits(bench: _Bench, times: int) -> tuple[list[float], float, float]:
    """Milliseconds from an edit of a Package to the release that says so; writes and requests for each, until it is ready."""
    line = Line(bench.server)
    before = await bench.operator.metrics()
    delays = []
    for number in range(times):
        name, _ = bench.sources[bench.random.randrange(bench.size)]
        patch = {"spec": {"components": {_short(name): {"values": {"number": number}}}}}
        key, wanted = _release(name), {"number": number}
        async with _awaited(bench.flux, key, partial(_has_values, wanted)) as written:
            began = time.perf_counter()

            async def edit(name: str = name, patch: JSON = patch) -> None:
                await line.write("PATCH", PACKAGES.path("", name), patch, MERGE)

            await bench.until_ready(name, edit)
            delays.append((await written - began) * 1000)
        await asyncio.sleep(0.02)
    line.close()
    _, after = await bench.operator.quiet()
    requests = sum(after.requests().values()) - sum(before.requests().values())
    return delays, (after.writes - before.writes) / times, requests / times


def _has_values(wanted: JSON, release: HelmRelease) -> bool:
    return bool(release.spec.values == wanted)


def _is_not_ready(flux: Flux, name: str) -> bool:
    return not flux.ready(name)


async def _wakes(bench: _Bench, times: int) -> list[float]:
    """Milliseconds from a dependency that becomes ready to the release that is woken because of it.

    The charts of both were built again: the dependency is being upgraded, and the release was found to wait for it.
    """
    flux = bench.flux
    delays = []
    with_dependencies = [(name, depends_on) for name, depends_on in bench.sources if depends_on]
    for number in range(times):
        name, depends_on = bench.random.choice(with_dependencies)
        dependency, release = _release(depends_on[0]), _release(name)
        flux.held = {dependency, release}
        await flux.rebuilt(artifact_name(name, names.DEFAULT_VARIANT, _short(name)), str(number))
        await flux.reconciling(dependency)
        await flux.waiting(release)
        await bench.until(partial(_is_not_ready, flux, name))
        await bench.operator.quiet(0.1)
        requested = flux.releases[release].metadata.annotations.get(names.REQUESTED_AT_ANNOTATION)

        def woken(found: HelmRelease, requested: str | None = requested) -> bool:
            return found.metadata.annotations.get(names.REQUESTED_AT_ANNOTATION) != requested

        async with _awaited(flux, release, woken) as moment:
            began = time.perf_counter()
            await flux.installed(dependency)
            delays.append((await moment - began) * 1000)
        flux.held = set()
        await bench.until_ready(name, partial(flux.installed, release))
    await bench.operator.quiet()
    return delays


@asynccontextmanager
async def _awaited(flux: Flux, key: Key, reached: Callable[[HelmRelease], bool]) -> Any:
    """The moment at which a release is first seen to be so, as a future."""
    moment: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def see(release: HelmRelease, seen: float) -> None:
        if release.key == key and not moment.done() and reached(release):
            moment.set_result(seen)

    flux.on_release = see
    async with asyncio.timeout(PATIENCE):
        yield moment
    flux.on_release = lambda release, seen: None


async def _steady(bench: _Bench, seconds: float) -> tuple[int, float]:
    """Writes of the operator, and its processor seconds, while Flux looks at releases at its interval and finds nothing."""
    flux = bench.flux
    pause = INTERVAL / bench.size
    before, cpu, began = await bench.operator.metrics(), bench.operator.cpu, time.perf_counter()
    number = 0
    while (due := began + number * pause) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        key = _release(bench.sources[number % bench.size][0])
        flux.held = {key}
        await flux.reconciling(key)
        await flux.installed(key)
        number += 1
    flux.held = set()
    await asyncio.sleep(max(0.0, began + seconds - time.perf_counter()))
    after = await bench.operator.metrics()
    return after.writes - before.writes, bench.operator.cpu - cpu


class _Restart(NamedTuple):
    seconds: float
    cpu: float
    memory: float
    metrics: Metrics

    @property
    def others(self) -> int:
        """Requests other than lists and watches."""
        return sum(count for verb, count in self.metrics.requests().items() if verb not in ("list", "watch"))


async def _restarted(operator: Operator, size: int) -> _Restart:
    """What it takes to find that nothing has changed, from starting the process."""
    began = operator.began
    last, metrics = await operator.quiet(2.0)
    if metrics.ready != size:
        raise RuntimeError(f"after a restart {metrics.ready} of {size} packages are ready")
    return _Restart(last - began, operator.cpu, operator.peak / 2**20, metrics)
