"""What would be lost with a release: volumes that its objects claim, objects of kinds that it defines (D4).

Asked only before a release is moved. The manifest is the one that Helm stored; what cannot be read counts as unknown, and
unknown counts as data.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

from cozystack.api import yaml
from cozystack.api.flux import HelmRelease
from cozystack.api.meta import Key
from cozystack.api.resources import SECRETS, untyped
from cozystack.kube import Client
from cozystack.kube.errors import KubeError

MOST_BYTES = 64 * 1024 * 1024


async def holdings(client: Client, release: HelmRelease) -> tuple[str, ...] | None:
    """The objects of a release that hold data, sorted; empty when there are none; ``None`` when that cannot be told."""
    history = release.status.history
    if not history:
        return () if not release.status.last_attempted_revision else None
    spec, newest = release.spec, history[0]
    name = newest.name or spec.release_name or release.metadata.name
    namespace = spec.storage_namespace or spec.target_namespace or release.metadata.namespace
    try:
        secret = await client.find(SECRETS, Key(namespace, f"sh.helm.release.v1.{name}.v{newest.version}"))
        manifest = _manifest(secret.data.get("release", "")) if secret is not None else None
        if manifest is None:
            return None
        found: list[str] = []
        for obj in _objects(manifest):
            found += await _held_by(client, obj, namespace)
    except (KubeError, yaml.YamlError):
        return None
    return tuple(sorted(found))


async def _held_by(client: Client, obj: dict[str, Any], namespace: str) -> list[str]:
    metadata, spec = obj.get("metadata") or {}, obj.get("spec") or {}
    place = f"{metadata.get('namespace') or namespace}/{metadata.get('name', '')}"
    match obj.get("kind"):
        case "PersistentVolumeClaim":
            return [f"PersistentVolumeClaim/{place}"]
        case "StatefulSet" if spec.get("volumeClaimTemplates"):
            return [f"StatefulSet/{place}"]
        case "CustomResourceDefinition":
            return [f"CustomResourceDefinition/{metadata.get('name', '')}"] if await _has_instances(client, spec) else []
    return []


async def _has_instances(client: Client, spec: dict[str, Any]) -> bool:
    names, versions = spec.get("names") or {}, [v for v in spec.get("versions") or () if v.get("served")]
    if not versions:
        return False
    resource = untyped(spec.get("group", ""), versions[0]["name"], names.get("kind", ""), names.get("plural", ""))
    async with aclosing(client.pages(resource, limit=1)) as pages:
        async for page in pages:
            return bool(page.items)
    return False


def _manifest(text: str) -> str | None:
    """The manifest of a release as Helm stores it: JSON, compressed, in base64 twice (once by Kubernetes)."""
    try:
        packed = base64.b64decode(base64.b64decode(text))
        plain = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
        release = json.loads(plain) if len(plain) <= MOST_BYTES else None
    except (binascii.Error, ValueError, OSError, EOFError, zlib.error):
        return None
    manifest = release.get("manifest") if isinstance(release, dict) else None
    return manifest if isinstance(manifest, str) else None


def _objects(manifest: str) -> Iterator[dict[str, Any]]:
    for document in yaml.load_all(manifest):
        if isinstance(document.value, dict):
            yield document.value
