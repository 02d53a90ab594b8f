"""What is no longer kept answers 410, in the words that clients know; over HTTP, with a window that has passed."""

from __future__ import annotations

from cozystack.apiserver.storage import open_storage
from cozystack.apiserver.storage.interface import WINDOW
from support.apiserver import config_map, embedded

MAPS = "/api/v1/namespaces/default/configmaps"


async def test_versions_beyond_the_window_have_expired() -> None:
    storage = open_storage(None)
    async with embedded(storage, controllers=True) as api:
        for number in range(3):
            await api.create(MAPS, config_map(f"a{number}"))
        first = (await api.get(MAPS, limit=1)).body["metadata"]
        old = first["resourceVersion"]
        for number in range(WINDOW + 1):
            storage.put("/configmaps", "other", "busy", {"metadata": {"name": "busy", "uid": "u"}, "number": number})
        later = await api.get(MAPS, limit=1, **{"continue": first["continue"]})
        exact = await api.get(MAPS, resourceVersion=old, resourceVersionMatch="Exact")
        newer = await api.get(MAPS, resourceVersion=old, resourceVersionMatch="NotOlderThan")
        async with api.watch(MAPS, resourceVersion=old) as watch:
            kind, status = await watch.next()
    assert [(answer.status, answer.body.get("reason")) for answer in (later, exact, newer)] == [
        (410, "Expired"),
        (410, "Expired"),
        (200, None),
    ]
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
