"""Leader election: never two at once, whatever happens to clocks, requests and processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozystack.api.meta import Key
from cozystack.api.resources import LEASES
from cozystack.kube import Client
from cozystack.kube.transport import Response
from cozystack.runtime import LeaderElector, LeadershipLost, VirtualClock
from support.kube import FakeApi, Seen, error, lost, seeded

LEASE = Key("sys", "op")


class Candidate:
    """A process that wants to lead, and when it did."""

    def __init__(self, api: Any, clock: VirtualClock, name: str, works_for: float = 1e9, place: str = "") -> None:
        self.clock = clock
        self.name = name
        self.works_for = works_for
        self.acting = False
        self.terms: list[list[float]] = []
        self.seen: list[str] = []
        self.elector = LeaderElector(
            Client(api, clock=clock, random=seeded()),
            namespace="sys",
            name="op",
            identity=name,
            clock=clock,
            random=seeded(sum(name.encode())),
            place=place,
            on_new_leader=self.seen.append,
        )
        self.task = asyncio.create_task(self.elector.run(self._lead))

    async def _lead(self) -> None:
        self.acting = True
        self.terms.append([self.clock.monotonic()])
        try:
            await self.clock.sleep(self.works_for)
        finally:
            self.acting = False
            self.terms[-1].append(self.clock.monotonic())

    async def stop(self) -> None:
        self.task.cancel()
        await self.clock.settle()


def spec(api: FakeApi) -> dict[str, Any]:
    found: dict[str, Any] = api.object(LEASES, LEASE)["spec"]
    return found


@pytest.fixture
def api() -> FakeApi:
    return FakeApi(LEASES)


async def test_the_first_candidate_leads_at_once_and_writes_who_it_is(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")
    await clock.settle()
    assert (first.acting, first.elector.leading, first.elector.holder) == (True, True, "a")
    assert spec(api) == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z",
        "leaseTransitions": 0,
    }
    await first.stop()


async def test_a_leader_renews_every_two_seconds_by_one_request(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")
    await clock.settle()
    before = len(api.requests)
    await clock.advance(60)
    assert [seen.method for seen in api.requests[before:]] == ["PUT"] * 30
    assert spec(api)["renewTime"] == "2026-01-01T00:01:00.000000Z"
    assert spec(api)["acquireTime"] == "2026-01-01T00:00:00.000000Z"
    await first.stop()


async def test_others_wait_while_the_leader_renews(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")
    await clock.settle()
    second = Candidate(api, clock, "b")
    await clock.advance(600)
    assert (first.acting, second.acting, second.elector.holder, second.seen) == (True, False, "a", ["a"])
    await second.stop()
    await first.stop()


async def test_a_clean_stop_hands_over_within_the_retry_period(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")
    await clock.settle()
    second = Candidate(api, clock, "b")
    await clock.advance(10)
    await first.stop()
    assert (spec(api)["holderIdentity"], first.acting) == ("", False)
    await clock.run_until(lambda: second.acting)
    assert clock.monotonic() < 15
    assert (spec(api)["holderIdentity"], spec(api)["leaseTransitions"]) == ("b", 1)
    await second.stop()


async def test_after_a_crash_the_next_leader_waits_for_the_lease_to_run_out(api: FakeApi) -> None:
    clock = VirtualClock()
    api.put(
        LEASES,
        {
            "metadata": {"namespace": "sys", "name": "op"},
            "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 15, "renewTime": "2020-01-01T00:00:00.000000Z"},
        },
    )
    second = Candidate(api, clock, "b")
    await clock.run_until(lambda: second.acting)
    assert 15.0 <= clock.monotonic() < 20.0
    await second.stop()


@pytest.mark.parametrize(("holder", "waits"), [("pod-1_uid-1_77_aa", False), ("pod-1_uid-2_77_aa", True), ("pod-1", True)])
async def test_a_lease_held_by_an_earlier_process_of_the_same_pod_is_taken_over_at_once(
    api: FakeApi, holder: str, waits: bool
) -> None:
    clock = VirtualClock()
    record = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "2020-01-01T00:00:00.000000Z"}
    api.put(LEASES, {"metadata": {"namespace": "sys", "name": "op"}, "spec": record})
    second = Candidate(api, clock, "pod-1_uid-1_78_bb", place="pod-1_uid-1_")
    await clock.run_until(lambda: second.acting)
    assert (clock.monotonic() >= 15.0) is waits
    await second.stop()


async def test_work_that_ends_by_itself_ends_the_term_and_releases_the_lease(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a", works_for=5)
    await clock.run(first.task)
    assert (first.terms, spec(api)["holderIdentity"]) == ([[0.0, 5.0]], "")


async def test_one_that_gives_the_lease_away_does_not_lead_while_it_waits_for_the_answer(api: FakeApi) -> None:
    clock = VirtualClock()
    candidate = Candidate(api, clock, "a")
    await clock.settle()
    led: list[bool] = []

    def released(seen: Seen) -> bool:
        if seen.method == "PUT" and not seen.body["spec"]["holderIdentity"]:
            led.append(candidate.elector.leading)
        return False

    api.fail(lost(), when=released)
    await candidate.stop()
    assert (led, spec(api)["holderIdentity"]) == ([False], "")


async def test_what_the_work_raises_is_raised_and_the_lease_released(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")

    async def fail() -> None:
        raise RuntimeError("broken")

    await first.stop()
    with pytest.raises(RuntimeError, match="broken"):
        await clock.run(first.elector.run(fail))
    assert spec(api)["holderIdentity"] == ""


@pytest.mark.parametrize("fault", [lost(), error(500, "InternalError"), error(403, "Forbidden"), error(409, "Conflict")])
async def test_a_leader_that_cannot_renew_stops_by_its_own_deadline(api: FakeApi, fault: Response | Exception) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")
    await clock.advance(4)
    api.fail(fault, times=1000)
    with pytest.raises(LeadershipLost):
        await clock.run(first.task)
    assert first.terms == [[0.0, 14.0]]
    assert not first.elector.leading


async def test_a_request_that_hangs_does_not_keep_a_leader_in_office(api: FakeApi) -> None:
    class Hanging(FakeApi):
        hang = False

        async def request(self, *args: Any, **options: Any) -> Response:
            if self.hang:
                await asyncio.Event().wait()
            return await super().request(*args, **options)

    server = Hanging(LEASES)
    clock = VirtualClock()
    first = Candidate(server, clock, "a")
    await clock.advance(4)
    server.hang = True
    with pytest.raises(LeadershipLost):
        await clock.run(first.task)
    assert first.terms == [[0.0, 14.0]]


async def test_a_few_failures_in_between_cost_nothing(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")
    await clock.advance(4)
    api.fail(lost(), times=3)
    await clock.advance(60)
    assert first.acting
    await first.stop()


async def test_an_answer_that_was_lost_after_the_write_is_found_again(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")
    await clock.advance(1)
    api.fail(lost(), after=True, when=lambda seen: seen.method == "PUT")
    await clock.advance(60)
    assert (first.acting, spec(api)["leaseTransitions"]) == (True, 0)
    await first.stop()


async def test_a_lease_that_somebody_took_away_ends_the_term(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")
    await clock.advance(1)
    stolen = api.object(LEASES, LEASE)
    stolen["spec"]["holderIdentity"] = "thief"
    api.put(LEASES, stolen)
    with pytest.raises(LeadershipLost):
        await clock.run(first.task)
    assert clock.monotonic() < 5
    assert spec(api)["holderIdentity"] == "thief"


async def test_a_lease_that_was_deleted_is_made_anew(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")
    await clock.advance(1)
    api.remove(LEASES, LEASE)
    await clock.advance(10)
    assert (first.acting, spec(api)["holderIdentity"]) == (True, "a")
    await first.stop()


async def test_a_deleted_lease_is_not_taken_over_before_its_leader_can_know(api: FakeApi) -> None:
    clock = VirtualClock()
    first = Candidate(api, clock, "a")
    await clock.settle()
    second = Candidate(api, clock, "b")
    for _ in range(8):
        await clock.advance(7)
        api.remove(LEASES, LEASE)
    await clock.advance(7)
    assert (second.terms, spec(api)["holderIdentity"]) == ([], "a")
    assert first.acting
    await second.stop()
    await first.stop()


async def test_two_that_start_together_elect_one(api: FakeApi) -> None:
    clock = VirtualClock()
    both = [Candidate(api, clock, name) for name in ("a", "b")]
    await clock.advance(30)
    assert sorted(each.acting for each in both) == [False, True]
    for each in both:
        await each.stop()


class Skewed:
    """Somebody else's clock: another time of day, and a little fast or slow."""

    def __init__(self, clock: VirtualClock, offset: float, rate: float) -> None:
        self._clock = clock
        self._offset = offset
        self._rate = rate

    def now(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._offset)

    def monotonic(self) -> float:
        return self._clock.monotonic() * self._rate + self._offset

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds / self._rate)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([-86400.0, 0.0, 3600.0]), st.sampled_from([0.9, 1.0, 1.2])), min_size=2, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.floats(0.5, 40.0), st.floats(1.0, 40.0)), max_size=6),
)
def test_two_never_lead_at_once(clocks: list[tuple[float, float]], outages: list[tuple[int, float, float]]) -> None:
    """Each candidate has a clock of its own; in an outage one of them reaches the server no more for a while."""

    async def scenario() -> None:
        clock = VirtualClock()
        server = FakeApi(LEASES)
        acting: list[str] = []
        cut_off: set[int] = set()

        class Link:
            """One candidate's connection."""

            def __init__(self, index: int) -> None:
                self._index = index

            async def request(self, *args: Any, **options: Any) -> Response:
                if self._index in cut_off:
                    raise lost()
                return await server.request(*args, **options)

            stream = server.stream
            close = server.close

        async def candidate(index: int, offset: float, rate: float) -> None:
            own = Skewed(clock, offset, rate)
            name = str(index)

            async def lead() -> None:
                assert acting == []
                acting.append(name)
                try:
                    await clock.sleep(1e9)
                finally:
                    acting.remove(name)

            while True:
                client = Client(Link(index), clock=own, random=seeded(index))
                elector = LeaderElector(client, namespace="sys", name="op", identity=name, clock=own, random=seeded(index))
                try:
                    await elector.run(lead)
                except LeadershipLost:
                    continue

        tasks = [asyncio.create_task(candidate(index, *each)) for index, each in enumerate(clocks)]
        for index, before, length in outages:
            await clock.advance(before)
            cut_off.add(index)
            await clock.advance(length)
            cut_off.clear()
        await clock.advance(60)
        assert len(acting) == 1
        for task in tasks:
            task.cancel()
        done, _ = await asyncio.wait(tasks)
        assert all(task.cancelled() for task in done), [task.exception() for task in done if not task.cancelled()]

    asyncio.run(scenario())


@pytest.mark.parametrize("times", [(10.0, 10.0, 2.0), (15.0, 2.0, 2.0), (15.0, 10.0, 0.0)])
async def test_times_that_make_no_sense_are_refused(api: FakeApi, times: tuple[float, float, float]) -> None:
    clock = VirtualClock()
    duration, deadline, retry = times
    make: Callable[..., LeaderElector] = LeaderElector
    with pytest.raises(ValueError, match="is needed"):
        make(
            Client(api, clock=clock),
            namespace="sys",
            name="op",
            identity="a",
            clock=clock,
            random=seeded(),
            lease_duration=duration,
            renew_deadline=deadline,
            retry_period=retry,
        )


async def test_a_candidate_that_cannot_reach_the_server_keeps_trying(api: FakeApi) -> None:
    clock = VirtualClock()
    api.fail(lost(), times=40, when=lambda seen: isinstance(seen, Seen))
    first = Candidate(api, clock, "a")
    await clock.run_until(lambda: first.acting)
    assert clock.monotonic() < 60
    await first.stop()
