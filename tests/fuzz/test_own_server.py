"""Anything may be asked of the server: it answers soundly, and is there for the next one."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from random import Random

import pytest

from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.server import serve
from cozystack.apiserver.storage import open_storage
from fuzz import own, raw
from support.apiserver import ADMIN, TOKEN, client

REQUESTS = 120


@pytest.mark.parametrize("seed", range(4))
async def test_requests_of_its_own_documents_are_answered_as_they_say(seed: int) -> None:
    await own.play(seed, REQUESTS)


async def test_what_came_of_them_is_there_after_a_start(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    storage = open_storage(path)
    await own.play(5, REQUESTS, storage=storage)
    before = {stored.encoded for info in ApiServer(storage).registry for stored in ApiServer(storage).objects.all(info)}
    storage.close()
    again = open_storage(path)
    server = ApiServer(again)
    assert {stored.encoded for info in server.registry for stored in server.objects.all(info)} == before
    assert list(own.sound(server)) == []
    again.close()


async def test_bytes_that_are_nearly_requests_end_and_harm_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing hangs: each connection ends, by an answer or without, and the next request is answered."""
    rng = Random(7)  # noqa: S311 - for variety
    bad = [*raw.ODD.values(), *(raw.noise(rng) for _ in range(60))]
    caplog.set_level(logging.CRITICAL)
    server = ApiServer(open_storage(None), tokens={TOKEN: ADMIN})
    listener = await serve(server, idle=0.2, patience=0.2)
    try:
        answers = await asyncio.gather(
            *(raw.sent(listener.port, data, ended=number % 2 == 0) for number, data in enumerate(bad))
        )
        assert [answer[:60] for answer in answers if answer and not answer.startswith(b"HTTP/1.")] == []
        assert [answer[:200] for answer in answers if answer.startswith((b"HTTP/1.1 500", b"HTTP/1.0 500"))] == []
        async with client(f"http://127.0.0.1:{listener.port}", TOKEN) as api:
            assert (await api.get("/readyz")).raw == b"ok"
            assert (await api.get("/api/v1/namespaces")).status == 200
    finally:
        await listener.close()
