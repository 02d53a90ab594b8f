"""One call of a webhook: a review is sent over HTTPS, a review comes back.

Every call has its own connection, so nothing has to be closed with the server, and a certificate that a configuration no longer
trusts is never used again. What goes wrong, whatever it is, is a ``CallError``: the webhook's failure policy decides.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from dataclasses import dataclass
from functools import lru_cache

import aiohttp

_MOST_BYTES = 8 * 1024 * 1024


class CallError(Exception):
    """A webhook that was not reached, did not answer in time, or answered something else."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a webhook listens. ``url`` is what it is known by; ``connect`` is where it really is, when that is elsewhere.

    ``server_name`` is the name that its certificate must have, by default that of the URL; ``ca_bundle`` is PEM in base64, as
    configurations have it; the machine's authorities when it is empty.
    """

    url: str
    connect: str = ""
    server_name: str = ""
    ca_bundle: str = ""


async def call_over_https(endpoint: Endpoint, review: bytes, seconds: float) -> bytes:
    """The answer; raises ``CallError``."""
    try:
        async with asyncio.timeout(seconds):
            return await _post(endpoint, review)
    except TimeoutError:
        raise CallError("context deadline exceeded") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise CallError(str(error) or type(error).__name__) from error


async def _post(endpoint: Endpoint, review: bytes) -> bytes:
    connector = aiohttp.TCPConnector(ssl=_trusting(endpoint.ca_bundle), force_close=True)
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "kube-apiserver-admission"}
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        session.post(
            endpoint.connect or endpoint.url,
            data=review,
            server_hostname=endpoint.server_name or None,
            allow_redirects=False,
        ) as answer,
    ):
        if answer.status != 200:
            text = (await answer.content.read(1024)).decode(errors="replace").strip()
            raise CallError(f"the server answered {answer.status}: {text}")
        body = b""
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise CallError("the answer is too large")
        return body


@lru_cache(maxsize=64)
def _trusting(ca_bundle: str) -> ssl.SSLContext:
    """Raises ``ValueError`` and ``ssl.SSLError`` when the bundle holds no certificates."""
    if not ca_bundle:
        return ssl.create_default_context()
    try:
        authorities = base64.b64decode(ca_bundle, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("the CA bundle is no PEM in base64") from None
    context = ssl.create_default_context(cadata=authorities)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # authorities of charts lack what it asks for
    return context
