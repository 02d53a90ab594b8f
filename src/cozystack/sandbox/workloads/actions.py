"""What a controller wants to be done to the cluster, as values."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from cozystack.api.meta import JSON
from cozystack.api.time import format_time, parse_time

Obj: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """An Event about ``object``, as the controller ``component`` writes it."""

    object: Obj
    component: str
    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """``told``, if anything, is said when the object has been made, ``refused`` (with the reason) when it may not be."""

    object: Obj
    told: Note | None = None
    refused: Note | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """A merge patch of the object itself."""

    kind: str
    namespace: str
    name: str
    patch: Obj


@dataclass(frozen=True, slots=True)
class Status:
    """A merge patch of ``status``; never returned when it would change nothing.

    ``annotations`` are written along, which moves no generation. With a ``version``, nothing is written when the object is not
    at it, and nothing that follows in the same list is done.
    """

    kind: str
    namespace: str
    name: str
    status: Obj
    annotations: Obj = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    kind: str
    namespace: str
    name: str
    uid: str
    told: Note | None = None
    """What is said when it was there to be deleted."""


@dataclass(frozen=True, slots=True)
class Bind:
    """Put a Pod on a node."""

    namespace: str
    name: str
    node: str


@dataclass(frozen=True, slots=True)
class Again:
    """Look at the object again after a time, whether or not anything has changed."""

    after: timedelta


Action: TypeAlias = Create | Patch | Status | Delete | Bind | Note | Again

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
NODE = "sandbox"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def short_hash(value: JSON, length: int = 10) -> str:
    """A short text that differs when ``value`` differs, of letters that form no words."""
    number = int.from_bytes(hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()[:16], "big")
    text = ""
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        text += _ALPHABET[index]
    return text


def together(actions: list[Action]) -> list[Action]:
    """The same with one patch for each object, in the place of its first one."""
    result: list[Action] = []
    places: dict[tuple[str, str, str], int] = {}
    for action in actions:
        if isinstance(action, Patch):
            place = (action.kind, action.namespace, action.name)
            first = result[places[place]] if place in places else None
            if isinstance(first, Patch):
                result[places[place]] = Patch(*place, _laid_over(first.patch, action.patch))
                continue
            places[place] = len(result)
        result.append(action)
    return result


def _laid_over(base: Obj, over: Obj) -> Obj:
    result = dict(base)
    for name, value in over.items():
        known = result.get(name)
        result[name] = _laid_over(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def changed_metadata(item: Obj, **change: JSON) -> Patch:
    """A patch of the metadata of exactly this state of an object: what it makes of a list is wrong for any other."""
    meta = item["metadata"]
    guard = {name: meta[name] for name in ("uid", "resourceVersion") if name in meta}
    return Patch(item["kind"], meta.get("namespace", ""), meta["name"], {"metadata": {**guard, **change}})


def owner(parent: Obj) -> Obj:
    """The controller reference to ``parent``."""
    return {
        "apiVersion": parent["apiVersion"],
        "kind": parent["kind"],
        "name": parent["metadata"]["name"],
        "uid": parent["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_by(parent: Obj, candidates: list[Obj]) -> list[Obj]:
    """Those of ``candidates`` that ``parent`` controls, oldest first."""
    uid = parent["metadata"]["uid"]
    return oldest_first(child for child in candidates if controller_uid(child) == uid)


def oldest_first(items: Iterable[Obj]) -> list[Obj]:
    return sorted(items, key=lambda item: (item["metadata"].get("creationTimestamp", ""), item["metadata"]["name"]))


def controller_uid(item: Obj) -> str:
    """The uid of the object that controls ``item``, or nothing."""
    for reference in item["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            return str(reference["uid"])
    return ""


def is_deleting(item: Obj) -> bool:
    return "deletionTimestamp" in item["metadata"]


def is_ready(pod: Obj) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", ()))


def ready_since(pod: Obj) -> datetime | None:
    """Since when a Pod is ready, nothing when it is not."""
    for entry in pod.get("status", {}).get("conditions", ()):
        if entry["type"] == "Ready" and entry["status"] == "True":
            return parse_time(entry["lastTransitionTime"]) if "lastTransitionTime" in entry else _LONG_AGO
    return None


def available(pods: list[Obj], seconds: int, now: datetime) -> tuple[int, list[Action]]:
    """How many Pods have been ready for some seconds, and when to count again."""
    if not seconds:
        return sum(is_ready(pod) for pod in pods), []
    moments = [since + timedelta(seconds=seconds) for pod in pods if (since := ready_since(pod)) is not None]
    later = [moment - now for moment in moments if moment > now]
    return len(moments) - len(later), [Again(min(later))] if later else []


def has_ended(pod: Obj) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def phase(pod: Obj) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def status_action(
    item: Obj, wanted: Obj, *, always: Container[str] = (), annotations: Obj | None = None, exact: bool = False
) -> list[Action]:
    """The patch that brings the status of ``item`` to ``wanted``, or nothing where it says so already.

    Zeros are left out, as Kubernetes leaves them out, but for the fields in ``always``; so is what is None. ``exact``: only if
    the object is still the one that was looked at.
    """
    live, meta = item.get("status", {}), item["metadata"]
    changed: Obj = {}
    for key, value in wanted.items():
        kept, before = None if value == 0 and value is not False and key not in always else value, live.get(key)
        if before != kept or (kept is not None and key not in live):
            # A patch merges maps: what is to go from one has to be named.
            if isinstance(before, dict) and isinstance(kept, dict):
                kept = {**kept, **dict.fromkeys(before.keys() - kept.keys())}
            changed[key] = kept
    notes = {key: value for key, value in (annotations or {}).items() if meta.get("annotations", {}).get(key) != value}
    if not changed and not notes:
        return []
    version = meta.get("resourceVersion", "") if exact else ""
    return [Status(item["kind"], meta.get("namespace", ""), meta["name"], changed, notes, version)]


def condition(item: Obj, kind: str, status: bool, reason: str, message: str, now: datetime, *, updated: bool = False) -> Obj:
    """One condition of a workload; its times move only with its status (or, for ``lastUpdateTime``, with its reason)."""
    stamp = format_time(now)
    old = next((c for c in item.get("status", {}).get("conditions", ()) if c["type"] == kind), None)
    text = "True" if status else "False"
    moved = old["lastTransitionTime"] if old and old["status"] == text else stamp
    new: Obj = {"type": kind, "status": text, "reason": reason, "message": message, "lastTransitionTime": moved}
    if updated:
        same = old and old["status"] == text and old.get("reason") == reason
        new["lastUpdateTime"] = old.get("lastUpdateTime", stamp) if same and old else stamp
    return new


def with_condition(conditions: list[Obj], new: Obj | None, kind: str = "") -> list[Obj]:
    """``conditions`` with ``new`` in the place of the one of its type; without that of ``kind`` when there is no new one.

    As Kubernetes does it for workloads: a condition whose status and reason are the same stays as it is, one that changes goes
    to the end.
    """
    kind = str(new["type"]) if new is not None else kind
    old = next((entry for entry in conditions if entry["type"] == kind), None)
    if new is not None and old is not None and (old["status"], old.get("reason")) == (new["status"], new.get("reason")):
        return conditions
    others = [entry for entry in conditions if entry["type"] != kind]
    return [*others, new] if new is not None else others


def pod_from(template: Obj, parent: Obj, *, name: str, prefix: str = "", labels: Obj | None = None, **spec: JSON) -> Obj:
    """A Pod of ``template``, controlled by ``parent``. ``prefix`` is what ``name`` counts as generated from."""
    meta = template.get("metadata", {})
    pod_spec = {**template.get("spec", {}), **spec}
    metadata: Obj = {
        "name": name,
        "namespace": parent["metadata"]["namespace"],
        "labels": {**meta.get("labels", {}), **(labels or {})},
        "ownerReferences": [owner(parent)],
    }
    if prefix:
        metadata["generateName"] = prefix
    for part in ("annotations", "finalizers"):
        if meta.get(part):
            metadata[part] = copy.copy(meta[part])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec}


def create_pod(pod: Obj, parent: Obj, component: str) -> Create:
    """Make a Pod of a workload, and say so of that."""
    told = Note(parent, component, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
    return Create(pod, told, Note(parent, component, "FailedCreate", "Error creating: ", warning=True))


def delete_pod(pod: Obj, parent: Obj, component: str) -> Delete:
    """Delete a Pod of a workload, and say so of that."""
    return delete(pod, Note(parent, component, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}"))


def delete(item: Obj, told: Note | None = None) -> Delete:
    meta = item["metadata"]
    return Delete(item["kind"], meta.get("namespace", ""), meta["name"], meta["uid"], told)
