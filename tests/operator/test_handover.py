"""From the original operator to this one and back, without a restart, a deletion or a new generation (decision D9)."""

from __future__ import annotations

import asyncio

import pytest

from cozystack.api import names
from cozystack.api.meta import Key
from cozystack.api.resources import CONFIG_MAPS, HELM_RELEASES, PACKAGES, SECRETS
from cozystack.operator.handback import hand_back
from cozystack.operator.inventory import INVENTORY
from cozystack.operator.webhook.registration import CONFIGURATIONS, LABELS, NAME, SECRET, configuration
from support.operator import Obj, Wire, World, component, json_of, package, plain, source

DB = "acme-db/db"
COPY = "acme-db/cozystack-values"
LEASE = Key("cozy-system", "cozystack-operator.cozystack.io")


async def as_the_original(world: World) -> None:
    """A settled platform whose release and copy were written whole by the original, ``suspend`` included."""
    first = world.start()
    await world.edit(
        SECRETS, "cozy-system/cozystack-values", {"metadata": {"labels": {"reconcile.fluxcd.io/watch": "Enabled"}}}
    )
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.install()
    await first.stop()
    await hand_back(world.connect(Wire(world.server)), clock=world.clock, lease=LEASE, secret=names.VALUES_SECRET, seconds=60)
    for resource, name in ((HELM_RELEASES, DB), (SECRETS, COPY)):
        live = await world.get(resource, name)
        live["metadata"]["managedFields"] = [
            entry for entry in live["metadata"]["managedFields"] if entry.get("subresource") or entry["operation"] != "Apply"
        ]
        if resource is HELM_RELEASES:
            live["spec"]["suspend"] = False
        live["metadata"]["labels"] = {**live["metadata"].get("labels", {}), "written-by": "the-original"}
        await world.client.replace(json_of(resource), live, manager=names.OPERATOR_MANAGER)
    await world.install()


def owners(obj: Obj) -> dict[str, str]:
    """Operation by manager, of the object itself."""
    return {e["manager"]: e["operation"] for e in obj["metadata"]["managedFields"] if not e.get("subresource")}


async def test_the_first_pass_takes_ownership_over_and_changes_nothing_else(world: World) -> None:
    await as_the_original(world)
    before = await world.get(HELM_RELEASES, DB)
    assert owners(before)[names.OPERATOR_MANAGER] == "Update"
    world.start()
    await world.settle(1)
    after = await world.get(HELM_RELEASES, DB)
    assert (after["metadata"]["generation"], after["spec"]) == (before["metadata"]["generation"], before["spec"])
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    (kept,) = (e for e in after["metadata"]["managedFields"] if e["manager"] == names.OPERATOR_MANAGER)
    assert kept["fieldsV1"] == {"f:spec": {"f:suspend": {}}}
    assert owners(after)[names.PACKAGE_MANAGER] == "Apply"
    assert (await world.status("acme.db"))["conditions"][0]["status"] == "True"


async def test_what_was_taken_over_can_be_given_up(world: World) -> None:
    await as_the_original(world)
    world.start()
    await world.settle(1)
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"size": 3}}}}})
    await world.settle()
    assert (await world.get(HELM_RELEASES, DB))["spec"]["values"] == {"size": 3}
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": None}})
    await world.settle()
    assert "values" not in (await world.get(HELM_RELEASES, DB))["spec"]


async def test_a_second_start_has_nothing_left_to_take_over(world: World) -> None:
    await as_the_original(world)
    first = world.start()
    await world.settle(1)
    await first.stop()
    second = world.start()
    await world.settle(60)
    assert second.writes == []


async def test_copies_of_the_values_are_adopted(world: World) -> None:
    await as_the_original(world)
    world.start()
    await world.settle(1)
    copy = await world.get(SECRETS, COPY)
    assert owners(copy)[names.OPERATOR_MANAGER] == "Apply"
    assert copy["metadata"]["annotations"][names.REPLICATED_ANNOTATION] == "cozy-system/cozystack-values"


async def test_handing_back_takes_off_what_only_we_understand(world: World) -> None:
    first = world.start()
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.install()
    await world.edit(PACKAGES, "acme.db", {"metadata": {"annotations": {names.PAUSED_ANNOTATION: "true"}}})
    await world.settle()
    await first.stop()
    before = await world.get(HELM_RELEASES, DB)
    client = world.connect(Wire(world.server))
    changed = await hand_back(client, clock=world.clock, lease=LEASE, secret=names.VALUES_SECRET, seconds=60)
    release, found = await world.get(HELM_RELEASES, DB), await world.get(PACKAGES, "acme.db")
    assert changed >= 3
    assert (release["spec"], release["metadata"]["generation"]) == (before["spec"], before["metadata"]["generation"])
    assert not any(name.startswith(names.OWN_PREFIX) for name in release["metadata"].get("annotations", {}))
    assert "finalizers" not in found["metadata"]
    assert found["metadata"]["annotations"] == {names.PAUSED_ANNOTATION: "true"}
    again = await hand_back(client, clock=world.clock, lease=LEASE, secret=names.VALUES_SECRET, seconds=60)
    assert again == 0


async def given_back(world: World) -> int:
    client = world.connect(Wire(world.server))
    return await hand_back(client, clock=world.clock, lease=LEASE, secret=names.VALUES_SECRET, seconds=60)


async def test_handing_back_takes_the_webhook_and_its_certificates_along(world: World) -> None:
    await world.put(
        configuration(namespace="cozy-system", authorities=b"ca", own="operator", fail_closed=True),
        plain(
            "v1", "Secret", SECRET, "cozy-system", labels=LABELS, type="kubernetes.io/tls", data={"tls.crt": "", "tls.key": ""}
        ),
    )
    assert await given_back(world) == 2
    assert not await world.exists(CONFIGURATIONS, NAME)
    assert not await world.exists(SECRETS, f"cozy-system/{SECRET}")


async def test_handing_back_takes_the_list_of_what_was_installed_along(world: World) -> None:
    first = world.start("--platform-source-url=oci://registry.example.org/packages")
    await world.settle(1)
    await first.stop()
    assert await world.exists(CONFIG_MAPS, str(INVENTORY))
    assert await given_back(world) == 1
    assert not await world.exists(CONFIG_MAPS, str(INVENTORY))


async def test_a_webhook_of_that_name_that_is_not_ours_stays(world: World) -> None:
    theirs = configuration(namespace="cozy-system", authorities=b"ca", own="operator", fail_closed=False)
    theirs["metadata"] = {"name": NAME}
    await world.put(theirs, plain("v1", "Secret", SECRET, "cozy-system", type="Opaque", data={}))
    assert await given_back(world) == 0
    assert await world.exists(CONFIGURATIONS, NAME)
    assert await world.exists(SECRETS, f"cozy-system/{SECRET}")


async def test_nothing_is_handed_back_while_an_operator_holds_the_lease(world: World) -> None:
    record = {"holderIdentity": "operator-1", "leaseDurationSeconds": 600, "renewTime": "2026-01-01T00:00:00.000000Z"}
    await world.put(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE.name, "namespace": LEASE.namespace},
            "spec": record,
        }
    )
    client = world.connect(Wire(world.server))
    handing = asyncio.ensure_future(hand_back(client, clock=world.clock, lease=LEASE, secret=names.VALUES_SECRET, seconds=20))
    await world.settle(30)
    with pytest.raises(TimeoutError, match="operator-1 holds the lease"):
        await handing
