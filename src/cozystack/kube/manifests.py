"""Apply a set of arbitrary manifests in an order that works: namespaces and CRDs first, admission webhooks last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cozystack.api.resources import Resource
from cozystack.kube.apply import Applier, ApplyOutcome
from cozystack.kube.client import Client
from cozystack.kube.discovery import Discovery
from cozystack.kube.errors import NotFound, UnknownKind
from cozystack.kube.ownership import ownership
from cozystack.kube.store import key_of

Manifest = dict[str, Any]

_ORDER: tuple[tuple[str, ...], ...] = (
    ("Namespace",),
    ("CustomResourceDefinition",),
    ("PriorityClass", "ResourceQuota", "LimitRange", "StorageClass"),
    ("ServiceAccount", "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim"),
    ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    ("Service", "NetworkPolicy", "PodDisruptionBudget"),
    ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "CronJob"),
)
_RANKS = {kind: rank for rank, kinds in enumerate(_ORDER) for kind in kinds}
_LAST = ("APIService", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
_POLL = 0.2


def in_order(manifests: Iterable[Manifest]) -> list[Manifest]:
    """The manifests in the order to create them, otherwise as they came. Lists (``kind: List``) are unfolded."""
    return sorted(_unfolded(manifests), key=_rank)


async def apply_all(
    client: Client,
    discovery: Discovery,
    manifests: Iterable[Manifest],
    *,
    manager: str,
    force: bool = True,
    namespace: str = "default",
    established_within: float = 60.0,
) -> list[ApplyOutcome[dict[str, Any]]]:
    """Apply each, reading it first and skipping what does not differ; outcomes are in the order of ``in_order``.

    Before the first object of a kind that the server does not serve yet, waits (on the client's clock) until it does, at most
    ``established_within`` seconds; then raises ``UnknownKind``. ``namespace`` is for namespaced objects that name none.
    """
    applier = Applier(client, manager)
    condense = ownership([manager])
    outcomes = []
    for manifest in in_order(manifests):
        resource = await _served(client, discovery, manifest, established_within)
        desired = _placed(manifest, resource, namespace)
        try:
            live = condense(await client.get(resource, key_of(desired)))
        except NotFound:
            live = None
        outcomes.append(await applier.apply(resource, desired, live, force=force))
    return outcomes


async def _served(client: Client, discovery: Discovery, manifest: Manifest, seconds: float) -> Resource[dict[str, Any]]:
    deadline = client.clock.monotonic() + seconds
    while True:
        try:
            return await discovery.resource(manifest.get("apiVersion", ""), manifest.get("kind", ""))
        except UnknownKind:
            if client.clock.monotonic() >= deadline:
                raise
            await client.clock.sleep(_POLL)


def _placed(manifest: Manifest, resource: Resource[Any], namespace: str) -> Manifest:
    """The manifest with the namespace that it is applied to; without one where there are none."""
    metadata = dict(manifest.get("metadata") or {})
    if resource.namespaced:
        metadata.setdefault("namespace", namespace)
    else:
        metadata.pop("namespace", None)
    return {**manifest, "metadata": metadata}


def _unfolded(manifests: Iterable[Manifest]) -> Iterator[Manifest]:
    for manifest in manifests:
        if manifest.get("kind", "").endswith("List") and isinstance(manifest.get("items"), list):
            yield from _unfolded(manifest["items"])
        else:
            yield manifest


def _rank(manifest: Manifest) -> int:
    kind = manifest.get("kind", "")
    return len(_ORDER) + 1 if kind in _LAST else _RANKS.get(kind, len(_ORDER))
