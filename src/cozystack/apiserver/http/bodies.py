"""Bodies of requests: JSON, YAML and protobuf, and what Kubernetes says of those that are none.

The last of several equal keys counts, and they are told to those who want to know. What is no UTF-8 becomes the character that
stands for such, as Go does it. YAML whose aliases would make much out of little is refused before anybody unfolds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from cozystack.api import yaml
from cozystack.apiserver import errors
from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.golang import json_type
from cozystack.apiserver.http.jsontext import fault
from cozystack.apiserver.http.messages import Request
from cozystack.apiserver.objects import MOST_BYTES
from cozystack.apiserver.protobuf import ProtobufError, decode

PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_JSON_TYPES: Final = frozenset({"", "application/json"})
_YAML_TYPES: Final = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
_ACCEPTED: Final = ("application/json", "application/yaml")
_SUMMARY: Final = 30
_HEAD: Final = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
# Beyond these, what aliases add is judged by its share, as go-yaml does.
_FEW_NODES: Final = 1_000
_FEW_ALIASED: Final = 100

_encode = msgspec.json.Encoder().encode


class NotRead(ValueError):  # noqa: N818 - it names what is wrong
    """A body is not what it claims to be; the text is Go's."""


class Read(NamedTuple):
    """A value, and what a strict reader would not have let pass."""

    value: Any
    faults: tuple[str, ...] = ()


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def limited(request: Request) -> bytes:
    """The body; raises ``ApiError`` when it is too large."""
    if len(request.body) > MOST_BYTES:
        raise errors.too_large(MOST_BYTES)
    return request.body


def read_object(request: Request, kind: str, *, custom: bool = False) -> Read:
    """The object of ``kind`` in a body; raises ``ApiError``. Custom resources do not come as protobuf."""
    body, media = limited(request), media_type(request)
    if media == PROTOBUF and not custom:
        try:
            return Read(decode(body, kind))
        except ProtobufError as error:
            raise _unrecognized(kind, str(error), body) from error
    try:
        if media in _JSON_TYPES:
            found = read_json(body)
            if found.value is None:
                return Read({})
            if not isinstance(found.value, dict):
                raise NotRead(f"json: cannot unmarshal {json_type(found.value)} into Go value of type {_HEAD}")
            for name, said in found.value.items():
                if name in ("apiVersion", "kind") and not isinstance(said, str | None):
                    raise NotRead(f"json: cannot unmarshal {json_type(said)} into Go struct field .{name} of type string")
            return found
    except NotRead as error:
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {error}", body) from error
    if media not in _YAML_TYPES:
        raise unsupported(custom=custom)
    try:
        found = read_yaml(body)
    except NotRead as error:
        raise _unrecognized(kind, str(error), body) from error
    if not isinstance(found.value, dict):
        why = f"json: cannot unmarshal {json_type(found.value)} into Go value of type {_HEAD}"
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {why}", body)
    return found


def unsupported(*, custom: bool = False) -> ApiError:
    accepted = ", ".join((*_ACCEPTED,) if custom else (*_ACCEPTED, PROTOBUF))
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return ApiError(415, "UnsupportedMediaType", message)


def read_json(body: bytes) -> Read:
    """Raises ``NotRead``."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_slowly(body)
    # Equal keys make the text longer than what was read of it; everything else that does costs a second look.
    return Read(value) if body.count(b'":') == _encode(value).count(b'":') else _read_slowly(body)


def _read_slowly(body: bytes) -> Read:
    """By a reader that forgives what Go's does, and sees equal keys."""
    text = body.decode("utf-8", "replace")
    seen: list[_Pairs] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            keys = [key for key, _ in items]
            seen.append(_Pairs(found, [key for index, key in enumerate(keys) if key in keys[:index]]))
        return found

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant)
    except RecursionError:
        raise NotRead(fault(text) or "exceeded max depth") from None
    except ValueError as error:
        raise NotRead(fault(text) or str(error)) from error
    if any(0xD800 <= ord(char) < 0xE000 for char in set(text)) or "\\ud" in text.lower():
        value = _without_surrogates(value)
    return Read(value, _duplicates(value, seen) if seen else ())


class _Pairs(NamedTuple):
    object: dict[str, Any]
    twice: list[str]


def _duplicates(value: Any, seen: list[_Pairs]) -> tuple[str, ...]:
    """The paths of keys that stand more than once."""
    twice = {id(pairs.object): pairs.twice for pairs in seen}
    found: dict[str, None] = {}

    def look(item: Any, path: str) -> None:
        if isinstance(item, dict):
            for key in twice.get(id(item), ()):
                found[f'duplicate field "{path}{key}"'] = None
            for key, child in item.items():
                look(child, f"{path}{key}.")
        elif isinstance(item, list):
            for index, child in enumerate(item):
                look(child, f"{path.rstrip('.')}[{index}].")

    look(value, "")
    return tuple(found)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _without_surrogates(value: Any) -> Any:
    """With the character for unknown ones where half a character stands: it could not be written."""
    if isinstance(value, str):
        return "".join("\ufffd" if 0xD800 <= ord(char) < 0xE000 else char for char in value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def read_yaml(body: bytes) -> Read:
    """The first document, which may be JSON; raises ``NotRead``, and ``ApiError`` when aliases make too much of it."""
    if body.lstrip()[:1] == b"{":
        try:
            return read_json(body)
        except NotRead:
            pass  # a flow mapping may begin like JSON
    twice: list[tuple[int, str]] = []
    try:
        documents = yaml.load_all(body.decode("utf-8", "replace"), twice=twice)
    except yaml.YamlError as error:
        raise NotRead(f"yaml: line {error.line}: {error.message}" if error.line else f"yaml: {error.message}") from error
    value = documents[0].value if documents else None
    return Read(_unfolded(value), tuple(f'line {line}: key "{key}" already set in map' for line, key in twice))


def together(faults: tuple[str, ...]) -> tuple[str, ...]:
    """The faults as a strict reader gives them: those of YAML, which name lines, are one."""
    if not faults or not faults[0].startswith("line "):
        return faults
    return ("\n  ".join(("yaml: unmarshal errors:", *faults)),)


def _unfolded(value: Any) -> Any:
    """``value`` without shared parts; raises ``NotRead`` when that would be much more than there is."""
    sizes: dict[int, tuple[int, int]] = {}
    alone = 0
    shared = False

    def measure(item: Any) -> tuple[int, int]:
        """How many nodes and how many bytes of text there are, when all is written out."""
        nonlocal alone, shared
        if not isinstance(item, dict | list):
            return 1, len(item) if isinstance(item, str) else 8
        known = sizes.get(id(item))
        if known is not None:
            if known == _OPEN:
                raise NotRead("yaml: anchor value contains itself")
            shared = True
            return known
        sizes[id(item)] = _OPEN
        nodes, size = 1, 0
        alone += 1
        for child in item.values() if isinstance(item, dict) else item:
            more, longer = measure(child)
            nodes, size = nodes + more, size + longer
            alone += not isinstance(child, dict | list)
        sizes[id(item)] = (nodes, size)
        return nodes, size

    nodes, size = measure(value)
    if not shared:
        return value
    aliased = nodes - alone
    if nodes > _FEW_NODES and aliased > _FEW_ALIASED and aliased / nodes > _share(nodes):
        raise NotRead("yaml: document contains excessive aliasing")
    if size > MOST_BYTES:
        raise errors.too_large(MOST_BYTES)
    return msgspec.json.decode(_encode(value))


_OPEN: Final = (-1, -1)


def _share(nodes: int) -> float:
    """What share of so many nodes aliases may add."""
    few, many = 400_000, 4_000_000
    if nodes <= few:
        return 0.99
    return 0.10 if nodes >= many else 0.99 - 0.89 * (nodes - few) / (many - few)


def _unrecognized(kind: str, why: str, body: bytes) -> ApiError:
    return errors.bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(body)})")


def _summary(body: bytes) -> str:
    if not body:
        return "<empty>"
    show: Callable[[bytes], str] = (lambda data: data.decode("utf-8", "replace")) if body[:1] == b"{" else bytes.hex
    return f"{show(body[:_SUMMARY])} ..." if len(body) > _SUMMARY else show(body)


# Patches


def read_patch(request: Request, kind: str) -> Read:
    """A patch of that kind; raises ``ApiError``."""
    body = limited(request)
    try:
        found = read_yaml(body) if kind == "apply" else read_json(body)
    except NotRead as error:
        if kind == "apply":
            raise errors.bad_request(f"error encoding patch: {error}") from error
        if kind == "merge":
            raise errors.bad_request("invalid JSON patch") from error
        raise errors.bad_request(f"error decoding patch: {error}") from error
    wanted, go = (list, "[]handlers.jsonPatchOp") if kind == "json" else (dict, "map[string]interface {}")
    if not isinstance(found.value, wanted):
        said = "error unmarshaling JSON: while decoding JSON: " if kind == "apply" else ""
        raise errors.bad_request(
            f"error decoding patch: {said}json: cannot unmarshal {json_type(found.value)} into Go value of type {go}"
        )
    return found
