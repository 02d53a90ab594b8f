"""The values Secret and its copies (specification, operator 5; weaknesses R1 to R5)."""

from __future__ import annotations

import base64

import pytest

from cozystack.api import names
from cozystack.api.resources import NAMESPACES, SECRETS
from cozystack.operator.selectors import matches
from support.operator import Obj, World, plain, values_secret

ORIGINAL = "cozy-system/cozystack-values"


def namespace(name: str, *, system: bool = True, **labels: str) -> Obj:
    return plain("v1", "Namespace", name, labels={**({names.SYSTEM_LABEL: "true"} if system else {}), **labels})


async def copies(world: World) -> dict[str, str]:
    """The text of every copy by namespace."""
    found = {}
    for name in await world.names(SECRETS):
        if name != ORIGINAL and name.endswith(f"/{names.VALUES_SECRET}"):
            data = (await world.get(SECRETS, name)).get("data", {})
            found[name.partition("/")[0]] = base64.b64decode(data.get(names.VALUES_KEY, "")).decode()
    return found


async def test_every_namespace_with_the_label_gets_a_copy_and_no_other(world: World) -> None:
    world.start()
    await world.put(namespace("a"), namespace("b"), namespace("tenant-x", system=False))
    await world.settle()
    assert await copies(world) == {"a": "a: 1", "b": "a: 1"}


async def test_a_change_of_the_original_reaches_all_copies_by_one_write_each(world: World) -> None:
    running = world.start()
    await world.put(*(namespace(f"n{number}") for number in range(10)))
    await world.settle()
    writes = len(running.writes)
    await world.put(values_secret("a: 2"))
    await world.settle()
    assert await copies(world) == {f"n{number}": "a: 2" for number in range(10)}
    assert len(running.writes) - writes == 10


async def test_a_copy_carries_type_data_and_the_label_that_flux_watches_and_a_mark(world: World) -> None:
    """Weakness operator-R3."""
    world.start()
    await world.put(
        values_secret("a: 1", labels={"reconcile.fluxcd.io/watch": "Enabled", "owner": "x"}, annotations={"note": "x"}),
        namespace("a"),
    )
    await world.settle()
    copy = await world.get(SECRETS, "a/cozystack-values")
    original = await world.get(SECRETS, ORIGINAL)
    assert (copy["type"], copy["data"]) == (original["type"], original["data"])
    assert (copy["metadata"]["labels"], copy["metadata"]["annotations"]) == (
        {"reconcile.fluxcd.io/watch": "Enabled"},
        {names.REPLICATED_ANNOTATION: ORIGINAL},
    )


async def test_a_key_that_the_original_loses_is_lost_in_the_copies(world: World) -> None:
    world.start()
    await world.put(namespace("a"))
    await world.edit(SECRETS, ORIGINAL, {"data": {"more": "eA=="}})
    await world.settle()
    await world.edit(SECRETS, ORIGINAL, {"data": {"more": None}})
    await world.settle()
    assert list((await world.get(SECRETS, "a/cozystack-values"))["data"]) == [names.VALUES_KEY]


async def test_a_copy_goes_when_its_namespace_loses_the_label_and_comes_back_with_it(world: World) -> None:
    """operator-R1: the original keeps it."""
    world.start()
    await world.put(namespace("a"))
    await world.settle()
    await world.edit(NAMESPACES, "a", {"metadata": {"labels": {names.SYSTEM_LABEL: None}}})
    await world.settle()
    gone = await copies(world)
    await world.edit(NAMESPACES, "a", {"metadata": {"labels": {names.SYSTEM_LABEL: "true"}}})
    await world.settle()
    assert (gone, await copies(world)) == ({}, {"a": "a: 1"})


async def test_copies_go_with_the_original_and_come_back_with_it(world: World) -> None:
    world.start()
    await world.put(namespace("a"))
    await world.settle()
    await world.delete(SECRETS, ORIGINAL)
    await world.settle()
    gone = await copies(world)
    await world.put(values_secret("a: 3"))
    await world.settle()
    assert (gone, await copies(world)) == ({}, {"a": "a: 3"})


async def test_a_label_that_was_lost_while_no_operator_ran_takes_the_copy_too(world: World) -> None:
    first = world.start()
    await world.put(namespace("a"), namespace("b"))
    await world.settle()
    await first.stop()
    await world.edit(NAMESPACES, "a", {"metadata": {"labels": {names.SYSTEM_LABEL: None}}})
    world.start()
    await world.settle()
    assert await copies(world) == {"b": "a: 1"}


async def test_a_copy_that_somebody_changed_or_deleted_is_put_right(world: World) -> None:
    world.start()
    await world.put(namespace("a"), namespace("b"))
    await world.settle()
    await world.edit(SECRETS, "a/cozystack-values", {"data": {names.VALUES_KEY: "eA==", "more": "eA=="}})
    await world.delete(SECRETS, "b/cozystack-values")
    await world.settle()
    assert await copies(world) == {"a": "a: 1", "b": "a: 1"}
    assert list((await world.get(SECRETS, "a/cozystack-values"))["data"]) == [names.VALUES_KEY]


async def test_what_others_hang_on_a_copy_stays(world: World) -> None:
    running = world.start()
    await world.put(namespace("a"))
    await world.settle()
    writes = len(running.writes)
    await world.edit(SECRETS, "a/cozystack-values", {"metadata": {"labels": {"x": "y"}}})
    await world.settle()
    assert (await world.get(SECRETS, "a/cozystack-values"))["metadata"]["labels"] == {"x": "y"}
    assert running.writes[writes:] == []


async def test_a_secret_of_the_users_own_by_that_name_is_left_alone(world: World) -> None:
    """operator-R2: the original overwrites it."""
    running = world.start()
    await world.put(
        namespace("a", system=False),
        plain("v1", "Secret", names.VALUES_SECRET, "a", type="Opaque", data={names.VALUES_KEY: "bWluZQ=="}),
    )
    await world.settle()
    await world.edit(NAMESPACES, "a", {"metadata": {"labels": {names.SYSTEM_LABEL: "true"}}})
    await world.settle(60)
    assert await copies(world) == {"a": "mine"}
    await world.edit(NAMESPACES, "a", {"metadata": {"labels": {names.SYSTEM_LABEL: None}}})
    await world.settle(60)
    assert await copies(world) == {"a": "mine"}
    assert running.writes == []


async def test_a_copy_is_made_anew_when_the_type_of_the_original_changes(world: World) -> None:
    """operator-R4: the type of a Secret never changes."""
    world.start()
    await world.put(namespace("a"))
    await world.settle()
    before = (await world.get(SECRETS, "a/cozystack-values"))["metadata"]["uid"]
    await world.delete(SECRETS, ORIGINAL)
    await world.put({**values_secret("a: 4"), "type": "acme.io/values"})
    await world.settle()
    after = await world.get(SECRETS, "a/cozystack-values")
    assert (after["type"], after["metadata"]["uid"] != before) == ("acme.io/values", True)


async def test_a_namespace_on_its_way_out_gets_no_copy(world: World) -> None:
    running = world.start()
    held = {**plain("v1", "ConfigMap", "held", "a"), "metadata": {"name": "held", "namespace": "a", "finalizers": ["a.io/b"]}}
    await world.put(namespace("a", system=False), held)
    await world.delete(NAMESPACES, "a")
    await world.settle()
    await world.edit(NAMESPACES, "a", {"metadata": {"labels": {names.SYSTEM_LABEL: "true"}}})
    await world.settle(60)
    assert (await copies(world), running.writes) == ({}, [])


async def test_name_namespace_and_selector_follow_the_flags(world: World) -> None:
    world.start(
        "--cozy-values-secret-name=common", "--cozy-values-secret-namespace=cfg", "--cozy-values-namespace-selector=env=x,!no"
    )
    await world.put(
        plain("v1", "Namespace", "cfg"),
        plain("v1", "Secret", "common", "cfg", type="Opaque", data={"k": "eA=="}),
        namespace("a", env="x"),
        namespace("b", env="x", no="1"),
        namespace("c", env="y"),
    )
    await world.settle()
    assert await world.names(SECRETS) == ["a/common", "cfg/common", ORIGINAL]


@pytest.mark.parametrize(
    ("selector", "labels", "accepted"),
    [
        ("", {}, True),
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "1"}, True),
        ("a = 1 , b", {"a": "1", "b": ""}, True),
        ("a=1", {"a": "2"}, False),
        ("a=1", {}, False),
        ("a!=1", {"a": "2"}, True),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a", {}, False),
        ("!a", {}, True),
        ("!a", {"a": ""}, False),
        ("a,", {"a": ""}, True),
    ],
)
def test_selectors_are_read_as_kubernetes_reads_them(selector: str, labels: dict[str, str], accepted: bool) -> None:
    assert matches(selector, labels) is accepted
