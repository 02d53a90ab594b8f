"""How fast this machine is, for the kind of work that we do: a fixed loop of plain Python and of JSON.

The loop must never change: figures of old runs are compared through it. It depends on the Python and msgspec that it runs on,
as the program does.
"""

from __future__ import annotations

import gc
import statistics
import time

import msgspec

ROUNDS = 7


def calibrate(rounds: int = ROUNDS) -> float:
    """Seconds that one turn of the loop takes (median of ``rounds``)."""
    times = []
    gc.disable()
    try:
        for _ in range(rounds):
            began = time.perf_counter()
            _turn()
            times.append(time.perf_counter() - began)
    finally:
        gc.enable()
    return statistics.median(times)


def _turn() -> None:
    document = msgspec.json.encode([_object(number) for number in range(200)])
    for _ in range(10):
        found = msgspec.json.decode(document)
        index: dict[str, list[str]] = {}
        for item in found:
            metadata = item["metadata"]
            for label, value in metadata["labels"].items():
                index.setdefault(f"{label}={value}", []).append(metadata["name"])
        for names in index.values():
            names.sort(reverse=True)
        msgspec.json.encode(found)
    total = 0
    for number in range(200_000):
        total = (total * 31 + number) % 1_000_003
    assert total == 796_956, total


def _object(number: int) -> dict[str, object]:
    labels = {f"example.org/label-{position}": f"value-{number % (position + 2)}" for position in range(8)}
    conditions = [{"type": f"Type{position}", "status": "True", "message": "all is well " * 8} for position in range(4)]
    return {"kind": "Example", "metadata": {"name": f"object-{number}", "labels": labels}, "status": {"conditions": conditions}}
