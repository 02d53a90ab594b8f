"""The program ``python -m cozystack.flux``: stand-ins of Flux's controllers, one or several in a process.

It takes the flags of the real controllers, so that the manifests of a real installation start it; those that mean nothing to a
stand-in are taken and not used. Exit codes: 0 stopped, 1 cannot go on, 2 wrong flags.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from cozystack import __version__
from cozystack.api.duration import parse_duration
from cozystack.api.meta import Key
from cozystack.flux.generator import Generators
from cozystack.flux.helmreleases import HelmReleases
from cozystack.flux.sources import Sources
from cozystack.flux.storage import ArtifactStorage
from cozystack.helm import HelmEngine, HelmError, open_helm
from cozystack.kube import Client, HttpTransport, SystemClock, load_config
from cozystack.kube.clock import Clock
from cozystack.kube.errors import KubeError
from cozystack.runtime import Controller, Log, Result, Service, configure, supervise, tune_gc

CONTROLLERS = ("source", "watcher", "helm")
# Flags of the real controllers that change nothing here.
_UNUSED = (
    "artifact-digest-algo",
    "artifact-retention-records",
    "artifact-retention-ttl",
    "enable-leader-election",
    "events-addr",
    "feature-gates",
    "health-addr",
    "helm-cache-max-size",
    "helm-cache-purge-interval",
    "helm-cache-ttl",
    "log-encoding",
    "metrics-addr",
    "no-cross-namespace-refs",
    "watch-all-namespaces",
    "watch-configs-label-selector",
    "watch-label-selector",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code."""
    options = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    clock = SystemClock()
    configure(sys.stderr, clock=clock, style="console", level=getattr(logging, options.log_level.upper()))
    log = Log("cozystack.flux")
    try:
        asyncio.run(run(options, os.environ, clock=clock, log=log))
    except (KubeError, HelmError, OSError) as error:
        log.error("cannot go on", reason=str(error))
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


async def run(options: argparse.Namespace, environment: Mapping[str, str], *, clock: Clock, log: Log) -> None:
    """Run the controllers until a signal."""
    async with AsyncExitStack() as stack:
        transport = HttpTransport(load_config(None, None, environment), clock=clock)
        stack.push_async_callback(transport.close)
        client = Client(transport, clock=clock, user_agent=f"cozystack-flux/{__version__}")
        folder = Path(options.storage_path) if options.storage_path else Path(stack.enter_context(_temporary()))
        services: list[Service] = []
        if {"source", "watcher"} & options.controllers:
            storage = ArtifactStorage(folder, advertised=options.storage_adv_addr)
            host, _, port = options.storage_addr.rpartition(":")
            await storage.serve(host or "127.0.0.1", int(port))
            stack.push_async_callback(storage.close)
            if "source" in options.controllers:
                services += source_services(client, storage, options.concurrent, clock=clock, log=log)
            if "watcher" in options.controllers:
                services += watcher_services(client, storage, stack, options.concurrent, clock=clock, log=log)
        if "helm" in options.controllers:
            engine = await open_helm(
                options.helm,
                state=folder,
                binary=Path(options.helm_binary) if options.helm_binary else None,
            )
            stack.push_async_callback(engine.close)
            kubeconfig = environment.get("KUBECONFIG", "")
            services += helm_services(
                client, engine, stack, options, kubeconfig=kubeconfig, work=folder / "charts", clock=clock, log=log
            )
        log.info("running", controllers=",".join(sorted(options.controllers)), version=__version__)
        tune_gc()
        await supervise(services, clock=clock)


def source_services(client: Client, storage: ArtifactStorage, workers: int, *, clock: Clock, log: Log) -> list[Service]:
    sources = Sources(client, storage, clock=clock, log=log)
    oci = _controller("ocirepository", sources.reconcile_oci, workers, clock)
    git = _controller("gitrepository", sources.reconcile_git, workers, clock)
    sources.attach(oci, git)
    return [
        Service("watch ocirepositories", sources.oci.run),
        Service("watch gitrepositories", sources.git.run),
        *(Service(f"controller {each.name}", each.run, each.stop) for each in (oci, git)),
    ]


def watcher_services(
    client: Client, storage: ArtifactStorage, stack: AsyncExitStack, workers: int, *, clock: Clock, log: Log
) -> list[Service]:
    generators = Generators(client, storage, clock=clock, log=log)
    stack.push_async_callback(generators.close)
    controller = _controller("artifactgenerator", generators.reconcile, workers, clock)
    generators.attach(controller)
    informers = (generators.generators, generators.artifacts, generators.oci, generators.git)
    return [
        *(Service(f"watch {each.resource}", each.run) for each in informers),
        Service("controller artifactgenerator", controller.run, controller.stop),
    ]


def helm_services(
    client: Client,
    engine: HelmEngine,
    stack: AsyncExitStack,
    options: argparse.Namespace,
    *,
    kubeconfig: str,
    work: Path,
    clock: Clock,
    log: Log,
) -> list[Service]:
    releases = HelmReleases(
        client,
        engine,
        kubeconfig=kubeconfig,
        work=work,
        clock=clock,
        log=log,
        requeue=options.requeue_dependency,
    )
    stack.push_async_callback(releases.close)
    controller = _controller("helmrelease", releases.reconcile, options.concurrent, clock)
    releases.attach(controller)
    informers = (releases.releases, releases.artifacts, releases.secrets, releases.config_maps)
    return [
        *(Service(f"watch {each.resource}", each.run) for each in informers),
        Service("health", releases.watcher.run),
        Service("controller helmrelease", controller.run, controller.stop),
    ]


def _controller(name: str, reconcile: Callable[[Key], Awaitable[Result]], workers: int, clock: Clock) -> Controller:
    return Controller(name, reconcile, clock=clock, random=Random(), workers=workers)  # noqa: S311 - spreads retries


def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="cozystack-flux-")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cozystack.flux", description="Stand-ins of Flux's controllers.", allow_abbrev=False
    )
    parser.add_argument("--controllers", type=_controllers, default=frozenset(CONTROLLERS), help="source,watcher,helm")
    parser.add_argument("--storage-path", default="", help="folder of the artifacts; a temporary one if not given")
    parser.add_argument("--storage-addr", type=_address, default="127.0.0.1:0", help="where artifacts are served")
    parser.add_argument("--storage-adv-addr", default="", help="host and port as they stand in the URLs of artifacts")
    parser.add_argument("--concurrent", type=int, default=5, help="reconciles at once, of each kind")
    parser.add_argument("--requeue-dependency", type=_seconds, default=30.0, help="when dependencies are looked at again")
    parser.add_argument("--helm", choices=("auto", "native", "binary"), default="auto", help="which Helm to use")
    parser.add_argument("--helm-binary", default="", help="a helm program")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    for name in _UNUSED:
        parser.add_argument(f"--{name}", nargs="?", const="", help=argparse.SUPPRESS)
    return parser


def _controllers(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if not names <= set(CONTROLLERS):
        raise argparse.ArgumentTypeError(f'"{text}" names others than {", ".join(CONTROLLERS)}')
    return names


def _address(text: str) -> str:
    if not text.rpartition(":")[2].isdecimal():
        raise argparse.ArgumentTypeError(f'"{text}" has no port')
    return text


def _seconds(text: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
