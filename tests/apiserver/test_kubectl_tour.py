"""kubectl cannot tell the server from a real one: the tour of ``tests/cases/kubectl`` prints what a real one made it print."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from cozystack.apiserver import pki
from cozystack.apiserver.http.api import ApiServer
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.http.server import serve
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.rbac import bootstrap
from cozystack.apiserver.storage import open_storage
from cozystack.sandbox.cluster import kubeconfig
from support.tour import recorded, steps, tour, written

KUBECTL = Path(sys.executable).with_name("kubectl")
ADMIN = User("admin", ("system:masters", "system:authenticated"), "admin")


async def test_kubectl_prints_what_it_prints_with_a_real_server(tmp_path: Path) -> None:
    api = ApiServer(open_storage(None), tokens={"token": ADMIN})
    certificates = pki.ensure(tmp_path / "pki", datetime.now(UTC))
    authority = certificates.ca.read_bytes()
    lifecycle = Lifecycle(api.objects, ca=authority)
    lifecycle.start()
    bootstrap(api.objects)
    running = asyncio.create_task(lifecycle.run())
    listener = await serve(api, tls=certificates.server_context())
    config = tmp_path / "kubeconfig"
    config.write_bytes(kubeconfig(f"https://127.0.0.1:{listener.port}", authority, "token", user="admin"))
    try:
        printed = await asyncio.to_thread(lambda: list(tour(KUBECTL, config)))
    finally:
        running.cancel()
        await listener.close()
    expected = recorded()
    assert len(expected) == len(steps()) == len(printed)
    differing = [
        (text, wanted)
        for (step, output), wanted in zip(printed, expected, strict=True)
        if (text := written(step, output)) != (written(step, _lines(step.differs)) if step.differs else wanted)
    ]
    assert differing == []


def test_the_tour_is_long_enough_and_says_where_it_differs() -> None:
    assert len(steps()) > 100
    assert [
        step.run for step, text in zip(steps(), recorded(), strict=True) if written(step, _lines(step.differs)) == text
    ] == []


def _lines(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
