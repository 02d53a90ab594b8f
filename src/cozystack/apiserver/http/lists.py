"""Lists: which objects, at which version, in pages.

A continue token names the version of the first page and the last object that was given out, so every page of a list is cut from
the same snapshot, and the server remembers nothing between them.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from cozystack.apiserver import errors
from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.http.options import whole
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.schema import FieldError
from cozystack.apiserver.selectors import Predicate
from cozystack.apiserver.storage import Expired, Snapshot, Storage, Stored, VersionAhead

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter."
)
_MATCHES = ("Exact", "NotOlderThan")


class Page(NamedTuple):
    """Objects in order, and the ``metadata`` of the list that they make."""

    items: Sequence[Stored]
    metadata: dict[str, Any]


class _Token(msgspec.Struct):
    """What a continue token says."""

    version: int
    namespace: str
    name: str


def page(storage: Storage, info: ResourceInfo, namespace: str, query: Mapping[str, str], matches: Predicate | None) -> Page:
    """The page that ``query`` asks for; raises ``ApiError``."""
    limit = number(query, "limit")
    text = query.get("continue", "")
    if text:
        if query.get("resourceVersionMatch"):
            raise _options("resourceVersionMatch", "Forbidden", "resourceVersionMatch is forbidden when continue is provided")
        token = _read(text)
        after = (token.namespace, token.name)
        try:
            snapshot = storage.snapshot(info.storage_key, at=token.version)
        except (Expired, VersionAhead):
            raise errors.expired(_TOO_OLD) from None
    else:
        after = None
        snapshot = _snapshot(storage, info, query, paged=limit > 0)
    items = _within(snapshot.items, namespace, after)
    metadata: dict[str, Any] = {"resourceVersion": str(snapshot.version)}
    if matches is None:
        chosen: Sequence[Stored] = items[:limit] if limit else items
        more = len(items) > len(chosen)
    else:
        chosen, more = _matching(items, matches, limit)
    if more:
        last = chosen[-1]
        metadata["continue"] = _written(_Token(snapshot.version, last.namespace, last.name))
        if matches is None:
            metadata["remainingItemCount"] = len(items) - len(chosen)
    return Page(chosen, metadata)


def resource_version(query: Mapping[str, str]) -> int | None:
    """The version that a request names, nothing when it names none; raises ``ApiError``."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdecimal() or not text.isascii():
        why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise errors.bad_request(f"invalid resource version: {why}")
    return int(text)


def check_watch(query: Mapping[str, str]) -> None:
    """Raises ``ApiError`` when the options of a watch do not go together."""
    match, path = query.get("resourceVersionMatch", ""), "resourceVersionMatch"
    initial = query.get("sendInitialEvents")
    faults = []
    if initial is None and match:
        faults.append(f"{path} is forbidden for watch unless sendInitialEvents is provided")
    if initial is not None and match != "NotOlderThan":
        faults.append(f"sendInitialEvents requires setting {path} to NotOlderThan")
    if faults:
        raise errors.invalid(
            "ListOptions", "meta.k8s.io", "", [FieldError(path, "Forbidden", f"Forbidden: {fault}") for fault in faults]
        )


def number(query: Mapping[str, str], name: str) -> int:
    """A number, 0 when it is not given or is negative; raises ``ApiError``."""
    text = query.get(name)
    return max(0, whole(text)) if text else 0


def too_large(asked: int, current: int) -> ApiError:
    """What is answered to a version that nothing has reached yet."""
    message = f"Too large resource version: {asked}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    details = {"causes": causes, "retryAfterSeconds": 1}
    return ApiError(504, "Timeout", f"Timeout: {message}", details=details, headers={"Retry-After": "1"})


def _snapshot(storage: Storage, info: ResourceInfo, query: Mapping[str, str], *, paged: bool) -> Snapshot:
    """The state that ``query`` asks for. Without a match a version is exact when there is a limit, otherwise a minimum."""
    version = resource_version(query)
    match = query.get("resourceVersionMatch", "")
    if match:
        if version is None:
            raise _options("resourceVersionMatch", "Forbidden", "is forbidden unless resourceVersion is provided")
        if match not in _MATCHES:
            shown = ", ".join(f'"{known}"' for known in _MATCHES)
            raise _options("resourceVersionMatch", "Unsupported value", f'"{match}": supported values: {shown}')
        if match == "Exact" and version == 0:
            raise _options(
                "resourceVersionMatch", "Forbidden", 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
            )
    if version is None or version == 0:
        return storage.snapshot(info.storage_key)
    if version > storage.version:
        raise too_large(version, storage.version)
    if match == "Exact" or (not match and paged):
        try:
            return storage.snapshot(info.storage_key, at=version)
        except Expired:
            raise errors.expired(f"The provided resource version {version} is too old.") from None
    return storage.snapshot(info.storage_key)


def _within(items: Sequence[Stored], namespace: str, after: tuple[str, str] | None) -> Sequence[Stored]:
    """What of ``items`` lies in a namespace (in all, when it is empty) and comes after a place."""
    first, last = 0, len(items)
    if namespace:
        first = bisect_left(items, (namespace, ""), key=_place)
        last = bisect_left(items, (namespace + "\0", ""), lo=first, key=_place)
    if after is not None:
        first = max(first, bisect_right(items, after, key=_place))
    return items if (first, last) == (0, len(items)) else items[first:last]


def _place(stored: Stored) -> tuple[str, str]:
    return (stored.namespace, stored.name)


def _matching(items: Sequence[Stored], matches: Predicate, limit: int) -> tuple[list[Stored], bool]:
    """At most ``limit`` (all, for 0) of ``items`` that match, and whether more do."""
    found: list[Stored] = []
    for stored in items:
        if matches(stored.object):
            if limit and len(found) == limit:
                return found, True
            found.append(stored)
    return found, False


def _written(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=").decode()


def _read(text: str) -> _Token:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token)
    except (binascii.Error, ValueError):
        raise errors.bad_request(f'invalid continue token: continue key is not valid: "{text}"') from None


def _options(field: str, kind: str, message: str) -> ApiError:
    return errors.invalid("ListOptions", "meta.k8s.io", "", [FieldError(field, kind, f"{kind}: {message}")])
