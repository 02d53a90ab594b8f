"""Packages on stock Flux: installed in order, edited, switched, broken, explained, deleted in reverse order."""

from __future__ import annotations

import asyncio

from cozystack.api.meta import Key, find_condition
from cozystack.api.resources import CONFIG_MAPS, HELM_RELEASES
from cozystack.sandbox import kinds
from cozystack.sandbox.lives import FAIL
from e2e.acme import NO_POD, Acme, is_ready
from e2e.client import until


async def test_a_chain_is_installed_in_the_order_of_its_dependencies(acme: Acme) -> None:
    await acme.chain("alpha", "beta", "gamma")
    await acme.until_ready("gamma")
    releases = [await acme.get_release(package) for package in ("alpha", "beta", "gamma")]
    deployed = [release.status.history[0].first_deployed for release in releases if release is not None]
    assert len(deployed) == 3
    assert deployed == sorted(deployed)
    assert [is_ready(found) for package in ("alpha", "beta") if (found := await acme.find(package))] == [True, True]


async def test_an_edit_reaches_the_release_and_what_it_has_made(acme: Acme) -> None:
    await acme.chain("alpha")
    await acme.until_ready("alpha")
    await acme.package("alpha", alpha={"values": {"size": 7}})
    found = await acme.until("alpha", is_ready)
    assert found.status.observed_generation == 2
    made = await acme.client.get(CONFIG_MAPS, Key(acme.namespace("alpha"), "alpha"))
    assert made.data["size"] == "7"


async def test_a_new_chart_is_taken_when_it_is_pushed(acme: Acme) -> None:
    await acme.chain("alpha")
    await acme.until_ready("alpha")
    acme.chart("alpha", version="2")
    await acme.publish()

    async def upgraded() -> bool:
        made = await acme.client.get(CONFIG_MAPS, Key(acme.namespace("alpha"), "alpha"))
        return bool(made.data["version"] == "2")

    await until("the new chart is installed", upgraded)
    await acme.until_ready("alpha")


async def test_another_variant_replaces_the_first(acme: Acme) -> None:
    acme.chart("small")
    acme.chart("large")
    await acme.publish()
    await acme.source("alpha", variants={"default": {"chart": "small"}, "large": {"chart": "large"}})
    await acme.package("alpha")
    await acme.until_ready("alpha")
    await acme.package("alpha", variant="large")

    async def switched() -> bool:
        return await acme.get_release("alpha", "small") is None and await acme.get_release("alpha", "large") is not None

    await until("the release of the old variant is gone", switched)
    found = await acme.until("alpha", is_ready)
    assert [release.name for release in found.status.releases] == ["large"]


async def test_a_disabled_component_is_uninstalled(acme: Acme) -> None:
    await acme.chain("alpha")
    await acme.until_ready("alpha")
    await acme.package("alpha", alpha={"enabled": False})

    async def uninstalled() -> bool:
        return await acme.client.find(CONFIG_MAPS, Key(acme.namespace("alpha"), "alpha")) is None

    await until("what the release had made is gone", uninstalled)
    await acme.until_ready("alpha")


async def test_a_release_that_fails_is_named_as_the_root_cause_by_whoever_waits_for_it(acme: Acme) -> None:
    acme.chart("alpha", template='{{ fail "the disk is full" }}')
    acme.chart("beta")
    acme.chart("gamma")
    await acme.publish()
    await acme.source("alpha")
    await acme.source("beta", "alpha")
    await acme.source("gamma", "beta")
    for package in ("alpha", "beta", "gamma"):
        await acme.package(package)
    failed = await acme.until("alpha", lambda package: "the disk is full" in str(package.status.blocked_by))
    condition = find_condition(failed.status.conditions, "Ready")
    assert condition is not None
    assert condition.status == "False"
    waiting = await acme.until("gamma", lambda package: "the disk is full" in str(package.status.blocked_by))
    root = waiting.status.blocked_by[0]
    assert root.object == f"HelmRelease/{acme.release('alpha')}"
    assert root.chain == tuple(acme.names("gamma", "beta", "alpha"))
    assert root.unblock
    assert await acme.get_release("gamma") is None
    acme.chart("alpha")
    await acme.publish()
    await acme.until_ready("alpha", "beta", "gamma")


async def test_a_pod_that_never_gets_ready_keeps_its_package_from_being_so(acme: Acme) -> None:
    acme.chart("alpha", template=NO_POD, fail="crash-loop")
    await acme.publish()
    await acme.source("alpha")
    await acme.package("alpha")

    async def waits() -> bool:
        pods = (await acme.client.list(kinds.PODS, namespace=acme.namespace("alpha"))).items
        return any("CrashLoopBackOff" in str(pod.get("status")) for pod in pods)

    await until("the Pod fails while Helm waits for it", waits)
    found = await acme.find("alpha")
    assert found is not None
    assert not is_ready(found)
    # helm-controller takes no other values before its wait is over, so the Pod is healed behind its back.
    healed = {"spec": {"template": {"metadata": {"annotations": {FAIL: ""}}}}}
    await acme.client.patch(kinds.DEPLOYMENTS, acme.release("alpha"), healed)
    await acme.until_ready("alpha")


async def test_a_deletion_goes_in_the_reverse_order(acme: Acme) -> None:
    await acme.chain("alpha", "beta", "gamma")
    await acme.until_ready("gamma")
    order: list[str] = []

    async def watch() -> None:
        left = {"alpha", "beta", "gamma"}
        while left:
            present = {
                release.metadata.name for release in (await acme.client.list(HELM_RELEASES)).items if _is_of(acme, release.key)
            }
            order.extend(sorted(left - present, reverse=True))
            left &= present

    watching = asyncio.create_task(watch())
    await acme.delete("gamma", "beta", "alpha")
    async with asyncio.timeout(120):
        await watching
    assert order == ["gamma", "beta", "alpha"]


def _is_of(acme: Acme, key: Key) -> bool:
    return acme.id in key.namespace
