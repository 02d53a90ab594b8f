"""Every field of both kinds with what does not belong there: what the schema refuses, and what an operator does with the rest.

The first half asks the API server. The second half puts objects past it, as an older schema or a restored backup may, and
looks at the operator: it goes on, says what it cannot read, and nothing of anybody else changes.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from cozystack.api.crds import crds
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    HELM_RELEASES,
    OCI_REPOSITORIES,
    PACKAGE_SOURCES,
    PACKAGES,
    SECRETS,
    Resource,
)
from cozystack.kube.errors import ApiError
from cozystack.planner import plan_package
from support.operator import Obj, World, component, condition_of, json_of, package, plain, source

READY = ("True", "ReconciliationSucceeded")
WRONG: dict[str, list[Any]] = {
    "string": [1, True, [], {}],
    "boolean": ["true", 1, [], {}],
    "array": ["a", 1, True, {}],
    "object": ["a", 1, True, []],
    "integer": ["1", 1.5, True, [], {}],
}
# An object with every field of its kind in it, all of them right.
WHOLE: dict[str, Obj] = {
    "Package": {
        "variant": "v",
        "ignoreDependencies": ["a"],
        "components": {"c": {"enabled": True, "values": {"a": 1}}},
    },
    "PackageSource": {
        "sourceRef": {"kind": "OCIRepository", "name": "n", "namespace": "ns", "path": "p"},
        "variants": [
            {
                "name": "v",
                "dependsOn": ["a"],
                "libraries": [{"name": "l", "path": "p"}],
                "components": [
                    {
                        "name": "c",
                        "path": "p",
                        "libraries": ["l"],
                        "valuesFiles": ["f"],
                        "install": {
                            "namespace": "ns",
                            "releaseName": "r",
                            "privileged": True,
                            "dependsOn": ["c"],
                            "upgradeCRDs": "Skip",
                            "waitStrategy": "poller",
                            "healthCheckExprs": [
                                {"apiVersion": "v1", "kind": "K", "current": "x", "inProgress": "y", "failed": "z"}
                            ],
                        },
                    }
                ],
            }
        ],
    },
}
RESOURCES: dict[str, Resource[Any]] = {"Package": PACKAGES, "PackageSource": PACKAGE_SOURCES}
# Where a name must be there and may not be left out.
REQUIRED = {
    "Package": [],
    "PackageSource": [
        "spec.sourceRef.kind",
        "spec.sourceRef.name",
        "spec.sourceRef.namespace",
        "spec.variants[].name",
        "spec.variants[].libraries[].path",
        "spec.variants[].components[].name",
        "spec.variants[].components[].path",
        "spec.variants[].components[].install.healthCheckExprs[].apiVersion",
        "spec.variants[].components[].install.healthCheckExprs[].kind",
        "spec.variants[].components[].install.healthCheckExprs[].current",
    ],
}
CHOICES = {
    "Package": {},
    "PackageSource": {
        "spec.sourceRef.kind": ["Bucket", "", "ocirepository"],
        "spec.variants[].components[].install.upgradeCRDs": ["skip", "", "Replace"],
        "spec.variants[].components[].install.waitStrategy": ["none", "", "Poller"],
    },
}


def schema_of(kind: str) -> Obj:
    (crd,) = (crd for crd in crds() if crd["spec"]["names"]["kind"] == kind)
    schema: Obj = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def fields(node: Obj, path: str) -> Iterator[tuple[str, str]]:
    """Every place in a schema, with its type; empty where anything goes."""
    yield path, node.get("type", "")
    for name, child in node.get("properties", {}).items():
        yield from fields(child, f"{path}.{name}")
    if "items" in node:
        yield from fields(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from fields(node["additionalProperties"], f"{path}{{}}")


def changed(kind: str, path: str, value: Any) -> Obj:
    """A whole object with ``value`` at ``path``; without the field for ``...``."""
    obj: Obj = {
        "apiVersion": "cozystack.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "x"},
        "spec": copy.deepcopy(WHOLE[kind]),
    }
    steps = path.replace("[]", ".0").replace("{}", ".c").split(".")
    node: Any = obj
    for step in steps[:-1]:
        node = node[int(step)] if isinstance(node, list) else node[step]
    last: Any = int(steps[-1]) if isinstance(node, list) else steps[-1]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return obj


async def refusal(world: World, kind: str, obj: Obj) -> str:
    """What the API server has against an object; empty when it takes it."""
    resource = json_of(RESOURCES[kind])
    try:
        await world.client.create(resource, obj, dry_run=True)
    except ApiError as error:
        return f"{error.status} {error}"
    return ""


@pytest.mark.parametrize("kind", WHOLE)
async def test_the_schema_refuses_every_other_type_in_every_field(world: World, kind: str) -> None:
    assert await refusal(world, kind, changed(kind, "spec", WHOLE[kind])) == ""
    taken = []
    for path, wanted in fields(schema_of(kind), "spec"):
        for value in WRONG.get(wanted, ["a", 1, True, [], {}]):
            said = await refusal(world, kind, changed(kind, path, value))
            if not said:
                taken.append((path, value))
            else:
                place = path.replace("[]", "[0]").replace("{}", ".c").removeprefix("spec").split(".")[-1]
                assert said.startswith("422"), (path, value, said)
                assert place.split("[")[0] in said, (path, value, said)
    values: list[Any] = ["a", 1, True, [], {}]
    anything = [("spec.components{}.values", value) for value in values]
    assert taken == (anything if kind == "Package" else [])


@pytest.mark.parametrize("kind", WHOLE)
async def test_the_schema_asks_for_what_is_required_and_for_nothing_else(world: World, kind: str) -> None:
    missed = []
    for path, _ in fields(schema_of(kind), "spec"):
        if not path.endswith(("[]", "{}")) and await refusal(world, kind, changed(kind, path, ...)):
            missed.append(path)
    assert sorted(missed) == sorted(REQUIRED[kind])


@pytest.mark.parametrize("kind", WHOLE)
async def test_null_is_as_good_as_absent_except_where_something_must_be(world: World, kind: str) -> None:
    places = [path for path, _ in fields(schema_of(kind), "spec") if not path.endswith("{}")]
    refused = [path for path in places if await refusal(world, kind, changed(kind, path, None))]
    assert sorted(refused) == sorted([*REQUIRED[kind], *(path for path in places if path.endswith("[]"))])


@pytest.mark.parametrize("kind", WHOLE)
async def test_the_schema_refuses_what_is_no_choice(world: World, kind: str) -> None:
    for path, values in CHOICES[kind].items():
        for value in values:
            assert "Unsupported value" in await refusal(world, kind, changed(kind, path, value)), (path, value)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a" * 253, True),
        ("a" * 254, False),
        ("acme.db", True),
        ("Acme", False),
        ("a_b", False),
        ("..", False),
        ("a/b", False),
        ("-a", False),
        ("", False),
    ],
)
async def test_names_of_objects_are_those_of_kubernetes(world: World, kind: str, name: str, taken: bool) -> None:
    obj = changed(kind, "metadata.name", name)
    try:
        said = await refusal(world, kind, obj)
    except ValueError:
        said = "a name that no request can carry"
    assert (said == "") is taken, said


# What is in the store and does not fit


def laxer() -> list[Obj]:
    """The CRDs as they might have been: anything goes in a spec."""
    lax = copy.deepcopy(crds())
    for crd in lax:
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        schema["spec"] = {"x-kubernetes-preserve-unknown-fields": True}
    return lax


async def put_past_the_schema(world: World, *objects: Obj) -> None:
    await world.put(*laxer())
    for obj in objects:
        await world.put(obj)
    await world.put(*crds())


def of_kind(kind: str, name: str, spec: Any) -> Obj:
    return {"apiVersion": "cozystack.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def unreadable() -> list[Obj]:
    """One object for each field of both kinds, with another type in it."""
    found = []
    for kind in WHOLE:
        for number, (path, wanted) in enumerate(fields(schema_of(kind), "spec")):
            if wanted:
                obj = changed(kind, path, {"string": 7, "boolean": "no"}.get(wanted, "text"))
                obj["metadata"]["name"] = f"bad-{kind.lower()}-{number}"
                found.append(obj)
    return found


async def test_what_cannot_be_read_holds_nobody_up_and_is_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    bad = unreadable()
    await put_past_the_schema(world, *bad)
    await world.put(source("good", component("db", "ns-good")), package("good"))
    running = world.start()
    with caplog.at_level(logging.WARNING):
        await world.install()
    assert not running.task.done()
    assert await world.ready("good") == READY
    assert await world.names(HELM_RELEASES) == ["ns-good/db"]
    told = [record.getMessage() for record in caplog.records if "cannot be read" in record.getMessage()]
    assert [obj["metadata"]["name"] for obj in bad if not any(obj["metadata"]["name"] in line for line in told)] == []


async def test_what_became_unreadable_stays_as_it_was_until_it_can_be_read_again(world: World) -> None:
    running = world.start()
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.install()
    writes = len(running.writes)
    await put_past_the_schema(
        world, of_kind("PackageSource", "acme.db", "text"), of_kind("Package", "acme.db", {"components": 1})
    )
    await world.settle(60)
    assert running.writes[writes:] == []
    assert await world.names(HELM_RELEASES) == ["acme-db/db"]
    await put_past_the_schema(
        world,
        source("acme.db", component("db", "acme-db")),
        of_kind("Package", "acme.db", {"components": {"db": {"values": {"a": 1}}}}),
    )
    await world.install()
    assert (await world.get(HELM_RELEASES, "acme-db/db"))["spec"]["values"] == {"a": 1}
    assert await world.ready("acme.db") == READY


async def test_after_a_restart_the_releases_of_what_cannot_be_read_run_on(world: World) -> None:
    first = world.start()
    await world.put(source("acme.db", component("db", "acme-db", privileged=True)), package("acme.db"))
    await world.install()
    await first.stop()
    await put_past_the_schema(world, of_kind("Package", "acme.db", {"components": []}))
    before = await world.state()
    second = world.start()
    await world.settle(60)
    assert second.writes == []
    assert await world.state() == before


# What the schema takes


async def test_a_name_too_long_for_a_label_is_said_on_both_and_nothing_is_written(world: World) -> None:
    name = "a" * 64
    running = world.start()
    await world.put(source(name, component("db", "ns")), package(name))
    await world.settle(60)
    assert [line for line in running.writes if not line.endswith("/status") and f"/packages/{name}" not in line] == []
    found = (await world.get(PACKAGE_SOURCES, name))["status"]
    assert condition_of(found, "Stalled") == ("True", "InvalidSpec")
    assert condition_of(await world.status(name), "Stalled") == ("True", "InvalidConfiguration")


async def test_values_that_are_no_map_are_said_and_what_runs_keeps_its_own(world: World) -> None:
    world.start()
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db", components={"db": {"values": {"a": 1}}}))
    await world.install()
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": ["a"]}}}})
    await world.settle(60)
    assert (await world.get(HELM_RELEASES, "acme-db/db"))["spec"]["values"] == {"a": 1}
    status = await world.status("acme.db")
    assert condition_of(status, "Ready") == ("False", "InvalidConfiguration")
    assert [(each["reason"], each["message"]) for each in status["blockedBy"]] == [
        ("InvalidValues", "spec.components[db].values is a list, no map of values")
    ]


async def test_a_mebibyte_of_values_arrives_whole(world: World) -> None:
    world.start()
    values = {f"key-{number}": "x" * 1000 for number in range(1024)}
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db", components={"db": {"values": values}}))
    await world.install()
    assert (await world.get(HELM_RELEASES, "acme-db/db"))["spec"]["values"] == values
    assert await world.ready("acme.db") == READY


async def test_a_thousand_components_are_one_generator_and_one_more_is_said(world: World) -> None:
    world.start()
    charts = [component(f"c{number}") for number in range(999)]
    await world.put(source("acme.all", component("db", "acme-db"), *charts), package("acme.all"))
    await world.settle()
    generator = await world.get(ARTIFACT_GENERATORS, "cozy-system/acme.all")
    assert len(generator["spec"]["artifacts"]) == 1000
    await world.put(source("acme.all", component("db", "acme-db"), *charts, component("late")))
    await world.settle(5)
    generator = await world.get(ARTIFACT_GENERATORS, "cozy-system/acme.all")
    assert len(generator["spec"]["artifacts"]) == 1000
    status = (await world.get(PACKAGE_SOURCES, "acme.all"))["status"]
    assert condition_of(status, "Stalled") == ("True", "InvalidSpec")


async def test_a_thousand_faults_fit_into_a_status(world: World) -> None:
    world.start()
    wrong = [{"name": f"Wrong-{number}-{'x' * 200}", "path": "../x"} for number in range(300)]
    await world.put(source("acme.db", *wrong), package("acme.db"))
    await world.settle(5)
    status = (await world.get(PACKAGE_SOURCES, "acme.db"))["status"]
    assert condition_of(status, "Ready") == ("False", "InvalidSpec")


async def test_a_package_source_that_vanishes_leaves_what_runs_and_is_taken_up_when_it_is_back(world: World) -> None:
    running = world.start()
    made = source("acme.db", component("db", "acme-db"))
    await world.put(made, package("acme.db"))
    await world.install()
    whole = (await world.get(HELM_RELEASES, "acme-db/db"))["spec"]
    await world.delete(PACKAGE_SOURCES, "acme.db")
    await world.settle(60)
    assert await world.ready("acme.db") == ("False", "PackageSourceNotFound")
    assert await world.names(ARTIFACT_GENERATORS) == []
    writes = len(running.writes)
    await world.put(made)
    await world.install()
    assert await world.ready("acme.db") == READY
    assert (await world.get(HELM_RELEASES, "acme-db/db"))["spec"] == whole
    assert [line for line in running.writes[writes:] if "helmreleases" in line] == []


async def test_a_repository_that_vanishes_is_the_cause(world: World) -> None:
    world.start()
    await world.put(
        plain(
            "source.toolkit.fluxcd.io/v1",
            "OCIRepository",
            "other",
            "cozy-system",
            spec={"url": "oci://r.example.org/x", "interval": "5m"},
        )
    )
    await world.delete(OCI_REPOSITORIES, "cozy-system/charts")
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.settle(5)
    (blocker,) = (await world.status("acme.db"))["blockedBy"]
    assert (blocker["reason"], blocker["unblock"]) == (
        "SourceNotReady",
        "create OCIRepository/cozy-system/charts, or correct spec.sourceRef of PackageSource/acme.db",
    )


async def test_a_values_secret_without_the_key_is_copied_as_it_is_and_said(world: World) -> None:
    await world.delete(SECRETS, "cozy-system/cozystack-values")
    await world.put(plain("v1", "Secret", "cozystack-values", "cozy-system", type="Opaque", data={"other": "eA=="}))
    running = world.start()
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.settle()
    assert (await world.get(SECRETS, "acme-db/cozystack-values"))["data"] == {"other": "eA=="}
    view = await running.operator.filled_catalogue()
    assert [type(problem).__name__ for problem in plan_package(view, "acme.db").problems] == ["MissingValuesKey"]
    await world.edit(SECRETS, "cozy-system/cozystack-values", {"data": {"values.yaml": "YTogMQ=="}})
    await world.settle()
    assert plan_package(view, "acme.db").problems == ()


async def test_a_copy_of_the_values_without_data_is_none_that_anybody_reads(world: World) -> None:
    """A Secret whose ``data`` is null, as ``kubectl create secret generic`` without arguments leaves it."""
    running = world.start()
    await world.edit(SECRETS, "cozy-system/cozystack-values", {"data": None})
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.settle()
    assert not running.task.done()
    assert await world.names(HELM_RELEASES) == ["acme-db/db"]
    assert (await running.operator.filled_catalogue()).lacks_values_key("cozy-system")
