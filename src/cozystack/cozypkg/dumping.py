"""Everything that explains a platform, in one file, without its secrets.

A dump is a ``v1/List`` in JSON (gzip where the name ends in ``.gz``): what the planner looks at, and workloads, Pods, claims,
Services and Events of the namespaces that releases go to. Taken out are the data of Secrets, values of environment variables,
values whose name says that they are secret, and what clients have noted down on objects.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cozystack.api import names
from cozystack.api.resources import SECRETS, Resource, untyped
from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.files import write_private
from cozystack.cozypkg.world import CHOICE, EVERYTHING, OPTIONAL, World, add, not_served, passed_over
from cozystack.planner.diagnosis import Evidence
from cozystack.planner.settings import settings_of

if TYPE_CHECKING:
    from cozystack.kube import Client

Obj = dict[str, Any]

REMOVED = "(removed)"
_UNREAD = "unread"
"""Field of a dump: kinds that whoever made it may not list."""
KINDS: tuple[Resource[Obj], ...] = (
    untyped("apps", "v1", "Deployment", "deployments"),
    untyped("apps", "v1", "StatefulSet", "statefulsets"),
    untyped("apps", "v1", "DaemonSet", "daemonsets"),
    untyped("apps", "v1", "ReplicaSet", "replicasets"),
    untyped("batch", "v1", "Job", "jobs"),
    untyped("", "v1", "Pod", "pods"),
    untyped("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    untyped("", "v1", "Service", "services"),
    untyped("", "v1", "Event", "events"),
)
"""What is looked at in the namespaces of releases."""

_SECRET = re.compile(
    r"pass(word|wd|phrase)?|secret|token|api_?-?key|private_?-?key|credential|authorization|\bkey$", re.IGNORECASE
)
_FLAG = re.compile(r"(--?[\w-]*(?:password|secret|token|key)[\w-]*=)\S+", re.IGNORECASE)
_NOTES = ("kubectl.kubernetes.io/last-applied-configuration",)
_OPTIONAL = {resource.kind for resource in OPTIONAL}
_PLANNED = {resource.kind: resource for resource in EVERYTHING}


async def collect(client: Client, namespaces: Iterable[str] | None = None) -> tuple[list[Obj], tuple[str, ...]]:
    """The objects of a dump, and the kinds that may not be listed; raises ``KubeError``.

    Of ``namespaces`` alone if they are given, of all otherwise.
    """
    from cozystack.kube.errors import Forbidden

    unread = []

    async def read(resource: Resource[Obj]) -> list[Obj]:
        try:
            return await _list(client, resource)
        except Forbidden:
            if resource.kind not in _OPTIONAL:
                raise
            unread.append(resource.kind)
            return []

    planned = [untyped(each.group, each.version, each.kind, each.plural, namespaced=each.namespaced) for each in EVERYTHING]
    listed = await asyncio.gather(*map(read, planned))
    objects = [obj for objects in listed for obj in objects] + await evidence_of(client, namespaces)
    return objects, tuple(sorted(unread))


async def evidence_of(client: Client, namespaces: Iterable[str] | None) -> list[Obj]:
    """Workloads, Pods, claims, Services and Events; what may not be listed is left out."""
    from cozystack.kube.errors import Forbidden

    async def read(resource: Resource[Obj], namespace: str) -> list[Obj]:
        try:
            return (await client.list(resource, namespace=namespace)).items
        except Forbidden:
            return []

    wanted = sorted(set(namespaces)) if namespaces is not None else [""]
    listed = await asyncio.gather(*(read(resource, namespace) for resource in KINDS for namespace in wanted))
    return [obj for objects in listed for obj in objects]


async def _list(client: Client, resource: Resource[Obj]) -> list[Obj]:
    from cozystack.kube.errors import NotFound

    selector = f"metadata.name={names.VALUES_SECRET}" if resource.kind == SECRETS.kind else ""
    try:
        return (await client.list(resource, field_selector=selector)).items
    except NotFound as error:
        typed = _PLANNED[resource.kind]
        if typed in CHOICE:
            raise not_served(typed) from error
        return []


def without_secrets(obj: Mapping[str, Any]) -> Obj:
    """An object as it may be shown to somebody else."""
    shown = dict(obj)
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "managedFields"}
    if metadata.get("annotations"):
        metadata["annotations"] = {key: value for key, value in metadata["annotations"].items() if key not in _NOTES}
    shown["metadata"] = metadata
    if obj.get("kind") in ("Secret", "ConfigMap"):
        for part in ("data", "stringData", "binaryData"):
            if isinstance(shown.get(part), dict):
                shown[part] = dict.fromkeys(shown[part], REMOVED)
        return shown
    return {key: value if key in ("metadata", "status") else _masked(value, "") for key, value in shown.items()}


def _masked(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        if "name" in value and "value" in value and isinstance(value["value"], str):
            # A variable of an environment.
            return {key: REMOVED if key == "value" else _masked(item, key) for key, item in value.items()}
        return {key: _masked(item, key) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, name) for item in value]
    if isinstance(value, str):
        if value and _SECRET.search(name) and name not in ("secretName", "secretRef", "tokenExpirationSeconds"):
            return REMOVED
        return _FLAG.sub(rf"\1{REMOVED}", value)
    return value


def write(path: Path, objects: Iterable[Mapping[str, Any]], unread: Iterable[str] = ()) -> int:
    """Write a dump, readable by its owner alone; the number of objects; raises ``CommandError``."""
    items = [without_secrets(obj) for obj in objects]
    text = msgspec.json.encode({"apiVersion": "v1", "kind": "List", _UNREAD: list(unread), "items": items})
    write_private(path, gzip.compress(text, mtime=0) if path.suffix == ".gz" else msgspec.json.format(text, indent=1))
    return len(items)


def read(path: Path) -> tuple[list[Obj], tuple[str, ...]]:
    """The objects of a dump, and the kinds that could not be listed for it; raises ``CommandError``."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    try:
        value = msgspec.json.decode(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise CommandError(f"{path} is no dump: {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get("items"), list):
        raise CommandError(f"{path} is no dump: `cozypkg dump` writes them")
    unread = value.get(_UNREAD)
    kinds = [kind for kind in unread if kind in _OPTIONAL] if isinstance(unread, list) else []
    return [item for item in value["items"] if isinstance(item, dict)], tuple(kinds)


def split(objects: Iterable[Obj], origin: str, unread: Iterable[str] = ()) -> tuple[World, Evidence]:
    """What the planner looks at, and the rest; an object that does not fit its kind becomes a warning."""
    world, evidence = World(origin, live=True), Evidence()
    for kind in unread:
        passed_over(world, kind)
    for obj in objects:
        kind = str(obj.get("kind", ""))
        resource = _PLANNED.get(kind)
        if resource is not None and obj.get("apiVersion") == resource.api_version:
            name = (obj.get("metadata") or {}).get("name", "")
            if kind != SECRETS.kind or name == names.VALUES_SECRET:
                try:
                    add(world, msgspec.convert(obj, resource.type))
                except msgspec.ValidationError as error:
                    world.warnings.append(f"{kind} {name} cannot be read: {error}")
        evidence.add(obj)
    world.settings = settings_of(evidence.find("Deployment", names.SYSTEM_NAMESPACE, "cozystack-operator"))
    return world, evidence


__all__ = ["collect", "evidence_of", "read", "split", "without_secrets", "write"]
