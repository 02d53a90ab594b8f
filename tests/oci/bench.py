"""What artifacts cost: ``PYTHONPATH=tests python -m oci.bench [FOLDER]``. Medians, in milliseconds."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from cozystack.oci import Reference, Registry, RegistryClient, pack, pack_files, read_archive
from oci.registries import running

ROUNDS = 10


async def median(request: Callable[[int], Awaitable[object]]) -> float:
    times = []
    for number in range(ROUNDS):
        begin = time.perf_counter()
        await request(number)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


async def main(folder: Path) -> None:
    layer = pack(folder)
    files = read_archive(layer)
    noise = pack_files([("noise", os.urandom(20_000_000))])
    with tempfile.TemporaryDirectory() as name:
        async with running(Registry(Path(name))) as host, RegistryClient() as client:
            there = Reference(host, "bench", "v1")

            async def packing(_: int) -> None:
                pack(folder)

            async def reading(_: int) -> None:
                read_archive(layer)

            async def push(number: int) -> None:
                await client.push(Reference(host, f"bench{number}", "v1"), layer + b"\0" * number, annotations={})

            async def push_large(number: int) -> None:
                await client.push(there, noise + b"\0" * (number + 1), annotations={})

            results = {
                "pack": await median(packing),
                "read": await median(reading),
                "push": await median(push),
                "push what is there": await median(lambda _: client.push(Reference(host, "bench0"), layer, annotations={})),
                "pull": await median(lambda _: client.pull(Reference(host, "bench0"))),
                "push 20 MB": await median(push_large),
                "pull 20 MB": await median(lambda _: client.pull(there)),
            }
    total = sum(map(len, files.values()))
    print(f"{folder}: {len(files)} files, {total / 1e6:.2f} MB, packed {len(layer) / 1e6:.2f} MB")  # noqa: T201
    for row, result in results.items():
        print(f"{row:20}{result:8.1f}")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "packages")))
