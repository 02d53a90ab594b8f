"""The main job: from nothing to a platform that is ready, with ``cozystack up --once``, and once more from its state.

The program runs as a user runs it, with a new state folder; then again with the same folder, where all there is to do is to
find that everything is as it should be. Time is that of the whole command, from starting Python until everything is stopped
again; what the program itself counts as the time to Ready stands beside it. Memory is the sum of PSS over the process and all
that it has started, looked at four times a second; the highest counts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from bench.figures import Figure, Hold, Scale, not_available
from bench.processes import Tree

FAST = Hold("<", 20)
SMALL = Hold("<", 700)
TIMEOUT = 300.0
STOPPING = 60.0
SAMPLE_EVERY = 0.25

READY = "from nothing to ready, whole command"
AGAIN = "from its state to ready, whole command"
MEMORY = "memory of all processes, highest"


class _Step(msgspec.Struct):
    step: str
    seconds: float


class _Summary(msgspec.Struct, rename="camel"):
    """What is read of the summary that the program prints."""

    ready: bool
    seconds: float
    packages: int = 0
    packages_ready: int = 0
    releases: int = 0
    releases_ready: int = 0
    reason: str = ""
    steps: list[_Step] = []


class _Run(NamedTuple):
    """One run: seconds of the command, its highest memory in MiB, and what the program says."""

    seconds: float
    memory: float
    summary: _Summary


class _Failed(Exception):  # noqa: N818 - it names what happened
    """The program did not get ready; the text says why."""


def measure(scale: Scale) -> list[Figure]:
    del scale  # there is one size of it
    with TemporaryDirectory(prefix="bench-") as folder:
        state = Path(folder, "state")
        try:
            first = _run(state)
        except _Failed as error:
            reason = str(error)
            return [not_available(READY, "s", reason, FAST), not_available(MEMORY, "MiB", reason, SMALL)]
        figures = [
            Figure(READY, first.seconds, "s", FAST),
            Figure("from nothing to ready, as the program counts", first.summary.seconds, "s"),
            *(Figure(f"step: {step.step}", step.seconds, "s") for step in first.summary.steps),
            Figure(MEMORY, first.memory, "MiB", SMALL),
            Figure("packages that are ready", first.summary.packages_ready, "packages"),
            Figure("releases that are ready", first.summary.releases_ready, "releases"),
        ]
        try:
            again = _run(state)
        except _Failed as error:
            return [*figures, not_available(AGAIN, "s", str(error))]
        return [*figures, Figure(AGAIN, again.seconds, "s")]


def _run(state: Path) -> _Run:
    """Run the program until it ends; raises ``_Failed``."""
    program = Path(sys.executable).with_name("cozystack")
    if not program.exists():
        raise _Failed("the program cozystack is not installed beside this Python")
    command = [str(program), "up", "--once", "--output", "json", "--state-dir", str(state)]
    output, errors = state.with_name("stdout.json"), state.with_name("stderr.txt")
    began = time.monotonic()
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        highest = _watched(process)
    seconds = time.monotonic() - began
    try:
        summary = msgspec.json.decode(output.read_bytes(), type=_Summary)
    except msgspec.DecodeError:
        lines = errors.read_text(errors="replace").strip().splitlines()
        said = lines[-1] if lines else "it said nothing"
        raise _Failed(f"exit code {process.returncode} without a summary: {said}") from None
    if not summary.ready:
        raise _Failed(f"{summary.packages_ready} of {summary.packages} packages ready: {summary.reason}")
    return _Run(seconds, highest / 2**20, summary)


def _watched(process: subprocess.Popen[bytes]) -> int:
    """The highest memory of a process and all that it starts, in bytes, once it has ended; ended by force after a while."""
    tree = Tree(process.pid)
    highest, deadline = 0, time.monotonic() + TIMEOUT
    try:
        while process.poll() is None:
            highest = max(highest, tree.proportional_bytes())
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGINT)
                process.wait(STOPPING)
            else:
                time.sleep(SAMPLE_EVERY)
    except subprocess.TimeoutExpired:
        pass
    finally:
        for pid in tree.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
    return highest
