"""What a controller wants to be done to the cluster, as values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from cozystack.api.meta import JSON
from cozystack.api.time import format_time, parse_time

Obj: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Create:
    object: Obj


@dataclass(frozen=True, slots=True)
class Patch:
    """A merge patch of the object itself."""

    kind: str
    namespace: str
    name: str
    patch: Obj


@dataclass(frozen=True, slots=True)
class Status:
    """A merge patch of ``status``; never returned when it would change nothing."""

    kind: str
    namespace: str
    name: str
    status: Obj


@dataclass(frozen=True, slots=True)
class Delete:
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Note:
    """An Event about ``object``, as the controller ``component`` writes it."""

    object: Obj
    component: str
    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Look at the object again after a time, whether or not anything has changed."""

    after: timedelta


Action: TypeAlias = Create | Patch | Status | Delete | Note | Again

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
    return sorted(
        (child for child in candidates if controller_uid(child) == uid),
        key=lambda child: (child["metadata"].get("creationTimestamp", ""), child["metadata"]["name"]),
    )


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


def status_action(item: Obj, wanted: Obj) -> list[Action]:
    """The patch that brings the status of ``item`` to ``wanted``, or nothing where it says so already."""
    live = item.get("status", {})
    changed = {key: value for key, value in wanted.items() if live.get(key) != value and not (value == 0 and key not in live)}
    gone = {key: None for key in live if key in wanted and wanted[key] is None}
    if not changed and not gone:
        return []
    meta = item["metadata"]
    return [Status(item["kind"], meta.get("namespace", ""), meta["name"], {**changed, **gone})]


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


def pod_from(template: Obj, parent: Obj, *, name: str, labels: Obj | None = None, **spec: JSON) -> Obj:
    """A Pod of ``template``, controlled by ``parent`` and bound to the one node there is."""
    meta = template.get("metadata", {})
    pod_spec = {**template.get("spec", {}), "nodeName": NODE, **spec}
    metadata: Obj = {
        "name": name,
        "namespace": parent["metadata"]["namespace"],
        "labels": {**meta.get("labels", {}), **(labels or {})},
        "ownerReferences": [owner(parent)],
    }
    if meta.get("annotations"):
        metadata["annotations"] = dict(meta["annotations"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec}


def delete(item: Obj) -> Delete:
    meta = item["metadata"]
    return Delete(item["kind"], meta.get("namespace", ""), meta["name"], meta["uid"])
