"""Requests in, answers out: the API as a function, without sockets.

``ApiServer.handle`` finds out who asks, what is asked for and whether they may, and calls the read side or ``Objects``. What
goes wrong comes back as a ``Status`` object.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from cozystack.apiserver import errors
from cozystack.apiserver.admission import Refused, Webhooks, Writes
from cozystack.apiserver.audit import Audit, Record
from cozystack.apiserver.auth import Authenticator
from cozystack.apiserver.deletion import is_returned
from cozystack.apiserver.discovery import (
    aggregated,
    api_group,
    api_group_list,
    api_resource_list,
    api_versions,
)
from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.http import negotiate
from cozystack.apiserver.http.bodies import media_type, read_object, read_patch, together
from cozystack.apiserver.http.impersonation import acting_user, is_acting
from cozystack.apiserver.http.lists import check_watch, number, page, resource_version
from cozystack.apiserver.http.messages import Request, Response, Stream, User, json_response
from cozystack.apiserver.http.options import delete_options, write_options
from cozystack.apiserver.http.requests import Asked, asked
from cozystack.apiserver.http.tokens import token_request
from cozystack.apiserver.http.watch import Watch, WatchSpec, failed_lines
from cozystack.apiserver.objects import DeleteOptions, Objects, WriteOptions
from cozystack.apiserver.openapi import OpenApi
from cozystack.apiserver.rbac import Aggregation, Authorizer, ClientWrites, GuardedWrites, forbidden
from cozystack.apiserver.rbac.authorizer import MASTERS
from cozystack.apiserver.rbac.reviews import Reviews
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.scale import scale_of, scaling_patch
from cozystack.apiserver.schema import unknown_fields
from cozystack.apiserver.selectors import Predicate, both, field_selector, label_selector
from cozystack.apiserver.storage import Expired, Storage, Stored, VersionAhead

VERSION = {
    "major": "1",
    "minor": "37",
    "emulationMajor": "1",
    "emulationMinor": "37",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "36",
    "gitVersion": "v1.37.2",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "go1.26",
    "compiler": "gc",
    "platform": "linux/amd64",
}
# Anybody may know whether the server is well.
HEALTH_PATHS = frozenset(("/healthz", "/livez", "/readyz"))
PATCHES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
    "application/apply-patch+json": "apply",
}
# Not a resource, but answered and printed like one.
SCALE = ResourceInfo(
    group="autoscaling",
    version="v1",
    plural="scale",
    singular="",
    kind="Scale",
    namespaced=True,
    verbs=(),
    columns=(
        {"name": "Name", "type": "string"},
        {"name": "Desired", "type": "integer"},
        {"name": "Available", "type": "integer"},
        {"name": "Age", "type": "string"},
    ),
)
_CONNECTED = frozenset(("", "pods", name) for name in ("exec", "attach", "portforward"))
WATCH_SECONDS = 1800
_log = logging.getLogger(__name__)


class LogSource(Protocol):
    """Where the logs of Pods come from."""

    def __call__(self, pod: dict[str, Any], query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The log that the query of a ``pods/log`` request asks for; raises ``ApiError``."""
        ...


class ApiServer:
    """See the module. ``clock`` and ``key`` (for tokens) are passed in; ``logs`` serves ``pods/log``, ``audit`` is told of
    every request; ``unconnected`` says why nobody can run commands in Pods, or forward ports to them."""

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        key: bytes = b"",
        tokens: Mapping[str, User] | None = None,
        objects: Objects | None = None,
        logs: LogSource | None = None,
        webhooks: Webhooks | None = None,
        audit: Audit | None = None,
        unconnected: str = "",
    ) -> None:
        self.storage = storage
        self.objects = objects if objects is not None else Objects(storage, clock=clock)
        self.registry = self.objects.registry
        self.clock = clock
        self.auth = Authenticator(storage, key=key or secrets.token_bytes(32), clock=clock, tokens=tokens)
        self.authorizer = Authorizer(storage)
        writes = Writes(self.objects, webhooks if webhooks is not None else Webhooks(storage, self.registry))
        self.writes: ClientWrites = GuardedWrites(writes, self.objects, self.authorizer)
        self._aggregation = Aggregation(self.objects)
        self._reviews = Reviews(self.authorizer, self.auth, clock)
        self._audit = audit
        self.is_audited = audit is not None
        self.logs = logs
        self._unconnected = unconnected
        self._openapi = OpenApi(self.registry)
        self._watches: set[Watch] = set()
        self.ready = True

    async def handle(self, request: Request) -> Response | Stream:
        """The answer to a request; never raises for what a client does."""
        record = self._audit.begin(request) if self._audit is not None else None
        answer = await self._answered(request, record)
        if record is not None:
            record.answered(answer)
            answer.headers = {**answer.headers, "Audit-Id": record.id}
        return answer

    async def _answered(self, request: Request, record: Record | None) -> Response | Stream:
        try:
            return await self._answer(request, record)
        except Refused as error:
            refused = json_response(error.status(), error.code, error.headers)
            refused.warnings = tuple(error.warnings)
            return refused
        except ApiError as error:
            refused = json_response(error.status(), error.code, error.headers)
            refused.warnings = tuple(request.warnings)
            return refused
        except RecursionError:
            too_deep = errors.bad_request("the body is nested too deeply")
            return json_response(too_deep.status(), too_deep.code)
        except Exception as error:
            # A fault of the server: one request fails, and the server lives on.
            _log.exception("%s %s has failed", request.method, request.path)
            fault = errors.internal(f"{type(error).__name__}: {error}")
            return json_response(fault.status(), fault.code)

    def end_watches(self) -> None:
        """End every watch, so that the transport can close."""
        for watch in list(self._watches):
            watch.close()

    async def _answer(self, request: Request, record: Record | None) -> Response | Stream:
        wanted = asked(request)
        if record is not None:
            record.asked = wanted
        user = self.auth.user(request)
        if user is None:
            raise errors.unauthorized()
        if record is not None:
            record.user = user
        if is_acting(request):
            user = acting_user(request, wanted.attributes(user), self.authorizer)
            if record is not None:
                record.acting_as = user
        if request.path.startswith("//"):
            return _no_page()
        root = wanted.parts[0] if wanted.parts else ""
        if f"/{root}" in HEALTH_PATHS:
            return self._health(request, wanted)
        if MASTERS in user.groups:
            if record is not None:
                record.reason = ""
        else:
            attributes = wanted.attributes(user)
            decision = self.authorizer.decide(attributes)
            if record is not None:
                record.reason, record.refused = decision.reason, not decision.allowed
            if not decision.allowed:
                raise forbidden(attributes, decision.reason)
        if wanted.resource:
            answer = await self._resource_of(request, wanted, user)
            if request.method != "GET":
                self._aggregation.settle()
            return answer
        return self._document(request, wanted)

    def _health(self, request: Request, wanted: Asked) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        if len(wanted.parts) > 1 and wanted.parts[1:] != ["ping"]:
            return _no_page()
        name = wanted.parts[0]
        if not self.ready:
            return Response(503, b"starting", "text/plain; charset=utf-8")
        said = f"[+]ping ok\n{name} check passed\n" if request.flag("verbose") else "ok"
        return Response(200, said.encode(), "text/plain; charset=utf-8")

    def _document(self, request: Request, wanted: Asked) -> Response:
        """What the server says of itself."""
        parts = wanted.parts
        if not parts or parts[0] not in ("api", "apis", "openapi", "version"):
            if not parts and request.method == "GET":
                return json_response({"paths": self._paths()})
            return _no_page()
        if request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        if parts[0] == "openapi":
            return self._openapi.answer(parts[1:], request)
        if parts == ["version"]:
            return json_response(VERSION)
        core = parts[0] == "api"
        if len(parts) > (2 if core else 3):
            raise errors.no_such_path()
        if len(parts) == 1:
            return self._group_document(request, core=core)
        group = "" if core else parts[1]
        if not core and not self.registry.versions(group):
            return _no_page()
        if not core and len(parts) == 2:
            return json_response(api_group(self.registry, group))
        version = parts[1] if core else parts[2]
        if version not in self.registry.versions(group):
            raise errors.no_such_path()
        return json_response(api_resource_list(self.registry, group, version))

    def _paths(self) -> list[str]:
        groups = [group for group in self.registry.groups() if group]
        versions = [f"/apis/{group}/{version}" for group in groups for version in self.registry.versions(group)]
        named = ["/api", "/api/v1", "/apis", *(f"/apis/{group}" for group in groups), *versions]
        return sorted([*named, *HEALTH_PATHS, "/openapi/v2", "/openapi/v3", "/version"])

    async def _resource_of(self, request: Request, wanted: Asked, user: User) -> Response | Stream:
        info = self.registry.find(wanted.group, wanted.version, wanted.resource)
        if info is None or wanted.beyond:
            if not self.registry.versions(wanted.group):
                return _no_page()
            raise errors.no_such_path()
        namespace, name = wanted.place, wanted.target
        if bool(namespace) is not info.namespaced and (namespace or name):
            raise errors.no_such_path()
        if wanted.subresource and wanted.subresource not in info.subresources:
            raise errors.no_such_path()
        if name in (".", ".."):
            raise errors.bad_request(f"Name parameter invalid: \"{name}\": may not be '{name}'")
        if "%" in name:
            raise errors.bad_request(f"Name parameter invalid: \"{name}\": may not contain '%'")
        return await self._resource(request, info, namespace, name, wanted.subresource, user)

    def _group_document(self, request: Request, *, core: bool) -> Response:
        accept = request.headers.get("accept", "")
        if "apidiscovery.k8s.io" in accept and "v=v2" in accept:
            response = json_response(aggregated(self.registry, core=core))
            response.content_type = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            return response
        return json_response(api_versions(self.registry) if core else api_group_list(self.registry))

    async def _resource(
        self, request: Request, info: ResourceInfo, namespace: str, name: str, subresource: str, user: User
    ) -> Response | Stream:
        method = request.method
        if subresource:
            return await self._subresource(request, info, namespace, name, subresource, user)
        if not name:
            match method:
                case "GET" if request.flag("watch"):
                    return self._watch(request, info, namespace, "")
                case "GET":
                    return self._list(request, info, namespace)
                case "POST":
                    return await self._create(request, info, namespace, user)
                case "DELETE":
                    return await self._delete_collection(request, info, namespace, user)
            raise errors.method_not_allowed()
        match method:
            case "GET":
                return self._rendered(request, info, self.objects.get(info, namespace, name))
            case "PUT":
                options = write_options(request, "UpdateOptions")
                body = self._body(request, info, options, name)
                status = 200 if self.objects.find(info, namespace, name) is not None else 201
                obj = await self.writes.replace(info, namespace, name, body, options, user)
                return self._written(request, info, obj, options, status)
            case "PATCH":
                return await self._patch(request, info, namespace, name, "", user)
            case "DELETE":
                told = WriteOptions()
                asked = delete_options(request)
                obj, gone = await self.writes.delete(info, namespace, name, asked, user, told.warnings)
                if gone and not is_returned(info):
                    response = json_response(_success(info, name, obj))
                    response.warnings = tuple(told.warnings)
                    return response
                return self._written(request, info, obj, told)
        raise errors.method_not_allowed()

    async def _subresource(
        self, request: Request, info: ResourceInfo, namespace: str, name: str, subresource: str, user: User
    ) -> Response | Stream:
        key = (info.group, info.plural, subresource)
        if key == ("", "pods", "log") and request.method == "GET":
            pod = self.objects.get(info, namespace, name).object
            if self.logs is None:
                raise errors.not_found("pods/log", "", name)
            return Stream(self.logs(pod, request.query), content_type="text/plain")
        if self._unconnected and key in _CONNECTED and request.method in ("GET", "POST"):
            self.objects.get(info, namespace, name)
            raise errors.bad_request(f"{subresource} is not possible here: {self._unconnected}")
        if key == ("", "serviceaccounts", "token") and request.method == "POST":
            return self._token(request, namespace, name)
        if key == ("", "namespaces", "finalize") and request.method == "PUT":
            body = self._body(request, info, write_options(request, "UpdateOptions"))
            return json_response(self.objects.finalize_namespace(name, list((body.get("spec") or {}).get("finalizers") or ())))
        if key == ("", "pods", "binding") and request.method == "POST":
            target = (read_object(request, "Binding").value.get("target") or {}).get("name", "")
            self.objects.patch(
                info, namespace, name, "merge", {"spec": {"nodeName": target}}, WriteOptions(manager="scheduler")
            )
            return json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)
        if key == ("", "pods", "eviction") and request.method == "POST":
            self.objects.delete(info, namespace, name, DeleteOptions())
            return json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)
        if subresource not in info.subresources:
            raise errors.no_such_path()
        if subresource == "scale":
            return self._scale(request, info, namespace, name)
        match request.method:
            case "GET":
                return self._rendered(request, info, self.objects.get(info, namespace, name))
            case "PUT":
                options = write_options(request, "UpdateOptions", subresource=subresource)
                body = self._body(request, info, options, name)
                obj = await self.writes.replace(info, namespace, name, body, options, user)
                return self._written(request, info, obj, options)
            case "PATCH":
                return await self._patch(request, info, namespace, name, subresource, user)
        raise errors.method_not_allowed()

    # Reading

    def _rendered(self, request: Request, info: ResourceInfo, stored: Stored, status: int = 200) -> Response:
        form = negotiate.form(request.headers.get("accept", ""))
        if form.kind == "object":
            return negotiate.encoded(form, stored.encoded, status)
        return negotiate.one(form, request, info, stored.object, self.clock(), status)

    def _selected(self, request: Request, info: ResourceInfo) -> Predicate | None:
        return both(
            label_selector(request.query.get("labelSelector", "")),
            field_selector(info, request.query.get("fieldSelector", "")),
        )

    def _list(self, request: Request, info: ResourceInfo, namespace: str) -> Response:
        form = negotiate.form(request.headers.get("accept", ""))
        items, metadata = page(self.storage, info, namespace, request.query, self._selected(request, info))
        if form.kind == "object":
            head = msgspec.json.encode({"kind": info.list_kind, "apiVersion": info.api_version, "metadata": metadata})
            body = head[:-1] + b',"items":[' + b",".join([stored.encoded for stored in items]) + b"]}"
            return negotiate.encoded(form, body)
        return negotiate.many(form, request, info, [stored.object for stored in items], metadata, self.clock())

    def _watch(self, request: Request, info: ResourceInfo, namespace: str, name: str) -> Stream:
        matches = self._selected(request, info)
        check_watch(request.query)
        if name:
            matches = both(matches, lambda obj: obj["metadata"]["name"] == name)
        form = negotiate.form(request.headers.get("accept", ""))
        spec = WatchSpec(
            info=info,
            namespace=namespace,
            matches=matches,
            since=resource_version(request.query) or None,
            bookmarks=request.flag("allowWatchBookmarks"),
            initial=request.flag("sendInitialEvents"),
            timeout=number(request.query, "timeoutSeconds") or WATCH_SECONDS,
            form=form.kind if form.kind != "table" else f"table {request.query.get('includeObject', '')}",
            render=negotiate.event_renderer(form, request, info, self.clock),
        )
        try:
            watch = Watch(self.storage, spec)
        except (Expired, VersionAhead):
            error = errors.expired(f"too old resource version: {spec.since} ({self.storage.version})")
            return Stream(failed_lines(error), content_type=form.content_type)
        self._watches.add(watch)

        def close() -> None:
            watch.close()
            self._watches.discard(watch)

        return Stream(watch.lines(), content_type=form.content_type, close=close)

    # Writing

    async def _create(self, request: Request, info: ResourceInfo, namespace: str, user: User) -> Response:
        if info.group in ("authorization.k8s.io", "authentication.k8s.io"):
            body = self._body(request, info, write_options(request, "CreateOptions"))
            return json_response(self._reviews.answer(info, namespace, body, user), 201)
        if "create" not in info.verbs:
            raise errors.method_not_allowed()
        options = write_options(request, "CreateOptions")
        body = self._body(request, info, options)
        if info.namespaced and not namespace:
            raise errors.bad_request("an empty namespace may not be set during creation")
        return self._written(request, info, await self.writes.create(info, namespace, body, options, user), options, 201)

    async def _patch(
        self, request: Request, info: ResourceInfo, namespace: str, name: str, subresource: str, user: User
    ) -> Response:
        kind = PATCHES.get(media_type(request))
        if kind is None or (kind == "strategic" and info.custom):
            if not info.custom:
                raise errors.ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
            accepted = ", ".join(media for media, form in PATCHES.items() if form != "strategic")
            said = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
            raise errors.ApiError(415, "UnsupportedMediaType", said)
        options = write_options(request, "PatchOptions", subresource=subresource, patch=kind)
        patch, faults = read_patch(request, kind)
        if kind == "apply" and faults and options.field_validation == "Strict":
            listed = ", ".join(together(faults))
            raise errors.bad_request(f"error strict decoding patch: error converting YAML to JSON: {listed}")
        if options.field_validation != "Ignore":
            options.warnings += faults
        if kind == "apply":
            if not isinstance(patch.get("kind"), str) or not isinstance(patch.get("apiVersion"), str):
                raise errors.bad_request("invalid object type: /, Kind=")
            obj, new = await self.writes.apply(info, namespace, name, patch, options, user)
            return self._written(request, info, obj, options, 201 if new else 200)
        obj = await self.writes.patch(info, namespace, name, kind, patch, options, user)
        return self._written(request, info, obj, options)

    def _written(
        self, request: Request, info: ResourceInfo, obj: dict[str, Any], options: WriteOptions, status: int = 200
    ) -> Response:
        metadata = obj["metadata"]
        stored = self.objects.find(info, metadata.get("namespace", ""), metadata.get("name", ""))
        if stored is not None and stored.object is obj:
            response = self._rendered(request, info, stored, status)
        else:
            form = negotiate.form(request.headers.get("accept", ""))
            response = negotiate.one(form, request, info, obj, self.clock(), status)
        response.warnings = tuple(options.warnings)
        return response

    async def _delete_collection(self, request: Request, info: ResourceInfo, namespace: str, user: User) -> Response:
        matches = self._selected(request, info)
        options = delete_options(request)
        chosen = [s for s in self.objects.all(info, namespace) if matches is None or matches(s.object)]
        warnings: list[str] = []
        for stored in chosen:
            await self.writes.delete(info, stored.namespace, stored.name, options, user, warnings)
        head = {
            "kind": info.list_kind,
            "apiVersion": info.api_version,
            "metadata": {"resourceVersion": str(self.storage.version)},
        }
        response = json_response({**head, "items": [stored.object for stored in chosen]})
        response.warnings = tuple(warnings)
        return response

    def _scale(self, request: Request, info: ResourceInfo, namespace: str, name: str) -> Response:
        stored = self.objects.get(info, namespace, name)
        if request.method in ("PUT", "PATCH"):
            read = read_object(request, "Scale") if request.method == "PUT" else read_patch(request, "merge")
            options = write_options(request, "UpdateOptions")
            self.objects.patch(info, namespace, name, "merge", scaling_patch(info, name, read.value), options)
            stored = self.objects.get(info, namespace, name)
        elif request.method != "GET":
            raise errors.method_not_allowed()
        form = negotiate.form(request.headers.get("accept", ""))
        return negotiate.one(form, request, SCALE, scale_of(info, stored.object), self.clock())

    def _token(self, request: Request, namespace: str, name: str) -> Response:
        body = read_object(request, "TokenRequest").value
        return json_response(token_request(self.auth, self.storage, namespace, name, body, self.clock()), 201)

    # What a request says

    def _body(self, request: Request, info: ResourceInfo, options: WriteOptions, name: str = "") -> dict[str, Any]:
        """The object in the body, which may have to be that of a ``name``; raises ``ApiError``."""
        obj, faults = read_object(request, info.kind, custom=info.custom)
        if faults:
            if options.field_validation == "Strict":
                listed = ", ".join(
                    (*together(faults), *(f'unknown field "{path}"' for path in unknown_fields(info.schema, obj)))
                )
                raise errors.bad_request(
                    f'{info.kind} in version "{info.version}" cannot be handled as a {info.kind}: '
                    f"strict decoding error: {listed}"
                )
            if options.field_validation == "Warn":
                options.warnings += faults
        metadata = obj.get("metadata")
        if name and (metadata is None or (isinstance(metadata, dict) and not metadata.get("name"))):
            raise errors.no_name(name)
        return obj  # type: ignore[no-any-return]


def _success(info: ResourceInfo, name: str, obj: dict[str, Any]) -> dict[str, Any]:
    details = {"name": name, "kind": info.plural, "uid": obj["metadata"].get("uid", "")}
    if info.group:
        details["group"] = info.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _no_page() -> Response:
    """What is answered to a path outside of the API."""
    return Response(404, b"404 page not found\n", "text/plain; charset=utf-8")
