"""The transport over HTTP: credentials of every kind, TLS, streams, and what fails."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import json
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cozystack.kube import ClusterConfig, ExecConfig, HttpTransport, SystemClock
from cozystack.kube.errors import ConfigError, ConnectionFailed, CredentialsError
from cozystack.runtime import VirtualClock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """A server on loopback; ``seen`` holds the Authorization header of every request."""

    address: str = ""
    seen: list[str | None] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)


@asynccontextmanager
async def serving(handler: Handler | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()

    async def answer(request: web.Request) -> web.StreamResponse:
        server.seen.append(request.headers.get("Authorization"))
        if server.accepted and request.headers.get("Authorization") not in server.accepted:
            return web.json_response({"kind": "Status", "status": "Failure", "reason": "Unauthorized"}, status=401)
        if handler is not None:
            return await handler(request)
        return web.Response(body=b"{}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    server.address = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(config: ClusterConfig, **options: Any) -> AsyncIterator[HttpTransport]:
    transport = HttpTransport(config, **{"clock": SystemClock(), **options})
    try:
        yield transport
    finally:
        await transport.close()


async def test_a_request_carries_query_headers_and_body() -> None:
    async def echo(request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        return web.json_response({"path": request.raw_path, "method": request.method, "body": body, **request.headers})

    async with serving(echo) as server, connected(ClusterConfig(server.address)) as transport:
        response = await transport.request(
            "PATCH", "/api/x%3Ay", query={"labelSelector": "a=b,c"}, headers={"Content-Type": "text/x"}, body=b"hi"
        )
        seen = json.loads(response.body)
        assert (seen["method"], seen["path"]) == ("PATCH", "/api/x%3Ay?labelSelector=a%3Db%2Cc")
        assert (seen["body"], seen["Content-Type"]) == ("hi", "text/x")
        assert "Accept-Encoding" not in seen
        assert (await transport.request("GET", "/")).headers["content-type"].startswith("application/json")


async def test_compressed_answers_are_unpacked_and_not_asked_for_on_loopback() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert "Accept-Encoding" not in request.headers
        return web.Response(body=gzip.compress(b"[1]"), headers={"Content-Encoding": "gzip"})

    async with serving(answer) as server, connected(ClusterConfig(server.address)) as transport:
        assert (await transport.request("GET", "/", headers={"Accept-Encoding": "gzip"})).body == b"[1]"


async def test_redirects_are_not_followed() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})

    async with serving(answer) as server, connected(ClusterConfig(server.address, token="t")) as transport:
        assert (await transport.request("GET", "/")).status == 302


async def test_a_stream_arrives_piece_by_piece() -> None:
    more = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"a":1}\n{"b"')
        await more.wait()
        await response.write(b":2}\n{cut")
        return response

    async with (
        serving(answer) as server,
        connected(ClusterConfig(server.address)) as transport,
        transport.stream("GET", "/watch") as stream,
    ):
        lines = stream.lines()
        assert await anext(lines) == b'{"a":1}'
        more.set()
        assert [line async for line in lines] == [b'{"b":2}']


async def test_a_stream_that_breaks_off_is_a_failed_connection() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"a":1}\n')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(answer) as server, connected(ClusterConfig(server.address)) as transport:
        with pytest.raises(ConnectionFailed, match="GET /watch"):
            async with transport.stream("GET", "/watch") as stream:
                _ = [line async for line in stream.lines()]


async def test_a_server_that_is_not_there_is_a_failed_connection() -> None:
    async with serving() as server:
        address = server.address
    async with connected(ClusterConfig(address)) as transport:
        with pytest.raises(ConnectionFailed, match="GET /x: Cannot connect"):
            await transport.request("GET", "/x")
        with pytest.raises(ConnectionFailed):
            async with transport.stream("GET", "/x"):
                pass


async def test_an_answer_that_does_not_come_in_time_is_a_failed_connection() -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(never) as server, connected(ClusterConfig(server.address)) as transport:
        with pytest.raises(ConnectionFailed, match="no answer in time"):
            await transport.request("GET", "/x", timeout=0.05)


async def test_tokens_and_passwords_are_sent() -> None:
    async with serving() as server:
        for config in (ClusterConfig("", token="t"), ClusterConfig("", username="me", password="pw"), ClusterConfig("")):
            async with connected(replace(config, server=server.address)) as transport:
                await transport.request("GET", "/")
        assert server.seen == ["Bearer t", "Basic bWU6cHc=", None]


async def test_a_token_file_is_read_again_after_a_while(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    clock = VirtualClock()
    async with serving() as server, connected(ClusterConfig(server.address, token_file=token), clock=clock) as transport:
        await transport.request("GET", "/")
        token.write_text("two\n")
        await transport.request("GET", "/")
        await clock.advance(11)
        await transport.request("GET", "/")
        token.unlink()
        await clock.advance(11)
        await transport.request("GET", "/")
        assert server.seen == ["Bearer one", "Bearer one", "Bearer two", "Bearer two"]


async def test_a_token_that_is_refused_is_read_again_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    async with serving() as server, connected(ClusterConfig(server.address, token_file=token)) as transport:
        await transport.request("GET", "/")
        server.accepted = {"Bearer new"}
        token.write_text("new")
        assert (await transport.request("GET", "/")).status == 200
        server.accepted = {"Bearer none"}
        assert (await transport.request("GET", "/")).status == 401
        assert len(server.seen) == 5


async def test_a_token_file_that_is_missing_is_said_so(tmp_path: Path) -> None:
    async with connected(ClusterConfig("http://127.0.0.1:1", token_file=tmp_path / "token")) as transport:
        with pytest.raises(CredentialsError, match="the token cannot be read"):
            await transport.request("GET", "/")


class Plugin:
    """A credential plugin: prints what is in its file, and counts its runs."""

    def __init__(self, folder: Path, output: Any = None, code: str = "") -> None:
        self.answer = folder / "answer"
        self.runs = folder / "runs"
        self.path = folder / "plugin"
        self.runs.write_text("")
        self.say(output)
        self.path.write_text(
            f"#!{sys.executable}\nimport os, sys\n"
            f"open({str(self.runs)!r}, 'a').write(os.environ['KUBERNETES_EXEC_INFO'] + '\\n')\n"
            f"{code}\nsys.stdout.write(open({str(self.answer)!r}).read())\n"
        )
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    def say(self, output: Any) -> None:
        self.answer.write_text(output if isinstance(output, str) else json.dumps(output))

    def config(self, **options: Any) -> ExecConfig:
        return ExecConfig("client.authentication.k8s.io/v1", str(self.path), **options)

    @property
    def infos(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.runs.read_text().splitlines()]


def credential(**status: str) -> dict[str, Any]:
    return {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}


async def test_a_plugin_is_run_again_when_its_token_expires_or_is_refused(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, credential(token="one", expirationTimestamp="2026-01-01T01:00:00Z"))
    clock = VirtualClock()
    config = plugin.config(cluster_info={"server": "https://x"})
    async with serving() as server, connected(ClusterConfig(server.address, exec=config), clock=clock) as transport:
        await transport.request("GET", "/")
        await transport.request("GET", "/")
        plugin.say(credential(token="two"))
        await clock.advance(3595)
        await transport.request("GET", "/")
        server.accepted = {"Bearer three"}
        plugin.say(credential(token="three"))
        await transport.request("GET", "/")
        assert server.seen == ["Bearer one", "Bearer one", "Bearer two", "Bearer two", "Bearer three"]
        assert len(plugin.infos) == 3
        assert plugin.infos[0] == {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "spec": {"interactive": False, "cluster": {"server": "https://x"}},
        }


async def test_requests_at_the_same_time_run_a_plugin_once(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, credential(token="t"))
    async with serving() as server, connected(ClusterConfig(server.address, exec=plugin.config())) as transport:
        await asyncio.gather(*(transport.request("GET", "/") for _ in range(5)))
        assert (server.seen, len(plugin.infos)) == (["Bearer t"] * 5, 1)


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        ("", "sys.exit('not logged in')", "failed with code 1: not logged in"),
        ("nonsense", "", "printed no ExecCredential"),
        ({"apiVersion": "v1", "kind": "Pod"}, "", "printed Pod of v1, not ExecCredential"),
        (credential(), "", "gave neither a token nor a certificate"),
        (credential(clientCertificateData="x"), "", "gave a certificate or a key without the other"),
        (credential(token="t", expirationTimestamp="soon"), "", "gave a time that is none: soon"),
    ],
)
async def test_what_a_plugin_does_wrong_is_said(tmp_path: Path, output: Any, code: str, said: str) -> None:
    plugin = Plugin(tmp_path, output, code)
    async with connected(ClusterConfig("http://127.0.0.1:1", exec=plugin.config())) as transport:
        with pytest.raises(CredentialsError, match=said):
            await transport.request("GET", "/")


async def test_a_plugin_that_is_not_installed_is_named_with_its_hint() -> None:
    config = ExecConfig("client.authentication.k8s.io/v1", "no-such-plugin", install_hint="Get it from example.org")
    async with connected(ClusterConfig("http://127.0.0.1:1", exec=config)) as transport:
        with pytest.raises(CredentialsError, match=r"no-such-plugin cannot be run: No such file.*Get it from example"):
            await transport.request("GET", "/")


async def test_a_plugin_that_needs_a_person_says_so(tmp_path: Path) -> None:
    config = Plugin(tmp_path, credential(token="t")).config(interactive_mode="Always")
    async with connected(ClusterConfig("http://127.0.0.1:1", exec=config)) as transport:
        with pytest.raises(CredentialsError, match="needs a terminal"):
            await transport.request("GET", "/")


class Authority:
    """A certificate authority for one test."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.certificate = self._sign(self.name, self.key.public_key(), ca=True)

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool = False, host: str = "") -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), host=name)
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return certificate.public_bytes(serialization.Encoding.PEM), pem

    def server_context(self, folder: Path, name: str) -> ssl.SSLContext:
        certificate, key = self.issue(name)
        (folder / "server.pem").write_bytes(certificate + key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.pem.decode())
        context.load_cert_chain(folder / "server.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


async def peer_name(request: web.Request) -> web.Response:
    assert request.transport is not None
    peer = request.transport.get_extra_info("peercert") or {}
    names = [value for part in peer.get("subject", ()) for key, value in part if key == "commonName"]
    return web.Response(text=",".join(names))


async def test_client_certificates_and_server_names_over_tls(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("me")
    async with serving(peer_name, authority.server_context(tmp_path, "api.internal")) as server:
        base = ClusterConfig(server.address, ca_data=authority.pem, tls_server_name="api.internal")
        async with connected(replace(base, client_cert_data=certificate, client_key_data=key)) as transport:
            assert (await transport.request("GET", "/")).body == b"me"
        async with connected(replace(base, tls_server_name="")) as transport:
            with pytest.raises(ConnectionFailed, match="certificate verify failed"):
                await transport.request("GET", "/")
        async with connected(
            ClusterConfig(server.address, ca_data=Authority().pem, tls_server_name="api.internal")
        ) as transport:
            with pytest.raises(ConnectionFailed, match="certificate verify failed"):
                await transport.request("GET", "/")
        async with connected(ClusterConfig(server.address, insecure_skip_tls_verify=True)) as transport:
            assert (await transport.request("GET", "/")).status == 200


async def test_a_plugin_can_give_a_certificate_and_change_it(tmp_path: Path) -> None:
    authority = Authority()

    def issued(name: str, expires: str) -> dict[str, Any]:
        certificate, key = authority.issue(name)
        return credential(clientCertificateData=certificate.decode(), clientKeyData=key.decode(), expirationTimestamp=expires)

    plugin = Plugin(tmp_path, issued("first", "2026-01-01T00:10:00Z"))
    clock = VirtualClock()
    async with serving(peer_name, authority.server_context(tmp_path, "api")) as server:
        config = ClusterConfig(server.address, ca_data=authority.pem, tls_server_name="api", exec=plugin.config())
        async with connected(config, clock=clock) as transport:
            assert (await transport.request("GET", "/")).body == b"first"
            plugin.say(issued("second", "2026-01-01T01:00:00Z"))
            await clock.advance(600)
            assert (await transport.request("GET", "/")).body == b"second"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ca_data": b"nonsense"}, "certificate authority of https://127.0.0.1:1 is no PEM"),
        ({"client_cert_data": b"x", "client_key_data": b"y"}, "client certificate and its key do not fit"),
    ],
)
async def test_certificates_that_are_none_are_a_configuration_error(wrong: dict[str, bytes], said: str) -> None:
    config = replace(ClusterConfig("https://127.0.0.1:1", source="~/config"), **wrong)  # type: ignore[arg-type]
    async with connected(config) as transport:
        with pytest.raises(ConfigError, match=said):
            await transport.request("GET", "/")
