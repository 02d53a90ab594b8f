"""What the webhook answers: an ``AdmissionReview`` in, one out (``admission.k8s.io/v1``).

Allowed unasked: what the operator itself writes, anything but the creation and the change of a Package or PackageSource, and
what leaves the spec as it was, even if it cannot be read. The rest is judged by ``planner.admission``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from cozystack.api.cozystack import Package, PackageSource
from cozystack.planner import Catalogue
from cozystack.planner.admission import Finding, Verdict, judge_package, judge_source, wrong_field

O = TypeVar("O", Package, PackageSource)  # noqa: E741

API_VERSION = "admission.k8s.io/v1"
MOST_CAUSES = 16
MOST_WARNINGS = 16
_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<field>.*)`)?", re.DOTALL)


class ReviewError(ValueError):
    """What came is no review that can be answered."""


class _Kind(msgspec.Struct, frozen=True):
    group: str = ""
    kind: str = ""


class _User(msgspec.Struct, frozen=True):
    username: str = ""


class Request(msgspec.Struct, rename="camel"):
    """The request of a review, as far as it matters."""

    uid: str
    kind: _Kind
    operation: str
    name: str = ""
    sub_resource: str = ""
    user_info: _User = _User()
    object: Raw = Raw(b"null")
    old_object: Raw = Raw(b"null")


class _Review(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: Request


_reviews = msgspec.json.Decoder(_Review)


def read(body: bytes) -> Request:
    """The request in a review; raises ``ReviewError``."""
    try:
        review = _reviews.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReviewError(f"this is no AdmissionReview: {error}") from error
    if (review.api_version, review.kind) != (API_VERSION, "AdmissionReview"):
        raise ReviewError(f"only AdmissionReview of {API_VERSION} is answered, not {review.kind} of {review.api_version}")
    return review.request


def judge(request: Request, view: Catalogue | None, own: str) -> Verdict:
    """``own`` is the name of the operator's own account; without a view, objects are looked at by themselves."""
    if (own and request.user_info.username == own) or request.operation not in ("CREATE", "UPDATE") or request.sub_resource:
        return Verdict()
    match request.kind.kind:
        case "Package":
            return _judged(request, Package, lambda old, new: judge_package(view, old, new))
        case "PackageSource":
            return _judged(request, PackageSource, lambda old, new: judge_source(view, old, new))
    return Verdict()


def answer(request: Request, verdict: Verdict) -> bytes:
    """The review that is sent back."""
    response: dict[str, Any] = {"uid": request.uid, "allowed": not verdict.refusals}
    if verdict.refusals:
        response["status"] = _status(request, verdict.refusals)
    if verdict.warnings:
        response["warnings"] = _limited([warning.message for warning in verdict.warnings], MOST_WARNINGS)
    return msgspec.json.encode({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})


def _judged(request: Request, kind: type[O], judge: Callable[[O | None, O], Verdict]) -> Verdict:
    old, new = _without_status(request.old_object), _without_status(request.object)
    if new is None or _is_going(new) or (old is not None and old.get("spec") == new.get("spec")):
        return Verdict()
    try:
        wanted = msgspec.convert(new, kind)
    except msgspec.ValidationError as error:
        return Verdict(refusals=(_unreadable(str(error)),))
    before: O | None = None
    with contextlib.suppress(msgspec.ValidationError):  # stored before anybody looked: the new one is judged as the first
        before = msgspec.convert(old, kind) if old is not None else None
    return judge(before, wanted)


def _without_status(raw: Raw) -> dict[str, Any] | None:
    """The object that a user wrote; nobody is refused for what stands in a status."""
    value = msgspec.json.decode(raw)
    return {name: part for name, part in value.items() if name != "status"} if isinstance(value, dict) else None


def _is_going(obj: dict[str, Any]) -> bool:
    metadata = obj.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("deletionTimestamp"))


def _unreadable(error: str) -> Finding:
    found = _PLACE.fullmatch(error)
    what, field = (found.group("what"), found.group("field") or "") if found else (error, "")
    what = what[:1].lower() + what[1:]
    return wrong_field(field, f"{field}: {what}" if field else what)


def _status(request: Request, refusals: tuple[Finding, ...]) -> dict[str, Any]:
    causes = [_cause(refusal) for refusal in refusals[:MOST_CAUSES]]
    return {
        "status": "Failure",
        "code": 422,
        "reason": "Invalid",
        "message": ". ".join(_limited([refusal.message for refusal in refusals], MOST_CAUSES)),
        "details": {"name": request.name, "group": request.kind.group, "kind": request.kind.kind, "causes": causes},
    }


def _cause(refusal: Finding) -> dict[str, str]:
    """A cause as kubectl prints it: the field, a colon, the message."""
    field = refusal.field or "spec"
    return {"reason": refusal.reason, "message": refusal.message.removeprefix(field).lstrip(": "), "field": field}


def _limited(sentences: list[str], most: int) -> list[str]:
    if len(sentences) <= most:
        return sentences
    return [*sentences[: most - 1], f"and {len(sentences) - most + 1} more"]
