"""What goes when its owner goes, its namespace, its CRD; what every namespace has; Events that are too old."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import pytest

from cozystack.apiserver.deletion import DeleteOptions
from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.lifecycle import Lifecycle
from cozystack.apiserver.objects import Objects, WriteOptions
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.storage import Expired, open_storage
from cozystack.runtime import VirtualClock
from support.apiserver import crd

Obj = dict[str, Any]


class Cluster:
    """Storage, objects and the controllers in the server, without anything asynchronous."""

    def __init__(self, *, ca: bytes = b"") -> None:
        self.clock = VirtualClock()
        uids = itertools.count(1)
        self.objects = Objects(open_storage(None), clock=self.clock.now, new_uid=lambda: f"uid-{next(uids)}")
        self.lifecycle = Lifecycle(self.objects, ca=ca, sleep=self.clock.sleep)

    def info(self, plural: str, group: str = "") -> ResourceInfo:
        found = self.objects.registry.any_version(group, plural)
        assert found is not None
        return found

    def create(self, plural: str, name: str, namespace: str = "default", *, group: str = "", **fields: Any) -> Obj:
        metadata = {"name": name, **fields.pop("metadata", {})}
        return self.objects.create(self.info(plural, group), namespace, {**fields, "metadata": metadata}, WriteOptions())

    def make(self, name: str, *owners: Obj, finalizers: tuple[str, ...] = (), namespace: str = "default") -> Obj:
        """A ConfigMap that others own."""
        metadata: Obj = {"ownerReferences": list(owners), "finalizers": list(finalizers)}
        return self.create("configmaps", name, namespace, metadata=metadata)

    def edit(
        self, name: str, metadata: Obj, *, plural: str = "configmaps", namespace: str = "default", group: str = ""
    ) -> None:
        patch = {"metadata": metadata}
        self.objects.patch(self.info(plural, group), namespace, name, "merge", patch, WriteOptions())

    def delete(self, name: str, how: str = "Background", *, plural: str = "configmaps", group: str = "") -> None:
        namespace = "default" if self.info(plural, group).namespaced else ""
        self.objects.delete(self.info(plural, group), namespace, name, DeleteOptions(propagation=how))

    def get(self, plural: str, name: str, namespace: str = "default", *, group: str = "") -> Obj | None:
        stored = self.objects.find(self.info(plural, group), namespace, name)
        return stored.object if stored is not None else None

    def names(self, plural: str = "configmaps", namespace: str = "default", *, group: str = "") -> list[str]:
        """Names of what is there and not on its way out; those that are have a cross."""
        found = self.objects.all(self.info(plural, group), namespace)
        return [stored.name + "†" * ("deletionTimestamp" in stored.object["metadata"]) for stored in found]

    def settle(self) -> list[str]:
        self.lifecycle.settle()
        return self.names()


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    made.lifecycle.start()
    return made


def owner(obj: Obj, *, blocks: bool = False) -> Obj:
    """A reference to an owner."""
    metadata = obj["metadata"]
    reference = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return {**reference, "blockOwnerDeletion": True} if blocks else reference


class TestOwners:
    def test_what_is_owned_goes_after_its_owner(self, cluster: Cluster) -> None:
        a = cluster.make("a")
        b = cluster.make("b", owner(a))
        cluster.make("c", owner(b))
        cluster.make("other")
        cluster.delete("a")
        assert cluster.settle() == ["other"]

    def test_what_has_another_owner_stays_and_forgets_the_one_that_went(self, cluster: Cluster) -> None:
        a, b = cluster.make("a"), cluster.make("b")
        cluster.make("c", owner(a), owner(b))
        cluster.delete("a")
        assert cluster.settle() == ["b", "c"]
        c = cluster.get("configmaps", "c")
        assert c is not None
        assert c["metadata"]["ownerReferences"] == [owner(b)]

    def test_an_object_of_an_owner_that_never_was_goes(self, cluster: Cluster) -> None:
        a = cluster.make("a")
        cluster.make("b", {**owner(a), "uid": "nobody"})
        cluster.make("c", {**owner(a), "name": "other-name"})
        assert cluster.settle() == ["a"]

    def test_an_object_that_gets_an_owner_that_is_gone_goes(self, cluster: Cluster) -> None:
        a = cluster.make("a")
        cluster.make("b")
        cluster.delete("a")
        assert cluster.settle() == ["b"]
        cluster.edit("b", {"ownerReferences": [owner(a)]})
        assert cluster.settle() == []

    def test_an_object_that_loses_its_owners_stays(self, cluster: Cluster) -> None:
        a = cluster.make("a")
        cluster.make("b", owner(a))
        cluster.edit("b", {"ownerReferences": None})
        cluster.delete("a")
        assert cluster.settle() == ["b"]

    def test_an_owner_is_in_the_same_namespace_or_in_none(self, cluster: Cluster) -> None:
        namespace = cluster.create("namespaces", "far", "")
        a = cluster.make("a", owner(namespace))
        cluster.make("b", owner(a), namespace="far")
        cluster.settle()
        assert (cluster.names(), cluster.names(namespace="far")) == (["a"], [])

    def test_an_owner_that_waits_for_a_finalizer_keeps_what_it_owns(self, cluster: Cluster) -> None:
        a = cluster.make("a", finalizers=("x/y",))
        cluster.make("b", owner(a))
        cluster.delete("a")
        assert cluster.settle() == ["a†", "b"]
        cluster.edit("a", {"finalizers": None})
        assert cluster.settle() == []

    def test_orphans_stay_without_owner(self, cluster: Cluster) -> None:
        a = cluster.make("a")
        cluster.make("b", owner(a))
        cluster.delete("a", "Orphan")
        assert cluster.names() == ["a†", "b"]
        assert cluster.settle() == ["b"]
        b = cluster.get("configmaps", "b")
        assert b is not None
        assert "ownerReferences" not in b["metadata"]

    def test_what_was_left_undone_is_done_at_the_next_start(self) -> None:
        cluster = Cluster()
        cluster.create("namespaces", "default", "")
        a = cluster.make("a")
        cluster.make("b", owner(a))
        b = cluster.make("late", finalizers=("x/y",))
        cluster.make("c", owner(b, blocks=True))
        cluster.delete("a")
        cluster.delete("late", "Foreground")
        Lifecycle(cluster.objects).start()
        assert cluster.names() == ["late†"]


class TestForeground:
    def test_the_owner_goes_last(self, cluster: Cluster) -> None:
        a = cluster.make("a")
        b = cluster.make("b", owner(a, blocks=True))
        cluster.make("c", owner(b, blocks=True), finalizers=("x/y",))
        cluster.delete("a", "Foreground")
        assert cluster.settle() == ["a†", "b†", "c†"]
        cluster.edit("c", {"finalizers": None})
        assert cluster.settle() == []

    def test_the_owner_does_not_wait_for_what_does_not_block_it(self, cluster: Cluster) -> None:
        a = cluster.make("a")
        cluster.make("b", owner(a), finalizers=("x/y",))
        cluster.delete("a", "Foreground")
        assert cluster.settle() == ["b†"]

    def test_an_owner_of_nothing_goes_at_once(self, cluster: Cluster) -> None:
        cluster.make("a")
        cluster.delete("a", "Foreground")
        assert cluster.settle() == []

    def test_other_finalizers_are_waited_for(self, cluster: Cluster) -> None:
        cluster.make("a", finalizers=("x/y",))
        cluster.delete("a", "Foreground")
        cluster.settle()
        a = cluster.get("configmaps", "a")
        assert a is not None
        assert a["metadata"]["finalizers"] == ["x/y"]

    def test_what_another_owner_keeps_only_loses_this_one(self, cluster: Cluster) -> None:
        a, b = cluster.make("a"), cluster.make("b")
        cluster.make("c", owner(a, blocks=True), owner(b, blocks=True))
        cluster.delete("a", "Foreground")
        assert cluster.settle() == ["b", "c"]
        c = cluster.get("configmaps", "c")
        assert c is not None
        assert c["metadata"]["ownerReferences"] == [owner(b, blocks=True)]

    def test_owners_in_a_circle_go_too(self, cluster: Cluster) -> None:
        a = cluster.make("a")
        b = cluster.make("b", owner(a, blocks=True))
        cluster.settle()
        cluster.edit("a", {"ownerReferences": [owner(b, blocks=True)]})
        cluster.settle()
        cluster.delete("a", "Foreground")
        assert cluster.settle() == []


class TestNamespaces:
    def test_a_new_namespace_is_furnished(self) -> None:
        cluster = Cluster(ca=b"the authority")
        cluster.lifecycle.start()
        cluster.create("namespaces", "team", "")
        cluster.lifecycle.settle()
        certificate = cluster.get("configmaps", "kube-root-ca.crt", "team")
        assert certificate is not None
        assert (cluster.names("serviceaccounts", "team"), certificate["data"]) == (["default"], {"ca.crt": "the authority"})

    def test_what_every_namespace_has_comes_back(self) -> None:
        cluster = Cluster(ca=b"the authority")
        cluster.lifecycle.start()
        cluster.delete("kube-root-ca.crt")
        cluster.delete("default", plural="serviceaccounts")
        cluster.settle()
        assert (cluster.names(), cluster.names("serviceaccounts")) == (["kube-root-ca.crt"], ["default"])

    def test_a_new_cluster_has_the_namespaces_and_the_service_of_the_system(self, cluster: Cluster) -> None:
        assert cluster.names("namespaces", "") == ["default", "kube-node-lease", "kube-public", "kube-system"]
        service = cluster.get("services", "kubernetes")
        assert service is not None
        assert service["spec"]["ports"] == [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]

    def test_a_namespace_goes_with_everything_in_it(self, cluster: Cluster) -> None:
        cluster.create("namespaces", "team", "")
        a = cluster.make("a", namespace="team")
        cluster.make("b", owner(a), namespace="team")
        cluster.create("secrets", "s", "team")
        cluster.delete("team", plural="namespaces")
        assert cluster.names("namespaces", "")[-1] == "team†"
        cluster.settle()
        assert [cluster.get("namespaces", "team", ""), cluster.names("secrets", "team"), cluster.names(namespace="team")] == [
            None,
            [],
            [],
        ]

    def test_a_namespace_waits_for_the_finalizers_in_it(self, cluster: Cluster) -> None:
        cluster.create("namespaces", "team", "")
        cluster.make("a", namespace="team", finalizers=("x/y",))
        cluster.delete("team", plural="namespaces")
        cluster.settle()
        namespace = cluster.get("namespaces", "team", "")
        assert namespace is not None
        assert (namespace["status"], cluster.names(namespace="team")) == ({"phase": "Terminating"}, ["a†"])
        cluster.edit("a", {"finalizers": None}, namespace="team")
        cluster.settle()
        assert cluster.get("namespaces", "team", "") is None

    def test_a_namespace_waits_for_its_own_finalizers(self, cluster: Cluster) -> None:
        cluster.create("namespaces", "team", "", metadata={"finalizers": ["x/y"]})
        cluster.delete("team", plural="namespaces")
        cluster.settle()
        cluster.edit("team", {"finalizers": None}, plural="namespaces", namespace="")
        assert cluster.get("namespaces", "team", "") is None

    def test_nothing_new_comes_into_a_dying_namespace(self, cluster: Cluster) -> None:
        cluster.create("namespaces", "team", "")
        cluster.make("a", namespace="team", finalizers=("x/y",))
        cluster.delete("team", plural="namespaces")
        cluster.settle()
        with pytest.raises(ApiError) as caught:
            cluster.make("b", namespace="team")
        assert (caught.value.code, caught.value.reason) == (403, "Forbidden")

    def test_a_namespace_of_many_objects_goes(self, cluster: Cluster) -> None:
        cluster.create("namespaces", "team", "")
        for number in range(4200):
            cluster.make(f"c{number}", namespace="team")
        cluster.delete("team", plural="namespaces")
        cluster.settle()
        assert cluster.get("namespaces", "team", "") is None
        a = cluster.make("a")
        cluster.make("b", owner(a))
        cluster.delete("a")
        assert cluster.settle() == []


class TestDefinitions:
    GROUP = "example.com"
    CRDS = "customresourcedefinitions"
    EXTENSIONS = "apiextensions.k8s.io"

    @pytest.fixture
    def widgets(self, cluster: Cluster) -> Cluster:
        cluster.objects.create(cluster.info(self.CRDS, self.EXTENSIONS), "", crd(self.GROUP), WriteOptions())
        return cluster

    def end(self, cluster: Cluster) -> Obj | None:
        cluster.delete(f"widgets.{self.GROUP}", plural=self.CRDS, group=self.EXTENSIONS)
        cluster.lifecycle.settle()
        return self.definition(cluster)

    def definition(self, cluster: Cluster) -> Obj | None:
        return cluster.get(self.CRDS, f"widgets.{self.GROUP}", "", group=self.EXTENSIONS)

    def test_objects_go_with_their_definition(self, widgets: Cluster) -> None:
        widgets.create("widgets", "w", group=self.GROUP)
        assert self.end(widgets) is None
        assert (widgets.objects.storage.objects(f"{self.GROUP}/widgets"), widgets.objects.registry.versions(self.GROUP)) == (
            [],
            [],
        )

    def test_a_definition_waits_for_the_finalizers_of_its_objects(self, widgets: Cluster) -> None:
        widgets.create("widgets", "w", group=self.GROUP, metadata={"finalizers": ["x/y"]})
        definition = self.end(widgets)
        assert definition is not None
        conditions = {entry["type"]: entry["status"] for entry in definition["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True", "Terminating": "True"}
        widgets.edit("w", {"finalizers": None}, plural="widgets", group=self.GROUP)
        widgets.lifecycle.settle()
        assert self.definition(widgets) is None

    def test_what_a_custom_resource_owns_goes_with_the_definition(self, widgets: Cluster) -> None:
        w = widgets.create("widgets", "w", group=self.GROUP)
        widgets.make("a", owner(w))
        self.end(widgets)
        assert widgets.settle() == []


class TestTime:
    def event(self, cluster: Cluster, name: str, **fields: Any) -> None:
        about = {"kind": "Pod", "name": "p", "namespace": "default"}
        cluster.create("events", name, involvedObject=about, **fields)

    @contextlib.asynccontextmanager
    async def running(self, cluster: Cluster) -> Any:
        task = asyncio.create_task(cluster.lifecycle.run())
        await cluster.clock.settle()
        yield
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_events_are_followed_as_they_happen(self, cluster: Cluster) -> None:
        async with self.running(cluster):
            a = cluster.make("a")
            cluster.make("b", owner(a))
            cluster.delete("a")
            await cluster.clock.settle()
            assert cluster.names() == []

    async def test_events_end_an_hour_after_the_last_that_happened(self, cluster: Cluster) -> None:
        async with self.running(cluster):
            self.event(cluster, "old")
            self.event(cluster, "repeated", lastTimestamp="2026-01-01T00:30:00Z")
            self.event(cluster, "series", series={"count": 2, "lastObservedTime": "2026-01-01T00:40:00.000000Z"})
            await cluster.clock.advance(3600)
            assert cluster.names("events") == ["old", "repeated", "series"]
            await cluster.clock.advance(300)
            assert cluster.names("events") == ["repeated", "series"]
            await cluster.clock.advance(1800)
            assert cluster.names("events") == ["series"]
            await cluster.clock.advance(600)
            assert cluster.names("events") == []


class TestChanges:
    async def test_changes_are_kept_for_five_minutes_and_forgotten_after_ten(self, cluster: Cluster) -> None:
        """As long as etcd keeps them for a real API server."""
        running = asyncio.create_task(cluster.lifecycle.run())
        await cluster.clock.advance(299)
        cluster.make("a")
        version = cluster.objects.storage.version
        cluster.edit("a", {"labels": {"changed": "yes"}})
        await cluster.clock.advance(300)
        assert len(cluster.objects.storage.subscribe("/configmaps", version).drain()) == 1
        await cluster.clock.advance(2)
        with pytest.raises(Expired):
            cluster.objects.storage.subscribe("/configmaps", version)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
