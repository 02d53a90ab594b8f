"""Client and runtime together with the embedded API server, in one process and on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cozystack.api.core import ConfigMap, Namespace
from cozystack.api.meta import Key, ObjectMeta
from cozystack.api.resources import CONFIG_MAPS, EVENTS, LEASES, NAMESPACES, untyped
from cozystack.kube import Applier, Client, Discovery, Entry, Informer, ownership
from cozystack.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from cozystack.kube.manifests import apply_all
from cozystack.runtime import Controller, Done, EventRecorder, LeaderElector, Result, VirtualClock
from support.apiserver import crd
from support.inprocess import InProcess, connect
from support.kube import seeded

WIDGETS = untyped("acme.io", "v1", "Widget", "widgets")
A = Key("n", "a")


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.client: Client = connect(self.clock)

    @property
    def sent(self) -> list[str]:
        assert isinstance(self.client.transport, InProcess)
        return self.client.transport.sent

    @property
    def writes(self) -> int:
        return sum(not line.startswith("GET") for line in self.sent)

    async def prepare(self) -> None:
        await self.client.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="n")))
        definition = crd("acme.io")
        await apply_all(self.client, Discovery(self.client), [definition], manager="setup")

    async def live(self, manager: str = "me") -> Entry[dict[str, Any]]:
        return ownership([manager])(await self.client.get(WIDGETS, A))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.prepare()
    bench.sent.clear()
    yield bench
    await bench.client.transport.close()
    await bench.clock.settle()


def config_map(name: str = "a", **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="n"), data=data)


def widget(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "namespace": "n"}, "spec": spec}


async def test_errors_come_by_their_reason(bench: Bench) -> None:
    client = bench.client
    created = await client.create(CONFIG_MAPS, config_map(x="1"))
    with pytest.raises(AlreadyExists):
        await client.create(CONFIG_MAPS, config_map())
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, Key("n", "no"))
    with pytest.raises((Forbidden, NotFound)):
        await client.create(CONFIG_MAPS, ConfigMap(metadata=ObjectMeta(name="a", namespace="no-such")))
    await client.patch(CONFIG_MAPS, A, {"data": {"x": "2"}})
    with pytest.raises(Conflict):
        await client.replace(CONFIG_MAPS, created)
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, A, uid="other")
    with pytest.raises(Invalid) as caught:
        await client.create(WIDGETS, widget(size=99))
    assert [cause.field for cause in caught.value.details.causes] == ["spec.size"]


async def test_apply_conflicts_name_the_other_owner(bench: Bench) -> None:
    await bench.client.apply(WIDGETS, widget(size=1), manager="they")
    with pytest.raises(Conflict, match="they"):
        await bench.client.apply(WIDGETS, widget(size=2), manager="me")
    assert (await bench.client.apply(WIDGETS, widget(size=2), manager="me", force=True))["spec"]["size"] == 2


async def test_pages_and_watches_hold_together(bench: Bench) -> None:
    for index in range(7):
        await bench.client.create(CONFIG_MAPS, config_map(f"x{index}"))
    listing = await bench.client.list(CONFIG_MAPS, namespace="n", limit=3)
    assert len(listing.items) == 7
    await bench.client.delete(CONFIG_MAPS, Key("n", "x3"))
    async with bench.client.watch(CONFIG_MAPS, namespace="n", since=listing.resource_version) as events:
        event = await anext(events)
        assert (event.kind, event.key) == ("DELETED", Key("n", "x3"))


@pytest.mark.parametrize("streaming", [False, True])
async def test_an_informer_follows_by_list_and_by_stream(bench: Bench, streaming: bool) -> None:
    await bench.client.create(CONFIG_MAPS, config_map(x="1"))
    informer = Informer(bench.client, CONFIG_MAPS, namespace="n", streaming=streaming, random=seeded())
    told: list[str] = []
    informer.on_change(lambda kind, old, new: told.append(kind))
    task = asyncio.create_task(informer.run())
    await bench.clock.settle()
    assert (informer.synced, told, informer.watches) == (True, ["added"], 1)
    await bench.client.patch(CONFIG_MAPS, A, {"data": {"x": "2"}})
    await bench.client.delete(CONFIG_MAPS, A)
    await bench.clock.settle()
    assert (told, len(informer.store)) == (["added", "updated", "deleted"], 0)
    task.cancel()
    await asyncio.wait((task,))


specs = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 5),
        "color": st.sampled_from(["red", "blue"]),
        "tags": st.lists(st.sampled_from("abc"), max_size=2),
        "parts": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from("xyz")}, optional={"count": st.integers(0, 3)}),
            max_size=2,
            unique_by=lambda part: part["name"],
        ),
    },
)


def wish(spec: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "a", "namespace": "n"}
    if labels:
        metadata["labels"] = labels
    return {"metadata": metadata, **({"spec": spec} if spec else {})}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["me", "they", "edit"]), specs, st.dictionaries(st.sampled_from("lm"), st.just("v"))),
        max_size=6,
    )
)
def test_an_apply_that_is_skipped_would_have_changed_nothing(script: list[tuple[str, dict[str, Any], dict[str, str]]]) -> None:
    """Managers apply and people edit in turn; whatever ``needs_apply`` says, forcing the apply must not prove it wrong."""

    async def scenario() -> None:
        bench = Bench()
        await bench.prepare()
        for who, spec, labels in script:
            desired = wish(spec, labels)
            if who == "edit":
                try:
                    await bench.client.patch(WIDGETS, A, {"spec": spec}, manager="person")
                except NotFound:
                    pass
                continue
            applier = Applier(bench.client, who)
            try:
                before: Entry[dict[str, Any]] | None = ownership([who])(await bench.client.get(WIDGETS, A))
            except NotFound:
                before = None
            outcome = await applier.apply(WIDGETS, desired, before)
            if not outcome.sent:
                proof = await bench.client.apply(WIDGETS, desired, manager=who, force=True)
                assert before is not None
                assert proof["metadata"]["resourceVersion"] == before.object["metadata"]["resourceVersion"]
            sent = bench.writes
            again = await applier.apply(WIDGETS, desired, await bench.live(who))
            assert (again.changed, bench.writes) == (False, sent)
        await bench.client.transport.close()

    asyncio.run(scenario())


async def test_dropping_a_field_takes_it_away_on_the_server(bench: Bench) -> None:
    applier = Applier(bench.client, "me")
    await applier.apply(WIDGETS, widget(size=1, tags=["a"]), None)
    await applier.apply(WIDGETS, widget(size=1), await bench.live())
    assert (await bench.client.get(WIDGETS, A))["spec"] == {"size": 1, "color": "red"}


async def test_one_of_two_candidates_leads_and_hands_over(bench: Bench) -> None:
    acting: list[str] = []

    async def lead(name: str) -> None:
        assert acting == []
        acting.append(name)
        try:
            await bench.clock.sleep(1e9)
        finally:
            acting.remove(name)

    tasks = {}
    for name in ("a", "b"):
        elector = LeaderElector(
            bench.client, namespace="n", name="op", identity=name, clock=bench.clock, random=seeded(len(name))
        )
        tasks[name] = asyncio.create_task(elector.run(lambda name=name: lead(name)))  # type: ignore[misc]
    await bench.clock.advance(60)
    (first,) = acting
    tasks.pop(first).cancel()
    await bench.clock.advance(10)
    assert acting == list(tasks)
    lease = await bench.client.get(LEASES, Key("n", "op"))
    assert (lease.spec.holder_identity, lease.spec.lease_transitions) == (acting[0], 1)
    for task in tasks.values():
        task.cancel()
    await asyncio.wait(tasks.values())


async def test_events_are_written_and_counted(bench: Bench) -> None:
    obj = await bench.client.create(CONFIG_MAPS, config_map())
    recorder = EventRecorder(bench.client, component="op", instance="p", clock=bench.clock)
    for _ in range(2):
        recorder.emit(CONFIG_MAPS, obj, "Normal", "Said", "hello")
        await recorder.flush()
    (event,) = (await bench.client.list(EVENTS, namespace="n")).items
    assert (event.count, event.message, event.involved_object.uid) == (2, "hello", obj.metadata.uid)


async def test_a_controller_brings_every_object_to_its_wish_and_then_writes_nothing(bench: Bench) -> None:
    """Copies every ConfigMap that asks for it; edits, deletions and lost watches in between."""
    informer = Informer(bench.client, CONFIG_MAPS, transform=ownership(["copier"]), random=seeded())
    applier = Applier(bench.client, "copier")

    async def reconcile(key: Key) -> Result:
        source = informer.store.get(key)
        if source is None or source.metadata.labels.get("copy") != "yes":
            return Done()
        copy = Key(key.namespace, f"{key.name}-copy")
        desired = {"metadata": {"namespace": copy.namespace, "name": copy.name}, "data": source.data}
        await applier.apply(CONFIG_MAPS, desired, informer.store.entry(copy))
        return Done()

    controller = Controller("copier", reconcile, clock=bench.clock, random=seeded())
    controller.watch(informer, lambda obj: [Key(obj.metadata.namespace, obj.metadata.name.removesuffix("-copy"))])
    tasks = [asyncio.create_task(work()) for work in (informer.run, controller.run)]
    for index in range(20):
        obj = config_map(f"c{index}", x=str(index))
        obj.metadata.labels = {"copy": "yes"}
        await bench.client.create(CONFIG_MAPS, obj)
    await bench.clock.advance(5)
    assert (await bench.client.get(CONFIG_MAPS, Key("n", "c7-copy"))).data == {"x": "7"}
    await bench.client.patch(CONFIG_MAPS, Key("n", "c7-copy"), {"data": {"x": "drift"}})
    await bench.client.delete(CONFIG_MAPS, Key("n", "c8-copy"))
    assert isinstance(bench.client.transport, InProcess)
    bench.client.transport.server.end_watches()
    await bench.client.patch(CONFIG_MAPS, Key("n", "c9"), {"data": {"x": "new"}})
    await bench.clock.advance(60)
    found = {
        name: (await bench.client.get(CONFIG_MAPS, Key("n", name))).data["x"] for name in ("c7-copy", "c8-copy", "c9-copy")
    }
    assert found == {"c7-copy": "7", "c8-copy": "8", "c9-copy": "new"}
    writes = bench.writes
    for key in list(informer.store.keys()):
        controller.trigger(key)
    await bench.clock.advance(600)
    assert bench.writes == writes
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_manifests_with_their_definition_are_applied_in_one_go(bench: Bench) -> None:
    manifests = [
        {"apiVersion": "other.io/v1", "kind": "Gadget", "metadata": {"name": "g", "namespace": "made"}, "spec": {"size": 1}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}},
        crd("other.io", "gadgets", "Gadget"),
    ]
    discovery = Discovery(bench.client)
    outcomes = await bench.clock.run(apply_all(bench.client, discovery, manifests, manager="me"))
    assert [outcome.changed for outcome in outcomes] == [True, True, True]
    writes = bench.writes
    outcomes = await bench.clock.run(apply_all(bench.client, discovery, manifests, manager="me"))
    assert [outcome.changed for outcome in outcomes] == [False, False, False]
    assert bench.writes == writes


def test_typed_and_untyped_objects_read_the_same() -> None:
    body = msgspec.json.encode({"metadata": {"name": "a", "namespace": "n"}, "data": {"x": "1"}})
    typed = msgspec.json.decode(body, type=ConfigMap)
    assert msgspec.to_builtins(typed) == msgspec.json.decode(body)
