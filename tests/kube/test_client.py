"""The client: verbs, errors by reason, and what is repeated."""

from __future__ import annotations

from typing import Any

import pytest

from cozystack.api.core import ConfigMap
from cozystack.api.meta import Key, ObjectMeta
from cozystack.api.resources import CONFIG_MAPS, NAMESPACES, untyped
from cozystack.kube import Call, Client
from cozystack.kube import errors as kube_errors
from cozystack.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    ConnectionFailed,
    DecodeError,
    Expired,
    Invalid,
    KubeError,
    NotFound,
    ServerTimeout,
    ServiceUnavailable,
    TooManyRequests,
    error_from_response,
)
from cozystack.kube.transport import Response
from cozystack.runtime import VirtualClock
from support.kube import FakeApi, error, lost, seeded

A = Key("n", "a")


def config_map(name: str = "a", value: str = "1") -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": name}, "data": {"value": value}}


class Bench:
    def __init__(self) -> None:
        self.api = FakeApi(CONFIG_MAPS, NAMESPACES)
        self.clock = VirtualClock()
        self.calls: list[Call] = []
        self.client = Client(self.api, clock=self.clock, random=seeded(), user_agent="bench/1", observe=self.calls.append)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.api.put(CONFIG_MAPS, config_map())
    return bench


async def test_get_decodes_into_the_type_of_the_resource(bench: Bench) -> None:
    obj = await bench.client.get(CONFIG_MAPS, A)
    assert (type(obj), obj.kind, obj.data) == (ConfigMap, "ConfigMap", {"value": "1"})
    assert bench.api.requests[0].headers["User-Agent"] == "bench/1"


async def test_find_is_none_where_get_raises(bench: Bench) -> None:
    assert await bench.client.find(CONFIG_MAPS, Key("n", "no")) is None
    with pytest.raises(NotFound, match='configmaps "no" not found') as caught:
        await bench.client.get(CONFIG_MAPS, Key("n", "no"))
    assert caught.value.request == "GET /api/v1/namespaces/n/configmaps/no"


async def test_list_reads_every_page(bench: Bench) -> None:
    for index in range(5):
        bench.api.put(CONFIG_MAPS, config_map(f"x{index}"))
    listing = await bench.client.list(CONFIG_MAPS, limit=2)
    assert [obj.metadata.name for obj in listing.items] == ["a", "x0", "x1", "x2", "x3", "x4"]
    assert listing.resource_version == "106"
    assert len(bench.api.requests) == 3


async def test_an_empty_list_is_empty_even_when_items_are_null(bench: Bench) -> None:
    assert (await bench.client.list(NAMESPACES)).items == []


async def test_items_without_kind_get_it(bench: Bench) -> None:
    body = b'{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"x"}}]}'
    bench.api.fail(Response(200, {}, body), times=2)
    assert (await bench.client.list(NAMESPACES)).items[0].kind == "Namespace"
    plain = untyped("", "v1", "Namespace", "namespaces", namespaced=False)
    assert (await bench.client.list(plain)).items[0]["apiVersion"] == "v1"


async def test_create_sends_kind_and_manager_and_returns_what_is_stored(bench: Bench) -> None:
    obj = ConfigMap(metadata=ObjectMeta(name="new", namespace="n"), data={"x": "y"})
    stored = await bench.client.create(CONFIG_MAPS, obj, manager="me")
    assert stored.metadata.resource_version == "102"
    sent = bench.api.requests[0]
    assert sent.line == "POST /api/v1/namespaces/n/configmaps"
    assert sent.query == {"fieldManager": "me"}
    assert sent.body == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "new", "namespace": "n"},
        "data": {"x": "y"},
    }
    assert obj.kind == ""
    with pytest.raises(AlreadyExists):
        await bench.client.create(CONFIG_MAPS, obj)


async def test_replace_raises_conflict_when_the_object_changed(bench: Bench) -> None:
    obj = await bench.client.get(CONFIG_MAPS, A)
    bench.api.put(CONFIG_MAPS, config_map(value="2"))
    with pytest.raises(Conflict):
        await bench.client.replace(CONFIG_MAPS, obj)


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("merge", "application/merge-patch+json"),
        ("json", "application/json-patch+json"),
        ("strategic", "application/strategic-merge-patch+json"),
    ],
)
async def test_patches_carry_their_type(bench: Bench, kind: Any, content_type: str) -> None:
    bench.api.fail(Response(200, {}, b'{"metadata":{}}'))
    await bench.client.patch(CONFIG_MAPS, A, {"data": {"x": "y"}}, kind=kind, subresource="status")
    sent = bench.api.requests[0]
    assert (sent.line, sent.headers["Content-Type"]) == ("PATCH /api/v1/namespaces/n/configmaps/a/status", content_type)


async def test_apply_sends_the_wish_without_managed_fields(bench: Bench) -> None:
    wish = config_map()
    wish["metadata"]["managedFields"] = [{"manager": "x"}]
    await bench.client.apply(CONFIG_MAPS, wish, manager="me", force=True, dry_run=True)
    sent = bench.api.requests[0]
    assert sent.query == {"fieldManager": "me", "force": "true", "dryRun": "All"}
    assert sent.headers["Content-Type"] == "application/apply-patch+yaml"
    assert sent.body == {"apiVersion": "v1", "kind": "ConfigMap", **config_map()}
    assert "managedFields" in wish["metadata"]


async def test_delete_sends_its_options(bench: Bench) -> None:
    with pytest.raises(Conflict):
        await bench.client.delete(CONFIG_MAPS, A, uid="other")
    await bench.client.delete(CONFIG_MAPS, A, uid="uid-101", propagation="Foreground", grace=0)
    assert bench.api.requests[1].body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "uid-101"},
    }
    with pytest.raises(NotFound):
        await bench.client.delete(CONFIG_MAPS, A)


@pytest.mark.parametrize("key", [Key("n", ""), Key("", "a")])
async def test_a_request_without_a_name_or_a_namespace_is_never_sent(bench: Bench, key: Key) -> None:
    with pytest.raises(ValueError, match="without a name"):
        await bench.client.delete(CONFIG_MAPS, key)
    assert bench.api.requests == []


async def test_a_read_is_repeated_after_a_lost_connection_a_few_times(bench: Bench) -> None:
    bench.api.fail(lost(), times=4)
    assert (await bench.clock.run(bench.client.get(CONFIG_MAPS, A))).data == {"value": "1"}
    bench.api.fail(lost(), times=5)
    with pytest.raises(ConnectionFailed):
        await bench.clock.run(bench.client.get(CONFIG_MAPS, A))
    assert len(bench.api.requests) == 10
    assert bench.clock.monotonic() < 4


async def test_a_create_is_never_repeated_after_a_lost_connection(bench: Bench) -> None:
    bench.api.fail(lost(), after=True)
    with pytest.raises(ConnectionFailed):
        await bench.client.create(CONFIG_MAPS, ConfigMap(metadata=ObjectMeta(name="new", namespace="n")))
    assert len(bench.api.requests) == 1


async def test_every_request_waits_as_long_as_a_busy_server_asks(bench: Bench) -> None:
    bench.api.fail(error(429, "TooManyRequests", Retry_After="7"))
    obj = ConfigMap(metadata=ObjectMeta(name="new", namespace="n"))
    await bench.clock.run(bench.client.create(CONFIG_MAPS, obj))
    assert bench.clock.monotonic() == 7.0


async def test_a_server_cannot_make_a_client_wait_for_hours(bench: Bench) -> None:
    bench.api.fail(error(503, "ServiceUnavailable", Retry_After="86400"))
    await bench.clock.run(bench.client.get(CONFIG_MAPS, A))
    assert bench.clock.monotonic() == 60.0


@pytest.mark.parametrize("code", [400, 401, 403, 409, 410, 422, 500])
async def test_what_would_fail_again_is_not_repeated(bench: Bench, code: int) -> None:
    bench.api.fail(error(code, ""))
    with pytest.raises(ApiError):
        await bench.clock.run(bench.client.get(CONFIG_MAPS, A))
    assert len(bench.api.requests) == 1


async def test_requests_are_counted_and_observed(bench: Bench) -> None:
    bench.api.fail(error(503, "ServiceUnavailable"))
    await bench.clock.run(bench.client.get(CONFIG_MAPS, A))
    async with bench.client.watch(CONFIG_MAPS, since="1"):
        pass
    assert bench.client.counts == {("get", "configmaps"): 2, ("watch", "configmaps"): 1}
    assert [(call.verb, call.resource, call.status) for call in bench.calls] == [
        ("get", "configmaps", 503),
        ("get", "configmaps", 200),
        ("watch", "configmaps", 200),
    ]


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"metadata": 7}', b'{"metadata": {"name": 3}}', b"\xff"])
async def test_an_answer_that_is_not_the_object_is_a_decode_error(bench: Bench, body: bytes) -> None:
    bench.api.fail(Response(200, {}, body))
    with pytest.raises(DecodeError):
        await bench.client.get(CONFIG_MAPS, A)


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"metadata": 7}', b'{"items": 7}', b"\xff"])
async def test_an_answer_that_is_no_list_is_a_decode_error(bench: Bench, body: bytes) -> None:
    bench.api.fail(Response(200, {}, body))
    with pytest.raises(DecodeError):
        await bench.client.list(CONFIG_MAPS)


async def test_a_watch_that_is_refused_raises_what_the_server_says(bench: Bench) -> None:
    bench.api.fail(error(403, "Forbidden", "no watch for you"))
    with pytest.raises(kube_errors.Forbidden, match="no watch for you"):
        async with bench.client.watch(CONFIG_MAPS, since="1"):
            pass


async def test_an_error_inside_a_watch_is_raised(bench: Bench) -> None:
    bench.api.forget_history()
    with pytest.raises(Expired):
        async with bench.client.watch(CONFIG_MAPS, since="1") as events:
            async for _ in events:
                pass


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (500, "ServerTimeout", ServerTimeout),
        (504, "Timeout", ServerTimeout),
        (410, "Gone", Expired),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (404, "SomethingNew", NotFound),
    ],
)
def test_the_reason_decides_and_the_code_only_where_there_is_none(code: int, reason: str, kind: type[ApiError]) -> None:
    body = f'{{"kind":"Status","status":"Failure","reason":"{reason}","message":"m","code":{code}}}'.encode()
    caught = error_from_response(code, {}, body, request="GET /x")
    assert (type(caught), caught.status, caught.reason, str(caught)) == (kind, code, reason, "GET /x: m")


def test_a_page_of_a_proxy_is_quoted_in_short() -> None:
    caught = error_from_response(502, {}, b"<html>\n  Bad   gateway " + b"x" * 1000, request="GET /x")
    assert type(caught) is ServiceUnavailable
    assert str(caught).startswith("GET /x: the server answered 502: <html> Bad gateway xxx")
    assert len(str(caught)) < 250


def test_retry_after_comes_from_the_header_or_from_the_status() -> None:
    body = b'{"kind":"Status","status":"Failure","reason":"ServerTimeout","code":504,"details":{"retryAfterSeconds":3}}'
    assert error_from_response(504, {}, body, request="").retry_after == 3.0
    assert error_from_response(429, {"retry-after": "2"}, b"", request="").retry_after == 2.0
    assert error_from_response(429, {"Retry-After": "Wed, 21 Oct"}, b"", request="").retry_after is None


def test_only_what_may_pass_by_itself_is_retryable() -> None:
    def below(kind: type[KubeError]) -> list[type[KubeError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in below(child))]

    assert {kind.__name__ for kind in below(KubeError) if kind.retryable} == {
        "ConnectionFailed",
        "InternalError",
        "ServerTimeout",
        "ServiceUnavailable",
        "TooManyRequests",
        "UnknownKind",
    }
