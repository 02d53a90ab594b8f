"""A client that works under a lease writes nothing once the lease is lost, and reads on."""

from __future__ import annotations

import pytest

from cozystack.api.core import Namespace
from cozystack.api.meta import Key, ObjectMeta
from cozystack.api.resources import NAMESPACES
from cozystack.kube import Client
from cozystack.kube.errors import Fenced
from cozystack.runtime import VirtualClock
from support.kube import FakeApi, Seen, lost, seeded

SHOP = Key("", "shop")


async def test_a_fenced_client_writes_while_it_may_and_not_after() -> None:
    api, leading = FakeApi(NAMESPACES), [True]
    client = Client(api, clock=VirtualClock(), random=seeded())
    fenced = client.fenced(lambda: leading[0])
    await fenced.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="shop")))
    leading.clear()
    leading.append(False)
    for write in (
        fenced.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="other"))),
        fenced.apply(NAMESPACES, {"metadata": {"name": "shop", "labels": {"a": "b"}}}, manager="us"),
        fenced.patch(NAMESPACES, SHOP, {"metadata": {"labels": {"a": "b"}}}, manager="us"),
        fenced.delete(NAMESPACES, SHOP),
    ):
        with pytest.raises(Fenced):
            await write
    assert (await fenced.get(NAMESPACES, SHOP)).metadata.labels == {}
    await client.patch(NAMESPACES, SHOP, {"metadata": {"labels": {"by": "another"}}}, manager="us")
    assert (await fenced.get(NAMESPACES, SHOP)).metadata.labels == {"by": "another"}


async def test_a_write_that_was_lost_is_not_repeated_without_the_lease() -> None:
    api, clock, leading = FakeApi(NAMESPACES), VirtualClock(), [True]
    client = Client(api, clock=clock, random=seeded()).fenced(lambda: leading.pop())
    api.put(NAMESPACES, {"metadata": {"name": "shop"}})

    def lose(seen: Seen) -> bool:
        leading.append(False)
        return True

    api.fail(lost(), when=lose)
    with pytest.raises(Fenced):
        await clock.run(client.patch(NAMESPACES, SHOP, {"metadata": {"labels": {"a": "b"}}}, manager="us"))
    assert api.lines() == ["PATCH /api/v1/namespaces/shop"]
