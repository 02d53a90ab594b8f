"""Packages become namespaces, copies of the values Secret and HelmReleases (specification, operator 4 and 5)."""

from __future__ import annotations

from cozystack.api import names
from cozystack.api.resources import HELM_RELEASES, NAMESPACES, PACKAGES, SECRETS
from support.operator import Obj, World, component, condition_of, key, package, plain, source

SECRET = "acme-db/cozystack-values"
DB = "acme-db/db"


async def labels(world: World, namespace: str) -> Obj:
    found: Obj = (await world.get(NAMESPACES, namespace))["metadata"].get("labels", {})
    return {name: value for name, value in found.items() if name != "kubernetes.io/metadata.name"}


async def one(world: World, **install: str) -> None:
    """Package acme.db with the one release ``DB``, installed."""
    await world.put(source("acme.db", component("db", "acme-db", **install)), package("acme.db"))
    await world.install()


# Namespaces


async def test_namespaces_are_made_with_the_labels_of_the_platform_and_kept_for_ever(world: World) -> None:
    world.start()
    await world.put(
        source(
            "acme.db",
            component("db", "acme-db"),
            component("agent", "acme-agent", privileged=True),
            component("seed", "tenant-demo"),
            component("chart-only"),
        ),
        package("acme.db"),
    )
    await world.settle()
    assert {name: await labels(world, name) for name in ("acme-db", "acme-agent", "tenant-demo")} == {
        "acme-db": {"cozystack.io/system": "true"},
        "acme-agent": {"cozystack.io/system": "true", "pod-security.kubernetes.io/enforce": "privileged"},
        "tenant-demo": {},
    }
    annotations = (await world.get(NAMESPACES, "tenant-demo"))["metadata"]["annotations"]
    assert annotations["helm.sh/resource-policy"] == "keep"
    await world.delete(PACKAGES, "acme.db")
    await world.settle(60)
    assert {"acme-db", "acme-agent", "tenant-demo"} <= set(await world.names(NAMESPACES))


async def test_the_privileged_label_of_a_shared_namespace_goes_after_the_last_privileged_release(world: World) -> None:
    world.start()
    await world.put(
        source("acme.a", component("a", "shared")),
        source("acme.b", component("b", "shared", privileged=True)),
        package("acme.a"),
        package("acme.b"),
    )
    await world.install()
    await world.edit(HELM_RELEASES, "shared/b", {"metadata": {"finalizers": ["finalizers.fluxcd.io"]}})
    await world.edit(PACKAGES, "acme.b", {"spec": {"components": {"b": {"enabled": False}}}})
    await world.settle(60)
    assert names.POD_SECURITY_LABEL in await labels(world, "shared")
    await world.edit(HELM_RELEASES, "shared/b", {"metadata": {"finalizers": None}})
    await world.settle(1)
    assert await labels(world, "shared") == {"cozystack.io/system": "true"}


async def test_labels_of_others_on_a_namespace_stay_and_ours_come_back(world: World) -> None:
    world.start()
    await one(world)
    await world.edit(NAMESPACES, "acme-db", {"metadata": {"labels": {"team": "a", names.SYSTEM_LABEL: None}}})
    await world.settle(1)
    assert await labels(world, "acme-db") == {"cozystack.io/system": "true", "team": "a"}


async def test_a_namespace_on_its_way_out_holds_its_releases_and_nothing_else(world: World) -> None:
    world.start()
    await world.put(plain("v1", "Namespace", "leaving"), plain("v1", "ConfigMap", "held", "leaving"))
    configs = await world.client.request_json("/api/v1/namespaces/leaving/configmaps/held")
    assert configs["metadata"]["name"] == "held"
    await world.put(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "held", "namespace": "leaving", "finalizers": ["a.io/b"]},
        }
    )
    await world.delete(NAMESPACES, "leaving")
    await world.put(source("acme.db", component("db", "acme-db"), component("gone", "leaving")), package("acme.db"))
    await world.settle(10)
    assert await world.names(HELM_RELEASES) == [DB]
    assert await world.ready("acme.db") == ("False", "NamespaceTerminating")


# Copies of the values Secret


async def test_the_values_are_copied_to_every_namespace_of_the_platform_before_anything_is_installed(world: World) -> None:
    running = world.start()
    await one(world)
    copy = await world.get(SECRETS, SECRET)
    original = await world.get(SECRETS, "cozy-system/cozystack-values")
    assert (copy["data"], copy["type"]) == (original["data"], original["type"])
    written = ["/".join(line.split("/")[-2:]) for line in running.writes]
    assert written.index("namespaces/acme-db") < written.index("secrets/cozystack-values") < written.index("helmreleases/db")


async def test_a_release_waits_for_its_values_and_says_so(world: World) -> None:
    await world.delete(SECRETS, "cozy-system/cozystack-values")
    world.start()
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.settle(10)
    assert await world.names(HELM_RELEASES) == []
    assert await world.ready("acme.db") == ("False", "MissingValuesSecret")
    await world.put(plain("v1", "Secret", "cozystack-values", "cozy-system", type="Opaque", data={}))
    await world.settle()
    assert await world.names(HELM_RELEASES) == [DB]


async def test_packages_that_do_not_read_the_values_do_not_wait_for_them(world: World) -> None:
    await world.delete(SECRETS, "cozy-system/cozystack-values")
    world.start()
    await world.put(source("acme.db", component("db", "acme-db"), skip_values=True), package("acme.db"))
    await world.settle()
    assert "valuesFrom" not in (await world.get(HELM_RELEASES, DB))["spec"]


# HelmReleases


async def test_a_component_becomes_a_release_with_everything_that_was_said_of_it(world: World) -> None:
    world.start("--helmrelease-interval=1m", "--helmrelease-max-history=0", "--helmrelease-retry-interval=90s")
    check = {"apiVersion": "acme.io/v1", "kind": "Database", "current": "status.phase == 'Running'"}
    made = component(
        "db.operator", "acme-db", releaseName="db", upgradeCRDs="CreateReplace", healthCheckExprs=[check], privileged=True
    )
    made["valuesFiles"] = ["values.yaml", "values-ha.yaml"]
    await world.put(
        source("acme.db", made, component("seed", "tenant-demo", dependsOn=["db.operator"]), name="ha.v2"),
        package(
            "acme.db", variant="ha.v2", components={"db.operator": {"values": {"replicas": 3, "big": 2**60, "none": None}}}
        ),
    )
    await world.settle()
    release = await world.get(HELM_RELEASES, DB)
    uid = (await world.get(PACKAGES, "acme.db"))["metadata"]["uid"]
    metadata = release["metadata"]
    assert metadata["labels"] == {"cozystack.io/package": "acme.db", "cozystack.io/privileged": "true"}
    assert metadata["annotations"]["cozyhr.cozystack.io/values-files"] == "values.yaml,values-ha.yaml"
    assert metadata["ownerReferences"] == [
        {"apiVersion": "cozystack.io/v1alpha1", "kind": "Package", "name": "acme.db", "uid": uid, "controller": True}
    ]
    assert release["spec"] == {
        "chartRef": {"kind": "ExternalArtifact", "name": "acme-db-ha-v2-db-operator", "namespace": "cozy-system"},
        "interval": "1m0s",
        "maxHistory": 0,
        "install": {"timeout": "10m0s", "strategy": {"name": "RetryOnFailure", "retryInterval": "1m30s"}},
        "upgrade": {
            "timeout": "10m0s",
            "strategy": {"name": "RetryOnFailure", "retryInterval": "1m30s"},
            "crds": "CreateReplace",
        },
        "waitStrategy": {"name": "poller"},
        "healthCheckExprs": [check],
        "valuesFrom": [{"kind": "Secret", "name": "cozystack-values"}],
        "values": {"replicas": 3, "big": 2**60, "none": None},
    }
    assert {each["manager"] for each in metadata["managedFields"]} == {"cozystack-package-controller"}


async def test_releases_wait_for_their_siblings_and_for_every_release_of_the_packages_below(world: World) -> None:
    world.start("--dependency-gate=written")
    await world.put(
        source("acme.base", component("crds", "acme-base"), component("agent", "acme-base"), component("ui", "acme-ui")),
        package("acme.base", components={"ui": {"enabled": False}}),
        source(
            "acme.db",
            component("db", "acme-db"),
            component("seed", "tenant-demo", dependsOn=["db"]),
            depends_on=["acme.base"],
        ),
        package("acme.db"),
        plain("v1", "Namespace", "tenant-demo"),
        plain("v1", "Secret", "cozystack-values", "tenant-demo", type="Opaque"),
    )
    await world.settle()
    waits = {name: (await world.get(HELM_RELEASES, name))["spec"].get("dependsOn") for name in await world.names(HELM_RELEASES)}
    base = [{"name": "crds", "namespace": "acme-base"}, {"name": "agent", "namespace": "acme-base"}]
    assert waits == {
        "acme-base/agent": None,
        "acme-base/crds": None,
        "acme-db/db": base,
        "tenant-demo/seed": [{"name": "db", "namespace": "acme-db"}, *base],
    }


async def test_changed_values_reach_the_release_in_one_write_and_the_package_is_ready_again_when_they_run(world: World) -> None:
    running = world.start()
    await one(world)
    assert await world.ready("acme.db") == ("True", "ReconciliationSucceeded")
    writes = len(running.writes)
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"replicas": 3}}}}})
    await world.settle()
    assert (await world.get(HELM_RELEASES, DB))["spec"]["values"] == {"replicas": 3}
    assert await world.ready("acme.db") == ("Unknown", "Progressing")
    await world.install()
    assert await world.ready("acme.db") == ("True", "ReconciliationSucceeded")
    assert [line.rpartition("/")[2] for line in running.writes[writes:]] == ["db", "status", "status"]


async def test_values_that_are_taken_back_are_taken_from_the_release(world: World) -> None:
    world.start()
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db", components={"db": {"values": {"a": 1}}}))
    await world.settle()
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": None}})
    await world.settle()
    assert "values" not in (await world.get(HELM_RELEASES, DB))["spec"]


async def test_a_suspended_release_stays_suspended_through_every_change(world: World) -> None:
    world.start()
    await one(world)
    await world.edit(HELM_RELEASES, DB, {"spec": {"suspend": True}})
    await world.settle()
    assert condition_of(await world.status("acme.db"), "Held") == ("True", "ReleaseSuspended")
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"a": 1}}}}})
    await world.settle()
    spec = (await world.get(HELM_RELEASES, DB))["spec"]
    assert (spec["suspend"], spec["values"]) == (True, {"a": 1})


async def test_a_release_that_somebody_edited_or_deleted_is_put_right(world: World) -> None:
    world.start()
    await one(world)
    whole = (await world.get(HELM_RELEASES, DB))["spec"]
    await world.edit(HELM_RELEASES, DB, {"spec": {"interval": "1s", "chartRef": {"name": "other"}}})
    await world.settle()
    assert (await world.get(HELM_RELEASES, DB))["spec"] == whole
    await world.delete(HELM_RELEASES, DB)
    await world.settle()
    assert (await world.get(HELM_RELEASES, DB))["spec"] == whole


async def test_a_release_that_lost_the_label_of_its_package_gets_it_back(world: World) -> None:
    world.start()
    await one(world)
    before = await world.get(HELM_RELEASES, DB)
    await world.edit(HELM_RELEASES, DB, {"metadata": {"labels": {names.PACKAGE_LABEL: None}}})
    await world.settle()
    after = await world.get(HELM_RELEASES, DB)
    assert (after["metadata"]["labels"], after["metadata"]["generation"]) == (
        before["metadata"]["labels"],
        before["metadata"]["generation"],
    )
    assert await world.ready("acme.db") == ("True", "ReconciliationSucceeded")


async def test_a_release_of_somebody_else_is_not_taken_over(world: World) -> None:
    world.start()
    await world.put(
        plain("v1", "Namespace", "acme-db"),
        plain(
            "helm.toolkit.fluxcd.io/v2",
            "HelmRelease",
            "db",
            "acme-db",
            spec={"interval": "1h", "chartRef": {"kind": "OCIRepository", "name": "theirs"}},
        ),
    )
    before = await world.get(HELM_RELEASES, DB)
    await world.put(source("acme.db", component("db", "acme-db"), component("seed", "acme-db")), package("acme.db"))
    await world.settle(60)
    assert await world.get(HELM_RELEASES, DB) == before
    status = await world.status("acme.db")
    assert condition_of(status, "Ready") == ("False", "ReleaseOwnedByOther")
    assert [(each["reason"], each["object"]) for each in status["blockedBy"]] == [
        ("ReleaseOwnedByOther", "HelmRelease/acme-db/db")
    ]


async def test_a_release_that_became_free_is_taken_without_an_edit(world: World) -> None:
    world.start()
    await world.put(
        plain("v1", "Namespace", "acme-db"),
        plain(
            "helm.toolkit.fluxcd.io/v2",
            "HelmRelease",
            "db",
            "acme-db",
            spec={"interval": "1h", "chartRef": {"kind": "OCIRepository", "name": "theirs"}},
        ),
        source("acme.db", component("db", "acme-db")),
        package("acme.db"),
    )
    await world.settle(60)
    await world.delete(HELM_RELEASES, DB)
    await world.settle(60)
    assert (await world.get(HELM_RELEASES, DB))["metadata"]["labels"] == {"cozystack.io/package": "acme.db"}


async def test_a_package_without_its_source_or_variant_says_so_and_goes_on_when_it_comes(world: World) -> None:
    world.start()
    await world.put(package("acme.db", variant="ha"))
    await world.settle()
    assert await world.ready("acme.db") == ("False", "PackageSourceNotFound")
    await world.put(source("acme.db", component("db", "acme-db")))
    await world.settle()
    assert await world.ready("acme.db") == ("False", "VariantNotFound")
    await world.put(source("acme.db", component("db", "acme-db"), name="ha"))
    await world.install()
    assert await world.ready("acme.db") == ("True", "ReconciliationSucceeded")


async def test_a_package_with_nothing_to_install_is_ready_when_its_charts_are(world: World) -> None:
    world.start()
    await world.put(source("acme.lib", component("lib")), package("acme.lib"))
    await world.settle()
    assert await world.ready("acme.lib") == ("Unknown", "Progressing")
    await world.flux.build("acme.lib")
    await world.settle()
    assert await world.ready("acme.lib") == ("True", "ReconciliationSucceeded")


async def test_a_release_is_ready_only_with_the_charts_that_are_current(world: World) -> None:
    world.start()
    await one(world)
    await world.flux.build("acme.db", content="2")
    await world.settle()
    assert await world.ready("acme.db") == ("Unknown", "Progressing")
    await world.flux.deploy(DB)
    await world.settle()
    assert await world.ready("acme.db") == ("True", "ReconciliationSucceeded")


async def test_a_failing_release_makes_its_package_unready_with_the_words_of_helm(world: World) -> None:
    world.start()
    await one(world)
    await world.flux.fail(DB, "execution error at (db/templates/x.yaml:1:3): no host")
    await world.settle()
    status = await world.status("acme.db")
    assert condition_of(status, "Ready") == ("False", "HelmReleaseFailed")
    assert "no host" in status["blockedBy"][0]["message"]
    await world.flux.deploy(DB)
    await world.settle()
    status = await world.status("acme.db")
    assert (condition_of(status, "Ready"), "blockedBy" in status) == (("True", "ReconciliationSucceeded"), False)


async def test_a_paused_package_is_left_alone_until_it_is_not(world: World) -> None:
    running = world.start()
    await one(world)
    await world.edit(PACKAGES, "acme.db", {"metadata": {"annotations": {names.PAUSED_ANNOTATION: "true"}}})
    await world.settle()
    writes = len(running.writes)
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"a": 1}}}}})
    await world.delete(NAMESPACES, "acme-db")
    await world.put(plain("v1", "Namespace", "acme-db"))
    await world.settle(60)
    assert [line for line in running.writes[writes:] if "helmreleases" in line] == []
    assert condition_of(await world.status("acme.db"), "Held") == ("True", "Paused")
    await world.edit(PACKAGES, "acme.db", {"metadata": {"annotations": {names.PAUSED_ANNOTATION: None}}})
    await world.settle()
    assert (await world.get(HELM_RELEASES, DB))["spec"]["values"] == {"a": 1}


# What goes


async def test_the_release_of_a_component_that_is_disabled_goes_and_the_others_stay(world: World) -> None:
    world.start()
    await world.put(
        source("acme.db", component("db", "acme-db"), component("seed", "acme-db", dependsOn=["db"])), package("acme.db")
    )
    await world.install()
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"enabled": False}}}})
    await world.settle()
    assert await world.names(HELM_RELEASES) == ["acme-db/seed"]
    assert "dependsOn" not in (await world.get(HELM_RELEASES, "acme-db/seed"))["spec"]


async def test_a_component_that_the_source_dropped_takes_its_release_with_it(world: World) -> None:
    world.start()
    await world.put(source("acme.db", component("db", "acme-db"), component("seed", "acme-db")), package("acme.db"))
    await world.install()
    await world.put(source("acme.db", component("db", "acme-db")))
    await world.settle()
    assert await world.names(HELM_RELEASES) == [DB]


async def test_a_release_with_our_label_and_another_owner_is_never_pruned(world: World) -> None:
    world.start()
    await one(world)
    foreign = plain(
        "helm.toolkit.fluxcd.io/v2",
        "HelmRelease",
        "theirs",
        "acme-db",
        labels={"cozystack.io/package": "acme.db"},
        spec={"interval": "1h", "chartRef": {"kind": "OCIRepository", "name": "theirs"}},
    )
    await world.put(foreign)
    await world.settle(60)
    assert await world.names(HELM_RELEASES) == [DB, "acme-db/theirs"]


async def test_a_component_that_changes_its_namespace_leaves_the_old_one_first(world: World) -> None:
    """Nothing was ever deployed, so that nothing can be lost."""
    running = world.start()
    await world.put(source("acme.db", component("db", "acme-db")), package("acme.db"))
    await world.settle()
    writes = len(running.writes)
    await world.put(source("acme.db", component("db", "acme-new")))
    await world.settle(60)
    assert await world.names(HELM_RELEASES) == ["acme-new/db"]
    moved = [line for line in running.writes[writes:] if "helmreleases" in line]
    assert [line.split(" ")[0] for line in moved] == ["DELETE", "PATCH"]


async def test_a_component_that_holds_what_nobody_can_tell_is_not_moved(world: World) -> None:
    world.start()
    await one(world)
    await world.put(source("acme.db", component("db", "acme-new")))
    await world.settle(60)
    assert await world.names(HELM_RELEASES) == [DB]
    assert await world.ready("acme.db") == ("False", "MoveRefused")
    await world.edit(PACKAGES, "acme.db", {"metadata": {"annotations": {names.ALLOW_MOVE_ANNOTATION: "true"}}})
    await world.settle(60)
    assert await world.names(HELM_RELEASES) == ["acme-new/db"]


# Deletion


async def test_the_releases_of_a_deleted_package_go_in_reverse_order(world: World) -> None:
    world.start()
    await world.put(
        source(
            "acme.db",
            component("crds", "acme-db"),
            component("db", "acme-db", dependsOn=["crds"]),
            component("seed", "acme-db", dependsOn=["db"]),
        ),
        package("acme.db"),
    )
    await world.install()
    for name in await world.names(HELM_RELEASES):
        await world.edit(HELM_RELEASES, name, {"metadata": {"finalizers": ["finalizers.fluxcd.io"]}})
    await world.delete(PACKAGES, "acme.db")
    gone = []
    for _ in range(3):
        await world.settle(60)
        leaving = [
            name
            for name in await world.names(HELM_RELEASES)
            if "deletionTimestamp" in (await world.get(HELM_RELEASES, name))["metadata"]
        ]
        gone += leaving
        assert await world.exists(PACKAGES, "acme.db")
        for name in leaving:
            await world.edit(HELM_RELEASES, name, {"metadata": {"finalizers": None}})
    await world.settle(1)
    assert gone == ["acme-db/seed", "acme-db/db", "acme-db/crds"]
    assert not await world.exists(PACKAGES, "acme.db")


async def test_without_ordered_deletion_the_garbage_collector_takes_everything_at_once(world: World) -> None:
    running = world.start("--ordered-deletion=false")
    await world.put(
        source("acme.db", component("db", "acme-db"), component("seed", "acme-db", dependsOn=["db"])), package("acme.db")
    )
    await world.install()
    assert "finalizers" not in (await world.get(PACKAGES, "acme.db"))["metadata"]
    writes = len(running.writes)
    await world.delete(PACKAGES, "acme.db")
    await world.settle(60)
    assert (await world.names(PACKAGES), await world.names(HELM_RELEASES)) == ([], [])
    assert running.writes[writes:] == []


async def test_releases_stay_when_the_package_is_deleted_as_an_orphan_maker(world: World) -> None:
    world.start()
    await one(world)
    await world.client.delete(PACKAGES, key("acme.db"), propagation="Orphan")
    await world.settle(60)
    assert (await world.names(PACKAGES), await world.names(HELM_RELEASES)) == ([], [DB])
    assert "ownerReferences" not in (await world.get(HELM_RELEASES, DB))["metadata"]


async def test_a_package_that_is_made_again_adopts_the_releases_it_left(world: World) -> None:
    world.start()
    await one(world)
    await world.client.delete(PACKAGES, key("acme.db"), propagation="Orphan")
    await world.settle(60)
    before = await world.get(HELM_RELEASES, DB)
    await world.put(package("acme.db"))
    await world.settle()
    after = await world.get(HELM_RELEASES, DB)
    owners = [each["uid"] for each in after["metadata"]["ownerReferences"]]
    assert owners == [(await world.get(PACKAGES, "acme.db"))["metadata"]["uid"]]
    assert (after["metadata"]["uid"], after["metadata"]["generation"]) == (
        before["metadata"]["uid"],
        before["metadata"]["generation"],
    )


async def test_dependents_of_a_deleted_package_run_on_and_name_what_is_missing_only_when_they_want_something(
    world: World,
) -> None:
    world.start()
    await world.put(
        source("acme.base", component("base", "acme-base")),
        source("acme.db", component("db", "acme-db"), depends_on=["acme.base"]),
        package("acme.base"),
        package("acme.db"),
    )
    await world.install()
    await world.delete(PACKAGES, "acme.base")
    await world.settle(60)
    assert (await world.names(PACKAGES), await world.names(HELM_RELEASES)) == (["acme.db"], [DB])
    assert await world.ready("acme.db") == ("True", "ReconciliationSucceeded")
    before = await world.get(HELM_RELEASES, DB)
    await world.edit(PACKAGES, "acme.db", {"spec": {"components": {"db": {"values": {"a": 1}}}}})
    await world.settle(60)
    assert (await world.get(HELM_RELEASES, DB))["spec"] == before["spec"]
    status = await world.status("acme.db")
    assert [(each["reason"], each["object"]) for each in status["blockedBy"]] == [("MissingDependency", "Package/acme.db")]


async def test_a_package_that_goes_waits_for_dependents_that_go_too(world: World) -> None:
    running = world.start()
    await world.put(
        source("acme.base", component("base", "acme-base")),
        source("acme.db", component("db", "acme-db"), depends_on=["acme.base"]),
        package("acme.base"),
        package("acme.db"),
    )
    await world.install()
    await world.edit(HELM_RELEASES, DB, {"metadata": {"finalizers": ["finalizers.fluxcd.io"]}})
    await world.delete(PACKAGES, "acme.db")
    await world.delete(PACKAGES, "acme.base")
    await world.settle(600)
    assert await world.names(HELM_RELEASES) == ["acme-base/base", DB]
    await world.edit(HELM_RELEASES, DB, {"metadata": {"finalizers": None}})
    await world.settle(1)
    assert (await world.names(PACKAGES), await world.names(HELM_RELEASES)) == ([], [])
    assert [line.rpartition("/")[2] for line in running.writes if line.startswith("DELETE")] == ["db", "base"]


async def test_of_two_packages_that_want_the_same_release_one_gets_it_and_the_other_says_so(world: World) -> None:
    running = world.start()
    await world.put(
        source("acme.a", component("db", "acme-db")),
        source("acme.b", component("db", "acme-db")),
        package("acme.a"),
        package("acme.b"),
    )
    await world.install()
    writes = len(running.writes)
    await world.settle(3600)
    assert running.writes[writes:] == []
    assert [await world.ready(name) for name in ("acme.a", "acme.b")] == [
        ("True", "ReconciliationSucceeded"),
        ("False", "ReleaseNameClash"),
    ]
    await world.delete(PACKAGES, "acme.a")
    await world.install(1)
    assert (await world.get(HELM_RELEASES, DB))["metadata"]["labels"] == {"cozystack.io/package": "acme.b"}
    assert await world.ready("acme.b") == ("True", "ReconciliationSucceeded")


async def test_a_namespace_that_was_deleted_with_everything_in_it_is_made_again(world: World) -> None:
    world.start()
    await one(world)
    await world.delete(NAMESPACES, "acme-db")
    await world.install(1)
    assert await labels(world, "acme-db") == {"cozystack.io/system": "true"}
    assert await world.ready("acme.db") == ("True", "ReconciliationSucceeded")
