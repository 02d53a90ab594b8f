"""The webhooks of all configurations: who is asked about a write, in which order, and what becomes of it.

Mutating webhooks are asked one after the other, in the order of their configurations' names, each with what the one before it
has made of the object; then all validating ones at once, and the first refusal in that same order counts. A webhook behind a
Service is found by the ``Resolver``; one that nothing real stands behind admits. Policies are evaluated before the validating
webhooks: what they refuse is not sent anywhere.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, Protocol

import msgspec

from cozystack.apiserver.admission.calls import CallError, Endpoint, call_over_https
from cozystack.apiserver.admission.conditions import ConditionsFailed, Decide, conditions_hold, names_of
from cozystack.apiserver.admission.matching import Operation, Write, is_exempt, rule_accepts, selectors_accept
from cozystack.apiserver.admission.policies import Policies
from cozystack.apiserver.cel.library.authorization import Question
from cozystack.apiserver.cel.policies import Expression, compile_conditions
from cozystack.apiserver.conversion import converted
from cozystack.apiserver.errors import ApiError, bad_request, forbidden, internal
from cozystack.apiserver.http.messages import User
from cozystack.apiserver.patch import PatchError, json_patch
from cozystack.apiserver.rbac.authorizer import Authorizer
from cozystack.apiserver.rbac.rules import Attributes
from cozystack.apiserver.resources import Registry, ResourceInfo
from cozystack.apiserver.storage import Storage, Stored

Obj = dict[str, Any]
Caller = Callable[[Endpoint, bytes, float], Awaitable[bytes]]
"""Sends a review to an endpoint, within seconds; raises ``CallError``."""
Stage = Literal["mutating", "validating"]

_KINDS: tuple[Stage, Stage] = ("mutating", "validating")
_API_VERSION = "admission.k8s.io/v1"


class Resolver(Protocol):
    """Finds what stands behind a Service."""

    def __call__(self, namespace: str, name: str, port: int) -> str | None:
        """``host:port`` to connect to, or nothing when only simulated Pods stand behind it: then it admits everything.

        Raises ``LookupError`` when there is no such Service or nothing behind it.
        """
        ...


class Refused(ApiError):  # noqa: N818 - it names what has happened
    """A webhook has refused the write, or has failed and was not allowed to; with what the others had to say."""

    def __init__(self, error: ApiError, warnings: list[str]) -> None:
        super().__init__(error.code, error.reason, error.message, details=error.details, headers=error.headers)
        self.warnings = warnings


@dataclass(slots=True)
class _Webhook:
    name: str
    body: Obj
    stage: Stage
    conditions: list[Expression]


@dataclass(slots=True)
class _Answer:
    """What a webhook said; ``error`` is its refusal."""

    error: ApiError | None = None
    warnings: tuple[str, ...] = ()
    patch: Any = None


class Webhooks:
    """See the module. ``call`` sends a review; without ``resolve``, no Service has anything real behind it. ``decide`` answers
    what expressions ask their ``authorizer``; by default the roles do."""

    def __init__(
        self,
        storage: Storage,
        registry: Registry,
        *,
        resolve: Resolver | None = None,
        call: Caller = call_over_https,
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
        decide: Decide | None = None,
    ) -> None:
        self._storage = storage
        self._registry = registry
        self._resolve = resolve
        self._call = call
        self._new_uid = new_uid
        self._read: dict[Stage, tuple[object, list[_Webhook]]] = {}
        self._decide = decide if decide is not None else _by_roles(storage)
        self._policies = Policies(storage, registry, self._decide)

    def concern(self, info: ResourceInfo, operation: Operation, subresource: str = "") -> bool:
        """Whether any webhook may have to be asked about such a write."""
        if is_exempt(info):
            return False
        return self._policies.concern(info, operation, subresource) or any(
            self._version_asked(webhook, info, subresource, operation) for stage in _KINDS for webhook in self._webhooks(stage)
        )

    async def mutate(self, write: Write) -> tuple[Obj | None, list[str]]:
        """What the mutating webhooks make of the new object, and what they have to say; raises ``Refused``."""
        warnings: list[str] = []
        for webhook in self._webhooks("mutating"):
            answer = await self._ask(webhook, write)
            warnings += answer.warnings
            if answer.error is not None:
                raise Refused(answer.error, warnings)
            if answer.patch is not None and write.new is not None:
                write = replace(write, new=_patched(webhook, write.new, answer.patch, warnings))
        return write.new, warnings

    async def validate(self, write: Write) -> list[str]:
        """What policies and validating webhooks have to say; raises ``Refused``."""
        verdict = self._policies.validate(write)
        write.annotations.update(verdict.annotations)
        if verdict.error is not None:
            raise Refused(verdict.error, verdict.warnings)
        answers = await asyncio.gather(*(self._ask(webhook, write) for webhook in self._webhooks("validating")))
        warnings = verdict.warnings + [warning for answer in answers for warning in answer.warnings]
        for answer in answers:
            if answer.error is not None:
                raise Refused(answer.error, warnings)
        return warnings

    def _webhooks(self, stage: Stage) -> list[_Webhook]:
        """All of them, read again when a configuration has changed: the storage then gives another list."""
        stored = self._storage.objects(f"admissionregistration.k8s.io/{stage}webhookconfigurations")
        kept = self._read.get(stage)
        if kept is not None and kept[0] is stored:
            return kept[1]
        found = [
            _Webhook(hook.get("name", ""), hook, stage, compile_conditions(hook.get("matchConditions") or [], ""))
            for each in stored
            for hook in each.object.get("webhooks") or ()
        ]
        self._read[stage] = (stored, found)
        return found

    def _version_asked(self, webhook: _Webhook, info: ResourceInfo, subresource: str, operation: Operation) -> str:
        """The version of the resource in which a webhook wants to be asked; empty when it does not."""
        rules = webhook.body.get("rules") or ()
        versions = [info.version]
        if webhook.body.get("matchPolicy", "Equivalent") == "Equivalent":
            others = self._registry.versions(info.group)
            versions += [each for each in others if self._registry.find(info.group, each, info.plural) is not None]
        for version in versions:
            if any(rule_accepts(rule, info, version, subresource, operation) for rule in rules):
                return version
        return ""

    async def _ask(self, webhook: _Webhook, write: Write) -> _Answer:
        """What one webhook says, or nothing when it is not concerned or may fail."""
        version = self._version_asked(webhook, write.info, write.subresource, write.operation)
        if not version or is_exempt(write.info) or not selectors_accept(webhook.body, write, self._namespace_of(write)):
            return _Answer()
        try:
            if webhook.conditions and not self._conditions_hold(webhook, write, version):
                return _Answer()
        except ConditionsFailed as error:
            if webhook.body.get("failurePolicy", "Fail") == "Ignore":
                return _Answer()
            return _Answer(forbidden(write.info.plural, write.info.group, write.name, str(error)))
        if write.dry_run and webhook.body.get("sideEffects") not in ("None", "NoneOnDryRun"):
            return _Answer(bad_request(f'admission webhook "{webhook.name}" does not support dry run'))
        try:
            endpoint = self._endpoint(webhook.body.get("clientConfig") or {})
            if endpoint is None:
                return _Answer()
            review = self._review(write, version)
            try:
                body = await self._call(endpoint, msgspec.json.encode(review), float(webhook.body.get("timeoutSeconds") or 10))
            except CallError as error:
                raise CallError(f'failed to call webhook: Post "{endpoint.url}": {error}') from error
            return _read_answer(webhook, body, review["request"]["uid"])
        except CallError as error:
            if webhook.body.get("failurePolicy", "Fail") == "Ignore":
                return _Answer()
            return _Answer(internal(f'failed calling webhook "{webhook.name}": {error}'))

    def _conditions_hold(self, webhook: _Webhook, write: Write, version: str) -> bool:
        """Raises ``ConditionsFailed``."""
        shown = self._registry.find(write.info.group, version, write.info.plural) or write.info
        return conditions_hold(webhook.conditions, names_of(write, shown, None, self._decide))

    def _namespace_of(self, write: Write) -> Obj | None:
        stored = self._storage.get("/namespaces", "", write.namespace) if write.info.namespaced else None
        return stored.object if isinstance(stored, Stored) else None

    def _endpoint(self, config: Obj) -> Endpoint | None:
        """Where a webhook is; nothing when it is only simulated. Raises ``CallError``."""
        bundle = config.get("caBundle") or ""
        service = config.get("service")
        if not service:
            url = config.get("url") or ""
            if not url.startswith("https://"):
                raise CallError(f'the address of a webhook begins with https://, not as "{url}" does')
            return Endpoint(url, ca_bundle=bundle)
        if self._resolve is None:
            return None
        namespace, name, port = service.get("namespace", ""), service.get("name", ""), int(service.get("port") or 443)
        path = "/" + (service.get("path") or "").lstrip("/")
        host = f"{name}.{namespace}.svc"
        try:
            place = self._resolve(namespace, name, port)
        except LookupError as error:
            reason = str(error.args[0]) if error.args else "not found"
            raise CallError(f'failed to call webhook: Post "https://{host}:{port}{path}": {reason}') from error
        if place is None:
            return None
        return Endpoint(f"https://{host}:{port}{path}", f"https://{place}{path}", host, bundle)

    def _review(self, write: Write, version: str) -> Obj:
        info = write.info
        shown = self._registry.find(info.group, version, info.plural) or info
        request: Obj = {
            "uid": self._new_uid(),
            "kind": {"group": info.group, "version": shown.version, "kind": info.kind},
            "resource": {"group": info.group, "version": shown.version, "resource": info.plural},
            "requestKind": {"group": info.group, "version": info.version, "kind": info.kind},
            "requestResource": {"group": info.group, "version": info.version, "resource": info.plural},
            "name": write.name,
            "operation": write.operation,
            "userInfo": {"username": write.user.name, "groups": list(write.user.groups)},
            "object": converted(write.new, shown.api_version) if write.new is not None else None,
            "oldObject": converted(write.old, shown.api_version) if write.old is not None else None,
            "dryRun": write.dry_run,
            "options": write.options,
        }
        if write.user.uid:
            request["userInfo"]["uid"] = write.user.uid
        if write.user.extra:
            request["userInfo"]["extra"] = {name: list(values) for name, values in write.user.extra.items()}
        if write.namespace:
            request["namespace"] = write.namespace
        if write.subresource:
            request |= {"subResource": write.subresource, "requestSubResource": write.subresource}
        return {"kind": "AdmissionReview", "apiVersion": _API_VERSION, "request": request}


def _by_roles(storage: Storage) -> Decide:
    """Decisions by the roles in a storage, which are read when a decision is first needed."""
    authorizer = cache(lambda: Authorizer(storage))

    def decide(user: User, asked: Question) -> tuple[bool, str]:
        wanted = Attributes(
            user, asked.verb, asked.group, asked.resource, asked.subresource, asked.namespace, asked.name, asked.path
        )
        decision = authorizer().decide(wanted)
        return decision.allowed, decision.reason

    return decide


def _read_answer(webhook: _Webhook, body: bytes, uid: str) -> _Answer:
    """Raises ``CallError`` when it answers another question."""
    try:
        review = msgspec.json.decode(body)
        response = review["response"]
        warnings = tuple(str(warning) for warning in response.get("warnings") or ())
        kind, version, answered = review.get("kind"), review.get("apiVersion"), response.get("uid")
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError, AttributeError) as error:
        raise CallError(f"the webhook's answer is no AdmissionReview: {error}") from error
    if (kind, version) != ("AdmissionReview", _API_VERSION):
        raise CallError(f"expected webhook response of {_API_VERSION}, Kind=AdmissionReview, got {version}, Kind={kind}")
    if answered != uid:
        raise CallError(f'expected response.uid="{uid}", got "{answered}"')
    if response.get("allowed") is not True:
        return _Answer(_refusal(webhook.name, response.get("status") or {}), warnings)
    if webhook.stage == "validating" or not response.get("patch"):
        return _Answer(warnings=warnings)
    if response.get("patchType") != "JSONPatch":
        raise CallError(f'webhook response uses an unknown patch type "{response.get("patchType")}"')
    try:
        return _Answer(warnings=warnings, patch=msgspec.json.decode(base64.b64decode(response["patch"], validate=True)))
    except (msgspec.DecodeError, binascii.Error, TypeError) as error:
        raise CallError(f"the webhook's patch cannot be read: {error}") from error


def _refusal(name: str, status: Obj) -> ApiError:
    denied = f'admission webhook "{name}" denied the request'
    why = status.get("message") or status.get("reason")
    code = status.get("code") or 0
    return ApiError(
        code if code >= 400 else 400,
        status.get("reason") or "",
        f"{denied}: {why}" if why else f"{denied} without explanation",
        details=status.get("details"),
    )


def _patched(webhook: _Webhook, obj: Obj, patch: Any, warnings: list[str]) -> Obj:
    try:
        new = json_patch(obj, patch)
    except PatchError as error:
        raise Refused(
            internal(f'the patch of admission webhook "{webhook.name}" cannot be applied: {error}'), warnings
        ) from error
    if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
        raise Refused(internal(f'the patch of admission webhook "{webhook.name}" leaves no object'), warnings)
    return new
