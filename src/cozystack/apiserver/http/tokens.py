"""``serviceaccounts/token``: tokens that clients ask for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from cozystack.api.time import format_time
from cozystack.apiserver import errors
from cozystack.apiserver.auth import ACCOUNTS, ISSUER, Authenticator, Bound
from cozystack.apiserver.schema.check import FieldError, invalid
from cozystack.apiserver.storage import Storage

Obj = dict[str, Any]

_GROUP, _KIND = "authentication.k8s.io", "TokenRequest"
_SHORTEST: Final = 600
_LONGEST: Final = 1 << 32
_USUAL: Final = 3600
_BOUND: Final = {"Pod": "/pods", "Secret": "/secrets", "Node": "/nodes"}


def token_request(auth: Authenticator, storage: Storage, namespace: str, name: str, body: Obj, now: datetime) -> Obj:
    """The answer to a ``TokenRequest`` for an account; raises ``ApiError``."""
    metadata, spec = body.get("metadata") or {}, dict(body.get("spec") or {})
    for key, value in (("name", name), ("namespace", namespace)):
        if metadata.get(key, value) != value:
            must = f"must match the service account {key} if specified"
            raise errors.invalid(_KIND, _GROUP, name, [invalid(f"metadata.{key}", metadata[key], must)])
    account = storage.get(ACCOUNTS, namespace, name)
    if account is None:
        raise errors.not_found("serviceaccounts", "", name)
    seconds = spec.get("expirationSeconds")
    spec["expirationSeconds"] = seconds = _USUAL if seconds is None else seconds
    faults = _faults(seconds)
    if faults:
        raise errors.invalid(_KIND, _GROUP, "", faults)
    spec["audiences"] = spec.get("audiences") or [ISSUER]
    bound = _bound(storage, namespace, name, spec.get("boundObjectRef"))
    spec.setdefault("boundObjectRef", None)
    token, ends = auth.issue(namespace, name, seconds=seconds, audiences=spec["audiences"], bound=bound)
    return {
        "kind": _KIND,
        "apiVersion": f"{_GROUP}/v1",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": account.object["metadata"]["uid"],
            "creationTimestamp": format_time(now),
        },
        "spec": spec,
        "status": {"token": token, "expirationTimestamp": format_time(ends.astimezone(UTC))},
    }


def _faults(seconds: Any) -> list[FieldError]:
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise errors.bad_request(f'{_KIND} in version "v1" cannot be handled as a {_KIND}: expirationSeconds is not a number')
    path = "spec.expirationSeconds"
    if seconds < _SHORTEST:
        return [invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > _LONGEST:
        return [invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


def _bound(storage: Storage, namespace: str, account: str, reference: Obj | None) -> Bound | None:
    """The object that the token shall live as long as; raises ``ApiError``."""
    if not reference:
        return None
    kind, name, uid = reference.get("kind", ""), reference.get("name", ""), reference.get("uid", "")
    version = reference.get("apiVersion") or "v1"
    resource = _BOUND.get(kind) if version == "v1" else None
    if resource is None:
        group, _, number = version.rpartition("/")
        raise errors.bad_request(f"cannot bind token to object of type {group}/{number}, Kind={kind}")
    stored = storage.get(resource, "" if kind == "Node" else namespace, name)
    if stored is None:
        raise errors.not_found(resource.removeprefix("/"), "", name)
    if kind == "Pod" and (stored.object["spec"].get("serviceAccountName") or "default") != account:
        raise errors.bad_request(
            f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
        )
    there = stored.object["metadata"]["uid"]
    if uid and uid != there:
        why = (
            f"the UID in the bound object reference ({uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(kind, "", name, why)
    return Bound(kind.lower(), name, there)
