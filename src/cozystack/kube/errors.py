"""What can go wrong while talking to a Kubernetes API, typed by what the caller can do about it.

::

    KubeError
    ├── ConfigError              the kubeconfig or the in-cluster files cannot be used; says which file and entry
    ├── CredentialsError         a token or certificate could not be obtained (an exec plugin failed, a file is gone)
    ├── ConnectionFailed         no answer: refused, reset, timed out, cut off      retry
    ├── DecodeError              an answer that is not what was asked for
    ├── UnknownKind              the server does not serve that kind
    ├── Fenced                   a write that was not sent, since this process may not write any more
    └── ApiError                 the server answered with a Status
        ├── BadRequest           400
        ├── Unauthorized         401   refresh credentials
        ├── Forbidden            403   RBAC or a quota: give up, tell the user
        ├── NotFound             404
        ├── MethodNotAllowed     405
        ├── AlreadyExists        409
        ├── Conflict             409   read again, decide again
        ├── Expired              410   list again
        ├── Invalid              422   the object is wrong: give up, tell the user
        ├── TooManyRequests      429   retry after ``retry_after`` seconds
        ├── InternalError        500   retry
        ├── ServiceUnavailable   503   retry
        └── ServerTimeout        504   retry (also 500 with that reason)

The class comes from the ``reason`` of the Status; the HTTP code decides only where an answer carries none (a proxy's page).
"""

# ruff: noqa: N818 the names are those of the Status reasons
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class KubeError(Exception):
    """Base of everything that this package raises on purpose."""

    retryable: bool = False
    """True if the same call may succeed later without anybody changing anything."""


class ConfigError(KubeError):
    """The configuration cannot be used. One sentence, with the file and the entry at fault."""


class CredentialsError(KubeError):
    """A credential could not be obtained: the exec plugin failed or answered nonsense, a token file is gone."""


class ConnectionFailed(KubeError):
    """No (whole) answer came. Whether the request took effect is unknown."""

    retryable = True


class DecodeError(KubeError):
    """An answer that could not be read as what was asked for."""


class Fenced(KubeError):
    """A write that was not sent: this process has lost what allowed it to write."""


class UnknownKind(KubeError):
    """The server serves no resource of that API version and kind (yet)."""

    retryable = True

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(f"the server does not serve {kind} in {api_version}")
        self.api_version = api_version
        self.kind = kind


class StatusCause(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """One field at fault, as ``details.causes`` of a Status names it."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[StatusCause, ...] = ()
    retry_after_seconds: int = 0


class Status(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """``v1/Status``, the body of every error."""

    status: str = ""
    message: str = ""
    reason: str = ""
    details: StatusDetails | None = None
    code: int = 0


class ApiError(KubeError):
    """The server answered with an error. ``request`` is the method and path that it answered."""

    status: int
    reason: str
    message: str
    details: StatusDetails
    request: str
    retry_after: float | None
    """Seconds that the server asks to wait, if it does."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        details: StatusDetails | None = None,
        request: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{request}: {message}" if request else message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details or StatusDetails()
        self.request = request
        self.retry_after = retry_after


class BadRequest(ApiError):
    """The request itself is malformed."""


class Unauthorized(ApiError):
    """The server does not know who asks."""


class Forbidden(ApiError):
    """The server knows who asks and refuses."""


class NotFound(ApiError):
    """There is no such object (or no such resource)."""


class MethodNotAllowed(ApiError):
    """The resource does not know this verb."""


class AlreadyExists(ApiError):
    """An object of this name is there already."""


class Conflict(ApiError):
    """The object changed since it was read, or another field manager owns a field."""


class Expired(ApiError):
    """The resource version or the continue token is too old."""


class Invalid(ApiError):
    """The object does not pass validation; ``details.causes`` names the fields."""


class TooManyRequests(ApiError):
    """The server is busy, or an eviction is held back."""

    retryable = True


class InternalError(ApiError):
    """The server failed; webhooks that do not answer appear like this as well."""

    retryable = True


class ServiceUnavailable(ApiError):
    """Nobody serves this at the moment."""

    retryable = True


class ServerTimeout(ApiError):
    """The server gave up waiting; the request may have taken effect."""

    retryable = True


_BY_REASON: Mapping[str, type[ApiError]] = {
    "BadRequest": BadRequest,
    "Unauthorized": Unauthorized,
    "Forbidden": Forbidden,
    "NotFound": NotFound,
    "MethodNotAllowed": MethodNotAllowed,
    "AlreadyExists": AlreadyExists,
    "Conflict": Conflict,
    "Expired": Expired,
    "Gone": Expired,
    "Invalid": Invalid,
    "TooManyRequests": TooManyRequests,
    "InternalError": InternalError,
    "ServiceUnavailable": ServiceUnavailable,
    "ServerTimeout": ServerTimeout,
    "Timeout": ServerTimeout,
}
_BY_CODE: Mapping[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
    500: InternalError,
    502: ServiceUnavailable,
    503: ServiceUnavailable,
    504: ServerTimeout,
}
_decoder = msgspec.json.Decoder(Status)


def error_from_status(status: Status, *, code: int = 0, request: str = "", retry_after: float | None = None) -> ApiError:
    """The exception for a Status, as an error's body or inside a watch."""
    code = status.code or code
    kind = _BY_REASON.get(status.reason) or _BY_CODE.get(code, ApiError)
    if retry_after is None and status.details is not None and status.details.retry_after_seconds:
        retry_after = float(status.details.retry_after_seconds)
    message = status.message or f"the server answered {code}"
    return kind(code, status.reason, message, details=status.details, request=request, retry_after=retry_after)


def error_from_response(code: int, headers: Mapping[str, str], body: bytes, *, request: str) -> ApiError:
    """The exception for an answer that is not a success; a body that is no Status is quoted, shortened."""
    retry_after = _seconds(headers)
    try:
        status = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = Status()
    if status.status != "Failure":
        text = " ".join(body[:300].decode("utf-8", "replace").split())
        status = Status(message=f"the server answered {code}: {text[:200]}" if text else f"the server answered {code}")
    return error_from_status(status, code=code, request=request, retry_after=retry_after)


def _seconds(headers: Mapping[str, Any]) -> float | None:
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None
