"""Metrics as Prometheus reads them, and the endpoint that serves them with the checks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from cozystack.api.meta import Key
from cozystack.api.resources import CONFIG_MAPS
from cozystack.kube import Client, Informer
from cozystack.runtime import (
    Controller,
    HealthServer,
    Registry,
    RequeueAfter,
    Result,
    VirtualClock,
    count_reconciles,
    count_requests,
    show_controller,
    show_informer,
)
from support.kube import FakeApi, seeded


def test_the_text_of_a_registry() -> None:
    registry = Registry()
    runs = registry.counter("runs_total", "Reconciles.\nBy outcome", ("outcome",))
    runs.inc(outcome="done")
    runs.inc(2, outcome='a"b\\c\nd')
    registry.gauge("queue", "Keys that wait").set(2.5)
    seconds = registry.histogram("seconds", "How long", buckets=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7):
        seconds.observe(value)
    registry.collect("leader", "Whether we lead", lambda: 1)
    assert registry.text() == (
        "# HELP leader Whether we lead\n# TYPE leader gauge\nleader 1\n"
        "# HELP queue Keys that wait\n# TYPE queue gauge\nqueue 2.5\n"
        "# HELP runs_total Reconciles.\\nBy outcome\n# TYPE runs_total counter\n"
        'runs_total{outcome="a\\"b\\\\c\\nd"} 2\nruns_total{outcome="done"} 1\n'
        "# HELP seconds How long\n# TYPE seconds histogram\n"
        'seconds_bucket{le="0.1"} 2\nseconds_bucket{le="1"} 3\nseconds_bucket{le="+Inf"} 4\nseconds_sum 7.65\nseconds_count 4\n'
    )
    assert (runs.value(outcome="done"), seconds.count()) == (1.0, 4)


def test_a_metric_is_declared_once_and_found_again() -> None:
    registry = Registry()
    assert registry.counter("a", "x") is registry.counter("a", "x")
    with pytest.raises(ValueError, match="another metric"):
        registry.gauge("a", "x")
    with pytest.raises(ValueError, match="another metric"):
        registry.counter("a", "x", ("label",))


def test_misuse_is_refused() -> None:
    registry = Registry()
    counter = registry.counter("a", "x", ("label",))
    with pytest.raises(ValueError, match="does not go down"):
        counter.inc(-1, label="x")
    with pytest.raises(ValueError, match="has the labels"):
        counter.inc(other="x")
    with pytest.raises(ValueError, match="not a name"):
        registry.counter("a-b", "x")
    with pytest.raises(ValueError, match="buckets must grow"):
        registry.histogram("h", "x", buckets=(2, 1))


def test_a_counter_without_labels_starts_at_zero_and_a_gauge_forgets() -> None:
    registry = Registry()
    registry.counter("a", "x")
    gauge = registry.gauge("g", "x", ("n",))
    gauge.inc(3, n="1")
    gauge.remove(n="1")
    assert registry.text() == "# HELP a x\n# TYPE a counter\na 0\n# HELP g x\n# TYPE g gauge\n"


async def test_every_program_shows_its_requests_reconciles_queues_and_caches() -> None:
    registry = Registry()
    clock = VirtualClock()
    client = Client(FakeApi(CONFIG_MAPS), clock=clock, observe=count_requests(registry))
    informer = Informer(client, CONFIG_MAPS)

    async def reconcile(key: Key) -> Result:
        return RequeueAfter(60)

    controller = Controller("c", reconcile, clock=clock, random=seeded(), observe=count_reconciles(registry))
    show_controller(registry, controller)
    show_informer(registry, informer)
    controller.trigger(Key("", "a"))
    tasks = [asyncio.create_task(run()) for run in (informer.run, controller.run)]
    await clock.settle()
    lines = [line for line in registry.text().splitlines() if not line.startswith("#") and "_bucket" not in line]
    assert lines == [
        'cozystack_cache_lists{resource="configmaps"} 1',
        'cozystack_cache_objects{resource="configmaps"} 0',
        'cozystack_cache_watches{resource="configmaps"} 1',
        'cozystack_controller_keys{controller="c",state="delayed"} 1',
        'cozystack_controller_keys{controller="c",state="ready"} 0',
        'cozystack_controller_keys{controller="c",state="running"} 0',
        'cozystack_reconcile_seconds_sum{controller="c"} 0',
        'cozystack_reconcile_seconds_count{controller="c"} 1',
        'cozystack_reconciles_total{controller="c",outcome="requeue"} 1',
        'cozystack_request_seconds_sum{verb="list"} 0',
        'cozystack_request_seconds_count{verb="list"} 1',
        'cozystack_request_seconds_sum{verb="watch"} 0',
        'cozystack_request_seconds_count{verb="watch"} 1',
        'cozystack_requests_total{verb="list",resource="configmaps",status="200"} 1',
        'cozystack_requests_total{verb="watch",resource="configmaps",status="200"} 1',
    ]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@asynccontextmanager
async def served(server: HealthServer) -> AsyncIterator[aiohttp.ClientSession]:
    port = await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session
    await server.stop()


async def seen(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as response:
        return response.status, await response.text()


async def test_checks_name_what_is_wrong() -> None:
    problems: dict[str, str | None] = {"loop": None, "synced": "waiting for packages"}
    server = HealthServer()
    server.live("loop", lambda: problems["loop"])
    server.ready("synced", lambda: problems["synced"])
    async with served(server) as session:
        assert await seen(session, "/healthz") == (200, "ok")
        assert await seen(session, "/readyz") == (500, "[+] loop\n[-] synced: waiting for packages\nfailed\n")
        assert await seen(session, "/readyz/loop") == (200, "ok")
        assert (await seen(session, "/readyz/nothing"))[0] == 404
        problems["synced"] = None
        assert await seen(session, "/readyz") == (200, "ok")
        assert await seen(session, "/readyz?verbose") == (200, "[+] loop\n[+] synced\nok\n")
        problems["loop"] = "stuck"
        assert (await seen(session, "/healthz"))[0] == 500
        assert (await seen(session, "/metrics"))[0] == 404


async def test_a_check_that_fails_itself_is_a_failed_check() -> None:
    server = HealthServer()
    server.live("bad", lambda: str(1 // 0))
    async with served(server) as session:
        assert await seen(session, "/healthz") == (
            500,
            "[-] bad: ZeroDivisionError: integer division or modulo by zero\nfailed\n",
        )


async def test_metrics_are_served_as_prometheus_expects_them() -> None:
    registry = Registry()
    registry.counter("a", "x").inc()
    async with served(HealthServer(registry=registry)) as session, session.get("/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert (await response.text()).endswith("a 1\n")


async def test_two_programs_may_listen_on_one_port() -> None:
    """The old and the new Pod of a rollout, both on the network of one host."""
    first, second = HealthServer(), HealthServer()
    port = await first.start("127.0.0.1", 0)
    assert await second.start("127.0.0.1", port) == port
    await first.stop()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        assert await seen(session, "/healthz") == (200, "ok")
    await second.stop()


async def test_a_port_of_somebody_else_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs, pytest.raises(OSError, match="address already in use"):
        await HealthServer().start("127.0.0.1", theirs.getsockname()[1])
