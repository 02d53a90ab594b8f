"""Run the steps: read, decide, do one thing, read again.

Everything that must survive is in the cluster; the runner itself may be killed at any moment. It acts under a Lease. A runner
that lost the lease without noticing writes nothing over what its successor wrote: every write names the version that was read,
and a record is only replaced by who wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from msgspec.structs import replace

from cozystack.api.core import ConfigMap
from cozystack.api.meta import Key, ObjectMeta
from cozystack.api.names import NO_DELETE_LABEL, RESOURCE_POLICY_ANNOTATION, SYSTEM_NAMESPACE
from cozystack.api.resources import CONFIG_MAPS, PACKAGE_SOURCES, PACKAGES, Resource, untyped
from cozystack.api.time import format_time
from cozystack.kube import Client, Clock
from cozystack.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from cozystack.migrate.access import Cluster, Undeclared
from cozystack.migrate.changes import Plan, Unsettled
from cozystack.migrate.step import BadStep, Environment, Step, StepFailed
from cozystack.planner.ledger import (
    BASELINE,
    MANAGER,
    NAME,
    Baseline,
    Ledger,
    MalformedLedger,
    Record,
    StepId,
    bounded,
    ledger_key,
    read_ledger,
    shortened,
    version_key,
    write_value,
)
from cozystack.planner.migrations import Advance, Execute, Finished, Refused, Seen, StartLedger, decide
from cozystack.runtime import LeaderElector, Log

RELEASE = "cozystack-platform"
_RELEASE_ANNOTATION = "meta.helm.sh/release-name"
_ATTEMPTS = 10


class CannotGoOn(Exception):  # noqa: N818 - it names a state
    """Nothing may be done before a person has acted. ``reason`` and ``advice`` are sentences without a full stop."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason}; {advice}" if advice else reason)
        self.reason = reason
        self.advice = advice


class Failed(Exception):  # noqa: N818 - it names what happened
    """A step failed; it is in the ledger, and the next run begins with it."""

    def __init__(self, step: StepId, reason: str) -> None:
        super().__init__(f"step {step} failed: {reason}")
        self.step = step
        self.reason = reason


class Superseded(Exception):  # noqa: N818 - it names what happened
    """Another runner has written over our record: it has the lease now."""


@dataclass(frozen=True, slots=True)
class Held:
    """The two objects as they are; None where there is none."""

    version: ConfigMap | None
    ledger_object: ConfigMap | None
    ledger: Ledger | None
    installed: bool

    @property
    def seen(self) -> Seen:
        text = None if self.version is None else self.version.data.get("version", "")
        return Seen(text, self.ledger, self.installed)


@dataclass(slots=True)
class Report:
    """What a run did: the version that it ended at, the steps that it ran, and what they left for a person."""

    version: int = 0
    ran: list[StepId] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class Runner:
    """See the module. ``steps`` are all there are, by number; ``by`` is the version of the program, for the ledger."""

    def __init__(
        self,
        client: Client,
        steps: Sequence[Step],
        *,
        target: int,
        clock: Clock,
        log: Log,
        namespace: str = SYSTEM_NAMESPACE,
        oldest: int = 0,
        by: str = "",
    ) -> None:
        self._client = client
        self._steps = {step.id: step for step in steps}
        self._target = target
        self._clock = clock
        self._log = log
        self._namespace = namespace
        self._oldest = oldest
        self._by = by

    async def run(self) -> Report:
        """Everything up to the target; raises ``CannotGoOn``, ``Failed``, ``Superseded`` and ``KubeError``."""
        report = Report()
        advanced: list[int] = []
        while True:
            held = await read(self._client, self._namespace)
            action = decide(held.seen, list(self._steps), self._target, oldest=self._oldest)
            match action:
                case Refused(reason, advice):
                    raise CannotGoOn(reason, advice)
                case StartLedger(number, why):
                    await self._start_ledger(number, why)
                case Advance(number):
                    advanced.append(number)
                    if advanced.count(number) > _ATTEMPTS:
                        raise CannotGoOn(f"somebody else keeps writing a version below {number}", "stop that, and run again")
                    await self._advance(held, number)
                case Execute(step):
                    report.left += await self._execute(self._steps[step], held)
                    report.ran.append(step)
                case Finished(version):
                    self._log.info("nothing is left to do", version=version, target=self._target)
                    report.version = version
                    return report

    async def _start_ledger(self, number: int, why: str) -> None:
        self._log.info("a ledger is begun", baseline=number, why=why)
        try:
            await write_baseline(self._client, self._namespace, Baseline(number, why, self._now()))
        except AlreadyExists:
            return

    async def _advance(self, held: Held, number: int) -> None:
        self._log.info("the version is raised", to=number)
        try:
            await write_version(self._client, self._namespace, held.version, number)
        except (AlreadyExists, Conflict, NotFound):
            return

    async def _execute(self, step: Step, held: Held) -> list[str]:
        """Run a step and record it; what it left for a person."""
        old = held.ledger.records.get(step.id) if held.ledger else None
        record = Record(
            "running",
            attempts=old.attempts + 1 if old else 1,
            started=self._now(),
            by=self._by,
            digest=step.digest,
            way_back=None if step.way_back is None else shortened(step.way_back),
        )
        await self._record(step.id, record, instead_of=old)
        log = self._log.bind(step=str(step.id))
        log.info("a step begins", about=step.about, attempt=record.attempts)
        accesses = step.accesses
        cluster = Cluster(self._client, accesses, self._namespace, self._clock, step=f"step {step.id}")
        current = int(held.version.data["version"]) if held.version else step.id.number
        try:
            plan = await self._run_step(step, cluster, Environment(self._namespace, current, self._target))
        except StepFailed as error:
            changed, more = bounded(cluster.written)
            failed = replace(
                record,
                outcome="failed",
                finished=self._now(),
                error=shortened(str(error)),
                changed=changed,
                changed_more=more,
            )
            await self._record(step.id, failed, instead_of=record)
            raise Failed(step.id, str(error)) from error
        changed, more = bounded(cluster.written)
        left, left_more = bounded(plan.left)
        done = replace(
            record,
            outcome="done",
            finished=self._now(),
            changed=changed,
            changed_more=more,
            left=left,
            left_more=left_more,
        )
        await self._record(step.id, done, instead_of=record)
        log.info("a step is done", changed=len(cluster.written), left=len(plan.left))
        return plan.left

    async def _run_step(self, step: Step, cluster: Cluster, environment: Environment) -> Plan:
        """Raises ``StepFailed`` for everything that a step may raise."""
        try:
            return await step.run(cluster, environment)
        except (StepFailed, KubeError, Undeclared, Unsettled, BadStep, OSError) as error:
            raise error if isinstance(error, StepFailed) else StepFailed(str(error)) from error
        except Exception as error:
            self._log.error("a step has a fault", step=str(step.id), error=error)
            raise StepFailed(f"{type(error).__name__}: {error}") from error

    async def _record(self, step: StepId, record: Record, *, instead_of: Record | None) -> None:
        """Write a record in the place of one that we know; raises ``Superseded`` when there is another."""
        for _ in range(_ATTEMPTS):
            held = await self._client.get(CONFIG_MAPS, ledger_key(self._namespace))
            there = read_ledger(held.data).records.get(step)
            if there == record:
                return
            if there != instead_of:
                raise Superseded(f"another runner has written about step {step}")
            patch = {
                "metadata": {"resourceVersion": held.metadata.resource_version},
                "data": {step.key: write_value(record)},
            }
            try:
                await self._client.patch(CONFIG_MAPS, held.key, patch, manager=MANAGER)
            except Conflict:
                continue
            return
        raise CannotGoOn(f"ConfigMap {NAME} keeps being changed by somebody else", "stop that, and run again")

    def _now(self) -> str:
        return format_time(self._clock.now())


async def locked(runner: Runner, client: Client, *, clock: Clock, identity: str, namespace: str, random: Random) -> Report:
    """Run under the Lease; waits for as long as somebody else holds it. Raises ``LeadershipLost`` too."""
    elector = LeaderElector(client, namespace=namespace, name=NAME, identity=identity, clock=clock, random=random)
    report: list[Report] = []

    async def lead() -> None:
        report.append(await runner.run())

    await elector.run(lead)
    return report[0]


async def read(client: Client, namespace: str) -> Held:
    """The two objects; raises ``CannotGoOn`` when the ledger cannot be read."""
    version = await client.find(CONFIG_MAPS, version_key(namespace))
    found = await client.find(CONFIG_MAPS, ledger_key(namespace))
    try:
        ledger = None if found is None else read_ledger(found.data)
    except MalformedLedger as error:
        raise CannotGoOn(str(error), f"correct ConfigMap {NAME}, or delete it") from error
    installed = version is None and ledger is None and await is_installed(client)
    return Held(version, found, ledger, installed)


async def is_installed(client: Client) -> bool:
    """Whether a release of the platform's chart is or was here: its Packages stay when it goes."""
    resource: Resource[Any]
    for resource in (PACKAGES, PACKAGE_SOURCES):
        plain = untyped(resource.group, resource.version, resource.kind, resource.plural, namespaced=False)
        try:
            listing = await client.list(plain, label_selector="app.kubernetes.io/managed-by=Helm")
        except NotFound:
            continue
        if any((obj["metadata"].get("annotations") or {}).get(_RELEASE_ANNOTATION) == RELEASE for obj in listing.items):
            return True
    return False


async def write_baseline(client: Client, namespace: str, baseline: Baseline) -> None:
    """Create the ledger; raises ``AlreadyExists``."""
    await client.create(CONFIG_MAPS, _config_map(ledger_key(namespace), {BASELINE: write_value(baseline)}), manager=MANAGER)


async def write_version(client: Client, namespace: str, held: ConfigMap | None, number: int) -> None:
    """Write the version where ``held`` was read; raises ``Conflict`` or ``AlreadyExists`` when that has changed."""
    data = {"version": str(number)}
    if held is None:
        await client.create(CONFIG_MAPS, _config_map(version_key(namespace), data), manager=MANAGER)
        return
    patch = {"metadata": {"resourceVersion": held.metadata.resource_version}, "data": data}
    await client.patch(CONFIG_MAPS, held.key, patch, manager=MANAGER)


def _config_map(key: Key, data: dict[str, str]) -> ConfigMap:
    metadata = ObjectMeta(
        name=key.name,
        namespace=key.namespace,
        labels={NO_DELETE_LABEL: "true"},
        annotations={RESOURCE_POLICY_ANNOTATION: "keep"},
    )
    return ConfigMap(api_version="v1", kind="ConfigMap", metadata=metadata, data=data)
