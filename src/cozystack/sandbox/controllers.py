"""Run the workload stand-ins: watch, decide by the pure functions, carry their actions out.

Each kind has a controller of its own. Names of what is created are derived from the owner, so an action that is decided twice,
because a store was a moment behind, meets ``AlreadyExists`` and does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from cozystack.api.meta import Key
from cozystack.api.resources import Resource
from cozystack.kube import Client, Informer, key_of
from cozystack.kube.clock import Clock
from cozystack.kube.errors import AlreadyExists, Conflict, NotFound
from cozystack.runtime import Controller, Done, EventRecorder, RequeueAfter, Result, Service
from cozystack.sandbox import kinds
from cozystack.sandbox.workloads.actions import (
    Action,
    Again,
    Create,
    Delete,
    Note,
    Obj,
    Patch,
    Status,
    controller_uid,
)
from cozystack.sandbox.workloads.cronjobs import reconcile_cron_job
from cozystack.sandbox.workloads.deployments import reconcile_deployment
from cozystack.sandbox.workloads.endpoints import SERVICE_LABEL, reconcile_endpoints
from cozystack.sandbox.workloads.jobs import reconcile_job
from cozystack.sandbox.workloads.replicas import reconcile_replica_set
from cozystack.sandbox.workloads.sets import reconcile_daemon_set, reconcile_stateful_set
from cozystack.sandbox.workloads.surroundings import (
    reconcile_api_service,
    reconcile_claim,
    reconcile_service,
    storage_class,
)

OWNER_INDEX, NAMESPACE_INDEX, SERVICE_INDEX = "owner", "namespace", "service"
_SOONEST = 0.05


class Workloads:
    """All workload stand-ins over one client. ``pods`` is the informer that the kubelet stand-in uses too."""

    def __init__(self, client: Client, pods: Informer[Obj], *, clock: Clock, random: Random) -> None:
        self._client = client
        self._clock = clock
        self._random = random
        self._pods = pods
        self._informers: list[Informer[Obj]] = []
        self._controllers: list[Controller] = []
        self._recorders: dict[str, EventRecorder] = {}
        self._news = asyncio.Event()
        pods.store.index(OWNER_INDEX, _owner_index)
        pods.store.index(NAMESPACE_INDEX, _namespace_index)
        replica_sets, revisions, jobs = (
            self._informer(kind, OWNER_INDEX, _owner_index) for kind in (kinds.REPLICA_SETS, kinds.REVISIONS, kinds.JOBS)
        )
        claims = self._informer(kinds.CLAIMS, NAMESPACE_INDEX, _namespace_index)
        classes, services = self._informer(kinds.STORAGE_CLASSES), self._informer(kinds.SERVICES)
        slices, endpoints = self._informer(kinds.SLICES, SERVICE_INDEX, _service_index), self._informer(kinds.ENDPOINTS)
        deployments = self._kind(
            kinds.DEPLOYMENTS, lambda item: reconcile_deployment(item, self._owned(replica_sets, item), clock.now())
        )
        deployments.watch(replica_sets, lambda item: _owner_key(item, "Deployment"))
        self._with_pods(
            kinds.REPLICA_SETS,
            lambda item: reconcile_replica_set(item, self._owned(pods, item), clock.now()),
            informer=replica_sets,
        )
        stateful_sets = self._with_pods(
            kinds.STATEFUL_SETS,
            lambda item: reconcile_stateful_set(
                item,
                self._owned(pods, item),
                claims.store.by(NAMESPACE_INDEX, item["metadata"]["namespace"]),
                self._owned(revisions, item),
                clock.now(),
            ),
        )
        stateful_sets.watch(revisions, lambda item: _owner_key(item, "StatefulSet"))
        daemon_sets = self._with_pods(
            kinds.DAEMON_SETS,
            lambda item: reconcile_daemon_set(item, self._owned(pods, item), self._owned(revisions, item), clock.now()),
        )
        daemon_sets.watch(revisions, lambda item: _owner_key(item, "DaemonSet"))
        self._with_pods(kinds.JOBS, lambda item: reconcile_job(item, self._owned(pods, item), clock.now()), informer=jobs)
        cron_jobs = self._kind(kinds.CRON_JOBS, lambda item: reconcile_cron_job(item, self._owned(jobs, item), clock.now()))
        cron_jobs.watch(jobs, lambda item: _owner_key(item, "CronJob"))
        claim_controller = self._kind(
            kinds.CLAIMS, lambda item: reconcile_claim(item, list(classes.store.objects()), clock.now()), informer=claims
        )
        claim_controller.watch(classes, lambda _: [key_of(claim) for claim in claims.store.objects()])
        self._kind(kinds.SERVICES, lambda item: reconcile_service(item, clock.now()), informer=services)
        leading = self._kind(
            kinds.SERVICES,
            lambda item: reconcile_endpoints(
                item,
                pods.store.by(NAMESPACE_INDEX, item["metadata"]["namespace"]),
                slices.store.by(SERVICE_INDEX, (item["metadata"]["namespace"], item["metadata"]["name"])),
                endpoints.store.get(key_of(item)),
            ),
            informer=services,
            name="endpoints",
        )
        services.store.index(NAMESPACE_INDEX, _namespace_index)
        leading.watch(pods, lambda pod: _selecting(services.store.by(NAMESPACE_INDEX, pod["metadata"]["namespace"]), pod))
        leading.watch(slices, _service_of)
        leading.watch(endpoints, lambda item: [key_of(item)])
        self._kind(kinds.API_SERVICES, lambda item: reconcile_api_service(item, clock.now()))

    def services(self) -> list[Service]:
        """What has to run: informers first, then controllers."""
        return [
            Service("default storage class", self._furnish),
            Service("events of workloads", self._tell),
            *(Service(f"watch {informer.resource}", informer.run) for informer in self._informers),
            *(Service(f"controller {c.name}", c.run, c.stop) for c in self._controllers),
        ]

    async def _furnish(self) -> None:
        """Make the storage class that a cluster has, once; then there is nothing to do."""
        with contextlib.suppress(AlreadyExists):
            await self._client.create(kinds.STORAGE_CLASSES, storage_class())
        await asyncio.Event().wait()

    async def _tell(self) -> None:
        """Write the Events of all controllers."""
        while True:
            await self._news.wait()
            self._news.clear()
            for recorder in list(self._recorders.values()):
                await recorder.flush()

    def note(self, note: Note) -> None:
        """Queue an Event, in the name of its controller."""
        recorder = self._recorders.get(note.component)
        if recorder is None:
            recorder = EventRecorder(self._client, component=note.component, instance="sandbox", clock=self._clock)
            self._recorders[note.component] = recorder
        resource = kinds.BY_KIND[note.object["kind"]]
        recorder.emit(resource, note.object, "Warning" if note.warning else "Normal", note.reason, note.message)
        self._news.set()

    def _informer(
        self, resource: Resource[dict[str, Any]], index: str = "", values: Callable[[Obj], list[Any]] = lambda _: []
    ) -> Informer[Obj]:
        informer = Informer(self._client, resource)
        if index:
            informer.store.index(index, values)
        self._informers.append(informer)
        return informer

    def _owned(self, informer: Informer[Obj], parent: Obj) -> list[Obj]:
        return informer.store.by(OWNER_INDEX, parent["metadata"]["uid"])

    def _kind(
        self,
        resource: Resource[dict[str, Any]],
        decide: Callable[[Obj], Sequence[Action]],
        *,
        informer: Informer[Obj] | None = None,
        name: str = "",
    ) -> Controller:
        source = informer or self._informer(resource)

        async def reconcile(key: Key) -> Result:
            item = source.store.get(key)
            if item is None:
                return Done()
            item = {"apiVersion": resource.api_version, "kind": resource.kind, **item}
            soonest: float | None = None
            for action in decide(item):
                match action:
                    case Note():
                        self.note(action)
                    case Again(after=after):
                        soonest = min(after.total_seconds(), soonest if soonest is not None else after.total_seconds())
                    case _:
                        await carry_out(self._client, action)
            return RequeueAfter(max(_SOONEST, soonest)) if soonest is not None else Done()

        controller = Controller(name or resource.plural, reconcile, clock=self._clock, random=self._random)
        controller.watch(source)
        self._controllers.append(controller)
        return controller

    def _with_pods(
        self,
        resource: Resource[dict[str, Any]],
        decide: Callable[[Obj], Sequence[Action]],
        *,
        informer: Informer[Obj] | None = None,
    ) -> Controller:
        controller = self._kind(resource, decide, informer=informer)
        controller.watch(self._pods, lambda pod: _owner_key(pod, resource.kind))
        return controller


async def carry_out(client: Client, action: Create | Patch | Status | Delete) -> None:
    """Do one action; what somebody else has done or undone meanwhile is no error."""
    try:
        match action:
            case Create(object=item):
                await client.create(kinds.BY_KIND[item["kind"]], item)
            case Patch(kind=kind, namespace=namespace, name=name, patch=patch):
                await client.patch(kinds.BY_KIND[kind], Key(namespace, name), patch)
            case Status(kind=kind, namespace=namespace, name=name, status=status):
                await client.patch(kinds.BY_KIND[kind], Key(namespace, name), {"status": status}, subresource="status")
            case Delete(kind=kind, namespace=namespace, name=name, uid=uid):
                await client.delete(kinds.BY_KIND[kind], Key(namespace, name), uid=uid, propagation="Background")
    except (AlreadyExists, NotFound, Conflict):
        return


def _owner_index(item: Obj) -> list[str]:
    uid = controller_uid(item)
    return [uid] if uid else []


def _namespace_index(item: Obj) -> list[str]:
    return [item["metadata"].get("namespace", "")]


def _service_index(item: Obj) -> list[tuple[str, str]]:
    name = (item["metadata"].get("labels") or {}).get(SERVICE_LABEL)
    return [(item["metadata"]["namespace"], name)] if name else []


def _service_of(item: Obj) -> list[Key]:
    return [Key(namespace, name) for namespace, name in _service_index(item)]


def _selecting(services: list[Obj], pod: Obj) -> list[Key]:
    """The Services that select a Pod."""
    labels = (pod["metadata"].get("labels") or {}).items()
    return [key_of(item) for item in services if (chosen := item["spec"].get("selector")) and chosen.items() <= labels]


def _owner_key(item: Obj, kind: str) -> list[Key]:
    return [
        Key(item["metadata"]["namespace"], reference["name"])
        for reference in item["metadata"].get("ownerReferences", ())
        if reference.get("controller") and reference["kind"] == kind
    ]
