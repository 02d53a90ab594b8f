"""Weaknesses of the original that no other file proves to be gone, and whether each that is said to be is proved somewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cozystack.api import names
from cozystack.api.resources import ARTIFACT_GENERATORS, EVENTS, HELM_RELEASES, PACKAGE_SOURCES, PACKAGES
from support.operator import PUBLISHED, Obj, Running, World, component, condition_of, package, source

TESTS = Path(__file__).parents[1]
TABLE = (TESTS.parent / "docs" / "design" / "weaknesses.md").read_text()
ROWS = re.findall(r"(?m)^\| (operator-[A-Z]\d+) [HM] \| (\w[\w ]*) \| ([^|]+) \|$", TABLE)
GENERATOR = "cozy-system/acme.db"


@cache
def said() -> str:
    """All tests, and the names of all cases."""
    files = [*TESTS.rglob("*.py"), *(TESTS / "cases").rglob("*.yaml")]
    return "\n".join(f"{file.stem}\n{file.read_text()}" for file in files if file != Path(__file__)) + (
        "\n".join(re.findall(r"def (test_\w+)", Path(__file__).read_text()))
    )


def test_the_table_has_every_row_of_the_specification() -> None:
    wanted = {
        "P": range(1, 21),
        "S": range(1, 12),
        "B": range(1, 8),
        "R": range(1, 5),
        "O": range(1, 4),
    }
    assert [row[0] for row in ROWS] == [f"operator-{kind}{number}" for kind, numbers in wanted.items() for number in numbers]


@pytest.mark.parametrize(("row", "decision", "how"), ROWS, ids=[row[0] for row in ROWS])
def test_a_weakness_that_is_taken_has_a_test_with_its_id(row: str, decision: str, how: str) -> None:
    in_a_name = row.lower().replace("-", "_")
    proved = re.search(rf"\b{row}\b|test_{in_a_name}_", said()) is not None
    assert decision in ("taken", "taken in part", "otherwise", "not taken")
    assert proved or not decision.startswith("taken")
    files = re.findall(r"`(?:tests/operator/)?(test_\w+\.py)`", how)
    assert [file for file in files if not (TESTS / "operator" / file).exists()] == []


# Packages


async def requests_of_an_edit(world: World, packages: int) -> tuple[list[str], list[str]]:
    """What an operator sends because of the edit of one Package of so many, and what it writes."""
    running = world.start()
    for number in range(packages):
        await world.put(source(f"acme.p{number}", component("c", f"acme-{number}")), package(f"acme.p{number}"))
    await world.install()
    await world.settle(60)
    sent, writes = len(running.wire.sent), len(running.writes)
    await world.edit(PACKAGES, "acme.p1", {"spec": {"components": {"c": {"values": {"a": 1}}}}})
    await world.settle(60)
    return running.wire.sent[sent:], running.writes[writes:]


async def test_operator_p7_an_edit_costs_the_same_among_few_and_among_many(world: World) -> None:
    few, written = await requests_of_an_edit(world, 3)
    other = World()
    await other.furnish()
    many, _ = await requests_of_an_edit(other, 30)
    await other.close()
    assert few == many == written
    assert len(written) <= 4


async def test_operator_p14_a_namespace_that_is_none_is_said_before_anything_is_written(world: World) -> None:
    running = world.start()
    await world.put(source("acme.db", component("good", "acme-db"), component("bad", "Not_A_Name")), package("acme.db"))
    await world.settle(60)
    assert await world.names(HELM_RELEASES) == []
    (blocked,) = (await world.status("acme.db"))["blockedBy"]
    assert blocked["reason"] == "InvalidName"
    assert [line for line in running.writes if "/namespaces/acme-db" in line] == []
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"bad": {"enabled": False}}}})
    await world.install()
    assert (await world.names(HELM_RELEASES), (await world.ready("acme.db"))[0]) == (["acme-db/good"], "True")


async def test_operator_p17_dependents_follow_when_a_source_renames_what_they_wait_for(world: World) -> None:
    world.start()
    await world.put(
        source("acme.db", component("db", "acme-db")),
        source("acme.web", component("web", "acme-web"), depends_on=["acme.db"]),
        package("acme.db"),
        package("acme.web"),
    )
    await world.install(1)
    waits = (await world.get(HELM_RELEASES, "acme-web/web"))["spec"]["dependsOn"]
    assert waits == [{"name": "db", "namespace": "acme-db"}]
    await world.edit(PACKAGES, "acme.db", {"metadata": {"annotations": {names.ALLOW_MOVE_ANNOTATION: "true"}}})
    await world.put(source("acme.db", component("db", "acme-db", releaseName="database")))
    await world.install(1)
    waits = (await world.get(HELM_RELEASES, "acme-web/web"))["spec"]["dependsOn"]
    assert waits == [{"name": "database", "namespace": "acme-db"}]


async def test_operator_p18_conditions_say_of_which_generation_they_speak(world: World) -> None:
    world.start()
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.install()
    for resource, name in ((PACKAGES, "acme.db"), (PACKAGE_SOURCES, "acme.db")):
        await world.settle(PUBLISHED)
        assert observed(await world.get(resource, name)) == {1}
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"a": 1}}}}})
    await world.install()
    await world.settle(PUBLISHED)
    assert observed(await world.get(PACKAGES, "acme.db")) == {2}


def observed(obj: Obj) -> set[int]:
    """Generations that a status and its conditions speak of."""
    status = obj["status"]
    return {each["observedGeneration"] for each in status["conditions"]} | {
        status.get("observedGeneration", obj["metadata"]["generation"])
    }


# PackageSources


async def test_operator_s1_a_generator_that_says_nothing_is_not_polled(world: World) -> None:
    running = world.start()
    await world.put(source("acme.db", component("db")))
    await world.settle(5)
    before = len(running.wire.sent)
    await world.settle(3600)
    assert running.wire.sent[before:] == []


async def lost(world: World, *conditions: Obj) -> Running:
    """A generator whose last word was lost, with conditions of others on it."""
    running = world.start()
    await world.put(source("acme.db", component("db")))
    await world.settle()
    await world.flux.lose("acme.db")
    live: list[Obj] = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["status"]["conditions"]
    await world.edit(ARTIFACT_GENERATORS, GENERATOR, {"status": {"conditions": [*live, *conditions]}}, subresource="status")
    return running


def healthy(reason: str) -> Obj:
    return {
        "type": "Healthy",
        "status": "True",
        "reason": reason,
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }


async def test_operator_s10_conditions_of_others_stay_when_a_generator_is_forced(world: World) -> None:
    running = await lost(world, healthy("Fine"))
    await world.settle(40)
    status = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["status"]
    assert condition_of(status, "Ready") == ("False", "SourceWatcherRecoveryForced")
    assert condition_of(status, "Healthy") == ("True", "Fine")
    assert [line for line in running.writes if line.endswith("/artifactgenerators/acme.db/status")] != []


async def test_operator_s10_what_was_written_meanwhile_is_not_overwritten(world: World) -> None:
    running = await lost(world, healthy("Fine"))
    status = "/apis/source.extensions.fluxcd.io/v1beta1/namespaces/cozy-system/artifactgenerators/acme.db/status"
    running.wire.refused[f"PATCH {status}"] = (409, "Conflict", "the object has been modified")
    await world.settle(35)
    annotations = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["metadata"].get("annotations", {})
    assert names.RECOVERY_ATTEMPTS_ANNOTATION not in annotations
    running.wire.refused.clear()
    await world.settle(25)
    annotations = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["metadata"]["annotations"]
    assert annotations[names.RECOVERY_ATTEMPTS_ANNOTATION] == "1"


# Operations


async def test_operator_o2_turns_of_readiness_are_events(world: World) -> None:
    world.start()
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.install(1)
    await world.flux.fail("acme-db/db", "no such image")
    await world.settle(2)
    found: list[Any] = (await world.client.list(EVENTS)).items
    told = [(each.type, each.reason) for each in found if each.involved_object.kind == "Package"]
    assert told[-2:] == [("Normal", "ReconciliationSucceeded"), ("Warning", "HelmReleaseFailed")]
