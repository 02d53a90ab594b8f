"""Logging in to registries, as their challenges ask for it."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from cozystack.oci import Login, OciError, Reference, RegistryClient, RegistryError, logins_from_docker_config
from oci.registries import answering, guarded

JANE = Login("jane", "pa:ss")
BASIC = "Basic " + base64.b64encode(b"jane:pa:ss").decode()
Guard = Callable[[web.BaseRequest], web.Response | None]


class Basic:
    """Admits who sends ``BASIC``, and notes what it was sent."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, request: web.BaseRequest) -> web.Response | None:
        self.seen.append(request.headers.get("Authorization", ""))
        if self.seen[-1] == BASIC:
            return None
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="packages"'})


class Tokens:
    """Gives tokens at ``/token`` to who logs in, and admits each of them ``uses`` times."""

    def __init__(self, *, uses: int = 1000, anonymous: bool = False, field: str = "token") -> None:
        self.asked: list[dict[str, str]] = []
        self._left: dict[str, int] = {}
        self._uses = uses
        self._anonymous = anonymous
        self._field = field
        self._ids = itertools.count(1)

    def __call__(self, request: web.BaseRequest) -> web.Response | None:
        sent = request.headers.get("Authorization", "")
        if request.path == "/token":
            if sent != BASIC and not self._anonymous:
                return web.Response(status=401)
            self.asked.append(dict(request.query))
            token = f"t{next(self._ids)}"
            self._left[f"Bearer {token}"] = self._uses
            return web.json_response({self._field: token})
        if self._left.get(sent, 0) > 0:
            self._left[sent] -= 1
            return None
        name = request.path.split("/blobs/")[0].split("/manifests/")[0].removeprefix("/v2/")
        actions = "pull" if request.method in ("GET", "HEAD") else "pull,push"
        challenge = f'Bearer realm="http://{request.host}/token",service="acme",scope="repository:{name}:{actions}"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})


@pytest.fixture
async def pushed(artifact: Reference, client: RegistryClient) -> AsyncIterator[Reference]:
    await client.push(artifact, b"layer", annotations={})
    yield artifact


async def pull(pushed: Reference, guard: Guard, login: Login | None) -> bytes:
    async with guarded(pushed.host, guard) as host, RegistryClient(logins={host: login} if login else {}) as client:
        return (await client.pull(replace(pushed, host=host))).layer


async def test_a_basic_login_is_given_once_asked_for_and_then_with_every_request(pushed: Reference) -> None:
    guard = Basic()

    assert await pull(pushed, guard, JANE) == b"layer"
    assert guard.seen == ["", BASIC, BASIC]


async def test_a_token_is_obtained_for_what_the_challenge_says_and_kept(pushed: Reference) -> None:
    guard = Tokens()

    assert await pull(pushed, guard, JANE) == b"layer"
    assert guard.asked == [{"service": "acme", "scope": "repository:acme/packages:pull"}]


async def test_a_token_may_be_called_access_token(pushed: Reference) -> None:
    assert await pull(pushed, Tokens(field="access_token"), JANE) == b"layer"


async def test_a_token_may_be_for_everybody(pushed: Reference) -> None:
    assert await pull(pushed, Tokens(anonymous=True), None) == b"layer"


async def test_a_token_that_has_expired_is_obtained_anew(pushed: Reference) -> None:
    guard = Tokens(uses=1)

    assert await pull(pushed, guard, JANE) == b"layer"
    assert len(guard.asked) == 2


async def test_pushing_obtains_a_token_for_pushing(pushed: Reference) -> None:
    guard = Tokens(uses=2)
    async with guarded(pushed.host, guard) as host, RegistryClient(logins={host: JANE}) as client:
        target = replace(pushed, host=host, tag="v2")
        digest = await client.push(target, b"another layer", annotations={})

        assert await client.resolve(target) == digest
    assert "repository:acme/packages:pull,push" in [asked["scope"] for asked in guard.asked]


@pytest.mark.parametrize("guard", [Basic, Tokens])
@pytest.mark.parametrize("login", [None, Login("jane", "wrong")])
async def test_a_registry_that_refuses_us_is_an_error_with_its_status(
    pushed: Reference, guard: Callable[[], Guard], login: Login | None
) -> None:
    with pytest.raises(RegistryError, match="the registry answered 401") as refused:
        await pull(pushed, guard(), login)
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "challenge",
    ["", "Bearer", 'Bearer service="x"', 'Negotiate realm="x"', 'Bearer realm="http://{host}/token"'],
)
@pytest.mark.parametrize("token", [b"", b"[]", b"null", b"{}", b"\xff"])
async def test_a_challenge_without_an_answer_is_an_error(challenge: str, token: bytes) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/token":
            return web.Response(body=token)
        return web.Response(status=401, headers={"WWW-Authenticate": challenge.format(host=request.host)})

    async with answering(answer) as host, RegistryClient(logins={host: JANE}) as client:
        with pytest.raises(RegistryError, match="the registry answered 401"):
            await client.resolve(Reference(host, "a"))


async def test_a_token_server_that_cannot_be_reached_is_an_error() -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:1/token"'})

    async with answering(answer) as host, RegistryClient() as client:
        with pytest.raises(RegistryError, match="cannot be reached"):
            await client.resolve(Reference(host, "a"))


async def test_another_host_that_takes_the_upload_does_not_learn_the_login(pushed: Reference) -> None:
    uploads: list[tuple[str, str]] = []

    async def storage(request: web.BaseRequest) -> web.Response:
        uploads.append((request.method, request.headers.get("Authorization", "")))
        return web.Response(status=201)

    async with answering(storage) as elsewhere:
        basic = Basic()

        def guard(request: web.BaseRequest) -> web.Response | None:
            if request.method == "POST" and request.headers.get("Authorization"):
                return web.Response(status=202, headers={"Location": f"http://{elsewhere}/upload?id=1"})
            return basic(request)

        async with guarded(pushed.host, guard) as host, RegistryClient(logins={host: JANE}) as client:
            # Storage elsewhere has taken the layer; the registry does not know it and refuses the manifest.
            with pytest.raises(RegistryError, match="its manifest cannot be pushed"):
                await client.push(replace(pushed, host=host), b"new layer", annotations={})
    assert uploads == [("PUT", "")]


async def test_another_host_that_holds_the_content_does_not_learn_the_login(pushed: Reference) -> None:
    reads: list[tuple[str, str]] = []

    async def storage(request: web.BaseRequest) -> web.Response:
        reads.append((request.path, request.headers.get("Authorization", "")))
        return web.Response(body=b"layer")

    async with answering(storage) as elsewhere:
        basic = Basic()

        def guard(request: web.BaseRequest) -> web.Response | None:
            refusal = basic(request)
            if refusal is None and "/blobs/" in request.path:
                return web.Response(status=307, headers={"Location": f"http://{elsewhere}/layer"})
            return refusal

        assert await pull(pushed, guard, JANE) == b"layer"
    assert reads == [("/layer", "")]


def test_a_login_does_not_show_its_password() -> None:
    assert repr(JANE) == "Login(username='jane')"


@pytest.mark.parametrize(
    ("config", "logins"),
    [
        ({}, {}),
        ({"auths": None}, {}),
        ({"auths": {"ghcr.io": {"username": "jane", "password": "pa:ss"}}}, {"ghcr.io": JANE}),
        ({"auths": {"ghcr.io": {"auth": base64.b64encode(b"jane:pa:ss").decode()}}}, {"ghcr.io": JANE}),
        ({"auths": {"https://a.example.com/v1/": {}, "http://localhost:5000": {"username": "jane"}}},
         {"a.example.com": Login(), "localhost:5000": Login("jane")}),
    ],
)  # fmt: skip
def test_logins_are_read_from_a_docker_configuration(config: Any, logins: dict[str, Login]) -> None:
    assert logins_from_docker_config(json.dumps(config).encode()) == logins


@pytest.mark.parametrize(
    "config",
    [
        b"", b"{", b"\xff", b"[]", b'{"auths": [1]}', b'{"auths": 1}', b'{"auths": {"a": 1}}', b'{"auths": {"a": {"auth": 1}}}',
        b'{"auths": {"a": {"auth": "%"}}}', b'{"auths": {"a": {"auth": "/w=="}}}',
    ],
)  # fmt: skip
def test_a_docker_configuration_that_is_none_is_refused(config: bytes) -> None:
    with pytest.raises(OciError, match="the docker configuration cannot be read"):
        logins_from_docker_config(config)
