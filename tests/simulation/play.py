"""A platform that is edited, broken and restarted at random, by a seed; then left alone, it must come to what its objects say.

One run is a function of its seed: the real operator and API server, a model of Flux, virtual time, one source of randomness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from random import Random
from typing import Any

from cozystack.api import names
from cozystack.api.meta import Key
from cozystack.api.resources import (
    ARTIFACT_GENERATORS,
    CONFIG_MAPS,
    EXTERNAL_ARTIFACTS,
    HELM_RELEASES,
    LEASES,
    NAMESPACES,
    PACKAGE_SOURCES,
    PACKAGES,
    SECRETS,
    Resource,
)
from cozystack.kube import Client
from cozystack.kube.client import Propagation
from cozystack.kube.errors import ApiError
from cozystack.operator.flags import read_options
from cozystack.operator.handback import hand_back
from cozystack.operator.main import LEASE, Operator
from cozystack.runtime import LeaderElector, LeadershipLost, Log
from simulation.network import Faults, FaultyWire, Sent, Skewed
from simulation.watchdog import Watchdog, path_to
from support.operator import (
    VERSION,
    Obj,
    Wire,
    World,
    component,
    condition_of,
    json_of,
    key,
    observed,
    path_of,
    plain,
    source,
)

FOREIGN = "elsewhere/foreign"
FLUX_FINALIZER, USERS_FINALIZER = "finalizers.fluxcd.io", "example.org/hold"
WATCHES = 9
"""How many watches an operator has open when it follows everything."""


class Process:
    """One process of the operator: on its own clock, behind its own line, a candidate for the lease where there is one."""

    def __init__(self, name: str, simulation: Simulation, *, elected: bool) -> None:
        self.name = name
        world, random = simulation.world, simulation.random
        clock = Skewed(world.clock, random.choice((0.0, 0.0, 7.0, -45.0, 3600.0)), random.choice((1.0, 1.0, 0.95, 1.05)))
        self.wire = FaultyWire(world.server, simulation.faults, world.clock, simulation.judge(self), lambda: self.leads)
        client = Client(self.wire, clock=clock, random=Random(random.getrandbits(32)))  # noqa: S311
        self.elector: LeaderElector | None = None
        if elected:
            self.elector = elector = LeaderElector(
                client,
                namespace=names.SYSTEM_NAMESPACE,
                name=LEASE,
                identity=name,
                clock=clock,
                random=Random(random.getrandbits(32)),  # noqa: S311
                # Four times the usual, so that a thousand seconds of nothing to do are not a thousand renewals.
                lease_duration=60,
                renew_deadline=40,
                retry_period=10,
            )
            client = client.fenced(lambda: elector.leading)
        self.operator = Operator(
            client,
            read_options((), {}),
            {"COZYSTACK_VERSION": VERSION},
            clock=clock,
            log=Log("cozystack.operator"),
            random=Random(random.getrandbits(32)),  # noqa: S311
        )
        run = self.operator.run if self.elector is None else partial(self.elector.run, self.operator.run)
        self.running = world.running(self.operator, self.wire, asyncio.ensure_future(run()))

    @property
    def ended(self) -> bool:
        return self.running.task.done()

    @property
    def busy(self) -> bool:
        """A reconcile is under way, if only waiting for an answer."""
        if self.ended or not self.wire.streams:
            return False
        controllers = (self.operator._packages, self.operator._sources, self.operator._namespaces)
        return any(controller.running for controller in controllers)

    @property
    def leads(self) -> bool:
        if self.wire.dead or self.ended:
            return False
        return self.elector is None or self.elector.leading


class Simulation:
    """One run. ``log`` holds what was done, in order."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311
        self.world = World()
        self.faults = Faults(self.random)
        self.watchdog = Watchdog(self.world.server)
        self.sources: dict[str, Obj] = {}
        self.packages: dict[str, Obj] = {}
        self.orphaned: set[str] = set()
        """Packages of which somebody wanted the releases to stay."""
        self.log: list[str] = []
        self.elected = False
        self.processes: list[Process] = []
        self._started = 0
        self._failed: set[str] = set()

    # The play

    async def play(self, steps: int) -> None:
        """Found a platform and let ``steps`` things happen to it."""
        await self.found()
        self.elected = self.random.random() < 0.3
        self._start()
        if self.elected:
            self._start()
        for number in range(self.random.randint(2, 6)):
            await self.add(f"acme.p{number}")
        for _ in range(steps):
            await self._step()
            await self._pass(self.random.choice((0.0, 0.0, 0.5, 3.0, 40.0)))
            if self.random.random() < 0.6:
                await self._flux()
        await self.calm_down()

    async def found(self) -> None:
        """A cluster in which packages can be installed; copies of the values are known by the label that they share."""
        await self.world.furnish()
        labels = {"metadata": {"labels": {"reconcile.fluxcd.io/watch": "Enabled"}}}
        await self.world.edit(SECRETS, f"{names.SYSTEM_NAMESPACE}/{names.VALUES_SECRET}", labels)
        await self._plant_foreign()

    async def calm_down(self) -> None:
        """Nothing goes wrong any more, and nobody stands in the way."""
        self.log.append("faults end")
        self.faults.end()
        self._replace_the_dead()
        await self._let_go()
        await self._fill_gaps()

    async def _pass(self, seconds: float) -> None:
        await self.world.settle(seconds)
        self.watchdog.look_after_foreign()
        self._replace_the_dead()
        if self.faults.calm and any(self._follows(process) for process in self.processes):
            self.watchdog.in_step()

    def _follows(self, process: Process) -> bool:
        """It leads, has seen everything, and has nothing left to do at this moment."""
        return process.leads and len(process.wire.streams) == WATCHES and not process.busy

    def judge(self, process: Process) -> Callable[[Sent], None]:
        """The watchdog for a process."""

        def look(sent: Sent) -> None:
            others = [each.name for each in self.processes if each is not process and each.leads]
            self.watchdog.look(process.name, sent, others)

        return look

    async def _fill_gaps(self) -> None:
        """Make again what others depend on: behind a gap, what runs stays, and what never ran is not made."""
        await self.rest()
        needed = {each for name in self.packages for each in self.sources[name]["spec"]["variants"][0]["dependsOn"]}
        while gaps := needed - self.packages.keys():
            for name in sorted(gaps):
                self.packages[name] = plain("cozystack.io/v1alpha1", "Package", name, spec={})
                await self._put(self.packages[name], f"package {name}, which others need")
                needed |= set(self.sources[name]["spec"]["variants"][0]["dependsOn"])

    async def rest(self) -> None:
        """Let everything happen that is still to happen; fails when it never ends."""
        for _ in range(60):
            before = self.writes
            await self._pass(310)
            worked = await self._flux()
            await self._pass(0)
            if not worked and self.writes == before:
                return
        raise AssertionError("it never comes to rest:\n" + "\n".join(self.log))

    @property
    def writes(self) -> list[str]:
        """What the operators wrote, Events and Leases apart."""
        return [line for process in self.processes for line in process.wire.writes if "/leases" not in line]

    async def close(self) -> None:
        await self.world.close()

    async def _step(self) -> None:
        actions = (
            (self._edit_values, 4),
            (self._toggle_component, 3),
            (self._delete_package, 2),
            (self._add_again, 3),
            (self._change_dependencies, 2),
            (self._delete_source, 1),
            (self._pause, 1),
            (self._hold_package, 1),
            (self._suspend_release, 1),
            (self._meddle_with_release, 2),
            (self._meddle_with_namespace, 1),
            (self._meddle_with_copy, 1),
            (self._usurp_release, 1),
            (self._new_charts, 2),
            (self._fail_release, 1),
            (self._lose_last_word, 1),
            (self.restart, 2),
            (self._kill, 2),
            (self._end_somewhere, 3),
            (self._lose_lease, 1),
            (self._hand_over, 1),
            (self._restore, 1),
            (self._storm, 3),
        )
        action = self.random.choices([each for each, _ in actions], [weight for _, weight in actions])[0]
        await action()

    async def _flux(self) -> bool:
        """One round of Flux; whether there was anything to do."""
        world = self.world
        worked = await world.flux.work()
        for name in await world.names(HELM_RELEASES):
            release = await world.get(HELM_RELEASES, name)
            finalizers = release["metadata"].get("finalizers", [])
            if release["metadata"].get("deletionTimestamp"):
                kept = [each for each in finalizers if each != FLUX_FINALIZER]
                await world.edit(HELM_RELEASES, name, {"metadata": {"finalizers": kept}})
                worked = True
                continue
            if observed(release) and FLUX_FINALIZER not in finalizers:
                await world.edit(HELM_RELEASES, name, {"metadata": {"finalizers": [*finalizers, FLUX_FINALIZER]}})
                worked = True
            chart = f"{names.SYSTEM_NAMESPACE}/{release['spec']['chartRef']['name']}"
            if observed(release) and await world.exists(EXTERNAL_ARTIFACTS, chart):
                artifact = (await world.get(EXTERNAL_ARTIFACTS, chart)).get("status", {}).get("artifact", {})
                if artifact.get("digest") != release["status"].get("lastAttemptedRevisionDigest"):
                    await world.flux.deploy(name)
                    worked = True
        await world.settle()
        return worked

    # What users do

    async def add(self, name: str) -> None:
        number = len(self.sources)
        components = [
            component(f"{name[5:]}-{letter}", self.random.choice((f"ns-{number}", "shared")), **self._install(index, name))
            for index, letter in enumerate("ab"[: self.random.randint(1, 2)])
        ]
        self.sources[name] = source(name, *components, depends_on=self._some_dependencies(name))
        self.packages[name] = plain("cozystack.io/v1alpha1", "Package", name, spec={})
        await self._put(self.sources[name], f"source {name}")
        await self._put(self.packages[name], f"package {name}")

    def _install(self, index: int, name: str) -> Obj:
        install: Obj = {"privileged": True} if self.random.random() < 0.2 else {}
        return {**install, "dependsOn": [f"{name[5:]}-a"]} if index else install

    def _some_dependencies(self, name: str) -> list[str]:
        # Packages of a loop keep what they had before it closed, so what they come to depends on how they got there.
        others = [each for each in self.sources if each < name]
        return self.random.sample(others, k=min(len(others), self.random.randint(0, 2)))

    async def _put(self, obj: Obj, what: str) -> None:
        self.log.append(f"apply {what}")
        await self.world.put(obj)

    def _any(self) -> str | None:
        return self.random.choice(sorted(self.packages)) if self.packages else None

    async def _edit_values(self) -> None:
        name = self._any()
        if name is not None:
            chart = self.random.choice(self.sources[name]["spec"]["variants"][0]["components"])["name"]
            overrides = self.packages[name]["spec"].setdefault("components", {}).setdefault(chart, {})
            overrides["values"] = {"size": self.random.randint(1, 9)}
            await self._put(self.packages[name], f"values of {name}")

    async def _toggle_component(self) -> None:
        name = self._any()
        if name is not None:
            chart = self.random.choice(self.sources[name]["spec"]["variants"][0]["components"])["name"]
            overrides = self.packages[name]["spec"].setdefault("components", {}).setdefault(chart, {})
            overrides["enabled"] = not overrides.get("enabled", True)
            await self._put(self.packages[name], f"{name}/{chart} enabled={overrides['enabled']}")

    async def _delete_package(self) -> None:
        name = self._any()
        if name is None:
            return
        del self.packages[name]
        how: Propagation = self.random.choice(("Background", "Background", "Foreground", "Orphan"))
        self.log.append(f"delete package {name}, {how}")
        if how == "Orphan":
            self.orphaned.add(name)
        try:
            await self.world.client.delete(PACKAGES, key(name), propagation=how)
        except ApiError:
            self.log.append(f"  {name} was not there")

    async def _add_again(self) -> None:
        gone = sorted(self.sources.keys() - self.packages.keys())
        if gone:
            name = self.random.choice(gone)
            # One that is still on its way out cannot be made anew; a user would try again, and so does a later step.
            if not await self.world.exists(PACKAGES, name):
                self.packages[name] = plain("cozystack.io/v1alpha1", "Package", name, spec={})
                await self._put(self.sources[name], f"source {name}")
                await self._put(self.packages[name], f"package {name} again")

    async def _change_dependencies(self) -> None:
        name = self._any()
        if name is not None:
            self.sources[name]["spec"]["variants"][0]["dependsOn"] = self._some_dependencies(name)
            await self._put(self.sources[name], f"{name} depends on {self.sources[name]['spec']['variants'][0]['dependsOn']}")

    async def _delete_source(self) -> None:
        name = self._any()
        if name is not None:
            self.log.append(f"delete source {name} for a while")
            await self._delete(PACKAGE_SOURCES, name)
            await self.world.settle(self.random.choice((0.0, 5.0)))
            await self._put(self.sources[name], f"source {name}")

    async def _delete(self, resource: Any, name: str) -> None:
        try:
            await self.world.delete(resource, name)
        except ApiError:
            self.log.append(f"  {name} was not there")

    async def _new_charts(self) -> None:
        name = self._any()
        if name is not None and await self.world.exists(ARTIFACT_GENERATORS, f"{names.SYSTEM_NAMESPACE}/{name}"):
            self.log.append(f"new charts for {name}")
            await self.world.flux.build(name, content=str(self.random.randint(1, 99)))

    async def _pause(self) -> None:
        name = self._any()
        if name is not None:
            paused = self.random.random() < 0.5
            self.log.append(f"pause {name}" if paused else f"resume {name}")
            await self.world.edit(
                PACKAGES, name, {"metadata": {"annotations": {names.PAUSED_ANNOTATION: "true" if paused else None}}}
            )

    async def _hold_package(self) -> None:
        """Somebody's finalizer: the Package stays for a while after it was deleted."""
        name = self._any()
        if name is not None:
            live = await self.world.get(PACKAGES, name)
            finalizers = [*live["metadata"].get("finalizers", []), USERS_FINALIZER]
            if len(set(finalizers)) == len(finalizers):
                self.log.append(f"somebody holds {name}")
                await self.world.edit(PACKAGES, name, {"metadata": {"finalizers": finalizers}})

    async def _suspend_release(self) -> None:
        name = await self._release()
        if name is not None:
            suspended = self.random.random() < 0.6
            self.log.append(f"suspend {name}" if suspended else f"take up {name}")
            await self.world.edit(HELM_RELEASES, name, {"spec": {"suspend": True if suspended else None}})

    async def _let_go(self) -> None:
        """What people hold, pause, suspend or have taken, they give back."""
        for obj in (await self.world.client.list(json_of(PACKAGES))).items:
            metadata = obj["metadata"]
            name = metadata["name"]
            if names.PAUSED_ANNOTATION in metadata.get("annotations", {}):
                await self.world.edit(PACKAGES, name, {"metadata": {"annotations": {names.PAUSED_ANNOTATION: None}}})
            if USERS_FINALIZER in metadata.get("finalizers", ()):
                kept = [each for each in metadata["finalizers"] if each != USERS_FINALIZER]
                await self.world.edit(PACKAGES, name, {"metadata": {"finalizers": kept}})
        for obj in (await self.world.client.list(json_of(HELM_RELEASES))).items:
            if obj["spec"].get("suspend"):
                await self.world.edit(HELM_RELEASES, path_of(obj), {"spec": {"suspend": None}})
            if path_to(HELM_RELEASES, obj) in self.watchdog.foreign and path_of(obj) != FOREIGN:
                self.log.append(f"the release {path_of(obj)} of somebody else goes")
                self.watchdog.foreign.discard(path_to(HELM_RELEASES, obj))
                await self._delete(HELM_RELEASES, path_of(obj))

    async def _release(self) -> str | None:
        """A release of ours."""
        foreign = self.watchdog.foreign
        found = [
            path_of(obj)
            for obj in (await self.world.client.list(json_of(HELM_RELEASES))).items
            if path_to(HELM_RELEASES, obj) not in foreign
        ]
        return self.random.choice(sorted(found)) if found else None

    # What goes wrong

    async def _meddle_with_release(self) -> None:
        name = await self._release()
        if name is not None:
            if self.random.random() < 0.5:
                self.log.append(f"somebody deletes release {name}")
                await self._delete(HELM_RELEASES, name)
            else:
                self.log.append(f"somebody edits release {name}")
                await self.world.edit(HELM_RELEASES, name, {"spec": {"interval": "9m0s"}})

    async def _usurp_release(self) -> None:
        """Somebody makes a release of a name that a Package wants."""
        name = self._any()
        # Between the moment at which an operator finds no release and the one at which it makes it, nothing can protect it.
        if name is None or any(process.busy for process in self.processes):
            return
        first = self.sources[name]["spec"]["variants"][0]["components"][0]
        obj = await self._foreign_release(first["name"], first["install"]["namespace"])
        if obj is not None:
            self.log.append(f"somebody makes the release {path_of(obj)}")

    async def _meddle_with_copy(self) -> None:
        copies = [each for each in await self.world.names(SECRETS) if not each.startswith(names.SYSTEM_NAMESPACE)]
        if copies:
            name = self.random.choice(copies)
            self.log.append(f"somebody edits or deletes {name}")
            if self.random.random() < 0.5:
                await self._delete(SECRETS, name)
            else:
                await self.world.edit(SECRETS, name, {"data": {"stray": "eA==", names.VALUES_KEY: "eQ=="}})

    async def _meddle_with_namespace(self) -> None:
        self.log.append("somebody takes labels off a namespace")
        if await self.world.exists(NAMESPACES, "shared"):
            await self.world.edit(NAMESPACES, "shared", {"metadata": {"labels": {names.SYSTEM_LABEL: None}}})

    async def _fail_release(self) -> None:
        name = await self._release()
        if name is not None:
            self.log.append(f"release {name} fails")
            await self.world.flux.fail(name)

    async def _lose_last_word(self) -> None:
        """source-watcher builds everything and loses the write that says so."""
        generators = await self.world.names(ARTIFACT_GENERATORS)
        if generators:
            name = key(self.random.choice(generators)).name
            self.log.append(f"the last word about the charts of {name} is lost")
            await self.world.flux.lose(name)

    async def _storm(self) -> None:
        self.faults.rate = self.random.choice((0.0, 0.0, 0.05, 0.3))
        self.faults.slow = self.random.choice((0.0, 0.0, 0.05, 4.0))
        self.faults.lag = self.random.choice((0.0, 0.0, 0.2, 8.0))
        self.log.append(f"faults: {self.faults.rate:.0%} of requests, slow {self.faults.slow} s, lag {self.faults.lag} s")

    # What happens to the operator

    async def restart(self) -> None:
        self.log.append("operator restarts")
        for process in self.processes:
            if not process.ended:
                await process.running.stop()
        self._replace_the_dead()

    async def _kill(self) -> None:
        """One is gone at this moment, and stays away until the next that is ended."""
        for process in self.processes:
            if not process.ended:
                self.log.append(f"{process.name} is killed")
                await process.running.kill()
                return

    async def _end_somewhere(self) -> None:
        """One is killed, or told to stop, at any point at which it waits for something."""
        await self._step()
        if self.random.random() < 0.5:
            await self._flux_begins()
        points = self.random.randint(0, 60)
        for _ in range(points):
            await asyncio.sleep(0)
        living = [process for process in self.processes if not process.ended]
        if living:
            process = self.random.choice(living)
            killed = self.random.random() < 0.7
            self.log.append(f"{process.name} is {'killed' if killed else 'stopped'} {points} points later")
            await (process.running.kill() if killed else process.running.stop())

    async def _flux_begins(self) -> None:
        """Flux works, and the operator has not heard of it yet."""
        await self.world.flux.work()

    async def _lose_lease(self) -> None:
        """Somebody else writes himself into the Lease."""
        if not self.elected:
            return
        record = {"holderIdentity": "a stranger", "leaseDurationSeconds": 30}
        self.log.append("a stranger takes the lease")
        try:
            await self.world.edit(LEASES, f"{names.SYSTEM_NAMESPACE}/{LEASE}", {"spec": record})
        except ApiError:
            self.log.append("  there was none")

    async def _hand_over(self) -> None:
        """To the original operator and back: it writes whole objects, and knows nothing of what is ours alone."""
        self.log.append("handed over to the original operator, and back")
        for process in self.processes:
            if not process.ended:
                await process.running.stop()
        await self._delete(LEASES, f"{names.SYSTEM_NAMESPACE}/{LEASE}")
        world = self.world
        client = world.connect(Wire(world.server))
        lease = Key(names.SYSTEM_NAMESPACE, LEASE)
        handing = hand_back(client, clock=world.clock, lease=lease, secret=names.VALUES_SECRET, seconds=60)
        await world.clock.run(handing)
        as_the_original_wrote_it(world)
        await world.settle()
        self._replace_the_dead()

    async def _restore(self) -> None:
        """The cluster is restored from a backup: everything is there again, Packages and sources under new UIDs."""
        self.log.append("restored from a backup")
        for process in self.processes:
            if not process.ended:
                await process.running.kill()
        renew_uids(self.world, self.random)
        self._replace_the_dead()

    def _replace_the_dead(self) -> None:
        """Start anew what has ended, as a kubelet does; by itself a process ends only when it lost the lease."""
        for process in self.processes:
            task = process.running.task
            failed = task.exception() if task.done() and not task.cancelled() else None
            if failed is not None and not isinstance(failed, LeadershipLost) and process.name not in self._failed:
                self._failed.add(process.name)
                self.watchdog.broken.append(f"{process.name} ended by itself: {failed!r}")
        living = [process for process in self.processes if not process.ended]
        for _ in range(len(living), 2 if self.elected else 1):
            self._start()

    def _start(self) -> None:
        self._started += 1
        process = Process(f"operator-{self._started}", self, elected=self.elected)
        self.log.append(f"{process.name} starts")
        self.processes.append(process)

    # What belongs to somebody else

    async def _plant_foreign(self) -> None:
        """A release with a copied label that belongs to somebody else."""
        await self.world.put(plain("v1", "Namespace", "elsewhere"))
        await self._foreign_release("foreign", "elsewhere", labels={names.PACKAGE_LABEL: "acme.p0"})

    async def _foreign_release(self, name: str, namespace: str, **metadata: Any) -> Obj | None:
        """Somebody makes a release, if there is none of that name."""
        world = self.world
        if not await world.exists(NAMESPACES, namespace) or await world.exists(HELM_RELEASES, f"{namespace}/{name}"):
            return None
        await world.put(plain("v1", "ConfigMap", "owner", namespace))
        owner = await world.get(CONFIG_MAPS, f"{namespace}/owner")
        chart = {"kind": "ExternalArtifact", "name": "x", "namespace": names.SYSTEM_NAMESPACE}
        spec = {"interval": "5m", "chartRef": chart}
        foreign = plain("helm.toolkit.fluxcd.io/v2", "HelmRelease", name, namespace, spec=spec, **metadata)
        foreign["metadata"]["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"], "controller": True}
        ]
        await world.put(foreign)
        self.watchdog.foreign.add(path_to(HELM_RELEASES, foreign))
        return foreign

    # What came of it

    async def outcome(self) -> dict[str, Any]:
        """What the platform is, without what depends on how it got there: specs, labels, owners, readiness."""
        found: dict[str, Any] = {}
        resource: Resource[Any]
        for resource in (PACKAGES, PACKAGE_SOURCES, ARTIFACT_GENERATORS, HELM_RELEASES):
            for obj in (await self.world.client.list(json_of(resource))).items:
                metadata = obj["metadata"]
                owners = [(each["kind"], each["name"]) for each in metadata.get("ownerReferences", ())]
                ready = condition_of(obj.get("status", {}), "Ready")
                spec = {name: value for name, value in obj.get("spec", {}).items() if (name, value) != ("suspend", False)}
                found[f"{resource.kind} {path_of(obj)}"] = (spec, metadata.get("labels"), owners, ready)
        for resource in (NAMESPACES, SECRETS):
            for obj in (await self.world.client.list(json_of(resource))).items:
                found[f"{resource.kind} {path_of(obj)}"] = (obj["metadata"].get("labels"), obj.get("data"))
        for obj in (await self.world.client.list(json_of(EXTERNAL_ARTIFACTS))).items:
            found[f"ExternalArtifact {path_of(obj)}"] = None
        return found


async def fresh(played: Simulation) -> dict[str, Any]:
    """What the same objects come to when they are applied to an empty cluster and nothing goes wrong."""
    simulation = Simulation(0)
    try:
        await simulation.found()
        simulation._start()
        for name, obj in played.sources.items():
            if await played.world.exists(PACKAGE_SOURCES, name):
                await simulation.world.put(obj)
        for obj in played.packages.values():
            await simulation.world.put(obj)
        await simulation.rest()
        return await simulation.outcome()
    finally:
        await simulation.close()


def renew_uids(world: World, random: Random) -> None:
    """Make Packages and PackageSources anew, as a restore does; what they own names the old ones until it is adopted.

    The garbage collector is about to look for the owners, and removes what it finds before the operator does.
    """
    storage = world.server.storage
    for resource in (PACKAGES, PACKAGE_SOURCES):
        for stored in list(storage.objects(f"{resource.group}/{resource.plural}")):
            obj = deepcopy(stored.object)
            obj["metadata"]["uid"] = f"restored-{random.getrandbits(64):016x}"
            storage.delete(stored.resource, stored.namespace, stored.name)
            storage.put(stored.resource, stored.namespace, stored.name, obj)


def as_the_original_wrote_it(world: World) -> None:
    """Everything that we applied belongs to the original, which writes whole objects and ``suspend`` with them."""
    storage = world.server.storage
    for resource in (HELM_RELEASES, SECRETS):
        for stored in list(storage.objects(f"{resource.group}/{resource.plural}")):
            obj = deepcopy(stored.object)
            applied = [each for each in obj["metadata"].get("managedFields", []) if _is_ours(each)]
            for entry in applied:
                entry |= {"manager": names.OPERATOR_MANAGER, "operation": "Update"}
                if resource is HELM_RELEASES and "f:spec" in entry["fieldsV1"] and "suspend" not in obj["spec"]:
                    obj["spec"]["suspend"] = False
                    entry["fieldsV1"]["f:spec"]["f:suspend"] = {}
            if applied:
                storage.put(stored.resource, stored.namespace, stored.name, obj)


def _is_ours(entry: Obj) -> bool:
    managers = (names.PACKAGE_MANAGER, names.OPERATOR_MANAGER)
    return entry["operation"] == "Apply" and entry["manager"] in managers and not entry.get("subresource")
