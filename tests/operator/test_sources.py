"""PackageSources become ArtifactGenerators, and tell how these fare (specification, operator 3)."""

from __future__ import annotations

from typing import Any

import pytest

from cozystack.api import names
from cozystack.api.resources import ARTIFACT_GENERATORS, EXTERNAL_ARTIFACTS, PACKAGE_SOURCES
from support.operator import PUBLISHED, Obj, World, component, condition_of, key, source

GENERATOR = "cozy-system/acme.db"

# The PackageSource of the specification's worked example (operator 10.1).
DB: Obj = {
    "apiVersion": "cozystack.io/v1alpha1",
    "kind": "PackageSource",
    "metadata": {"name": "acme.db"},
    "spec": {
        "sourceRef": {"kind": "GitRepository", "name": "acme-git", "namespace": "flux-sources"},
        "variants": [
            {"name": "default", "components": [{"name": "db-operator", "path": "system/db-operator"}]},
            {
                "name": "ha.v2",
                "libraries": [{"path": "library/common-lib"}, {"name": "tls", "path": "library/tls-helpers"}],
                "components": [
                    {
                        "name": "db.operator",
                        "path": "/system/db-operator",
                        "libraries": ["common-lib", "tls", "not-declared"],
                        "valuesFiles": ["values.yaml", "values-ha.yaml"],
                        "install": {"namespace": "acme-db", "releaseName": "db-operator"},
                    },
                    {"name": "db-app", "path": "apps/db"},
                ],
            },
        ],
    },
}
DB_GENERATOR: Obj = {
    "sources": [{"alias": "acme-git", "kind": "GitRepository", "name": "acme-git", "namespace": "flux-sources"}],
    "artifacts": [
        {
            "name": "acme-db-default-db-operator",
            "copy": [{"from": "@acme-git/packages/system/db-operator/**", "to": "@artifact/db-operator/"}],
        },
        {
            "name": "acme-db-ha-v2-db-operator",
            "copy": [
                {"from": "@acme-git/packages/system/db-operator/**", "to": "@artifact/db-operator/"},
                {"from": "@acme-git/packages/library/common-lib/**", "to": "@artifact/db-operator/charts/common-lib/"},
                {"from": "@acme-git/packages/library/tls-helpers/**", "to": "@artifact/db-operator/charts/tls/"},
                {
                    "from": "@acme-git/packages/system/db-operator/values.yaml",
                    "to": "@artifact/db-operator/values.yaml",
                    "strategy": "Overwrite",
                },
                {
                    "from": "@acme-git/packages/system/db-operator/values-ha.yaml",
                    "to": "@artifact/db-operator/values.yaml",
                    "strategy": "Merge",
                },
            ],
        },
        {
            "name": "acme-db-ha-v2-db-app",
            "copy": [{"from": "@acme-git/packages/apps/db/**", "to": "@artifact/db/"}],
        },
    ],
}


async def ready(world: World, name: str = "acme.db") -> tuple[str, str]:
    await world.settle(PUBLISHED)
    return condition_of((await world.get(PACKAGE_SOURCES, name)).get("status", {}), "Ready")


async def test_a_package_source_becomes_a_generator_with_every_component_of_every_variant(world: World) -> None:
    world.start()
    await world.put(DB)
    await world.settle()
    generator = await world.get(ARTIFACT_GENERATORS, GENERATOR)
    owner = (await world.get(PACKAGE_SOURCES, "acme.db"))["metadata"]
    metadata = generator["metadata"]
    assert (generator["spec"], metadata["labels"], metadata["ownerReferences"]) == (
        DB_GENERATOR,
        {"cozystack.io/packagesource": "acme.db"},
        [
            {
                "apiVersion": "cozystack.io/v1alpha1",
                "kind": "PackageSource",
                "name": "acme.db",
                "uid": owner["uid"],
                "controller": True,
            }
        ],
    )
    assert {(each["manager"], each["operation"]) for each in metadata["managedFields"]} == {
        ("cozystack-packagesource-controller", "Apply")
    }


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ({"kind": "OCIRepository"}, "system/app"),
        ({"kind": "OCIRepository", "path": "/"}, "system/app"),
        ({"kind": "OCIRepository", "path": "/charts/all/"}, "charts/all/system/app"),
        ({"kind": "GitRepository"}, "packages/system/app"),
        ({"kind": "GitRepository", "path": "/"}, "system/app"),
    ],
)
async def test_charts_are_looked_for_below_the_base_folder(world: World, ref: Obj, path: str) -> None:
    world.start()
    made = source("acme.app", component("app"))
    made["spec"]["sourceRef"] = {"name": "charts", "namespace": "cozy-system", **ref}
    await world.put(made)
    await world.settle()
    generator = await world.get(ARTIFACT_GENERATORS, "cozy-system/acme.app")
    assert generator["spec"]["artifacts"][0]["copy"] == [{"from": f"@charts/{path}/**", "to": "@artifact/app/"}]


async def test_a_generator_follows_its_package_source(world: World) -> None:
    world.start()
    await world.put(source("acme.db", component("one"), component("two")))
    await world.settle()
    await world.put(source("acme.db", component("two"), component("three")))
    await world.settle()
    generator = await world.get(ARTIFACT_GENERATORS, GENERATOR)
    assert [each["name"] for each in generator["spec"]["artifacts"]] == ["acme-db-default-two", "acme-db-default-three"]


async def test_a_generator_that_somebody_changed_or_deleted_is_put_right(world: World) -> None:
    """Weakness operator-S3."""
    world.start()
    await world.put(DB)
    await world.settle()
    await world.edit(ARTIFACT_GENERATORS, GENERATOR, {"spec": {"artifacts": DB_GENERATOR["artifacts"][:1]}})
    await world.settle()
    assert (await world.get(ARTIFACT_GENERATORS, GENERATOR))["spec"] == DB_GENERATOR
    await world.delete(ARTIFACT_GENERATORS, GENERATOR)
    await world.settle()
    assert (await world.get(ARTIFACT_GENERATORS, GENERATOR))["spec"] == DB_GENERATOR


async def test_what_others_note_on_a_generator_stays(world: World) -> None:
    running = world.start()
    await world.put(DB)
    await world.settle()
    writes = len(running.writes)
    await world.edit(ARTIFACT_GENERATORS, GENERATOR, {"metadata": {"annotations": {"note": "x"}, "labels": {"team": "a"}}})
    await world.settle()
    assert running.writes[writes:] == []


async def test_a_package_source_without_an_origin_has_no_generator_and_says_so(world: World) -> None:
    world.start()
    await world.put(DB)
    await world.settle()
    await world.edit(PACKAGE_SOURCES, "acme.db", {"spec": {"sourceRef": None}})
    await world.settle()
    assert await world.names(ARTIFACT_GENERATORS) == []
    assert await ready(world) == ("Unknown", "SourceRefNotSet")


async def test_a_package_source_tells_its_variants_and_what_its_generator_tells(world: World) -> None:
    running = world.start()
    await world.put(DB)
    await world.settle()
    assert await ready(world) == ("Unknown", "ArtifactGeneratorNotReady")
    assert (await world.get(PACKAGE_SOURCES, "acme.db"))["status"]["variants"] == "default,ha.v2"
    for status, reason in (("Unknown", "Progressing"), ("False", "BuildFailed"), ("True", "Succeeded")):
        writes = len(running.writes)
        await world.flux.generated("acme.db", status, reason, "said by Flux")
        await world.settle()
        assert await ready(world) == (status, reason)
        assert running.writes[writes:] == ["PATCH /apis/cozystack.io/v1alpha1/packagesources/acme.db/status"]


async def test_a_component_that_flux_would_refuse_is_left_out_and_the_others_are_built(world: World) -> None:
    """Weakness operator-S6."""
    world.start()
    await world.put(source("acme.db", component("good"), {"name": "Bad_Name", "path": "system/bad"}))
    await world.settle()
    generator = await world.get(ARTIFACT_GENERATORS, GENERATOR)
    assert [each["name"] for each in generator["spec"]["artifacts"]] == ["acme-db-default-good"]
    status = (await world.get(PACKAGE_SOURCES, "acme.db"))["status"]
    assert condition_of(status, "Accepted") == ("False", "InvalidSpec")


async def test_a_deleted_package_source_takes_its_generator_and_artifacts_with_it(world: World) -> None:
    running = world.start()
    await world.put(source("acme.db", component("db")))
    await world.settle()
    await world.flux.build("acme.db")
    await world.settle()
    writes = len(running.writes)
    await world.delete(PACKAGE_SOURCES, "acme.db")
    await world.settle(60)
    assert (await world.names(ARTIFACT_GENERATORS), await world.names(EXTERNAL_ARTIFACTS)) == ([], [])
    assert running.writes[writes:] == []


async def test_the_generator_of_an_earlier_source_of_the_name_gets_the_new_owner(world: World) -> None:
    """Deleted and made again faster than the garbage collector looks: the generator is there, its owner has another UID."""
    first = world.start()
    await world.put(source("acme.db", component("db")))
    await world.settle()
    await first.stop()
    await world.delete(PACKAGE_SOURCES, "acme.db")
    await world.put(source("acme.db", component("db")))
    world.start()
    await world.clock.settle()
    uid = (await world.get(PACKAGE_SOURCES, "acme.db"))["metadata"]["uid"]
    owners = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["metadata"]["ownerReferences"]
    assert [each["uid"] for each in owners] == [uid]
    await world.settle()
    assert await world.names(ARTIFACT_GENERATORS) == [GENERATOR]


# Recovery (specification, operator 3.7 to 3.9, timeline 10.4)


def forced(requests: list[str]) -> int:
    return sum(line.endswith(f"/artifactgenerators/{key(GENERATOR).name}/status") for line in requests)


async def test_a_generator_that_lost_its_last_write_is_forced_five_times_and_then_given_up(world: World) -> None:
    running = world.start()
    await world.put(source("acme.db", component("db")))
    await world.settle()
    await world.flux.lose("acme.db")
    await world.settle(29)
    assert forced(running.writes) == 0
    seen = []
    began = world.clock.monotonic()
    for _ in range(900):
        before = forced(running.writes)
        await world.settle(1)
        if forced(running.writes) > before:
            seen.append(round(world.clock.monotonic() - began))
    assert [moment - seen[0] for moment in seen] == [0, 30, 90, 210, 450]
    assert seen[0] <= 3
    assert await ready(world) == ("False", "SourceWatcherStalled")
    annotations = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["metadata"]["annotations"]
    assert annotations[names.RECOVERY_ATTEMPTS_ANNOTATION] == "5"
    before = forced(running.writes)
    await world.settle(3 * 3600)
    assert forced(running.writes) - before == 3


async def test_operator_s11_a_source_watcher_that_comes_back_later_is_asked_within_the_hour(world: World) -> None:
    world.start()
    await world.put(source("acme.db", component("db")))
    await world.settle()
    await world.flux.lose("acme.db")
    await world.settle(900)
    assert await ready(world) == ("False", "SourceWatcherStalled")
    before = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["metadata"]["annotations"][names.REQUESTED_AT_ANNOTATION]
    await world.settle(3600)
    asked = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["metadata"]["annotations"][names.REQUESTED_AT_ANNOTATION]
    assert asked > before
    await world.flux.build("acme.db")
    await world.settle()
    assert await ready(world) == ("True", "Succeeded")


async def test_a_generator_that_recovers_loses_the_marks_of_the_recovery(world: World) -> None:
    running = world.start()
    await world.put(source("acme.db", component("db")))
    await world.settle()
    await world.flux.lose("acme.db")
    await world.settle(35)
    assert await ready(world) == ("Unknown", "AwaitingSourceWatcherRecovery")
    await world.flux.build("acme.db")
    await world.settle()
    assert await ready(world) == ("True", "Succeeded")
    marks: dict[str, Any] = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["metadata"]["annotations"]
    assert list(marks) == [names.REQUESTED_AT_ANNOTATION]
    writes = len(running.writes)
    await world.settle(3600)
    assert running.writes[writes:] == []


async def test_recovery_goes_on_where_a_killed_operator_left_it(world: World) -> None:
    first = world.start()
    await world.put(source("acme.db", component("db")))
    await world.settle()
    await world.flux.lose("acme.db")
    await world.settle(35)
    await first.kill()
    second = world.start()
    await world.settle(20)
    assert forced(second.writes) == 0
    await world.settle(20)
    assert forced(second.writes) == 1
    annotations = (await world.get(ARTIFACT_GENERATORS, GENERATOR))["metadata"]["annotations"]
    assert annotations[names.RECOVERY_ATTEMPTS_ANNOTATION] == "2"
