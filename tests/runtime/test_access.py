"""Who may read metrics: what the API server is asked, and what becomes of its answers."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec
import pytest

from cozystack.kube import Client
from cozystack.kube.transport import Response
from cozystack.runtime import Access, HealthServer, Refusal, Registry, VirtualClock
from cozystack.runtime.access import KEPT

OWNER = {"username": "system:serviceaccount:monitoring:prometheus", "uid": "1", "groups": ["system:authenticated"]}


class Server:
    """An API server that knows one token, and whether its owner may."""

    def __init__(self) -> None:
        self.allows = True
        self.fails = False
        self.asked: list[tuple[str, Any]] = []

    async def request(self, method: str, path: str, *, body: bytes = b"", **rest: Any) -> Response:
        if self.fails:
            return Response(403, {"Content-Type": "application/json"}, b'{"kind":"Status","reason":"Forbidden","code":403}')
        review = msgspec.json.decode(body)
        self.asked.append((f"{method} {path}", review["spec"]))
        if review["kind"] == "TokenReview":
            known = review["spec"]["token"] == "right"
            review["status"] = {"authenticated": True, "user": OWNER} if known else {"error": "unknown"}
        else:
            review["status"] = {"allowed": self.allows}
        return Response(201, {"Content-Type": "application/json"}, msgspec.json.encode(review))

    def stream(self, *args: Any, **rest: Any) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def access(server: Server, clock: VirtualClock) -> Access:
    return Access(Client(server, clock=clock), clock=clock)


async def test_whoever_may_get_the_path_may(server: Server, access: Access) -> None:
    assert await access.refusal("Bearer right", "/metrics") is None
    assert server.asked == [
        ("POST /apis/authentication.k8s.io/v1/tokenreviews", {"token": "right"}),
        (
            "POST /apis/authorization.k8s.io/v1/subjectaccessreviews",
            {
                "user": OWNER["username"],
                "uid": "1",
                "groups": ["system:authenticated"],
                "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
            },
        ),
    ]


@pytest.mark.parametrize("header", ["", "right", "Basic right", "Bearer", "Bearer "])
async def test_without_a_token_nobody_is_asked(server: Server, access: Access, header: str) -> None:
    assert await access.refusal(header, "/metrics") == Refusal(401, "a bearer token is needed")
    assert server.asked == []


async def test_a_token_that_is_not_valid_is_refused(access: Access) -> None:
    assert await access.refusal("Bearer wrong", "/metrics") == Refusal(401, "the token is not valid")


async def test_whoever_may_not_is_told_so(server: Server, access: Access) -> None:
    server.allows = False
    assert await access.refusal("Bearer right", "/metrics") == Refusal(403, f"{OWNER['username']} may not get /metrics")


async def test_an_answer_holds_for_a_minute(server: Server, access: Access, clock: VirtualClock) -> None:
    for _ in range(3):
        assert await access.refusal("Bearer right", "/metrics") is None
    assert len(server.asked) == 2
    server.allows = False
    await clock.advance(KEPT)
    assert (await access.refusal("Bearer right", "/metrics")) == Refusal(403, f"{OWNER['username']} may not get /metrics")


async def test_what_cannot_be_found_out_is_refused_and_asked_again(server: Server, access: Access) -> None:
    server.fails = True
    unknown = Refusal(500, "the API server cannot be asked who this is")
    assert await access.refusal("Bearer right", "/metrics") == unknown
    server.fails = False
    assert await access.refusal("Bearer right", "/metrics") is None


async def test_a_flood_of_tokens_is_not_remembered_for_ever(server: Server, access: Access) -> None:
    await access.refusal("Bearer right", "/metrics")
    for number in range(64):
        await access.refusal(f"Bearer {number}", "/metrics")
    server.asked.clear()
    await access.refusal("Bearer right", "/metrics")
    assert len(server.asked) == 2


async def test_metrics_are_guarded_and_probes_are_not(access: Access) -> None:
    registry = Registry()
    registry.counter("a", "x").inc()
    health = HealthServer(registry=registry, access=access)
    port = await health.start("127.0.0.1", 0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.get("/metrics") as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        async with session.get("/metrics", headers={"Authorization": "Bearer right"}) as answer:
            assert (answer.status, (await answer.text()).endswith("a 1\n")) == (200, True)
        async with session.get("/readyz") as answer:
            assert answer.status == 200
    await health.stop()
