"""A cluster, kept running by one process until it is told to stop: control plane, and a node and a registry if asked for.

The process says that it is ready by one line on its standard output. It ends at SIGTERM, or with its standard input when that
was asked for: so nothing outlives a test run, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from cozystack.kube import Client, HttpTransport, SystemClock, load_config
from cozystack.oci import Registry
from cozystack.runtime import Log, logging, supervise
from e2e.build import CONTROL_PLANE, EVERYTHING, binaries
from e2e.controlplane import HOST, ControlPlane
from e2e.node import Node
from e2e.state import Running, State, free_ports

_log = Log("e2e")


class Options(msgspec.Struct, frozen=True):
    """What a cluster has besides its control plane."""

    node: bool = False
    """A node that runs Pods, and a registry."""
    audit: bool = True
    controllers: bool = True
    """Without them objects are what their writers make of them: no status, no garbage collection."""
    token: str = ""
    """Of the administrator; a random one when it is empty."""
    until_stdin_ends: bool = False


async def serve(state: State, options: Options) -> None:
    """Keep a cluster running; raises ``E2eError`` when it cannot be started."""
    programs = binaries(EVERYTHING if options.node else CONTROL_PLANE)
    with state.locked():
        state.forget()
        state.logs.mkdir(parents=True, exist_ok=True)
        with (state.logs / "e2e.log").open("a") as stream:
            logging.configure(stream, clock=SystemClock())
            told = _told_to_stop(options)
            async with _up(state, options, programs) as finished:
                print(msgspec.json.encode(state.read()).decode(), flush=True)
                done, _ = await asyncio.wait((told, finished), return_when=asyncio.FIRST_COMPLETED)
                state.forget()
                for task in done:
                    task.result()


@contextlib.asynccontextmanager
async def _up(state: State, options: Options, programs: dict[str, Path]) -> AsyncIterator[asyncio.Future[None]]:
    """A running cluster; the value ends when its node does."""
    clock, ports = SystemClock(), free_ports()
    up = False

    def tell() -> None:
        if up:
            state.write(Running(os.getpid(), control_plane.url, control_plane.token, ports, control_plane.pids))

    control_plane = ControlPlane(
        state,
        programs,
        ports,
        log=_log,
        audit=options.audit,
        controllers=options.controllers,
        token=options.token,
        changed=tell,
    )
    running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(control_plane.stop)
        await control_plane.start()
        if options.node:
            transport = HttpTransport(load_config(state.kubeconfig, None, os.environ), clock=clock)
            stack.push_async_callback(transport.close)
            registry = Registry(state.registry)
            await registry.start(HOST, ports["registry"])
            stack.push_async_callback(registry.stop)
            client = Client(transport, clock=clock, user_agent="kubelet")
            node = Node(client, control_plane, state, programs, ports, clock=clock, log=_log)
            await node.register()
            stack.push_async_callback(node.stop)
            running = asyncio.ensure_future(supervise(node.services, clock=clock, signals=False))
            stack.push_async_callback(_cancelled, running)
        up = True
        tell()
        yield running


def _told_to_stop(options: Options) -> asyncio.Future[None]:
    """Ends when this process is to end."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not told.done():
            told.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if options.until_stdin_ends:

        def on_input() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                loop.remove_reader(sys.stdin.fileno())
                stop()

        loop.add_reader(sys.stdin.fileno(), on_input)
    return told


async def _cancelled(task: asyncio.Future[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
