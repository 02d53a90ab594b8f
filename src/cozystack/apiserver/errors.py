"""What the API answers when it cannot do what it was asked: Kubernetes' ``Status`` objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cozystack.apiserver.schema import FieldError


class ApiError(Exception):
    """One failure, with the code and the reason that clients act on."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def status(self) -> dict[str, Any]:
        """The ``Status`` object of the answer."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


class NotDecoded(ApiError):  # noqa: N818 - it names what is wrong
    """An object does not have the form of its kind; ``why`` in the words of Go."""

    def __init__(self, kind: str, version: str, why: str) -> None:
        super().__init__(400, "BadRequest", f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')
        self.why = why


def _details(resource: str, group: str, name: str, **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if resource:
        details["kind"] = resource
    return {**details, **more}


def qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def not_found(resource: str, group: str, name: str) -> ApiError:
    return ApiError(
        404, "NotFound", f'{qualified(resource, group)} "{name}" not found', details=_details(resource, group, name)
    )


def no_such_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(resource: str, group: str, name: str, *, going: bool = False) -> ApiError:
    message = f'{qualified(resource, group)} "{name}" already exists'
    if going:
        message = f"object is being deleted: {message}"
    return ApiError(409, "AlreadyExists", message, details=_details(resource, group, name))


def conflict(resource: str, group: str, name: str, why: str = "") -> ApiError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_details(resource, group, name))


# Where Kubernetes keeps some kinds, which is told when somebody wants another uid; others are kept by their plural.
_KEPT_IN = {
    ("", "services"): "services/specs",
    ("", "endpoints"): "services/endpoints",
    ("", "nodes"): "minions",
    ("", "replicationcontrollers"): "controllers",
    ("networking.k8s.io", "ingresses"): "ingress",
    ("apiextensions.k8s.io", "customresourcedefinitions"): "apiextensions.k8s.io/customresourcedefinitions",
    ("apiregistration.k8s.io", "apiservices"): "apiregistration.k8s.io/apiservices",
}


def other_uid(resource: str, group: str, place: str, *, dry_run: bool, custom: bool, wanted: str, there: str) -> ApiError:
    """An object at ``place`` (namespace and name) is not the one that is meant, but another of its name."""
    kept = f"{group}/{resource}" if custom else _KEPT_IN.get((group, resource), resource)
    key = f"{'' if dry_run else '/registry'}/{kept}/{place}"
    name = place.rpartition("/")[2]
    said = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {there}"
    why = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {said}"
    return conflict(resource, group, name, why)


def no_name(name: str) -> ApiError:
    """An object that is sent to ``name`` does not say that it is its own."""
    return bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")


def apply_conflict(message: str, causes: Sequence[tuple[str, str]]) -> ApiError:
    """``causes``: (owner, path) of each field that belongs to somebody else."""
    details = {
        "causes": [
            {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": path} for owner, path in causes
        ]
    }
    return ApiError(409, "Conflict", message, details=details)


def invalid(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    told = list(dict.fromkeys(str(error) for error in errors))
    shown = told[0] if len(told) == 1 else "[" + ", ".join(told) + "]"
    causes = [{"reason": error.reason, "message": error.message, "field": error.path} for error in errors]
    message = f'{qualified(kind, group)} "{name}" is invalid: {shown}'
    return ApiError(422, "Invalid", message, details=_details(kind, group, name, causes=causes))


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: str, group: str, name: str, why: str, *, causes: list[dict[str, Any]] | None = None) -> ApiError:
    more = {"causes": causes} if causes else {}
    message = f'{qualified(resource, group)} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, details=_details(resource, group, name, **more))


def expired(message: str = "The resourceVersion for the provided watch is too old.") -> ApiError:
    return ApiError(410, "Expired", message)


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={})


def unsupported_media_type(content_type: str) -> ApiError:
    return ApiError(
        415,
        "UnsupportedMediaType",
        f'the body of the request was in an unknown format - "{content_type}" is not accepted here',
    )


def not_acceptable(message: str) -> ApiError:
    return ApiError(406, "NotAcceptable", message)


def too_large(limit: int) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def internal(message: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")


def timed_out(message: str) -> ApiError:
    return ApiError(504, "Timeout", f"Timeout: {message}", details={})
