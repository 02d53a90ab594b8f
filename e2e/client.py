"""What tests and benchmarks do with a cluster: start one of their own, ask it, wait until it is as they want it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from cozystack.kube import Client, HttpTransport, SystemClock, load_config
from cozystack.kube.errors import ApiError, ConnectionFailed
from e2e.errors import E2eError
from e2e.state import Running, State

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
_LOOK_EVERY = 0.2
_STOPPING = 120.0


class Cluster:
    """A cluster that runs."""

    def __init__(self, state: State) -> None:
        self.state = state

    @property
    def running(self) -> Running:
        """What runs now: processes that end are started again under other numbers."""
        return self.state.read()

    @asynccontextmanager
    async def client(self, user_agent: str = "e2e") -> AsyncIterator[Client]:
        clock = SystemClock()
        transport = HttpTransport(load_config(self.state.kubeconfig, None, {}), clock=clock)
        try:
            yield Client(transport, clock=clock, user_agent=user_agent)
        finally:
            await transport.close()

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl to its end; raises ``AssertionError`` with what it said when it fails and that is not expected."""
        program = Path(sys.executable).parent / "kubectl"
        done = subprocess.run(
            [program, "--kubeconfig", self.state.kubeconfig, *arguments],
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(self.state.folder)},
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done


@contextmanager
def started(
    folder: Path, *, node: bool = False, audit: bool = True, controllers: bool = True, token: str = ""
) -> Iterator[Cluster]:
    """A cluster of its own in ``folder``, stopped when this ends; raises ``E2eError`` when it does not start."""
    command = [sys.executable, "-m", "e2e", "serve", "--state-dir", str(folder), "--until-stdin-ends"]
    command += ["--node"] if node else []
    command += [] if audit else ["--no-audit"]
    command += [] if controllers else ["--no-controllers"]
    command += ["--token", token] if token else []
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None  # noqa: S101 - pipes were asked for
    assert process.stdout is not None  # noqa: S101
    try:
        line = process.stdout.readline()
        if not line:
            raise E2eError(f"the cluster in {folder} did not start (exit code {process.wait()})")
        msgspec.json.decode(line, type=Running)
        yield Cluster(State(folder))
    finally:
        process.stdin.close()
        process.wait(_STOPPING)
        process.stdout.close()


async def until(
    what: str, check: Callable[[], Awaitable[Any]], *, patience: float = PATIENCE, otherwise: Callable[[], str] | None = None
) -> Any:
    """Ask until the answer is something, and return it; raises ``AssertionError`` when that takes too long.

    A server that cannot be reached, or that refuses for now, is asked again: tests stop and start them.
    """
    deadline = time.monotonic() + patience
    trouble = ""
    while True:
        try:
            found = await check()
            trouble = ""
            if found:
                return found
        except (ApiError, ConnectionFailed) as error:
            trouble = f" ({error})"
        if time.monotonic() > deadline:
            more = f"\n{otherwise()}" if otherwise else ""
            raise AssertionError(f"not within {patience:.0f} s: {what}{trouble}{more}")
        await asyncio.sleep(_LOOK_EVERY)
