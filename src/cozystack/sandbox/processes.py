"""Real processes behind Pods: started, logged, told to stop, and their end told to somebody.

Each process leads a group of its own, so that Ctrl-C in the terminal reaches the sandbox alone, which then stops everything in
order. A sandbox that is killed takes its processes with it: the kernel tells them (SIGTERM), since a second operator must not
be left behind. Output goes to one log file a container, which ``kubectl logs`` reads.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Ask the kernel (PR_SET_PDEATHSIG) to be told of the parent's end, look whether it has ended already, become the program.
_LAUNCH = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != int(sys.argv[1]):
    sys.exit(143)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: its exit code, or the negative number of the signal that killed it."""

    code: int


class Process:
    """One running process; ``on_end`` is called once, from the event loop, unless it was told to stop."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, on_end: Callable[[Ended], None]) -> None:
        self._process = process
        self._on_end = on_end
        self._stopping = False
        self.log = log
        self._waiter = asyncio.create_task(self._wait())

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        on_end: Callable[[Ended], None],
    ) -> Process:
        """Start ``command``, a path and its arguments; raises ``OSError`` when it cannot be."""
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid())),
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environment),
                cwd=directory,
                start_new_session=True,
            )
        return cls(process, log, on_end)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def _wait(self) -> None:
        code = await self._process.wait()
        if not self._stopping:
            self._on_end(Ended(code))

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL for what is left of its group after ``grace`` seconds."""
        self._stopping = True
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(self._waiter), grace)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._waiter

    def kill(self) -> None:
        """SIGKILL, as a crash would be; ``on_end`` is told."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return
