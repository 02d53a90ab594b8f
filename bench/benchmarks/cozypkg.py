"""The command line as people and scripts meet it: new processes, from start to end, beside a bare interpreter.

The cluster of 1,000 packages is the embedded API server in another process, with a PackageSource (4 KB) and a Package for each;
``list`` asks it for all of one kind. What the server takes to answer is part of the figure. The cluster of 10,000 packages
holds an installed platform as a server stores it (15,000 releases, 25,000 artifacts, with status and ``managedFields``, 75 MB
of JSON) and hands it out as it is, so that figure is of the program alone. In a new platform nothing is installed yet, and
every Package waits for many others: the longest way to explain one.

Beside each figure stands its processor time, of the program and of all that it starts: what it takes when nobody disturbs it.
Short calls are medians, taken in turns with a bare interpreter; of long ones the quickest of three counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bench.answering import answering
from bench.figures import Figure, Hold, Scale
from bench.objects import package_name, values
from bench.platforms import new_and_running, with_status
from bench.serving import TOKEN, served
from cozystack.api import yaml
from cozystack.api.cozystack import API_VERSION, Package, PackageSource, PackageSpec
from cozystack.api.meta import ObjectMeta
from cozystack.api.resources import PACKAGES
from cozystack.cozypkg.world import EVERYTHING
from cozystack.kube import Client, ClusterConfig, HttpTransport, SystemClock

PACKAGES_LISTED = 1_000
PACKAGES_PLANNED = 10_000
CHARTS = 150
REPEAT = 15
HELP = Hold("≤", 100)
LIST = Hold("≤", 400)
MEMORY = Hold("<", 350)

_PROGRAM = (sys.executable, "-c", "import sys; from cozystack.cozypkg.main import main; sys.exit(main())")
_BARE = (sys.executable, "-c", "pass")
_OK, _FOUND = 0, 2


@dataclass(frozen=True, slots=True)
class Call:
    """One process from start to end; ``wall`` and ``cpu`` in seconds, ``peak`` is the most memory that it held, in MiB."""

    wall: float
    cpu: float
    peak: float


def measure(scale: Scale) -> list[Figure]:
    return [*_start(scale), *_lists(scale), *_plans(scale), *_lints(scale)]


def _start(scale: Scale) -> list[Figure]:
    """What it takes to say something that needs no cluster."""
    return beyond_bare("cozypkg --help", ("--help",), scale.repeat(REPEAT), HELP)


def _lists(scale: Scale) -> list[Figure]:
    count = scale.objects(PACKAGES_LISTED)
    with served(fill="sources", count=count) as server, TemporaryDirectory(prefix="bench-") as folder:
        asyncio.run(_create_packages(server.url, count))
        at = ("--kubeconfig", str(_kubeconfig(Path(folder), server.url)))
        times = scale.repeat(REPEAT)
        return [
            *beyond_bare(f"cozypkg list of {count:,} packages", ("list", *at), times, LIST),
            *beyond_bare(f"cozypkg list --installed of {count:,} packages", ("list", "--installed", *at), times, LIST),
            *beyond_bare(f"cozypkg status of {count:,} packages", ("status", *at), times),
        ]


def _plans(scale: Scale) -> list[Figure]:
    """One value of one Package changes in a platform that is installed; and why it is as it is."""
    count = scale.objects(PACKAGES_PLANNED)
    wanted, running = new_and_running(count)
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        world, edit = folder / "world.yaml", folder / "edit.yaml"
        world.write_text("---\n".join(yaml.dump(_manifest(obj)) for obj in wanted if isinstance(obj, Package | PackageSource)))
        changed = Package(metadata=ObjectMeta(name=package_name(0)), spec=PackageSpec(components=values(0, "20Gi")))
        edit.write_text(yaml.dump(_manifest(changed)))
        of_files = quickest(("plan", "--offline", str(world), "-f", str(edit)), expects=_FOUND)
        with answering(with_status(running), EVERYTHING) as url:
            at = ("--kubeconfig", str(_kubeconfig(folder, url)))
            of_cluster = quickest(("plan", "-f", str(edit), *at), expects=_FOUND)
            explained = quickest(("explain", package_name(count - 1), *at), expects=None)
            every = quickest(("explain", *at), expects=None)
            drawn = quickest(("dot", "--installed", "--format", "json", *at))
        with answering(with_status(wanted), EVERYTHING) as url:
            at = ("--kubeconfig", str(_kubeconfig(folder, url)))
            waiting = quickest(("explain", package_name(count - 1), *at), expects=None)
    said = f"of {count:,} packages"
    return [
        *_figures(f"cozypkg plan {said}, from a cluster", of_cluster, Hold("<", 5)),
        *_figures(f"cozypkg plan {said}, from YAML files", of_files, Hold("<", 15)),
        *_figures(f"cozypkg explain of one {said}", explained, Hold("<", 1)),
        *_figures(f"cozypkg explain of one {said}, none of them installed", waiting, None),
        *_figures(f"cozypkg explain of all {said}", every, None),
        *_figures(f"cozypkg dot {said}", drawn, None),
    ]


def _lints(scale: Scale) -> list[Figure]:
    """A repository that nobody has seen yet, and the same again."""
    count = scale.objects(CHARTS)
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        repository(folder / "packages", count)
        cold = min((_linted(folder, f"cache-{number}") for number in range(3)), key=lambda call: call.wall)
        again = min((_linted(folder, "cache-0") for _ in range(3)), key=lambda call: call.wall)
    return [
        *_figures(f"cozypkg lint of a repository with {count} charts, never seen", cold, Hold("<", 6), memory=False),
        *_figures(f"cozypkg lint of a repository with {count} charts, unchanged", again, Hold("<", 1), memory=False),
    ]


def _linted(folder: Path, cache: str) -> Call:
    return called((*_PROGRAM, "lint", str(folder / "packages")), env={**os.environ, "XDG_CACHE_HOME": str(folder / cache)})


def _figures(name: str, call: Call, hold: Hold | None, *, memory: bool = True) -> list[Figure]:
    found = [Figure(name, call.wall, "s", hold), Figure(f"{name}, processor time", call.cpu, "s")]
    return [*found, Figure(f"{name}, most memory", call.peak, "MiB", MEMORY)] if memory else found


def beyond_bare(name: str, arguments: Iterable[str], times: int, hold: Hold | None = None) -> list[Figure]:
    """How much more one call of the program takes than an interpreter that does nothing (medians, taken in turns)."""
    program = (*_PROGRAM, *arguments)
    called(program)
    ours: list[Call] = []
    bare: list[Call] = []
    for _ in range(times):
        ours.append(called(program))
        bare.append(called(_BARE))

    wall = statistics.median(call.wall for call in ours) - statistics.median(call.wall for call in bare)
    cpu = statistics.median(call.cpu for call in ours) - statistics.median(call.cpu for call in bare)

    return [
        Figure(f"{name}, beyond a bare interpreter", 1000 * wall, "ms", hold),
        Figure(f"{name}, beyond a bare interpreter, processor time", 1000 * cpu, "ms"),
    ]


def quickest(arguments: Iterable[str], *, expects: int | None = 0) -> Call:
    calls = [called((*_PROGRAM, *arguments), expects=expects) for _ in range(3)]
    return min(calls, key=lambda call: call.wall)


def called(command: Sequence[str], *, expects: int | None = 0, env: dict[str, str] | None = None) -> Call:
    """``expects``: the exit code, ``None`` for any that is no failure."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = code = os.waitstatus_to_exitcode(status)
    if code != expects and (expects is not None or code not in (_OK, _FOUND)):
        raise RuntimeError(f"{' '.join(command[3:])} ended with {code}")
    return Call(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def repository(folder: Path, charts: int) -> None:
    """A package repository with a PackageSource a chart; each chart has a Deployment, a Service, a schema and a values file."""
    sources = folder / "core" / "platform" / "sources"
    sources.mkdir(parents=True)
    for number in range(charts):
        name = f"example-{number}"
        before = [f"example.{name.rpartition('-')[0]}-{number - 1}"] if number else []
        component = {"name": name, "path": f"system/{name}", "install": {"namespace": f"ns-{number}"}}
        source = {
            "apiVersion": API_VERSION,
            "kind": "PackageSource",
            "metadata": {"name": f"example.{name}"},
            "spec": {
                "sourceRef": {"kind": "OCIRepository", "name": "charts", "namespace": "cozy-system"},
                "variants": [{"name": "default", "dependsOn": before, "components": [component]}],
            },
        }
        (sources / f"{name}.yaml").write_text(yaml.dump(source))
        chart = folder / "system" / name
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 0.0.0\n")
        (chart / "values.yaml").write_text(f"replicas: 2\nimage: example.org/{name}:1.0.0\nport: {8000 + number}\n")
        (chart / "values.schema.json").write_text(json.dumps({"properties": {"replicas": {"type": "integer", "minimum": 0}}}))
        (chart / "templates" / "all.yaml").write_text(_TEMPLATE)


_TEMPLATE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name | quote }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name | quote }}}}
    spec:
      containers:
        - {name: main, image: {{ .Values.image | quote }}, ports: [{containerPort: {{ .Values.port }}}]}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: {{ .Release.Name | quote }}}, ports: [{port: {{ .Values.port }}}]}
"""


def _manifest(obj: Package | PackageSource) -> dict[str, object]:
    kind = type(obj).__name__
    spec = msgspec.to_builtins(obj.spec)
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": obj.metadata.name}, "spec": spec}


def _kubeconfig(folder: Path, url: str) -> Path:
    file = folder / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: bench\n"
        f"clusters: [{{name: bench, cluster: {{server: '{url}'}}}}]\n"
        f"users: [{{name: bench, user: {{token: {TOKEN}}}}}]\n"
        "contexts: [{name: bench, context: {cluster: bench, user: bench}}]\n"
    )
    return file


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
