"""Take ownership over from the original operator, field by field and without touching a value (D9).

The original writes whole objects (``Update``), this one applies the fields that it wants. While both own a field, dropping it
from what is applied would not remove it. So the original's entries in ``managedFields`` become what we applied, under the
version that was read, and the next apply removes what is not wanted any more; what the original kept on behalf of the user
(``spec.suspend``) stays owned as it was. No generation changes by that, nothing restarts.
"""

from __future__ import annotations

from typing import Any

from cozystack.api import names
from cozystack.api.meta import JSON, Key
from cozystack.api.resources import Resource, untyped
from cozystack.kube import Client
from cozystack.kube.errors import NotFound

LEGACY_MANAGERS = (names.OPERATOR_MANAGER,)
"""Whose ``Update`` entries are the original's: it names no manager, so the server takes the name of its program."""

_KEPT = ("f:spec", "f:suspend")


async def take_over(client: Client, resource: Resource[Any], key: Key, *, heir: str = "") -> bool:
    """End the original's ownership of an object; whether there was any. Raises ``Conflict`` when it changed meanwhile.

    What it owned passes to the fields that ``heir`` applied, or to nobody.
    """
    plain = untyped(resource.group, resource.version, resource.kind, resource.plural, namespaced=resource.namespaced)
    try:
        live = await client.get(plain, key)
    except NotFound:
        return False
    metadata = live["metadata"]
    before = metadata.get("managedFields") or []
    after = _without_legacy(before, heir)
    if after == before:
        return False
    patch = {"metadata": {"managedFields": after, "resourceVersion": metadata["resourceVersion"]}}
    await client.patch(plain, key, patch, manager=names.OPERATOR_MANAGER)
    return True


def _without_legacy(entries: list[JSON], heir: str) -> list[JSON]:
    kept: list[JSON] = []
    inherited: JSON = {}
    ours = next((entry for entry in entries if _is_applied_by(entry, heir)), None)
    for entry in entries:
        if not _is_legacy(entry):
            kept.append(entry)
            continue
        fields, users = _parted(entry.get("fieldsV1") or {})
        inherited = _merged(inherited, fields)
        ours = ours or {**entry, "manager": heir, "operation": "Apply", "fieldsV1": {}}
        if users:
            kept.append({**entry, "fieldsV1": users})
    if not heir or not inherited or ours is None:
        return kept
    heirs = {**ours, "fieldsV1": _merged(ours.get("fieldsV1") or {}, inherited)}
    return [*(entry for entry in kept if entry is not ours), heirs]


def _is_legacy(entry: JSON) -> bool:
    return entry.get("operation") == "Update" and entry.get("manager") in LEGACY_MANAGERS and not entry.get("subresource")


def _is_applied_by(entry: JSON, manager: str) -> bool:
    return entry.get("operation") == "Apply" and entry.get("manager") == manager and not entry.get("subresource")


def _parted(fields: JSON) -> tuple[JSON, JSON]:
    """Field sets: what is the original's own, and what it kept for the user."""
    spec, suspend = _KEPT
    if suspend not in (fields.get(spec) or {}):
        return fields, {}
    rest = {name: value for name, value in fields[spec].items() if name != suspend}
    others = {name: value for name, value in fields.items() if name != spec}
    return ({**others, spec: rest} if rest else others), {spec: {suspend: {}}}


def _merged(one: JSON, other: JSON) -> JSON:
    """The union of two field sets."""
    union = dict(one)
    for name, value in other.items():
        union[name] = _merged(union[name], value) if name in union else value
    return union
