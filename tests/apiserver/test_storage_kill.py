"""A server that is killed in the middle of writes: what it has answered is there afterwards."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from cozystack.apiserver.storage import open_storage
from support.apiserver import TOKEN, Api, client, config_map

SERVER = """
import asyncio, sys
from pathlib import Path
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.http.server import serve
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.storage import open_storage

async def main():
    user = User("admin", ("system:masters", "system:authenticated"))
    api = ApiServer(open_storage(Path(sys.argv[1])), tokens={sys.argv[2]: user})
    lifecycle = Lifecycle(api.objects)
    lifecycle.start()
    listener = await serve(api)
    print(listener.port, flush=True)
    await lifecycle.run()

asyncio.run(main())
"""
MAPS = "/api/v1/namespaces/default/configmaps"
_LOST = (aiohttp.ClientError, ConnectionError)


@asynccontextmanager
async def killed_in_the_end(path: Path) -> AsyncIterator[Api]:
    """A server with the state file ``path`` as a process of its own; it gets no chance to close anything."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(path), TOKEN, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        async with client(f"http://127.0.0.1:{port}", TOKEN) as api:
            yield api
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def written(api: Api, writer: int, acknowledged: dict[str, tuple[int, str]], stop_at: int, enough: asyncio.Event) -> None:
    """Create, change and delete until the server is gone; what is gone has the empty text."""
    number = 0
    with suppress(*_LOST):
        while True:
            name = f"w{writer}-{number}"
            made = (await api.create(MAPS, config_map(name, {"n": "1"}))).body["metadata"]
            acknowledged[name] = int(made["resourceVersion"]), "1"
            if number % 3 == 1:
                changed = (await api.patch(f"{MAPS}/{name}", {"data": {"n": "2"}})).body["metadata"]
                acknowledged[name] = int(changed["resourceVersion"]), "2"
            if number % 3 == 2:
                # Between the request and its answer nobody knows.
                del acknowledged[name]
                await api.delete(f"{MAPS}/{name}")
                acknowledged[name] = 0, ""
            number += 1
            if len(acknowledged) >= stop_at:
                enough.set()


@pytest.mark.parametrize("stop_at", [1, 60, 200])
async def test_every_answer_holds_after_a_kill(tmp_path: Path, stop_at: int) -> None:
    path = tmp_path / "state.db"
    acknowledged: dict[str, tuple[int, str]] = {}
    enough = asyncio.Event()
    async with killed_in_the_end(path) as api:
        writers = [asyncio.create_task(written(api, n, acknowledged, stop_at, enough)) for n in range(4)]
        await enough.wait()
    await asyncio.gather(*writers, return_exceptions=True)
    storage = open_storage(path)
    found = {stored.name: stored for stored in storage.objects("/configmaps", "default")}
    version = storage.version
    storage.close()
    for name, (reached, value) in acknowledged.items():
        if value:
            assert found[name].version >= reached
            assert found[name].object["data"]["n"] >= value
        else:
            assert name not in found
    assert version >= max(reached for reached, _ in acknowledged.values())


async def test_a_list_and_a_watch_go_on_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with killed_in_the_end(path) as api:
        for number in range(3):
            await api.create(MAPS, config_map(f"a{number}"))
        first = (await api.get(MAPS, limit=2)).body["metadata"]
        since = first["resourceVersion"]
    async with killed_in_the_end(path) as api:
        rest = await api.get(MAPS, limit=2, **{"continue": first["continue"]})
        assert (rest.status, [item["metadata"]["name"] for item in rest.body["items"]]) == (200, ["a2"])
        await api.create(MAPS, config_map("late"))
        async with api.watch(MAPS, resourceVersion=since) as watch:
            assert await watch.names(1) == [("ADDED", "late")]
