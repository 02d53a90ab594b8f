"""What happens to an installation while its operator, its API server or Flux is killed: it ends as if nothing had."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cozystack.api import names
from cozystack.api.resources import HELM_RELEASES
from cozystack.sandbox import kinds
from e2e.acme import Acme, is_ready
from e2e.client import Cluster, until

CHAIN = ("alpha", "beta", "gamma")


@pytest.mark.parametrize("seed", range(3))
async def test_an_operator_that_is_killed_again_and_again_ends_where_it_would_have(acme: Acme, seed: int) -> None:
    random = Random(seed)
    await acme.chain(*CHAIN)
    for package in CHAIN:
        # Somewhere between the first object and the last: when as many releases are there, and a little later.
        count = random.randrange(len(CHAIN))

        async def far_enough(count: int = count) -> bool:
            found = [await acme.get_release(each) for each in CHAIN]
            return sum(release is not None for release in found) >= min(count, 1)

        await until("some releases are there", far_enough)
        await killed(acme.cluster, acme, "cozystack.operator.main")
        edited: dict[str, Any] = {package: {"values": {"size": 10 + seed}}}
        await acme.package(package, **edited)
    await acme.until_ready(*CHAIN)
    releases = [await acme.get_release(package) for package in CHAIN]
    assert [release.spec.values for release in releases if release is not None] == [{"size": 10 + seed}] * 3


async def test_an_api_server_that_is_killed_is_waited_for(acme: Acme) -> None:
    await acme.chain(*CHAIN)
    pid = acme.cluster.running.pids["kube-apiserver"]
    os.kill(pid, signal.SIGKILL)

    async def back() -> bool:
        return acme.cluster.running.pids.get("kube-apiserver", pid) != pid and await acme.find("alpha") is not None

    await until("the API server is back", back)
    await acme.until_ready(*CHAIN)


async def test_a_helm_controller_that_is_killed_goes_on(acme: Acme) -> None:
    await acme.chain(*CHAIN)
    await killed(acme.cluster, acme, "helm-controller")
    await acme.until_ready(*CHAIN)


async def test_a_deletion_that_is_interrupted_is_finished(acme: Acme) -> None:
    await acme.chain(*CHAIN)
    await acme.until_ready("gamma")
    await acme.delete(*reversed(CHAIN))
    await killed(acme.cluster, acme, "cozystack.operator.main")
    for package in CHAIN:

        async def gone(package: str = package) -> bool:
            return await acme.find(package) is None and await acme.get_release(package) is None

        await until(f"{package} is gone", gone)


async def test_a_restarted_operator_writes_nothing_when_nothing_has_changed(acme: Acme) -> None:
    await acme.chain("alpha")
    await acme.until_ready("alpha")
    before = await acme.client.get(HELM_RELEASES, acme.release("alpha"))
    package = await acme.until("alpha", is_ready)
    await killed(acme.cluster, acme, "cozystack.operator.main")
    await acme.source("beta", "alpha")
    acme.chart("beta")
    await acme.publish()
    await acme.package("beta")
    await acme.until_ready("beta")
    after = await acme.client.get(HELM_RELEASES, acme.release("alpha"))
    again = await acme.until("alpha", is_ready)
    assert after.metadata.generation == before.metadata.generation
    assert after.metadata.annotations == before.metadata.annotations
    assert again.metadata.resource_version == package.metadata.resource_version


async def killed(cluster: Cluster, acme: Acme, program: str) -> None:
    """Kill the process of a Pod as a crash would, and wait until its container was started again."""
    pods = await _restarts(acme)
    for pid in _pids(cluster.running.pid, program):
        os.kill(pid, signal.SIGKILL)

    async def again() -> bool:
        return await _restarts(acme) > pods

    await until(f"{program} runs again", again)


async def _restarts(acme: Acme) -> int:
    count = 0
    for namespace in (names.SYSTEM_NAMESPACE, names.FLUX_NAMESPACE):
        for pod in (await acme.client.list(kinds.PODS, namespace=namespace)).items:
            count += sum(status["restartCount"] for status in pod.get("status", {}).get("containerStatuses", ()))
    return count


def _pids(parent: int, program: str) -> list[int]:
    """Children of a process whose command line has a word."""
    children = [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    found = [pid for pid in children if program in Path(f"/proc/{pid}/cmdline").read_text()]
    assert found, f"{program} does not run"
    return found
