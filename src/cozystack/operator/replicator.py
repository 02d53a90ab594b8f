"""Copy one Secret, the values of the platform, into every namespace that asks for it by label.

A copy carries the annotation ``operator.cozystack.io/replicated-from``. A Secret of that name without it is adopted when it is
plainly a copy that an earlier operator made (same type and label), and left alone otherwise. Copies go away when their
namespace stops matching or the original is gone. Namespaces are watched unfiltered, so that a lost label is seen
(specification, operator 5, weaknesses R1 to R5).
"""

from __future__ import annotations

from typing import Any

from cozystack.api import names
from cozystack.api.core import Namespace, Secret
from cozystack.api.meta import JSON, Key
from cozystack.api.resources import SECRETS
from cozystack.kube import Client, Informer
from cozystack.kube.errors import Conflict, NotFound
from cozystack.operator.selectors import matches
from cozystack.operator.takeover import take_over
from cozystack.runtime import Controller, Done, Log, Result

# What is copied of the source's labels and annotations: what its readers act on, not what owns it (R3).
_COPIED_LABELS = ("reconcile.fluxcd.io/watch",)
_COPIED_ANNOTATIONS: tuple[str, ...] = ()


class Replicator:
    """Reconciles the copy in one namespace, whose name is the key."""

    def __init__(
        self,
        client: Client,
        secrets: Informer[Secret],
        namespaces: Informer[Namespace],
        *,
        source: Key,
        selector: str,
        log: Log,
    ) -> None:
        self._client = client
        self._secrets = secrets
        self._namespaces = namespaces
        self._source = source
        self._selector = selector
        self._log = log

    def watch(self, controller: Controller) -> None:
        """Feed the controller: a copy or a namespace triggers its namespace, the source triggers all of them."""
        controller.watch(self._secrets, self._touched_by_secret)
        controller.watch(self._namespaces, lambda namespace: [Key("", namespace.metadata.name)])

    def _touched_by_secret(self, secret: Secret) -> list[Key]:
        if secret.key == self._source:
            return [Key("", key.name) for key in self._namespaces.store.keys()]  # noqa: SIM118 - a store is no dict
        return [Key("", secret.metadata.namespace)]

    async def reconcile(self, key: Key) -> Result:
        namespace = key.name
        if namespace == self._source.namespace:
            return Done()
        place = Key(namespace, self._source.name)
        source = self._secrets.store.get(self._source)
        copy = self._secrets.store.get(place)
        owner = self._namespaces.store.get(key)
        if owner is None or owner.metadata.deletion_timestamp or owner.status.phase == "Terminating":
            return Done()
        if source is None or source.metadata.deletion_timestamp or not matches(self._selector, owner.metadata.labels):
            if copy is not None and is_ours(copy, str(self._source)):
                await self._delete(copy, "the namespace does not ask for it" if source else "the original is gone")
            return Done()
        if copy is not None and not is_ours(copy, str(self._source)) and not is_adoptable(copy, source):
            self._log.warning("Secret left alone: it is not a copy of ours", secret=str(place))
            return Done()
        wanted = copy_of(source, namespace)
        if copy is not None and copy.type != source.type:
            # The type of a Secret never changes (R4).
            await self._delete(copy, "its type changed")
            copy = None
        if copy is None or differs(copy, wanted):
            await self._client.apply(SECRETS, wanted, manager=names.OPERATOR_MANAGER, force=True)
            # What others put into the data is theirs to an apply, and would stay.
            strange = copy.data.keys() - source.data.keys() if copy is not None else ()
            if strange:
                patch = {"data": dict.fromkeys(sorted(strange))}
                await self._client.patch(SECRETS, place, patch, manager=names.OPERATOR_MANAGER)
            self._log.info("values copied", secret=str(place))
        entry = self._secrets.store.entry(place)
        if entry is not None and entry.legacy and await take_over(self._client, SECRETS, place):
            self._log.info("copy of the values taken over from another operator", secret=str(place))
        return Done()

    async def _delete(self, copy: Secret, reason: str) -> None:
        try:
            await self._client.delete(SECRETS, copy.key, uid=copy.metadata.uid)
        except (NotFound, Conflict):
            return
        self._log.info("copy of the values deleted", secret=str(copy.key), reason=reason)


def copy_of(source: Secret, namespace: str) -> dict[str, JSON]:
    """The copy for ``namespace``, as it is applied."""
    labels = {key: source.metadata.labels[key] for key in _COPIED_LABELS if key in source.metadata.labels}
    annotations = {key: source.metadata.annotations[key] for key in _COPIED_ANNOTATIONS if key in source.metadata.annotations}
    metadata: dict[str, Any] = {
        "name": source.metadata.name,
        "namespace": namespace,
        "annotations": {**annotations, names.REPLICATED_ANNOTATION: str(source.key)},
    }
    if labels:
        metadata["labels"] = labels
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": source.type or "Opaque",
        "data": dict(source.data),
    }


def differs(copy: Secret, wanted: dict[str, JSON]) -> bool:
    meta = wanted["metadata"]
    return (
        copy.data != wanted["data"]
        or not meta.get("labels", {}).items() <= copy.metadata.labels.items()
        or not meta["annotations"].items() <= copy.metadata.annotations.items()
    )


def is_ours(copy: Secret, source: str) -> bool:
    return copy.metadata.annotations.get(names.REPLICATED_ANNOTATION) == source


def is_adoptable(copy: Secret, source: Secret) -> bool:
    """An unmarked copy as the original operator made them: same type, every label of the source, nobody's property."""
    return (
        copy.type == source.type
        and not copy.metadata.owner_references
        and source.metadata.labels.items() <= copy.metadata.labels.items()
        and bool(source.metadata.labels)
    )
