"""Bytes that are nearly HTTP: requests cut off, chunks that lie, headers without end, several requests in one, noise."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

from support.apiserver import TOKEN

_AUTH: Final = f"Authorization: Bearer {TOKEN}\r\n".encode()
_BODY: Final = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"raw-"}}'
_LIST: Final = b"GET /api/v1/namespaces HTTP/1.1\r\nHost: x\r\n" + _AUTH + b"\r\n"
_PATH: Final = b"POST /api/v1/namespaces/fuzz/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + _AUTH
_POST: Final = _PATH + b"Content-Length: " + str(len(_BODY)).encode() + b"\r\n\r\n" + _BODY
_CHUNKED: Final = _PATH + b"Transfer-Encoding: chunked\r\n\r\n" + f"{len(_BODY):x}\r\n".encode() + _BODY + b"\r\n0\r\n\r\n"

WHOLE: Final = (_LIST, _POST, _CHUNKED)
ODD: Final[dict[str, bytes]] = {
    "nothing": b"",
    "a line end": b"\r\n",
    "zeros": b"\0" * 4096,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 500,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /api\r\n\r\n",
    "another version": b"GET /api HTTP/9.9\r\nHost: x\r\n\r\n",
    "a method without end": b"G" * 100_000 + b" / HTTP/1.1\r\n\r\n",
    "a path without end": b"GET /" + b"a" * 500_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header without end": b"GET /api HTTP/1.1\r\nX: " + b"a" * 500_000 + b"\r\n\r\n",
    "headers without end": b"GET /api HTTP/1.1\r\n" + b"X: y\r\n" * 40_000 + b"\r\n",
    "a header without a name": b"GET /api HTTP/1.1\r\n: y\r\n\r\n",
    "a header that goes on": b"GET /api HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n",
    "two lengths": _PATH + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
    "a length and chunks": _PATH + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": _PATH + b"Content-Length: -1\r\n\r\n",
    "a length that is none": _PATH + b"Content-Length: 1e3\r\n\r\n",
    "a length of more than there is": _PATH + b"Content-Length: 999999\r\n\r\n{",
    "a length of more than can be": _PATH + b"Content-Length: 99999999999999999999999\r\n\r\n{",
    "a chunk that is longer than it says": _PATH + b"Transfer-Encoding: chunked\r\n\r\n2\r\n12345\r\n0\r\n\r\n",
    "a chunk of no size": _PATH + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a chunk of a negative size": _PATH + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n12345\r\n0\r\n\r\n",
    "a chunk of more than can be": _PATH + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n1\r\n",
    "chunks without end": _PATH + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 20_000,
    "a trailer that is a header": _PATH + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n",
    "another coding": _PATH + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an upgrade": b"GET /api HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "an expectation": _PATH + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    "an expectation of more": _PATH + b"Expect: the-impossible\r\nContent-Length: 2\r\n\r\n{}",
    "an address as path": b"GET http://other.example/api HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path that climbs": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path with a zero": b"GET /api/v1/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "broken escapes": b"GET /api/v1/namespaces/%zz%ff%c0%af?labelSelector=%ff HTTP/1.1\r\nHost: x\r\n" + _AUTH + b"\r\n",
    "many in one": _LIST * 50,
    "one whole and one half": _LIST + _POST[:-20],
    "one half and one whole": _POST[:-20] + _LIST,
    "a connect": b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example\r\n\r\n",
    "options of all": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
}


def noise(rng: Random) -> bytes:
    """A whole request with some bytes changed, taken out, doubled, or only its beginning."""
    data = bytearray(rng.choice(WHOLE))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at:at] = data[max(0, at - rng.randint(1, 40)) : at]
            case 3:
                data[at:at] = rng.choice((b"\r\n", b"\0", b"\xff\xff", b" ", b"\r\n\r\n", b"Content-Length: 3\r\n"))
            case 4:
                del data[at:]
        if not data:
            break
    return bytes(data)


async def sent(port: int, data: bytes, *, ended: bool) -> bytes:
    """What comes back for ``data`` until the server ends the connection; ``ended``: the client says that no more will come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        if ended:
            writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""  # it need not take more than it wants
    finally:
        writer.close()
