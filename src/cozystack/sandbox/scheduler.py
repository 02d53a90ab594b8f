"""Give Pods a node: watch those that have none, decide by ``scheduling``, bind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

import msgspec

from cozystack.api.meta import Key
from cozystack.kube import Client, Informer, key_of
from cozystack.kube.clock import Clock
from cozystack.kube.errors import Conflict, NotFound
from cozystack.runtime import Controller, Done, Result, Service
from cozystack.sandbox import kinds
from cozystack.sandbox.workloads.actions import Bind, Note, Obj, Status, has_ended
from cozystack.sandbox.workloads.scheduling import reconcile_unbound
from cozystack.sandbox.workloads.volumes import claims_of

UNBOUND_INDEX = "unbound"


class Scheduler:
    """``claims`` and ``classes`` where claims are bound by somebody; else Pods do not wait for theirs."""

    def __init__(
        self,
        client: Client,
        pods: Informer[Obj],
        nodes: Informer[Obj],
        *,
        clock: Clock,
        random: Random,
        note: Callable[[Note], None] = lambda _note: None,
        claims: Informer[Obj] | None = None,
        classes: Informer[Obj] | None = None,
    ) -> None:
        self._client = client
        self._pods = pods
        self._nodes = nodes
        self._clock = clock
        self._note = note
        self._claims = claims
        self._classes = classes
        pods.store.index(UNBOUND_INDEX, _unbound)
        self._controller = Controller("scheduler", self._reconcile, clock=clock, random=random)
        self._controller.watch(pods, lambda pod: [key_of(pod)] if _unbound(pod) else [])
        self._controller.watch(nodes, lambda _: [key_of(pod) for pod in pods.store.by(UNBOUND_INDEX, "")])
        if claims is not None:
            self._controller.watch(claims, lambda claim: self._waiting(claim["metadata"]["namespace"]))
        if classes is not None:
            self._controller.watch(classes, lambda _: [key_of(pod) for pod in pods.store.by(UNBOUND_INDEX, "")])

    def service(self) -> Service:
        return Service("scheduler", self._controller.run, self._controller.stop)

    def _waiting(self, namespace: str) -> list[Key]:
        return [key_of(pod) for pod in self._pods.store.by(UNBOUND_INDEX, namespace)]

    async def _reconcile(self, key: Key) -> Result:
        pod = self._pods.store.get(key)
        if pod is None or not _unbound(pod):
            return Done()
        pod = {"apiVersion": "v1", "kind": "Pod", **pod}
        claims = None
        if self._claims is not None:
            found = (self._claims.store.get(Key(key.namespace, name)) for name in claims_of(pod))
            claims = {claim["metadata"]["name"]: claim for claim in found if claim is not None}
        classes = list(self._classes.store.objects()) if self._classes is not None else []
        for action in reconcile_unbound(pod, list(self._nodes.store.objects()), claims, classes, self._clock.now()):
            match action:
                case Bind(node=node):
                    if not await bind(self._client, key, node):
                        return Done()
                case Status(status=status):
                    with contextlib.suppress(NotFound, Conflict):
                        await self._client.patch(kinds.PODS, key, {"status": status}, subresource="status")
                case Note():
                    self._note(action)
        return Done()


async def bind(client: Client, key: Key, node: str) -> bool:
    """Put a Pod on a node; whether that was possible. What the server refuses is looked at again when the Pod changes."""
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    path = f"/api/v1/namespaces/{key.namespace}/pods/{key.name}/binding"
    headers = {"Content-Type": "application/json"}
    answer = await client.transport.request("POST", path, headers=headers, body=msgspec.json.encode(binding))
    return answer.status < 300


def _unbound(pod: Obj) -> list[str]:
    """The namespace of a Pod that has no node, and the empty name for all of them."""
    return [] if pod["spec"].get("nodeName") or has_ended(pod) else [pod["metadata"]["namespace"], ""]
