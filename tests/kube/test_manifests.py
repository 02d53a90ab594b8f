"""Discovery of kinds, and manifests applied in an order that works."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cozystack.api.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, untyped
from cozystack.kube import Client, Discovery
from cozystack.kube.errors import DecodeError, ServiceUnavailable, UnknownKind
from cozystack.kube.manifests import apply_all, in_order
from cozystack.kube.transport import Response
from cozystack.runtime import VirtualClock
from support.kube import FakeApi, Seen, error

THINGS = untyped("acme.io", "v1", "Thing", "things")


def answer(*resources: tuple[str, str, bool]) -> Response:
    listed = [{"name": name, "kind": kind, "namespaced": namespaced} for name, kind, namespaced in resources]
    return Response(200, {}, msgspec.json.encode({"kind": "APIResourceList", "resources": listed}))


CORE = answer(("configmaps", "ConfigMap", True), ("configmaps/status", "ConfigMap", True), ("namespaces", "Namespace", False))
ACME = answer(("things", "Thing", True))


def at(path: str) -> Any:
    return lambda seen: isinstance(seen, Seen) and seen.path == path


class Bench:
    def __init__(self) -> None:
        self.api = FakeApi(CONFIG_MAPS, NAMESPACES, CUSTOM_RESOURCE_DEFINITIONS, THINGS)
        self.clock = VirtualClock()
        self.client = Client(self.api, clock=self.clock, attempts=1)
        self.discovery = Discovery(self.client)


async def test_a_kind_is_looked_up_once() -> None:
    bench = Bench()
    bench.api.fail(CORE, when=at("/api/v1"))
    for _ in range(2):
        found = await bench.discovery.resource("v1", "ConfigMap")
        assert (found.plural, found.namespaced, found.group) == ("configmaps", True, "")
    assert not (await bench.discovery.resource("v1", "Namespace")).namespaced
    assert len(bench.api.requests) == 1


async def test_a_kind_that_comes_later_is_found_later() -> None:
    bench = Bench()
    with pytest.raises(UnknownKind, match=r"the server does not serve Thing in acme\.io/v1"):
        await bench.discovery.resource("acme.io/v1", "Thing")
    bench.api.fail(ACME, when=at("/apis/acme.io/v1"))
    assert (await bench.discovery.resource("acme.io/v1", "Thing")).path("n", "x") == "/apis/acme.io/v1/namespaces/n/things/x"


async def test_what_was_invalidated_is_looked_up_again() -> None:
    bench = Bench()
    bench.api.fail(CORE, when=at("/api/v1"), times=3)
    await bench.discovery.resource("v1", "ConfigMap")
    bench.discovery.invalidate("v1")
    await bench.discovery.resource("v1", "ConfigMap")
    bench.discovery.invalidate()
    await bench.discovery.resource("v1", "ConfigMap")
    assert len(bench.api.requests) == 3


async def test_a_group_that_fails_is_not_a_group_that_is_missing() -> None:
    bench = Bench()
    bench.api.fail(error(503, "ServiceUnavailable"))
    with pytest.raises(ServiceUnavailable):
        await bench.discovery.resource("acme.io/v1", "Thing")


@pytest.mark.parametrize("body", [b"[]", b'{"resources":[{}]}', b'{"resources":7}', b"x"])
async def test_an_answer_that_is_no_discovery_is_said_so(body: bytes) -> None:
    bench = Bench()
    bench.api.fail(Response(200, {}, body))
    with pytest.raises(DecodeError, match="GET /api/v1"):
        await bench.discovery.resource("v1", "ConfigMap")


def manifest(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}


def test_namespaces_and_definitions_come_first_and_webhooks_last() -> None:
    given = [
        manifest("ValidatingWebhookConfiguration", "w"),
        manifest("Thing", "t1"),
        manifest("List", "", items=[manifest("Deployment", "d"), manifest("Namespace", "n")]),
        manifest("Thing", "t2"),
        manifest("CustomResourceDefinition", "c"),
        manifest("ServiceAccount", "s"),
    ]
    assert [each["metadata"]["name"] for each in in_order(given)] == ["n", "c", "s", "d", "t1", "t2", "w"]


async def test_manifests_are_applied_in_order_into_the_default_namespace() -> None:
    bench = Bench()
    bench.api.fail(CORE, when=at("/api/v1"))
    outcomes = await apply_all(
        bench.client, bench.discovery, [manifest("ConfigMap", "c"), manifest("Namespace", "n")], manager="me", namespace="x"
    )
    assert [outcome.changed for outcome in outcomes] == [True, True]
    assert bench.api.lines("PATCH") == ["PATCH /api/v1/namespaces/n", "PATCH /api/v1/namespaces/x/configmaps/c"]


async def test_a_kind_that_is_about_to_be_served_is_waited_for() -> None:
    bench = Bench()
    bench.api.fail(error(404, "NotFound"), when=at("/apis/acme.io/v1"), times=4)
    bench.api.fail(ACME, when=at("/apis/acme.io/v1"))
    thing = {"apiVersion": "acme.io/v1", "kind": "Thing", "metadata": {"name": "t"}}
    await bench.clock.run(apply_all(bench.client, bench.discovery, [thing], manager="me"))
    assert bench.api.lines("PATCH") == ["PATCH /apis/acme.io/v1/namespaces/default/things/t"]
    assert 0.5 < bench.clock.monotonic() < 1.0


async def test_a_kind_that_never_comes_is_an_error() -> None:
    bench = Bench()
    with pytest.raises(UnknownKind):
        await bench.clock.run(
            apply_all(bench.client, bench.discovery, [manifest("Thing", "t")], manager="me", established_within=5)
        )
    assert bench.clock.monotonic() == pytest.approx(5, abs=0.3)


async def test_manifests_that_are_as_wanted_are_read_and_not_written() -> None:
    bench = Bench()
    bench.api.fail(CORE, when=at("/api/v1"))
    fields = [{"manager": "me", "operation": "Apply", "fieldsV1": {"f:data": {"f:k": {}}}}]
    bench.api.put(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "n", "managedFields": fields}, "data": {"k": "v"}})
    wish = {**manifest("ConfigMap", "c", data={"k": "v"}), "metadata": {"name": "c", "namespace": "n"}}
    (outcome,) = await apply_all(bench.client, bench.discovery, [wish], manager="me")
    assert (outcome.changed, bench.api.lines("PATCH")) == (False, [])
