"""The program itself: what its probes mean, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from cozystack.operator import main
from cozystack.operator.flags import read_options
from cozystack.runtime import Log, SystemClock
from support.apiserver import TOKEN, Api, embedded

LEASES = "/apis/coordination.k8s.io/v1/namespaces/cozy-system/leases"
LEASE = f"{LEASES}/{main.LEASE}"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with embedded() as api:
        await api.create("/api/v1/namespaces", {"metadata": {"name": "cozy-system"}})
        yield api


@contextmanager
def free_address() -> Iterator[str]:
    """An address that nobody else gets, and that a program of ours can share."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


def arguments(api: Api, folder: Path, probes: str, *flags: str) -> list[str]:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": api.url}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "cozy-system"}}],
        "current-context": "x",
    }
    file = folder / "kubeconfig"
    file.write_bytes(msgspec.json.encode(config))
    return [f"--kubeconfig={file}", "--metrics-bind-address=0", f"--health-probe-bind-address={probes}", *flags]


@asynccontextmanager
async def running(api: Api, folder: Path, probes: str, *flags: str) -> AsyncIterator[asyncio.Future[None]]:
    """The program in this process."""
    options = read_options(arguments(api, folder, probes, *flags), {})
    task = asyncio.ensure_future(main.run(options, {}, clock=SystemClock(), log=Log("cozystack.operator")))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def probe(address: str, path: str) -> tuple[int, str]:
    """The answer of a probe, as soon as there is one."""
    async with aiohttp.ClientSession(f"http://{address}") as session:
        while True:
            try:
                async with session.get(path) as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0)


async def hold_lease(api: Api, holder: str) -> None:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 3600, "renewTime": "2100-01-01T00:00:00.000000Z"}
    await api.create(LEASES, {"metadata": {"name": main.LEASE}, "spec": spec})


async def test_operator_o1_a_leader_is_ready_when_its_bootstrap_is_done(api: Api, tmp_path: Path) -> None:
    with free_address() as address:
        async with running(api, tmp_path, address, "--leader-elect") as task:
            await api.until(LEASE, lambda answer: answer.status == 200)
            while (await probe(address, "/readyz"))[0] != 200:
                assert not task.done()
            assert await probe(address, "/readyz/bootstrap") == (200, "ok")


async def test_operator_o1_a_leader_that_cannot_finish_its_bootstrap_is_alive_and_not_ready(api: Api, tmp_path: Path) -> None:
    with free_address() as address:
        source = "--platform-source-url=oci://registry.example.org/packages"  # Flux is not there, and is not asked for
        async with running(api, tmp_path, address, "--leader-elect", source) as task:
            await api.until(LEASE, lambda answer: answer.status == 200)
            while (await probe(address, "/readyz"))[0] == 200:
                assert not task.done()
            assert await probe(address, "/readyz") == (500, "[-] bootstrap: not finished yet\nfailed\n")
            assert await probe(address, "/healthz") == (200, "ok")


async def test_operator_o1_whoever_stands_by_is_ready(api: Api, tmp_path: Path) -> None:
    """Or a rollout would wait for the new operator, which waits for the old one's lease."""
    await hold_lease(api, "the-old-one")
    with free_address() as address:
        async with running(api, tmp_path, address, "--leader-elect", "--install-crds"):
            assert await probe(address, "/readyz") == (200, "ok")
    assert (await api.get(LEASE)).body["spec"]["holderIdentity"] == "the-old-one"


async def test_two_operators_on_one_host_share_their_port_and_not_the_lease(api: Api, tmp_path: Path) -> None:
    """The rollout on the host's network."""
    with free_address() as address:
        async with running(api, tmp_path, address, "--leader-elect") as old:
            held = (await api.until(LEASE, lambda answer: answer.status == 200)).body["spec"]["holderIdentity"]
            async with running(api, tmp_path, address, "--leader-elect") as new:
                assert (await probe(address, "/healthz"))[0] == 200
                assert (old.done(), new.done()) == (False, False)
                assert (await api.get(LEASE)).body["spec"]["holderIdentity"] == held


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order_and_gives_the_lease_back(api: Api, tmp_path: Path, number: signal.Signals) -> None:
    with free_address() as address:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cozystack.operator.main"),
            *arguments(api, tmp_path, address, "--leader-elect", "--install-crds"),
            stderr=asyncio.subprocess.PIPE,
        )
        await api.until(LEASE, lambda answer: answer.status == 200)
        while (await probe(address, "/readyz"))[0] != 200:
            assert process.returncode is None
        process.send_signal(number)
        _, said = await process.communicate()
    assert (process.returncode, b"Traceback" in said) == (0, False), said.decode()
    assert not (await api.get(LEASE)).body["spec"].get("holderIdentity")


async def test_a_port_of_somebody_else_is_said_and_nothing_is_begun(api: Api, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        address = f"127.0.0.1:{theirs.getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cozystack.operator.main"),
            *arguments(api, tmp_path, address, "--leader-elect"),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
    assert (process.returncode, b"Traceback" in said, b"address already in use" in said) == (1, False, True), said.decode()
    assert (await api.get(LEASE)).status == 404
