"""Whether a server-side apply could change anything: what is wanted, what is there, and what we are recorded to own.

All three are walked together. The recorded field set (``fieldsV1``) also tells what a list is: entries ``k:`` make it
associative by those keys, ``v:`` a set, neither a value that is compared whole. ``False`` is said only when it is certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from cozystack.api.meta import JSON

Fields: TypeAlias = Mapping[str, Any]

_MISSING: Any = object()
_MAPS = (dict, msgspec.Struct)
_LISTS = (list, tuple)
_IDENTITY = frozenset(("apiVersion", "kind"))
_SERVER_METADATA = frozenset(
    ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields")
)


def needs_apply(desired: Any, live: Any, applied_fields: bytes) -> bool:
    """Whether applying ``desired`` could change ``live``, or its ownership.

    True when something desired is not in ``live``, when we do not own all of it, or when ``applied_fields`` (our ``fieldsV1``)
    hold a path that ``desired`` no longer has. ``live`` is a struct or plain JSON; a field that its type does not declare
    cannot be compared, so it makes the answer True.
    """
    ours = _ours(desired if isinstance(desired, dict) else msgspec.to_builtins(desired))
    if not applied_fields:
        return bool(ours)
    return not _settled(ours, live, _decode(applied_fields))


@lru_cache(maxsize=1024)
def _decode(fields: bytes) -> Fields:
    tree: Fields = msgspec.json.decode(fields, type=dict[str, Any])
    return tree


def _ours(desired: Mapping[str, JSON]) -> dict[str, JSON]:
    """What of an object can be owned: everything but its identity and what the server writes."""
    wanted = {name: value for name, value in desired.items() if name not in _IDENTITY}
    metadata = wanted.pop("metadata", None) or {}
    metadata = {name: value for name, value in metadata.items() if name not in _SERVER_METADATA}
    return {**wanted, "metadata": metadata} if metadata else wanted


def _settled(desired: JSON, live: Any, owned: Fields | None) -> bool:
    """``desired`` is in ``live``, and ``owned`` are its paths, no fewer and no more."""
    if owned is None:
        return False
    if isinstance(desired, dict):
        return _map_settled(desired, live, owned)
    if _is_list(desired):
        items = [name for name in owned if name[:2] in ("k:", "v:")]
        if items:
            return _is_list(live) and _items_settled(desired, live, owned, items)
    return _no_children(owned) and equal(desired, live)


def _map_settled(desired: Mapping[str, JSON], live: Any, owned: Fields) -> bool:
    if not isinstance(live, _MAPS):
        return False
    wanted = {name: value for name, value in desired.items() if value is not None}
    if _no_children(owned):
        return not wanted or equal(desired, live)
    recorded = {name[2:] for name in owned if name.startswith("f:")}
    if recorded != wanted.keys():
        return False
    return all(_settled(value, _member(live, name), owned["f:" + name]) for name, value in wanted.items())


def _items_settled(desired: Sequence[JSON], live: Sequence[Any], owned: Fields, items: Sequence[str]) -> bool:
    if len(desired) != len(items):
        return False
    for name in items:
        value = msgspec.json.decode(name[2:])
        if name.startswith("v:"):
            if not any(equal(value, each) for each in desired) or not any(equal(value, each) for each in live):
                return False
            continue
        wanted = next((each for each in desired if _has_keys(each, value, strict=False)), _MISSING)
        there = next((each for each in live if _has_keys(each, value, strict=True)), _MISSING)
        if wanted is _MISSING or there is _MISSING or not _settled(wanted, there, owned[name]):
            return False
    return True


def _has_keys(item: Any, keys: Mapping[str, JSON], *, strict: bool) -> bool:
    """An item of an associative list has these keys; what is wanted may leave out one that has a default."""
    if not isinstance(item, _MAPS):
        return False
    members = ((_member(item, name), value) for name, value in keys.items())
    return all(equal(value, member) or (not strict and member is _MISSING) for member, value in members)


def _no_children(owned: Fields) -> bool:
    return not owned or (len(owned) == 1 and "." in owned)


def equal(desired: JSON, live: Any) -> bool:
    """The same JSON value; a struct equals a map that leaves out some of its defaults. ``true`` is not ``1``."""
    if isinstance(desired, dict):
        if isinstance(live, msgspec.Struct):
            fields = _fields(type(live))
            return desired.keys() <= fields.keys() and all(
                equal(desired[name], getattr(live, field.name))
                if name in desired
                else _is_default(getattr(live, field.name), field)
                for name, field in fields.items()
            )
        return (
            isinstance(live, dict)
            and desired.keys() == live.keys()
            and all(equal(value, live[name]) for name, value in desired.items())
        )
    if _is_list(desired):
        return _is_list(live) and len(desired) == len(live) and all(map(equal, desired, live))
    if isinstance(desired, bool) or isinstance(live, bool):
        return desired is live
    return bool(desired == live)


def _is_list(value: Any) -> bool:
    return isinstance(value, _LISTS)


def _member(live: Any, name: str) -> Any:
    if isinstance(live, msgspec.Struct):
        field = _fields(type(live)).get(name)
        return _MISSING if field is None else getattr(live, field.name)
    return live.get(name, _MISSING)


def _is_default(value: Any, field: msgspec.structs.FieldInfo) -> bool:
    if field.default_factory is not msgspec.NODEFAULT:
        return bool(value == field.default_factory())
    return bool(value == field.default)


@lru_cache(maxsize=256)
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}
