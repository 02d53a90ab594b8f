"""Facts about the machine that figures depend on. No names of hosts, users or folders: results are published."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path

import msgspec


class Machine(msgspec.Struct, frozen=True):
    """``cpus`` are those that this process may use; memory is in MiB."""

    cpus: int
    cpu: str
    memory: int
    system: str
    python: str
    libraries: dict[str, str]


def machine() -> Machine:
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        cpu=_found(r"model name\s*:\s*(.+)", "/proc/cpuinfo") or platform.machine(),
        memory=int(_found(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0) // 1024,
        system=f"{platform.system()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries={name: metadata.version(name) for name in ("aiohttp", "msgspec")},
    )


def _found(pattern: str, path: str) -> str:
    match = re.search(pattern, Path(path).read_text())
    return match.group(1).strip() if match else ""
