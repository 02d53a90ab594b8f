"""Run the workload stand-ins: watch, decide by the pure functions, carry their actions out.

Each kind has a controller of its own. Names of what is created are derived from the owner, so an action that is decided twice,
because a store was a moment behind, meets ``AlreadyExists`` and does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from cozystack.api.meta import Key
from cozystack.api.resources import Resource
from cozystack.kube import Client, Informer
from cozystack.kube.clock import Clock
from cozystack.kube.errors import AlreadyExists, Conflict, NotFound
from cozystack.runtime import Controller, Done, RequeueAfter, Result, Service
from cozystack.sandbox import kinds
from cozystack.sandbox.workloads.actions import Action, Create, Delete, Obj, Patch, Status, controller_uid
from cozystack.sandbox.workloads.deployments import reconcile_deployment, reconcile_replica_set
from cozystack.sandbox.workloads.jobs import expiry, finished, reconcile_job
from cozystack.sandbox.workloads.sets import reconcile_daemon_set, reconcile_stateful_set
from cozystack.sandbox.workloads.surroundings import reconcile_api_service, reconcile_claim, reconcile_service

OWNER_INDEX = "owner"


class Workloads:
    """All workload stand-ins over one client. ``pods`` is the informer that the kubelet stand-in uses too."""

    def __init__(self, client: Client, pods: Informer[Obj], *, clock: Clock, random: Random) -> None:
        self._client = client
        self._clock = clock
        self._random = random
        self._pods = pods
        self._informers: list[Informer[Obj]] = []
        self._controllers: list[Controller] = []
        pods.store.index(OWNER_INDEX, _owner_index)
        replica_sets = self._informer(kinds.REPLICA_SETS)
        replica_sets.store.index(OWNER_INDEX, _owner_index)
        claims = self._informer(kinds.CLAIMS)
        deployments = self._kind(
            kinds.DEPLOYMENTS, lambda item: reconcile_deployment(item, self._owned(replica_sets, item), clock.now())
        )
        deployments.watch(replica_sets, lambda item: _owner_key(item, "Deployment"))
        self._with_pods(
            kinds.REPLICA_SETS,
            lambda item: reconcile_replica_set(item, self._owned(pods, item), clock.now()),
            informer=replica_sets,
        )
        self._with_pods(
            kinds.STATEFUL_SETS,
            lambda item: reconcile_stateful_set(item, self._owned(pods, item), list(claims.store.objects()), clock.now()),
        )
        self._with_pods(kinds.DAEMON_SETS, lambda item: reconcile_daemon_set(item, self._owned(pods, item), clock.now()))
        self._with_pods(kinds.JOBS, lambda item: reconcile_job(item, self._owned(pods, item), clock.now()))
        self._kind(kinds.CLAIMS, lambda item: reconcile_claim(item, clock.now()), informer=claims)
        self._kind(kinds.SERVICES, lambda item: reconcile_service(item, clock.now()))
        self._kind(kinds.API_SERVICES, lambda item: reconcile_api_service(item, clock.now()))

    def services(self) -> list[Service]:
        """What has to run: informers first, then controllers."""
        return [
            *(Service(f"watch {informer.resource}", informer.run) for informer in self._informers),
            *(Service(f"controller {c.name}", c.run, c.stop) for c in self._controllers),
        ]

    def _informer(self, resource: Resource[dict[str, Any]]) -> Informer[Obj]:
        informer = Informer(self._client, resource)
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
    ) -> Controller:
        source = informer or self._informer(resource)

        async def reconcile(key: Key) -> Result:
            item = source.store.get(key)
            if item is None:
                return Done()
            item = {"apiVersion": resource.api_version, "kind": resource.kind, **item}
            for action in decide(item):
                await carry_out(self._client, action)
            if resource is kinds.JOBS and finished(item):
                left = expiry(item, self._clock.now())
                return RequeueAfter(max(0.1, left.total_seconds())) if left is not None else Done()
            return Done()

        controller = Controller(resource.plural, reconcile, clock=self._clock, random=self._random)
        controller.watch(source)
        self._controllers.append(controller)
        return controller

    def _with_pods(
        self,
        resource: Resource[dict[str, Any]],
        decide: Callable[[Obj], Sequence[Action]],
        *,
        informer: Informer[Obj] | None = None,
    ) -> None:
        controller = self._kind(resource, decide, informer=informer)
        controller.watch(self._pods, lambda pod: _owner_key(pod, resource.kind))


async def carry_out(client: Client, action: Action) -> None:
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


def _owner_key(item: Obj, kind: str) -> list[Key]:
    return [
        Key(item["metadata"]["namespace"], reference["name"])
        for reference in item["metadata"].get("ownerReferences", ())
        if reference.get("controller") and reference["kind"] == kind
    ]
