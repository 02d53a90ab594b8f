"""The transport of the command line, against a server that misbehaves on request."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cozystack.cozypkg.http import StreamTransport
from cozystack.kube import ClusterConfig, SystemClock
from cozystack.kube.errors import ConnectionFailed, CredentialsError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    address: str = ""
    connections: int = 0
    heads: list[list[str]] = field(default_factory=list)


@asynccontextmanager
async def serving(*answers: bytes, keep: bool = True) -> AsyncIterator[Server]:
    """A server that gives one answer a request, in order, and then closes; not ``keep``: a connection an answer."""
    server = Server()
    left = list(answers)
    open_ones: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
            while left:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                server.heads.append(head[:-2])
                length = next((int(line.partition(":")[2]) for line in head if line.startswith("Content-Length")), 0)
                await reader.readexactly(length)
                writer.write(left.pop(0))
                await writer.drain()
                if not keep:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
        await asyncio.gather(*open_ones)


@asynccontextmanager
async def transport(address: str, **config: object) -> AsyncIterator[StreamTransport]:
    found = StreamTransport(ClusterConfig(address, **config), clock=SystemClock())  # type: ignore[arg-type]
    try:
        yield found
    finally:
        await found.close()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_request_carries_path_query_headers_login_and_body() -> None:
    async with serving(answer(b"{}", "X-Y: z")) as server, transport(f"{server.address}/k8s/", token="t") as http:
        response = await http.request(
            "PATCH", "/api/x%3Ay", query={"labelSelector": "a=b,c"}, headers={"Content-Type": "text/x"}, body=b"hi"
        )
        assert (response.status, response.headers["x-y"], response.body) == (200, "z", b"{}")
        assert server.heads == [
            [
                "PATCH /k8s/api/x%3Ay?labelSelector=a%3Db%2Cc HTTP/1.1",
                f"Host: {server.address.removeprefix('http://')}",
                "Content-Type: text/x",
                "Authorization: Bearer t",
                "Content-Length: 2",
            ]
        ]


async def test_a_connection_is_used_again_and_replaced_when_the_server_has_closed_it() -> None:
    async with serving(answer(b"1"), answer(b"2")) as server, transport(server.address) as http:
        assert [(await http.request("GET", "/")).body for _ in range(2)] == [b"1", b"2"]
        assert server.connections == 1
    async with serving(answer(b"1"), answer(b"2"), keep=False) as server, transport(server.address) as http:
        assert [(await http.request("GET", "/")).body for _ in range(2)] == [b"1", b"2"]
        assert server.connections == 2
    closing = (answer(b"1", "Connection: close"), answer(b"2"))
    async with serving(*closing, keep=False) as server, transport(server.address) as http:
        assert [(await http.request("POST", "/", body=b"x")).body for _ in range(2)] == [b"1", b"2"]


async def test_bodies_come_by_length_in_chunks_packed_or_until_the_end() -> None:
    packed = gzip.compress(b"packed")
    answers = (
        CHUNKED + b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: t\r\n\r\n",
        answer(packed, "Content-Encoding: gzip"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"after"),
        b"HTTP/1.0 200 OK\r\n\r\nto the end",
    )
    async with serving(*answers) as server, transport(server.address) as http:
        bodies = [(await http.request("GET", "/")).body for _ in answers]
        assert bodies == [b"hello world", b"packed", b"", b"after", b"to the end"]


async def test_a_stream_arrives_line_by_line_and_what_is_cut_off_is_an_error() -> None:
    whole = CHUNKED + b'8\r\n{"a":1}\n\r\n0\r\n\r\n'
    async with serving(whole) as server, transport(server.address) as http, http.stream("GET", "/") as stream:
        assert [line async for line in stream.lines()] == [b'{"a":1}']
    cut = CHUNKED + b'8\r\n{"a":1}\n\r\n8\r\n{"b'
    async with serving(cut) as server, transport(server.address) as http:
        with pytest.raises(ConnectionFailed, match=r"does not answer: the connection was cut off$"):
            async with http.stream("GET", "/") as stream:
                lines = stream.lines()
                assert await anext(lines) == b'{"a":1}'
                await anext(lines)


async def test_leaving_a_stream_ends_its_connection() -> None:
    endless = CHUNKED + b"2\r\n1\n\r\n"
    async with serving(endless) as server, transport(server.address) as http, http.stream("GET", "/") as stream:
        assert await anext(stream.lines()) == b"1"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "the connection was cut off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "the connection was cut off"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "what it says is no HTTP"),
        (CHUNKED + b"zz\r\n", "what it says is no HTTP"),
        (answer(b"xxxxxxxxxxxx", "Content-Encoding: gzip"), "what it says is no HTTP"),
    ],
)
async def test_what_is_no_answer_is_said_so(said: bytes, reason: str) -> None:
    async with serving(said, keep=False) as server, transport(server.address) as http:
        with pytest.raises(ConnectionFailed) as caught:
            await http.request("GET", "/")
        assert str(caught.value) == f"the cluster at {server.address} does not answer: {reason}"


async def test_nobody_there_no_answer_and_no_such_host_are_said_so() -> None:
    async with serving() as server:
        address = server.address
    async with transport(address) as http:
        with pytest.raises(ConnectionFailed, match=r"does not answer: connection refused$"):
            await http.request("GET", "/")
        with pytest.raises(ConnectionFailed, match=r"does not answer: connection refused$"):
            async with http.stream("GET", "/"):
                pass
    async with serving(b"", b"never asked for") as server, transport(server.address) as http:
        with pytest.raises(ConnectionFailed, match=r"does not answer: no answer in time$"):
            await http.request("GET", "/", timeout=0.01)


async def test_a_token_that_was_refused_is_read_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    refused = answer(b"{}", status="401 Unauthorized")

    async with serving(refused, answer(b"in")) as server, transport(server.address, token_file=token) as http:
        token.write_text("new")
        assert (await http.request("GET", "/")).body == b"in"
    async with transport(server.address, token_file=tmp_path / "gone") as http:
        with pytest.raises(CredentialsError, match="the token cannot be read"):
            await http.request("GET", "/")
