"""What the API server finds where it calls into the cluster: a stand-in for what simulated Pods would serve.

The API server reaches webhooks and aggregated APIs through a proxy (HTTP CONNECT on a Unix socket), which leads every
connection to one server of this process. That lets an aggregated API count as available, with nothing in it, and admits
whatever a webhook is asked about; the test of an APIService's certificate must be off, as no simulated Pod has one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from pathlib import Path

import msgspec
from aiohttp import web

from e2e.certificates import Certificates

_HOST = "127.0.0.1"


class Egress:
    """See the module."""

    def __init__(self) -> None:
        # Not in the state folder: the path of a Unix socket must be short.
        self._folder = tempfile.TemporaryDirectory(prefix="e2e-")
        self.socket = Path(self._folder.name, "egress.sock")
        self._piping: set[asyncio.Task[None]] = set()

    @property
    def configuration(self) -> bytes:
        """For the API server's ``--egress-selector-config-file``."""
        connection = {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": str(self.socket)}}}
        return msgspec.json.encode(
            {
                "apiVersion": "apiserver.k8s.io/v1beta1",
                "kind": "EgressSelectorConfiguration",
                "egressSelections": [{"name": "cluster", "connection": connection}],
            }
        )

    async def start(self, certificates: Certificates) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", _answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, 0, ssl_context=context)
        await site.start()
        self._port: int = self._runner.addresses[0][1]
        self._proxy = await asyncio.start_unix_server(self._connect, self.socket)

    async def stop(self) -> None:
        self._proxy.close()
        for task in list(self._piping):
            task.cancel()
        await self._runner.cleanup()
        self._folder.cleanup()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a CONNECT, wherever it goes, and pass on what follows."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            there, back = await asyncio.open_connection(_HOST, self._port)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            tasks = [asyncio.create_task(_pass(reader, back)), asyncio.create_task(_pass(there, writer))]
            for task in tasks:
                self._piping.add(task)
                task.add_done_callback(self._piping.discard)
            return
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def _answer(request: web.Request) -> web.Response:
    if request.method == "POST" and "json" in request.content_type:
        review = msgspec.json.decode(await request.read())
        if isinstance(review, dict) and review.get("kind") == "AdmissionReview":
            answer = {"uid": review["request"]["uid"], "allowed": True}
            return web.json_response({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": answer})
    parts = request.path.strip("/").split("/")
    if request.method == "GET" and len(parts) == 3 and parts[0] == "apis":
        group_version = "/".join(parts[1:])
        body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": []}
        return web.json_response(body)
    return web.Response(status=404)
