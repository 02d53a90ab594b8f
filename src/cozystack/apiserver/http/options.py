"""What the query of a write says about how to write, and what a deletion says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cozystack.apiserver import errors
from cozystack.apiserver.http.bodies import PROTOBUF, NotRead, limited, media_type, read_json, read_yaml
from cozystack.apiserver.http.messages import Request
from cozystack.apiserver.objects import DeleteOptions, WriteOptions
from cozystack.apiserver.protobuf import ProtobufError, decode
from cozystack.apiserver.schema.check import FieldError, invalid, required

_VALIDATIONS: Final = ("Ignore", "Strict", "Warn")
_PROPAGATIONS: Final = ("Foreground", "Background", "Orphan")
_LONGEST_MANAGER: Final = 128
_META: Final = "meta.k8s.io"


def write_options(request: Request, kind: str, *, subresource: str = "", patch: str = "") -> WriteOptions:
    """The options of a write of that ``kind`` (CreateOptions, ...), which may be by a ``patch``; raises ``ApiError``."""
    query = request.query
    manager = query.get("fieldManager", "")
    validation = query.get("fieldValidation", "")
    faults = _dry_run_faults(query)
    if manager:
        faults += _manager_faults(manager)
    elif patch == "apply":
        faults.append(required("fieldManager", "is required for apply patch"))
    if patch and patch != "apply" and "force" in query:
        faults.append(FieldError("force", "Forbidden", "Forbidden: may not be specified for non-apply patch"))
    if validation and validation not in _VALIDATIONS:
        supported = ", ".join(f'"{choice}"' for choice in ("", *_VALIDATIONS))
        said = f'Unsupported value: "{validation}": supported values: {supported}'
        faults.append(FieldError("fieldValidation", "Unsupported value", said))
    if faults:
        raise errors.invalid(kind, _META, "", faults)
    if not manager:
        agent = request.headers.get("user-agent", "").partition("/")[0]
        manager = "".join(char for char in agent if char.isprintable())[:_LONGEST_MANAGER] or "unknown"
    return WriteOptions(
        manager=manager,
        dry_run=bool(query.get("dryRun")),
        force=request.flag("force"),
        field_validation=validation or "Warn",
        subresource=subresource,
        warnings=request.warnings,
    )


def delete_options(request: Request) -> DeleteOptions:
    """What a deletion says, in its body or in its query; raises ``ApiError``."""
    body: Any = _body(request) if request.body else {}
    query = request.query
    if body.get("kind", "DeleteOptions") != "DeleteOptions":
        version = body.get("apiVersion", "")
        raise errors.bad_request(f'no kind "{body["kind"]}" is registered for version "{version}" in scheme of deletions')
    preconditions = body.get("preconditions") or {}
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy", "")
    orphans = body.get("orphanDependents")
    if orphans is None and "orphanDependents" in query:
        orphans = request.flag("orphanDependents")
    faults = _dry_run_faults(query)
    path = "propagationPolicy"
    if propagation and orphans is not None:
        faults.append(invalid(path, propagation, "orphanDependents and deletionPropagation cannot be both set"))
    elif propagation and propagation not in _PROPAGATIONS:
        supported = ", ".join(f'"{choice}"' for choice in (*_PROPAGATIONS, "nil"))
        said = f'Unsupported value: "{propagation}": supported values: {supported}'
        faults.append(FieldError(path, "Unsupported value", said))
    if faults:
        raise errors.invalid("DeleteOptions", _META, "", faults)
    if not propagation and orphans is not None:
        propagation = "Orphan" if orphans else "Background"
    grace = body.get("gracePeriodSeconds")
    if grace is None and query.get("gracePeriodSeconds"):
        grace = whole(query["gracePeriodSeconds"])
    return DeleteOptions(
        propagation=propagation,
        grace=grace,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        dry_run=bool(body.get("dryRun") or query.get("dryRun")),
    )


def whole(text: str) -> int:
    """The number that a query means; raises ``ApiError``."""
    try:
        if not text.isascii() or "_" in text or text != text.strip():
            raise ValueError
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _body(request: Request) -> dict[str, Any]:
    media = media_type(request)
    try:
        if media == PROTOBUF:
            return decode(limited(request), "DeleteOptions")
        value = (read_yaml if "yaml" in media else read_json)(limited(request)).value
    except ProtobufError as error:
        raise errors.bad_request(str(error)) from error
    except NotRead as error:
        raise errors.bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise errors.bad_request("couldn't get version/kind; json parse error: json: the options of a deletion are an object")
    grace = value.get("gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise errors.bad_request("json: cannot unmarshal gracePeriodSeconds into Go struct field of type int64")
    for name, kind in (("preconditions", dict), ("propagationPolicy", str), ("kind", str), ("dryRun", list)):
        if value.get(name) is not None and not isinstance(value[name], kind):
            raise errors.bad_request(f"json: cannot unmarshal {name} into Go struct field DeleteOptions.{name}")
    return value


def _dry_run_faults(query: Mapping[str, str]) -> list[FieldError]:
    asked = query.get("dryRun", "")
    if asked in ("", "All"):
        return []
    return [FieldError("dryRun", "Unsupported value", f'Unsupported value: ["{asked}"]: supported values: "All"')]


def _manager_faults(manager: str) -> list[FieldError]:
    if len(manager.encode()) > _LONGEST_MANAGER:
        return [FieldError("fieldManager", "Too long", f"Too long: may not be more than {_LONGEST_MANAGER} bytes")]
    if not manager.isprintable():
        return [invalid("fieldManager", manager, "should only contain printable characters")]
    return []
