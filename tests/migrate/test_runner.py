"""The runner against the API server, on virtual time: what it records, and that killing it changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cozystack.api.meta import Key
from cozystack.api.resources import CONFIG_MAPS, PACKAGES, untyped
from cozystack.kube import Client
from cozystack.migrate.access import Cluster
from cozystack.migrate.changes import Plan
from cozystack.migrate.runner import CannotGoOn, Failed, Superseded
from cozystack.migrate.step import ModuleStep
from cozystack.planner.ledger import Baseline, Record, StepId, ledger_key, version_key
from support.migrations import MAPS, NAMESPACE, TALLY, World, failing, step

THREE = [step(56), step(57), step(58)]


async def test_steps_run_in_order_and_are_recorded(world: World) -> None:
    await world.start("56")
    report = await world.run(THREE, 59)
    assert (report.version, [str(each) for each in report.ran]) == (59, ["56 step-56", "57 step-57", "58 step-58"])
    assert report.left == ["look at step-56", "look at step-57", "look at step-58"]
    assert await world.version() == "59"
    assert list(await world.tally()) == [f"step-{number}.{half}" for number in (56, 57, 58) for half in "ab"]
    ledger = await world.ledger()
    assert ledger is not None
    assert ledger.baseline == Baseline(56, "found", "2026-01-01T00:00:00Z")
    assert ledger.records[StepId(56, "step-56")] == Record(
        "done",
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:00:00Z",
        by="1.0",
        digest="sha256:1",
        way_back="It stays.",
        changed=("changed ConfigMap cozy-system/tally", "changed ConfigMap cozy-system/tally"),
        left=("look at step-56",),
    )


async def test_a_new_cluster_gets_the_target_and_nothing_runs(world: World) -> None:
    await world.start()
    report = await world.run(THREE, 59)
    assert (report.version, report.ran, await world.version(), await world.tally()) == (59, [], "59", {})
    ledger = await world.ledger()
    assert ledger is not None
    assert (ledger.baseline.number, ledger.baseline.why) == (59, "fresh")
    for key in (version_key(), ledger_key()):
        metadata = (await world.client.get(CONFIG_MAPS, key)).metadata
        assert metadata.labels == {"platform.cozystack.io/no-delete": "true"}
        assert metadata.annotations == {"helm.sh/resource-policy": "keep"}


async def test_running_again_does_nothing(world: World) -> None:
    await world.start("56")
    await world.run(THREE, 59)
    before = (await world.tally(), await world.ledger())
    report = await world.run(THREE, 59)
    assert (report.ran, (await world.tally(), await world.ledger())) == ([], before)


async def test_what_others_put_into_the_version_stays(world: World) -> None:
    await world.start("56")
    await world.client.patch(MAPS, version_key(), {"metadata": {"labels": {"acme": "x"}}, "data": {"note": "ours"}})
    await world.run(THREE, 59)
    found = await world.client.get(CONFIG_MAPS, version_key())
    assert (found.metadata.labels, found.data) == ({"acme": "x"}, {"note": "ours", "version": "59"})


async def test_a_step_that_fails_is_recorded_and_stops_the_rest(world: World) -> None:
    await world.start("56")
    with pytest.raises(Failed) as error:
        await world.run([step(56), failing(57), step(58)], 59)
    assert str(error.value) == "step 57 step-57 failed: RuntimeError: the disk is full"
    assert await world.version() == "57"
    assert await world.outcomes() == {"56 step-56": "done", "57 step-57": "failed"}
    ledger = await world.ledger()
    assert ledger is not None
    record = ledger.records[StepId(57, "step-57")]
    assert (record.attempts, record.error) == (1, "RuntimeError: the disk is full")
    assert record.changed == ("changed ConfigMap cozy-system/tally",)


async def test_after_its_repair_a_failed_step_goes_on_and_what_was_done_is_not_done_again(world: World) -> None:
    await world.start("56")
    with pytest.raises(Failed):
        await world.run([step(56), failing(57), step(58)], 59)
    report = await world.run(THREE, 59)
    assert [str(each) for each in report.ran] == ["57 step-57", "58 step-58"]
    ledger = await world.ledger()
    assert ledger is not None
    assert {str(each): record.attempts for each, record in ledger.records.items()} == {
        "56 step-56": 1,
        "57 step-57": 2,
        "58 step-58": 1,
    }


async def test_a_step_that_says_it_is_done_and_is_not_has_failed(world: World) -> None:
    """packages-M1."""

    async def run(_cluster: Cluster) -> None:
        return

    await world.start("56")
    idle = replace(step(56), run_function=run)
    with pytest.raises(Failed, match="it ended, and there is still to do: patch ConfigMap cozy-system/tally"):
        await world.run([idle], 57)
    assert await world.version() == "56"


async def test_a_step_that_never_settles_has_failed(world: World) -> None:
    async def plan(cluster: Cluster) -> Plan:
        found = await step(56).plan(cluster)
        return Plan(found.changes or (await step(99).plan(cluster)).changes or [never])

    await world.start("56", **{"step-56.a": "", "step-56.b": "", "step-99.a": ""})
    restless = replace(step(56), plan_function=plan)
    cluster = Cluster(world.client, restless.accesses, NAMESPACE, world.clock)
    never = replace((await step(99).plan(cluster)).changes[0], body={"data": {"again": "x"}})
    with pytest.raises(Failed, match="after 20 rounds there is still to do"):
        await world.run([restless], 57)


async def test_a_step_does_only_what_it_declares(world: World) -> None:
    async def plan(cluster: Cluster) -> Plan:
        await cluster.delete(MAPS, Key(NAMESPACE, "cozystack-version"))
        return Plan()

    await world.start("56")
    with pytest.raises(Failed, match="step 56 step-56 does not declare that it may delete configmaps cozy-system/cozystack-v"):
        await world.run([replace(step(56), plan_function=plan)], 57)
    assert await world.version() == "56"


async def test_two_runners_never_run_at_once(world: World) -> None:
    """The second waits for the Lease of the first, which has died, and then does the rest."""
    await world.start("56")
    assert await world.run_until_death(THREE, 59, 12, answered=True)
    began = world.clock.monotonic()
    await world.run(THREE, 59)
    assert 15.0 <= world.clock.monotonic() - began < 20.0
    assert await world.version() == "59"


@pytest.mark.parametrize("answered", [False, True])
async def test_killed_at_any_request_it_ends_in_the_same_state(answered: bool) -> None:
    undisturbed = World()
    await undisturbed.start("56")
    await undisturbed.run(THREE, 59)
    expected = (await undisturbed.version(), await undisturbed.tally(), await undisturbed.outcomes())
    dies_at, died = 0, True
    while died:
        dies_at += 1
        world = World()
        await world.start("56")
        died = await world.run_until_death(THREE, 59, dies_at, answered=answered)
        await world.run(THREE, 59)
        assert (await world.version(), await world.tally(), await world.outcomes()) == expected, dies_at
    assert dies_at > 50


async def test_killed_again_and_again_it_still_ends(world: World) -> None:
    await world.start("56")
    dies_at = 6
    while await world.run_until_death(THREE, 59, dies_at, answered=True):
        dies_at += 1
    assert (await world.version(), len(await world.tally())) == ("59", 6)


async def test_one_that_lost_its_lease_unnoticed_writes_over_nothing(world: World) -> None:
    """Its successor has begun the step again while it was standing still."""

    async def run(cluster: Cluster) -> None:
        await world.client.patch(
            MAPS, ledger_key(), {"data": {"0056.step-56": "outcome: running\nattempts: 7\nstarted: 2026-01-01T01:00:00Z\n"}}
        )

    await world.start("56", **{"step-56.a": "", "step-56.b": ""})
    with pytest.raises(Superseded):
        await world.run([replace(step(56), run_function=run)], 57)
    ledger = await world.ledger()
    assert ledger is not None
    assert ledger.records[StepId(56, "step-56")].attempts == 7


async def test_a_note_that_a_person_adds_to_the_ledger_meanwhile_is_no_reason_to_fail(world: World) -> None:
    async def run(_cluster: Cluster) -> None:
        await world.client.patch(MAPS, ledger_key(), {"metadata": {"annotations": {"seen-by": "me"}}})

    await world.start("56", **{"step-56.a": "", "step-56.b": ""})
    await world.run([replace(step(56), run_function=run)], 57)
    assert await world.outcomes() == {"56 step-56": "done"}


async def test_a_version_that_somebody_keeps_lowering_ends_with_a_sentence(world: World) -> None:
    await world.start("56")

    class Meddler(Client):
        async def patch(self, resource, key, patch, **options):  # type: ignore[no-untyped-def]
            found = await super().patch(resource, key, patch, **options)
            if key == version_key():
                await world.set_version("56")
            return found

    meddler = Meddler(world.client.transport, clock=world.clock)
    with pytest.raises(CannotGoOn, match="somebody else keeps writing a version below 57"):
        await world.runner([step(56)], 57, client=meddler).run()


async def test_a_ledger_that_cannot_be_read_is_not_written_over(world: World) -> None:
    await world.start("56")
    await world.run([step(56)], 57)
    await world.client.patch(MAPS, ledger_key(), {"data": {"0056.step-56": "outcome: maybe"}})
    with pytest.raises(CannotGoOn, match=r'the ledger\'s key "0056.step-56" cannot be read'):
        await world.run(THREE, 59)


async def test_a_lost_version_of_an_installation_is_noticed(world: World) -> None:
    """packages-M4: not taken for a fresh cluster."""
    await world.start()
    crd = {
        "metadata": {"name": "packages.cozystack.io"},
        "spec": {
            "group": "cozystack.io",
            "scope": "Cluster",
            "names": {"kind": "Package", "plural": "packages", "singular": "package", "listKind": "PackageList"},
            "versions": [
                {
                    "name": "v1alpha1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }
    await world.create(
        "CustomResourceDefinition", "customresourcedefinitions", crd, group="apiextensions.k8s.io", namespaced=False
    )
    metadata = {
        "name": "cozystack.reloader",
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "cozystack-platform"},
    }
    plain = untyped(PACKAGES.group, PACKAGES.version, PACKAGES.kind, PACKAGES.plural, namespaced=False)
    await world.client.create(plain, {"apiVersion": "cozystack.io/v1alpha1", "kind": "Package", "metadata": metadata})
    with pytest.raises(CannotGoOn, match="is gone, and so is the ledger, though the platform is installed"):
        await world.run(THREE, 59)
    assert (await world.version(), await world.tally()) == (None, {})


async def test_a_step_that_was_passed_over_runs_though_the_version_is_above_it(world: World) -> None:
    """packages-M3."""
    await world.start("56")
    await world.run([step(56), step(57, "backport")], 58)
    report = await world.run(THREE, 59)
    assert [str(each) for each in report.ran] == ["57 step-57", "58 step-58"]
    assert await world.version() == "59"


async def test_an_older_release_does_not_lower_the_version(world: World) -> None:
    await world.start("56")
    await world.run(THREE, 59)
    report = await world.run(THREE[:1], 57)
    assert (report.version, report.ran, await world.version()) == (59, [], "59")


async def test_an_object_that_changed_since_it_was_looked_at_is_looked_at_again(world: World) -> None:
    await world.start("56")
    whole = step(56)
    meddled: list[int] = []

    async def plan(cluster: Cluster) -> Plan:
        found = await whole.plan(cluster)
        if found.changes and len(meddled) < 3:
            meddled.append(1)
            await world.client.patch(MAPS, TALLY, {"data": {"other": str(len(meddled))}})
        return found

    await world.run([ModuleStep(whole.id, "", None, whole.accesses, "", plan, None)], 57)
    assert await world.tally() == {"other": "3", "step-56.a": "done", "step-56.b": "done"}
