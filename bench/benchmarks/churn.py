"""A sandbox that is busy for a day: what grows.

A cluster of the sandbox with its SQLite file, its audit log and its controllers, on a clock that jumps (``bench.churning``):
two hours, and with ``--full`` a day, which takes minutes. Limits are for the day alone: memory, file and number of objects at
its end are compared with those at half of it, when all histories are as long as they get. Memory is PSS, after what is free was
given back.
"""

from __future__ import annotations

import subprocess
import sys

import msgspec

from bench.churning import Hour
from bench.figures import Figure, Hold, Scale

HOURS = 2
DAY = 24
MEMORY = Hold("<", 3.0)
DISK = Hold("<", 1.0)
OBJECTS = Hold("<", 3.0)
"""In percent."""


def measure(scale: Scale) -> list[Figure]:
    hours = DAY if scale.full else HOURS
    command = [sys.executable, "-m", "bench.churning", "--hours", str(hours), *(["--small"] if scale.quick else [])]
    lines = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    first, *played = (msgspec.json.decode(line, type=Hour) for line in lines)
    last, half = played[-1], played[len(played) // 2 - 1]
    memory, disk, objects = (MEMORY, DISK, OBJECTS) if scale.full else (None, None, None)
    return [
        Figure(f"{hours} hours, requests of clients", last.requests, "requests"),
        Figure("processor time for an hour", (last.processor - first.processor) / hours, "s"),
        Figure("memory at half of it", half.memory, "MB"),
        Figure("memory, growth in the second half", last.memory - half.memory, "MB", memory),
        Figure("database with its log, at half of it", _disk(half), "MB"),
        Figure("database with its log, growth in the second half", _disk(last) - _disk(half), "MB", disk),
        Figure("objects at half of it", half.rows, "objects"),
        Figure("objects, growth in the second half", (last.rows / half.rows - 1) * 100, "%", objects),
        Figure("changes that a watch can go on from", last.kept_events, "changes"),
        Figure("audit log, most", max(hour.audit for hour in played) / 1e6, "MB", Hold("<", 70.0)),
    ]


def _disk(hour: Hour) -> float:
    return (hour.database + hour.log) / 1e6
