"""Metrics over TLS: which certificate is shown, and when a new one is."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import aiohttp
import msgspec
import pytest
from cryptography import x509

from cozystack.kube.clock import Clock
from cozystack.operator import main
from cozystack.operator.flags import OptionsError, read_options
from cozystack.operator.serving import LOOK_AGAIN, ServingCertificate
from cozystack.operator.webhook.certificates import issue
from cozystack.runtime import HealthServer, Log, Registry, SystemClock, VirtualClock
from support.apiserver import TOKEN, embedded

HOST = "cozystack-operator.cozy-system.svc"
LOG = Log("cozystack.operator")


def write(folder: Path, clock: Clock) -> bytes:
    """Put a new certificate into ``folder``; its authority."""
    made = issue(HOST, clock.now())
    (folder / "tls.crt").write_bytes(made.certificate)
    (folder / "tls.key").write_bytes(made.key)
    return made.authorities


def shown(port: int) -> bytes:
    """The certificate that a listener shows."""
    return ssl.get_server_certificate(("127.0.0.1", port)).encode()


async def test_files_are_loaded_and_again_when_they_change(tmp_path: Path) -> None:
    clock = VirtualClock()
    write(tmp_path, clock)
    first = (tmp_path / "tls.crt").read_bytes()
    certificate = ServingCertificate(folder=tmp_path, host=HOST, clock=clock, log=LOG)
    certificate.load()
    listener = HealthServer(registry=Registry(), tls=certificate.context)
    port = await listener.start("127.0.0.1", 0)
    following = asyncio.ensure_future(certificate.run())
    assert await asyncio.to_thread(shown, port) == first
    write(tmp_path, clock)
    await clock.advance(LOOK_AGAIN)
    assert await asyncio.to_thread(shown, port) == (tmp_path / "tls.crt").read_bytes() != first
    (tmp_path / "tls.key").write_text("spoilt")
    await clock.advance(LOOK_AGAIN)
    assert not following.done()
    assert await asyncio.to_thread(shown, port) == (tmp_path / "tls.crt").read_bytes()
    following.cancel()
    await asyncio.wait((following,))
    await listener.stop()


async def test_a_certificate_of_its_own_is_renewed_in_time() -> None:
    clock = VirtualClock()
    certificate = ServingCertificate(folder=None, host=HOST, clock=clock, log=LOG)
    assert certificate.load()
    assert not certificate.load()
    listener = HealthServer(tls=certificate.context)
    port = await listener.start("127.0.0.1", 0)
    first = x509.load_pem_x509_certificate(await asyncio.to_thread(shown, port))
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert names == [HOST]
    await clock.advance(300 * 86_400.0)
    assert certificate.load()
    assert x509.load_pem_x509_certificate(await asyncio.to_thread(shown, port)) != first
    await listener.stop()


async def test_files_that_are_not_there_are_said_at_the_start(tmp_path: Path) -> None:
    certificate = ServingCertificate(folder=tmp_path, host=HOST, clock=VirtualClock(), log=LOG)
    with pytest.raises(OSError, match=r"tls\.crt"):
        certificate.load()
    arguments = [
        "--metrics-secure",
        f"--metrics-cert-path={tmp_path}",
        f"--kubeconfig={connection(tmp_path, 'https://unused')}",
    ]
    assert await asyncio.to_thread(main.main, arguments) == 1


async def test_the_program_shows_metrics_to_those_who_may_see_them_and_probes_to_all(tmp_path: Path) -> None:
    authority = ssl.create_default_context(cadata=write(tmp_path, SystemClock()).decode())
    with socket.socket() as one, socket.socket() as other:  # ports that nobody else gets, and that the program can share
        address, probes = reserved(one), reserved(other)
        async with embedded() as api:
            options = read_options(
                [
                    f"--kubeconfig={connection(tmp_path, api.url)}",
                    "--metrics-secure",
                    f"--metrics-cert-path={tmp_path}",
                    f"--metrics-bind-address={address}",
                    f"--health-probe-bind-address={probes}",
                ],
                {},
            )
            running = asyncio.ensure_future(main.run(options, {}, clock=SystemClock(), log=LOG))
            async with aiohttp.ClientSession(f"https://{address}") as session:
                assert await answered(session, authority, f"http://{probes}/healthz") == 200
                assert await answered(session, authority, "/metrics") == 401
                assert await answered(session, authority, "/metrics", "Bearer somebody") == 401
                assert await answered(session, authority, "/metrics", f"Bearer {TOKEN}") == 200
            running.cancel()
            await asyncio.wait((running,))


def reserved(held: socket.socket) -> str:
    """The address of a port that others can share with ``held`` alone."""
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return f"127.0.0.1:{held.getsockname()[1]}"


async def answered(session: aiohttp.ClientSession, tls: ssl.SSLContext, path: str, authorization: str = "") -> int:
    """The status of an answer, as soon as there is one."""
    headers = {"Authorization": authorization} if authorization else {}
    while True:
        try:
            async with session.get(path, ssl=tls, server_hostname=HOST, headers=headers) as answer:
                return answer.status
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0)


def connection(folder: Path, url: str) -> Path:
    """A kubeconfig."""
    file = folder / "kubeconfig"
    config = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "cozy-system"}}],
        "current-context": "x",
    }
    file.write_bytes(msgspec.json.encode(config))
    return file


def test_a_folder_without_tls_is_a_contradiction() -> None:
    with pytest.raises(OptionsError, match="--metrics-cert-path is for --metrics-secure"):
        read_options(["--metrics-cert-path=/certificates"], {})
