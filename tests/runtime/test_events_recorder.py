"""Events: counted, throttled, cut, and never in the way."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from cozystack.api.core import ConfigMap
from cozystack.api.meta import ObjectMeta
from cozystack.api.resources import CONFIG_MAPS, EVENTS, PACKAGES
from cozystack.kube import Client
from cozystack.runtime import EventRecorder, VirtualClock
from support.kube import FakeApi, error


def subject(name: str = "a") -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="n", uid=f"uid-{name}"))


class Bench:
    def __init__(self, **options: Any) -> None:
        self.api = FakeApi(EVENTS)
        self.clock = VirtualClock()
        self.client = Client(self.api, clock=self.clock, attempts=1)
        self.recorder = EventRecorder(self.client, component="op", instance="pod-1", clock=self.clock, **options)

    def emit(self, message: str = "hello", name: str = "a") -> None:
        self.recorder.emit(CONFIG_MAPS, subject(name), "Normal", "Said", message)

    async def events(self) -> list[dict[str, Any]]:
        return [item.message + f" x{item.count}" for item in (await self.client.list(EVENTS)).items]  # type: ignore[misc]


async def test_an_event_names_its_object_and_its_source() -> None:
    bench = Bench()
    bench.recorder.emit(CONFIG_MAPS, subject(), "Warning", "Broken", "it broke", action="Reconcile")
    await bench.recorder.flush()
    (sent,) = bench.api.requests
    assert sent.line == "POST /api/v1/namespaces/n/events"
    name = sent.body["metadata"].pop("name")
    assert name.startswith("a.")
    assert sent.body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "n"},
        "involvedObject": {"kind": "ConfigMap", "namespace": "n", "name": "a", "uid": "uid-a", "apiVersion": "v1"},
        "reason": "Broken",
        "message": "it broke",
        "type": "Warning",
        "count": 1,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "op"},
        "reportingComponent": "op",
        "reportingInstance": "pod-1",
        "action": "Reconcile",
    }


async def test_events_of_objects_without_a_namespace_go_to_default_and_plain_json_will_do() -> None:
    bench = Bench()
    bench.recorder.emit(PACKAGES, {"metadata": {"name": "p", "uid": "u"}}, "Normal", "Said", "hello")
    await bench.recorder.flush()
    assert bench.api.lines() == ["POST /api/v1/namespaces/default/events"]
    assert bench.api.requests[0].body["involvedObject"]["uid"] == "u"


async def test_equal_events_are_counted_on_one_object() -> None:
    bench = Bench()
    bench.emit()
    await bench.recorder.flush()
    await bench.clock.advance(60)
    bench.emit()
    bench.emit()
    await bench.recorder.flush()
    assert [seen.method for seen in bench.api.requests] == ["POST", "PATCH"]
    assert bench.api.requests[1].body == {"count": 3, "lastTimestamp": "2026-01-01T00:01:00Z", "message": "hello"}


async def test_after_ten_minutes_an_equal_event_is_a_new_one() -> None:
    bench = Bench()
    for _ in range(2):
        bench.emit()
        await bench.recorder.flush()
        await bench.clock.advance(601)
    assert [seen.method for seen in bench.api.requests] == ["POST", "POST"]


async def test_an_event_that_is_gone_is_made_anew() -> None:
    bench = Bench()
    bench.emit()
    await bench.recorder.flush()
    bench.api.fail(error(404, "NotFound"))
    bench.emit()
    await bench.recorder.flush()
    assert [seen.method for seen in bench.api.requests] == ["POST", "PATCH", "POST"]


async def test_messages_are_cut_at_a_kilobyte_between_characters() -> None:
    bench = Bench()
    bench.emit("ü" * 2000)
    await bench.recorder.flush()
    message = bench.api.requests[0].body["message"]
    assert message.endswith("ü…")
    assert 1020 < len(message.encode()) <= 1024


async def test_a_flood_about_one_object_is_throttled_and_others_are_heard() -> None:
    bench = Bench()
    for index in range(100):
        bench.emit(f"message {index}")
    bench.emit("other", name="b")
    await bench.recorder.flush()
    assert (len(bench.api.requests), bench.recorder.dropped) == (26, 75)
    await bench.clock.advance(300)
    bench.emit("later")
    bench.emit("too soon")
    await bench.recorder.flush()
    assert (len(bench.api.requests), bench.recorder.dropped) == (27, 76)


async def test_a_full_queue_drops_the_newest() -> None:
    bench = Bench(capacity=2)
    for name in ("a", "b", "c"):
        bench.emit(name=name)
    assert bench.recorder.dropped == 1


async def test_what_cannot_be_written_is_given_up_and_the_rest_is_written(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.api.fail(error(403, "Forbidden", "no events in a namespace that ends"))
    bench.emit(name="a")
    bench.emit(name="b")
    await bench.recorder.flush()
    assert (len(bench.api.requests), bench.recorder.dropped) == (2, 1)
    assert "could not be written" in caplog.text


async def test_run_writes_what_is_emitted() -> None:
    bench = Bench()
    task = asyncio.create_task(bench.recorder.run())
    await bench.clock.settle()
    bench.emit()
    await bench.clock.settle()
    bench.emit("again")
    await bench.clock.settle()
    assert len(bench.api.requests) == 2
    task.cancel()
    await asyncio.wait((task,))


async def test_what_is_told_of_a_namespace_that_ends_is_dropped_quietly(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    refused = error(403, "Forbidden", "it is being terminated")
    causes = [{"reason": "NamespaceTerminating", "message": "namespace a is being terminated", "field": "metadata.namespace"}]
    refused.body = msgspec.json.encode({**msgspec.json.decode(refused.body), "details": {"causes": causes}})
    bench.api.fail(refused)
    bench.emit(name="a")
    await bench.recorder.flush()
    assert bench.recorder.dropped == 1
    assert "could not be written" not in caplog.text


async def test_what_can_no_longer_be_counted_is_forgotten() -> None:
    bench = Bench()
    for hour in range(12):
        for index in range(20):
            bench.emit(f"message {hour} {index}", name=f"object-{hour}-{index}")
        await bench.recorder.flush()
        await bench.clock.advance(3600)
    assert len(bench.recorder._counted) == 20
    assert len(bench.recorder._buckets) <= 60
    await bench.clock.advance(3 * 3600)
    bench.emit("message", name="object-11-19")
    await bench.recorder.flush()
    assert len(bench.recorder._buckets) == 1
