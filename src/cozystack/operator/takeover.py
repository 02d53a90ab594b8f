"""Take ownership over from the original operator, field by field and without touching a value (D9).

The original writes whole objects (``Update``), this one applies the fields that it wants. While both own a field, dropping it
from what is applied would not remove it. So the original's entries in ``managedFields`` are dropped, under the version that was
read; what it kept on behalf of the user (``spec.suspend``) stays owned as it was. No generation changes, nothing restarts.
"""

from __future__ import annotations

from typing import Any

from cozystack.api import names
from cozystack.api.meta import Key
from cozystack.api.resources import Resource, untyped
from cozystack.kube import Client
from cozystack.kube.errors import NotFound

LEGACY_MANAGERS = (names.OPERATOR_MANAGER,)
"""Whose ``Update`` entries are the original's: it names no manager, so the server takes the name of its program."""

_KEPT = ("f:spec", "f:suspend")


async def take_over(client: Client, resource: Resource[Any], key: Key) -> bool:
    """Drop the original's ownership of an object; whether there was any. Raises ``Conflict`` when it changed meanwhile."""
    plain = untyped(resource.group, resource.version, resource.kind, resource.plural, namespaced=resource.namespaced)
    try:
        live = await client.get(plain, key)
    except NotFound:
        return False
    metadata = live["metadata"]
    before = metadata.get("managedFields") or []
    after = [entry for entry in map(_without_legacy, before) if entry is not None]
    if after == before:
        return False
    patch = {"metadata": {"managedFields": after, "resourceVersion": metadata["resourceVersion"]}}
    await client.patch(plain, key, patch, manager=names.OPERATOR_MANAGER)
    return True


def _without_legacy(entry: dict[str, Any]) -> dict[str, Any] | None:
    if entry.get("operation") != "Update" or entry.get("manager") not in LEGACY_MANAGERS or entry.get("subresource"):
        return entry
    fields = entry.get("fieldsV1") or {}
    spec, suspend = _KEPT
    if suspend in (fields.get(spec) or {}):
        return {**entry, "fieldsV1": {spec: {suspend: {}}}}
    return None
