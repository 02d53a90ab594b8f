"""What Helm costs by each back end: ``PYTHONPATH=tests python -m helm.bench``. Medians, in milliseconds."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from cozystack.helm import ReleaseRequest, RenderRequest
from helm.cluster import BACK_ENDS, CONFIG_MAP, Cluster, back_end, chart, cluster

ROUNDS = 20
AT_ONCE = 16


async def median(request: Callable[[int], Awaitable[object]], *, rounds: int = ROUNDS) -> float:
    times = []
    for number in range(rounds):
        begin = time.perf_counter()
        await request(number)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


async def measure(kind: str, here: Cluster, folder: Path) -> dict[str, float]:
    async def start(_: int) -> None:
        engine = back_end(kind, folder)
        await engine.start()
        await engine.close()

    found = {"open and close": await median(start, rounds=5)}
    engine = back_end(kind, folder)
    await engine.start()
    small = chart(folder / f"{kind}-small", {"values.yaml": "value: 1\n", "templates/a.yaml": CONFIG_MAP})
    templates = {f"templates/{n}.yaml": CONFIG_MAP.replace("{{ .Release.Name }}", f"c{n}") for n in range(100)}
    large = chart(folder / f"{kind}-large", {"values.yaml": "value: 1\n", **templates})
    namespace = await here.namespace()

    def request(name: str, chart: str) -> ReleaseRequest:
        return ReleaseRequest(target=here.target(namespace, name), chart=chart)

    found["render, 1 object"] = await median(lambda _: engine.render(RenderRequest(chart=small, name="r", namespace="n")))
    found["render, 100 objects"] = await median(lambda _: engine.render(RenderRequest(chart=large, name="r", namespace="n")))
    found["install, 1 object"] = await median(lambda n: engine.install(request(f"r{n}", small)))
    found["upgrade, 1 object"] = await median(lambda n: engine.upgrade(request(f"r{n}", small)))
    found["status"] = await median(lambda n: engine.status(here.target(namespace, f"r{n}")))
    found["uninstall, 1 object"] = await median(lambda n: engine.uninstall(here.target(namespace, f"r{n}")))
    found["install, 100 objects"] = await median(lambda _: engine.install(request("large", large)), rounds=1)

    async def many(_: int) -> None:
        await asyncio.gather(*(engine.install(request(f"many{n}", small)) for n in range(AT_ONCE)))

    found[f"{AT_ONCE} installs at once"] = await median(many, rounds=1)
    await engine.close()
    return found


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        async with cluster(Path(name)) as here:
            results = {kind: await measure(kind, here, Path(name)) for kind in BACK_ENDS}
    print(f"{'':24}" + "".join(f"{kind:>10}" for kind in results))  # noqa: T201
    for row in results[BACK_ENDS[0]]:
        print(f"{row:24}" + "".join(f"{result[row]:10.1f}" for result in results.values()))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
