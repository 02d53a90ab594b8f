"""Everything that a sandbox which has stopped holds, as it is wanted: so that two ways to one version can be compared."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import msgspec

from cozystack.apiserver.storage import open_storage

_PASSING = frozenset(
    {
        "/endpoints",
        "/events",
        "/pods",
        "apps/controllerrevisions",
        "apps/replicasets",
        "coordination.k8s.io/leases",
        "discovery.k8s.io/endpointslices",
        "events.k8s.io/events",
    }
)
"""What controllers make and take away as they work."""
_OF_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")
_OF_THE_WAY = ("reconcile.fluxcd.io/requestedAt", "deployment.kubernetes.io/revision", "operator.cozystack.io/applied")
"""Annotations that tell how an object came to be as it is."""
_RECORDS = frozenset({"ConfigMap cozystack-migrations", "ConfigMap witness"})
_RUNNER = frozenset({"Job cozystack-migrations", "ServiceAccount cozystack-migrations"})
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\\n|LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0[A-Za-z0-9+/=]*"
)
"""As PEM, or as that in base64."""


def shapes(state: Path) -> dict[str, Any]:
    """Every object, without what depends on when, in how many steps and on which ports it got there.

    What Helm keeps of each revision, what steps recorded, and the Job that ran them are of the way, and are left out.
    """
    storage = open_storage(state / "api.sqlite")
    try:
        stored = [
            (resource, each.object)
            for resource in storage.resources()
            if resource not in _PASSING
            for each in storage.objects(resource)
            if not _is_record(each.object)
        ]
    finally:
        storage.close()
    ports = msgspec.json.decode((state / "state.json").read_bytes())["ports"]
    replaced = {str(port): f"port of {name}" for name, port in ports.items()}
    replaced |= {obj["metadata"]["uid"]: f"uid of {_name(resource, obj)}" for resource, obj in stored}
    pattern = re.compile("|".join(rf"\b{re.escape(text)}\b" for text in replaced))

    def shape(obj: dict[str, Any]) -> Any:
        text = msgspec.json.encode(_shape(obj)).decode()
        return msgspec.json.decode(_CERTIFICATE.sub("a certificate", pattern.sub(lambda found: replaced[found[0]], text)))

    return {_name(resource, obj): shape(obj) for resource, obj in stored}


def differing(left: dict[str, Any], right: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is on one side alone, or not the same on both: by name, both sides."""
    names = sorted(left.keys() | right.keys())
    return {name: (left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)}


def _name(resource: str, obj: dict[str, Any]) -> str:
    return f"{resource} {obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


def _is_record(obj: dict[str, Any]) -> bool:
    if obj.get("type") in ("helm.sh/release.v1", "kubernetes.io/service-account-token"):
        return True
    return f"{obj['kind']} {obj['metadata']['name']}" in _RECORDS | _RUNNER


def _shape(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in obj["metadata"].items() if name not in _OF_THE_SERVER}
    annotations = metadata.pop("annotations", None) or {}
    metadata["annotations"] = {name: value for name, value in annotations.items() if name not in _OF_THE_WAY}
    rest = {name: value for name, value in obj.items() if name not in ("metadata", "status")}
    if obj["kind"] == "Secret":
        rest["data"] = {name: _text(value) for name, value in (obj.get("data") or {}).items()}
    return {"metadata": metadata, **rest}


def _text(value: str) -> str:
    return base64.b64decode(value).decode(errors="replace")
