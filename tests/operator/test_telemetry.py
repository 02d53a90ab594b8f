"""Telemetry: nothing without an endpoint, no name in what is sent, no harm from an endpoint that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import aiohttp
import msgspec
import pytest
from aiohttp import web

from cozystack.api.resources import NAMESPACES
from cozystack.operator.flags import OptionsError, read_options
from cozystack.operator.main import Operator
from cozystack.operator.telemetry import Report, post
from cozystack.runtime import Log
from support.operator import PUBLISHED, VERSION, Running, Wire, World, component, package, plain, source

ENDPOINT = "https://telemetry.example.org/v1"


def start(world: World, send: Callable[[str, bytes], Awaitable[int]], *flags: str) -> Running:
    """An operator that sends its reports by ``send``."""
    wire = Wire(world.server)
    operator = Operator(
        world.connect(wire),
        read_options(flags, {}),
        {"COZYSTACK_VERSION": VERSION},
        clock=world.clock,
        log=Log("cozystack.operator"),
        random=Random(1),  # noqa: S311
        send=send,
    )
    return world.running(operator, wire, asyncio.ensure_future(operator.run()))


class Endpoint:
    """Notes what it is sent; ``error`` is raised instead, when it is set."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.bodies: list[bytes] = []
        self.addresses: set[str] = set()
        self.error: Exception | None = None

    async def __call__(self, address: str, body: bytes) -> int:
        self.addresses.add(address)
        self.bodies.append(body)
        if self.error is not None:
            raise self.error
        self.reports.append(msgspec.json.decode(body, type=Report))
        return 204


@pytest.mark.parametrize("flags", [(), (f"--telemetry-endpoint={ENDPOINT}", "--disable-telemetry")])
async def test_operator_o3_nothing_is_sent_unless_somebody_asked_for_it(world: World, flags: tuple[str, ...]) -> None:
    endpoint = Endpoint()
    running = start(world, endpoint, *flags)
    await world.settle(3600)
    assert endpoint.bodies == []
    assert not running.task.done()


async def test_a_report_tells_numbers_versions_and_settings(world: World) -> None:
    await world.put(plain("v1", "Namespace", "kube-system"))
    await world.put(
        source("acme.db", component("db", "acme-db")),
        source("acme.web", component("web", "acme-web"), depends_on=["acme.nothing"]),
        package("acme.db"),
        package("acme.web"),
    )
    first = world.start()
    await world.install()
    await world.settle(PUBLISHED)
    await first.stop()
    endpoint = Endpoint()
    start(world, endpoint, f"--telemetry-endpoint={ENDPOINT}", "--telemetry-interval=1h")
    await world.settle(1)
    (found,) = endpoint.reports
    kubernetes = (await world.client.request_json("/version"))["gitVersion"]
    assert found == Report(
        cluster=found.cluster,
        operator_version=VERSION,
        kubernetes_version=kubernetes,
        dependency_gate="running",
        ordered_deletion=True,
        webhook=False,
        packages=2,
        packages_ready=1,
        packages_blocked={"MissingDependency": 1},
        sources=2,
        sources_ready=2,
        releases=1,
        releases_ready=1,
    )
    assert endpoint.addresses == {ENDPOINT}
    await world.settle(3600)
    assert len(endpoint.reports) == 2


async def test_operator_o3_no_name_and_no_identity_is_in_a_report(world: World) -> None:
    await world.put(plain("v1", "Namespace", "kube-system"))
    await world.put(source("acme.orders", component("orders", "acme-orders")), package("acme.orders"))
    endpoint = Endpoint()
    start(world, endpoint, f"--telemetry-endpoint={ENDPOINT}")
    await world.install()
    await world.settle(900)
    uid = (await world.get(NAMESPACES, "kube-system"))["metadata"]["uid"]
    said = b"".join(endpoint.bodies).decode()
    assert [word for word in ("acme", "orders", "cozy-system", "charts", uid) if word in said] == []


async def test_a_cluster_is_always_told_by_the_same_digest(world: World) -> None:
    await world.put(plain("v1", "Namespace", "kube-system"))
    endpoint = Endpoint()
    first = start(world, endpoint, f"--telemetry-endpoint={ENDPOINT}")
    await world.settle(1)
    await first.stop()
    start(world, endpoint, f"--telemetry-endpoint={ENDPOINT}")
    await world.settle(1)
    one, two = (each.cluster for each in endpoint.reports)
    assert (one, len(one)) == (two, 32)


@pytest.mark.parametrize("error", [TimeoutError(), OSError("no route"), aiohttp.ClientError("refused")])
async def test_operator_o3_an_endpoint_that_fails_is_no_matter(world: World, error: Exception) -> None:
    endpoint = Endpoint()
    endpoint.error = error
    running = start(world, endpoint, f"--telemetry-endpoint={ENDPOINT}", "--telemetry-interval=1m")
    await world.settle(61)
    assert (len(endpoint.bodies), running.task.done()) == (2, False)
    endpoint.error = None
    await world.settle(60)
    assert len(endpoint.reports) == 1


async def test_operator_o3_an_endpoint_that_hangs_holds_nothing_up(world: World) -> None:
    async def hang(address: str, body: bytes) -> int:
        await asyncio.get_running_loop().create_future()
        return 0

    running = start(world, hang, f"--telemetry-endpoint={ENDPOINT}")
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.install()
    assert (await world.ready("acme.db"))[0] == "True"
    await running.stop()


async def test_a_report_is_posted_as_json_and_no_redirect_is_followed() -> None:
    got: list[tuple[str, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.headers["Content-Type"], await request.read()))
        return web.Response(status=307, headers={"Location": str(request.url)})

    app = web.Application()
    app.router.add_post("/v1", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert await post(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", b"{}") == 307
    await runner.cleanup()
    assert got == [("application/json", b"{}")]


@pytest.mark.parametrize("address", ["telemetry.example.org", "ftp://x", "https://", "https:// x"])
def test_an_endpoint_that_is_none_is_said_at_the_start(address: str) -> None:
    with pytest.raises(OptionsError, match="--telemetry-endpoint must start with https"):
        read_options([f"--telemetry-endpoint={address}"], {})


@pytest.mark.parametrize("interval", ["0s", "-1m", "often"])
def test_operator_o3_an_interval_that_is_none_is_said_at_the_start(interval: str) -> None:
    with pytest.raises(OptionsError, match="--telemetry-interval"):
        read_options([f"--telemetry-interval={interval}"], {})
