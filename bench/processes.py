"""What processes hold and use, read from ``/proc``."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_TICK = os.sysconf("SC_CLK_TCK")


def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``function`` (of a module) returns or raises, run in a new process that shares nothing with this one."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(function, *args, **kwargs).result()


def held_megabytes() -> float:
    """Memory of this process in MB (PSS), after everything that is free was given back."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return proportional_bytes(os.getpid()) / 1e6


def proportional_bytes(pid: int) -> int:
    """PSS of a process: its own memory, and its share of what it shares. 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def peak_bytes(pid: int) -> int:
    """The most memory that a process has held so far (RSS). 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:")), 0)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, in all its threads."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICK if fields else 0.0


class Tree:
    """A process and everything it has started, also what lost its parent since."""

    def __init__(self, root: int) -> None:
        self._known = {root: _began(root)}

    def pids(self) -> list[int]:
        """Those that run now; look often, since a process is known only if it was seen below its parent."""
        parents = {pid: _parent(pid) for pid in _all()}
        grown = True
        while grown:
            found = {pid for pid, parent in parents.items() if parent in self._known and pid not in self._known}
            self._known |= {pid: _began(pid) for pid in found}
            grown = bool(found)
        return [pid for pid, began in self._known.items() if pid in parents and _began(pid) == began]

    def proportional_bytes(self) -> int:
        return sum(map(proportional_bytes, self.pids()))


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _began(pid: int) -> str:
    """When a process began, in ticks: tells it from a later one of the same number."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the state on; none when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
