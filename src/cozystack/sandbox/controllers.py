"""Run the workload stand-ins: watch, decide by the pure functions, carry their actions out.

Each kind has a controller of its own. Names of what is created are derived from the owner, so an action that is decided twice,
because a store was a moment behind, meets ``AlreadyExists`` and does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from cozystack.api.meta import Key
from cozystack.api.resources import Resource
from cozystack.kube import Client, Informer, key_of
from cozystack.kube.clock import Clock
from cozystack.kube.errors import AlreadyExists, ApiError, BadRequest, Conflict, Forbidden, Invalid, NotFound
from cozystack.runtime import Controller, Done, EventRecorder, RequeueAfter, Result, Service
from cozystack.sandbox import kinds
from cozystack.sandbox.scheduler import Scheduler, bind
from cozystack.sandbox.workloads.actions import (
    NODE,
    Action,
    Again,
    Bind,
    Create,
    Delete,
    Note,
    Obj,
    Patch,
    Status,
    controller_uid,
)
from cozystack.sandbox.workloads.cronjobs import reconcile_cron_job
from cozystack.sandbox.workloads.daemonsets import reconcile_daemon_set
from cozystack.sandbox.workloads.deployments import reconcile_deployment
from cozystack.sandbox.workloads.disruptions import reconcile_budget
from cozystack.sandbox.workloads.endpoints import SERVICE_LABEL, reconcile_endpoints
from cozystack.sandbox.workloads.jobs import let_go, reconcile_job
from cozystack.sandbox.workloads.replicas import reconcile_replica_set
from cozystack.sandbox.workloads.statefulsets import reconcile_stateful_set
from cozystack.sandbox.workloads.surroundings import addresses_of, reconcile_api_service, reconcile_load_balancer
from cozystack.sandbox.workloads.volumes import claims_of, reconcile_claim, reconcile_volume, storage_class

OWNER_INDEX, NAMESPACE_INDEX, SERVICE_INDEX, CLAIM_INDEX, UID_INDEX = "owner", "namespace", "service", "claim", "uid"
_SOONEST = 0.05
_FIRST_RETRY, _LONGEST_RETRY = 1.0, 300.0
_MOST_REFUSALS = 1000

Indexes = dict[str, Callable[[Obj], list[Any]]]
Decide = Callable[[Obj], Sequence[Action]]


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
        self._refusals: dict[str, tuple[int, str]] = {}
        """By the uid of a workload: how often in a row it could not make what it wants, and why."""
        for name, values in ((OWNER_INDEX, _owner_index), (NAMESPACE_INDEX, _namespace_index), (CLAIM_INDEX, _claim_index)):
            pods.store.index(name, values)
        owned: Indexes = {OWNER_INDEX: _owner_index, NAMESPACE_INDEX: _namespace_index, UID_INDEX: _uid_index}
        self._deployments, self._replica_sets, self._stateful_sets, self._jobs = (
            self._informer(kind, owned) for kind in (kinds.DEPLOYMENTS, kinds.REPLICA_SETS, kinds.STATEFUL_SETS, kinds.JOBS)
        )
        self._revisions = self._informer(kinds.REVISIONS, owned)
        self._claims = self._informer(kinds.CLAIMS, {NAMESPACE_INDEX: _namespace_index})
        self._classes, self._nodes = self._informer(kinds.STORAGE_CLASSES), self._informer(kinds.NODES)
        self._replicated()
        self._ordered()
        self._ending()
        self._stored()
        self._served()
        self._scheduler = Scheduler(
            client,
            pods,
            self._nodes,
            clock=clock,
            random=random,
            note=self.note,
            claims=self._claims,
            classes=self._classes,
        )

    def services(self) -> list[Service]:
        """What has to run: informers first, then controllers."""
        return [
            Service("default storage class", self._furnish),
            Service("events of workloads", self._tell),
            *(Service(f"watch {informer.resource}", informer.run) for informer in self._informers),
            *(Service(f"controller {c.name}", c.run, c.stop) for c in self._controllers),
            self._scheduler.service(),
        ]

    def note(self, note: Note) -> None:
        """Queue an Event, in the name of its controller."""
        recorder = self._recorders.get(note.component)
        if recorder is None:
            recorder = EventRecorder(self._client, component=note.component, instance=NODE, clock=self._clock)
            self._recorders[note.component] = recorder
        resource = kinds.BY_KIND[note.object["kind"]]
        recorder.emit(resource, note.object, "Warning" if note.warning else "Normal", note.reason, note.message)
        self._news.set()

    # The controllers

    def _replicated(self) -> None:
        """Deployments and their ReplicaSets."""
        replica_sets, pods, now = self._replica_sets, self._pods, self._clock.now
        deployments = self._kind(
            kinds.DEPLOYMENTS,
            lambda item: reconcile_deployment(item, self._near(replica_sets, item), now()),
            informer=self._deployments,
        )
        deployments.watch(replica_sets, lambda item: _owner_key(item, "Deployment"))
        self._with_pods(
            kinds.REPLICA_SETS,
            lambda item: reconcile_replica_set(item, self._near(pods, item), now(), self._refusal(item)),
            informer=replica_sets,
        )

    def _ordered(self) -> None:
        """StatefulSets and DaemonSets, which remember their revisions."""
        pods, revisions, claims, nodes, now = self._pods, self._revisions, self._claims, self._nodes, self._clock.now
        stateful_sets = self._with_pods(
            kinds.STATEFUL_SETS,
            lambda item: reconcile_stateful_set(
                item, self._near(pods, item), self._near(claims, item), self._owned(revisions, item), now()
            ),
            informer=self._stateful_sets,
        )
        stateful_sets.watch(revisions, lambda item: _owner_key(item, "StatefulSet"))
        daemons = self._informer(kinds.DAEMON_SETS)
        daemon_sets = self._with_pods(
            kinds.DAEMON_SETS,
            lambda item: reconcile_daemon_set(
                item, self._near(pods, item), self._owned(revisions, item), list(nodes.store.objects()), now()
            ),
            informer=daemons,
        )
        daemon_sets.watch(revisions, lambda item: _owner_key(item, "DaemonSet"))
        daemon_sets.watch(nodes, lambda _: [key_of(item) for item in daemons.store.objects()])

    def _ending(self) -> None:
        """Jobs and CronJobs."""
        jobs, now = self._jobs, self._clock.now
        self._with_pods(
            kinds.JOBS,
            lambda item: reconcile_job(item, self._owned(self._pods, item), now()),
            informer=jobs,
            gone=lambda key: let_go(
                [
                    pod
                    for pod in self._with_kind(self._pods, self._pods.store.by(NAMESPACE_INDEX, key.namespace))
                    if key in _owner_key(pod, "Job")
                ]
            ),
        )
        cron_jobs = self._kind(kinds.CRON_JOBS, lambda item: reconcile_cron_job(item, self._owned(jobs, item), now()))
        cron_jobs.watch(jobs, lambda item: _owner_key(item, "CronJob"))

    def _stored(self) -> None:
        """Claims and volumes."""
        claims, classes, pods, now = self._claims, self._classes, self._pods, self._clock.now
        volumes = self._informer(kinds.VOLUMES)
        claim_controller = self._kind(
            kinds.CLAIMS,
            lambda item: reconcile_claim(
                item,
                list(classes.store.objects()),
                {volume["metadata"]["name"]: volume for volume in self._with_kind(volumes, volumes.store.objects())},
                pods.store.by(CLAIM_INDEX, key_of(item)),
                now(),
            ),
            informer=claims,
        )
        claim_controller.watch(classes, lambda _: [key_of(claim) for claim in claims.store.objects()])
        claim_controller.watch(pods, _claim_index)
        claim_controller.watch(volumes, lambda volume: _claim_of(volume) or [key_of(each) for each in _unbound(claims)])
        volume_controller = self._kind(
            kinds.VOLUMES,
            lambda item: reconcile_volume(item, next(iter(_found(claims, _claim_of(item))), None), now()),
            informer=volumes,
        )
        volume_controller.watch(claims, lambda claim: [Key("", name)] if (name := claim["spec"].get("volumeName")) else [])

    def _served(self) -> None:
        """Services, what they lead to, what must go on serving, and aggregated APIs."""
        pods, now = self._pods, self._clock.now
        services = self._informer(kinds.SERVICES, {NAMESPACE_INDEX: _namespace_index})
        slices = self._informer(kinds.SLICES, {SERVICE_INDEX: _service_index})
        endpoints = self._informer(kinds.ENDPOINTS)
        self._kind(
            kinds.SERVICES,
            lambda item: reconcile_load_balancer(
                item, {ip for each in services.store.objects() if key_of(each) != key_of(item) for ip in addresses_of(each)}
            ),
            informer=services,
        )
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
        leading.watch(pods, lambda pod: _selecting(services.store.by(NAMESPACE_INDEX, pod["metadata"]["namespace"]), pod))
        leading.watch(slices, _service_of)
        leading.watch(endpoints, lambda item: [key_of(item)])
        budgets = self._informer(kinds.BUDGETS, {NAMESPACE_INDEX: _namespace_index})
        budget_controller = self._kind(
            kinds.BUDGETS,
            lambda item: reconcile_budget(item, self._near(pods, item), self._scale_of, now()),
            informer=budgets,
        )
        for informer in (pods, self._deployments, self._replica_sets, self._stateful_sets):
            budget_controller.watch(
                informer, lambda item: [key_of(b) for b in budgets.store.by(NAMESPACE_INDEX, item["metadata"]["namespace"])]
            )
        self._kind(kinds.API_SERVICES, lambda item: reconcile_api_service(item, now()))

    # Their parts

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

    def _informer(self, resource: Resource[dict[str, Any]], indexes: Indexes | None = None) -> Informer[Obj]:
        informer = Informer(self._client, resource)
        for name, values in (indexes or {}).items():
            informer.store.index(name, values)
        self._informers.append(informer)
        return informer

    def _owned(self, informer: Informer[Obj], parent: Obj) -> list[Obj]:
        return self._with_kind(informer, informer.store.by(OWNER_INDEX, parent["metadata"]["uid"]))

    def _near(self, informer: Informer[Obj], parent: Obj) -> list[Obj]:
        """Everything in the same namespace."""
        return self._with_kind(informer, informer.store.by(NAMESPACE_INDEX, parent["metadata"]["namespace"]))

    def _with_kind(self, informer: Informer[Obj], items: Iterable[Obj]) -> list[Obj]:
        """Items of a list do not say what they are."""
        kind = {"apiVersion": informer.resource.api_version, "kind": informer.resource.kind}
        return [item if "kind" in item else {**kind, **item} for item in items]

    def _scale_of(self, uid: str) -> int | None:
        """How many Pods the controller of that uid, or its own, wants."""
        for informer in (self._replica_sets, self._stateful_sets, self._deployments):
            for item in informer.store.by(UID_INDEX, uid):
                above = self._scale_of(controller_uid(item)) if controller_uid(item) else None
                return above if above is not None else int(item["spec"].get("replicas", 1))
        return None

    def _refusal(self, item: Obj) -> str:
        return self._refusals.get(item["metadata"]["uid"], (0, ""))[1]

    def _kind(
        self,
        resource: Resource[dict[str, Any]],
        decide: Decide,
        *,
        informer: Informer[Obj] | None = None,
        name: str = "",
        gone: Callable[[Key], Sequence[Action]] = lambda _: (),
    ) -> Controller:
        source = informer or self._informer(resource)

        async def reconcile(key: Key) -> Result:
            item = source.store.get(key)
            if item is None:
                for action in gone(key):
                    await self._carry_out(action)
                return Done()
            item = {"apiVersion": resource.api_version, "kind": resource.kind, **item}
            soonest = await self._carry_all_out(item, decide)
            return RequeueAfter(max(_SOONEST, soonest)) if soonest is not None else Done()

        controller = Controller(name or resource.plural, reconcile, clock=self._clock, random=self._random)
        controller.watch(source)
        self._controllers.append(controller)
        return controller

    def _with_pods(
        self,
        resource: Resource[dict[str, Any]],
        decide: Decide,
        *,
        informer: Informer[Obj],
        gone: Callable[[Key], Sequence[Action]] = lambda _: (),
    ) -> Controller:
        controller = self._kind(resource, decide, informer=informer, gone=gone)
        kind = resource.kind

        def affected(pod: Obj) -> list[Key]:
            # A Pod without a controller may be adopted.
            alone = not controller_uid(pod) and kind != "Job"
            near = informer.store.by(NAMESPACE_INDEX, pod["metadata"]["namespace"]) if alone and kind != "DaemonSet" else ()
            return [*_owner_key(pod, kind), *map(key_of, near)]

        controller.watch(self._pods, affected)
        return controller

    async def _carry_all_out(self, item: Obj, decide: Decide) -> float | None:
        """Do what is decided; in how many seconds to look again, if by itself at all."""
        uid, soonest = item["metadata"]["uid"], None
        for action in decide(item):
            if isinstance(action, Again):
                soonest = min(action.after.total_seconds(), soonest if soonest is not None else action.after.total_seconds())
                continue
            try:
                if not await self._carry_out(action):
                    break
            except (Forbidden, Invalid, BadRequest) as error:
                if not isinstance(action, Create) or action.refused is None:
                    raise
                return await self._was_refused(item, decide, action.refused, error)
        else:
            self._refusals.pop(uid, None)
        return soonest

    async def _was_refused(self, item: Obj, decide: Decide, told: Note, error: ApiError) -> float:
        """Say why something could not be made, in an Event and in the status, and when it is tried again."""
        uid, why = item["metadata"]["uid"], error.message
        times = self._refusals.get(uid, (0, ""))[0] + 1
        if len(self._refusals) > _MOST_REFUSALS:
            self._refusals.clear()
        self._refusals[uid] = times, why
        self.note(Note(told.object, told.component, told.reason, told.message + why, warning=True))
        for action in decide(item):
            if isinstance(action, Status):
                await self._carry_out(action)
        return min(_FIRST_RETRY * 2.0 ** min(times - 1, 10), _LONGEST_RETRY)

    async def _carry_out(self, action: Action) -> bool:
        """Do one action; what somebody else has done or undone meanwhile is no error. Whether to go on with the next."""
        client = self._client
        try:
            match action:
                case Create(object=item, told=told):
                    await client.create(kinds.BY_KIND[item["kind"]], item)
                    if told is not None:
                        self.note(told)
                case Patch(kind=kind, namespace=namespace, name=name, patch=patch):
                    await client.patch(kinds.BY_KIND[kind], Key(namespace, name), patch)
                case Status(kind=kind, namespace=namespace, name=name):
                    await client.patch(kinds.BY_KIND[kind], Key(namespace, name), status_patch(action), subresource="status")
                case Delete(kind=kind, namespace=namespace, name=name, uid=uid, told=told):
                    await client.delete(kinds.BY_KIND[kind], Key(namespace, name), uid=uid, propagation="Background")
                    if told is not None:
                        self.note(told)
                case Bind(namespace=namespace, name=name, node=node):
                    await bind(client, Key(namespace, name), node)
                case Note():
                    self.note(action)
        except Conflict:
            return not (isinstance(action, Status) and action.version)
        except (AlreadyExists, NotFound):
            return True
        return True


def status_patch(action: Status) -> Obj:
    """The merge patch that a ``Status`` stands for."""
    metadata: Obj = {"annotations": action.annotations} if action.annotations else {}
    if action.version:
        metadata["resourceVersion"] = action.version
    return {"status": action.status, **({"metadata": metadata} if metadata else {})}


def _owner_index(item: Obj) -> list[str]:
    uid = controller_uid(item)
    return [uid] if uid else []


def _namespace_index(item: Obj) -> list[str]:
    return [item["metadata"].get("namespace", "")]


def _uid_index(item: Obj) -> list[str]:
    return [item["metadata"]["uid"]]


def _claim_index(pod: Obj) -> list[Key]:
    return [Key(pod["metadata"]["namespace"], name) for name in claims_of(pod)]


def _claim_of(volume: Obj) -> list[Key]:
    reference = volume["spec"].get("claimRef")
    return [Key(reference.get("namespace", ""), reference["name"])] if reference else []


def _unbound(claims: Informer[Obj]) -> list[Obj]:
    return [claim for claim in claims.store.objects() if claim.get("status", {}).get("phase") != "Bound"]


def _found(informer: Informer[Obj], keys: Sequence[Key]) -> list[Obj]:
    return [item for key in keys if (item := informer.store.get(key)) is not None]


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
