"""In which form an answer is wanted: the object, a table, or its metadata alone; as JSON or as YAML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from cozystack.api import yaml
from cozystack.apiserver.errors import not_acceptable
from cozystack.apiserver.http.messages import JSON_TYPE, Request, Response
from cozystack.apiserver.printing import as_partial, as_partial_list, as_table
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.storage import Stored

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Form:
    kind: Literal["object", "table", "partial"]
    as_yaml: bool
    content_type: str


_OBJECT = Form("object", False, JSON_TYPE)


def form(accept: str) -> Form:
    """The first form in an ``Accept`` header that is served; raises ``ApiError`` when none is."""
    if not accept or accept == JSON_TYPE:
        return _OBJECT
    for choice in accept.split(","):
        media, *parameters = (part.strip() for part in choice.split(";"))
        wanted = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media in ("application/yaml", "text/yaml"):
            return Form("object", True, media)
        if media not in (JSON_TYPE, "*/*", "application/*"):
            continue
        kind = wanted.get("as", "")
        if wanted.get("g") == "meta.k8s.io" and wanted.get("v") == "v1":
            if kind == "Table":
                return Form("table", False, JSON_TYPE)
            if kind in ("PartialObjectMetadata", "PartialObjectMetadataList"):
                return Form("partial", False, JSON_TYPE)
        if not kind:
            return _OBJECT
    if "as=" in accept:
        raise not_acceptable("only the following media types are accepted: application/json, application/yaml")
    raise not_acceptable("406: Not Acceptable\n\nAvailable representations: application/json, application/yaml")


def encoded(wanted: Form, body: bytes, status: int = 200) -> Response:
    if wanted.as_yaml:
        body = yaml.dump(msgspec.json.decode(body)).encode()
    return Response(status, body, wanted.content_type)


def one(wanted: Form, request: Request, info: ResourceInfo, obj: dict[str, Any], now: datetime, status: int = 200) -> Response:
    """One object in the wanted form."""
    if wanted.kind == "table":
        return Response(status, _encode(_table(request, info, [obj], {"resourceVersion": _version(obj)}, now)))
    if wanted.kind == "partial":
        return Response(status, _encode(as_partial(obj)))
    return encoded(wanted, _encode(obj), status)


def many(
    wanted: Form, request: Request, info: ResourceInfo, items: list[dict[str, Any]], metadata: dict[str, Any], now: datetime
) -> Response:
    """A list in the wanted form."""
    if wanted.kind == "table":
        return Response(200, _encode(_table(request, info, items, metadata, now)))
    return Response(200, _encode(as_partial_list(items, metadata)))


def event_renderer(
    wanted: Form, request: Request, info: ResourceInfo, clock: Callable[[], datetime]
) -> Callable[[Stored], bytes]:
    """How the object of a watch event is written."""
    if wanted.kind == "table":
        return lambda stored: _encode(_table(request, info, [stored.object], {"resourceVersion": str(stored.version)}, clock()))
    if wanted.kind == "partial":
        return lambda stored: _encode(as_partial(stored.object))
    return lambda stored: stored.encoded


def _table(
    request: Request, info: ResourceInfo, items: list[dict[str, Any]], metadata: dict[str, Any], now: datetime
) -> dict[str, Any]:
    include = request.query.get("includeObject", "") or "Metadata"
    return as_table(info, items, include_object=include, metadata=metadata, now=now)


def _version(obj: dict[str, Any]) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))
