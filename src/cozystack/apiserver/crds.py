"""CustomResourceDefinitions: what is wrong with one, and the state that the server gives it.

A definition is established in the write that stores it: there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from cozystack.apiserver.cel.definitions import rule_errors
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.schema import FieldError, default_errors, structural_errors
from cozystack.apiserver.schema.check import invalid, required
from cozystack.apiserver.storage import Stored

Obj = dict[str, Any]

GROUP: Final = "apiextensions.k8s.io"
KEY: Final = f"{GROUP}/customresourcedefinitions"
FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"


def is_crd(info: ResourceInfo) -> bool:
    return info.storage_key == KEY


def definition_errors(crd: Obj, old: Obj | None = None) -> list[FieldError]:
    """What is wrong with a CustomResourceDefinition that may replace an old one."""
    spec = crd.get("spec")
    if not isinstance(spec, dict):
        return [required("spec")]
    errors: list[FieldError] = []
    names = spec.get("names") or {}
    for path, value in (
        ("spec.group", spec.get("group")),
        ("spec.names.plural", names.get("plural")),
        ("spec.names.kind", names.get("kind")),
    ):
        if not value:
            errors.append(required(path))
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        errors.append(
            FieldError(
                "spec.scope",
                "Unsupported value",
                f'Unsupported value: "{spec.get("scope")}": supported values: "Cluster", "Namespaced"',
            )
        )
    if errors:
        return errors
    expected = f"{names['plural']}.{spec['group']}"
    if crd["metadata"]["name"] != expected:
        errors.append(
            invalid("metadata.name", crd["metadata"]["name"], f'must be spec.names.plural+"."+spec.group ("{expected}")')
        )
    versions = spec.get("versions") or []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        errors.append(invalid("spec.versions", None, "must have exactly one version marked as storage version"))
    errors += _schema_errors(versions, _schemas(old))
    for index, version in enumerate(versions):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None and version.get("selectableFields"):
            alone = "spec" if len(versions) == 1 else f"spec.versions[{index}]"
            errors += _selectable_errors(version["selectableFields"], schema, f"{alone}.selectableFields")
    return errors


MOST_SELECTABLE: Final = 8


def _selectable_errors(selectable: list[Obj], schema: Obj, path: str) -> list[FieldError]:
    """What is wrong with fields that a selector shall find."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, each in enumerate(selectable):
        place, text = f"{path}[{index}].jsonPath", each.get("jsonPath") or ""
        if not text:
            errors.append(required(place))
            continue
        node: Any = schema
        for name in text.removeprefix(".").split("."):
            node = (node.get("properties") or {}).get(name) if isinstance(node, dict) else None
        if text[0] != "." or "[" in text or node is None:
            why = "array notation is not allowed" if "[" in text else "does not refer to a valid field"
            why = f"expected [ or . but got: {text.split('.')[0]}" if text[0] not in ".[" else why
            errors.append(invalid(place, text, f"is an invalid path: {why}"))
            continue
        if text.startswith(".metadata"):
            errors.append(invalid(place, text, "must not point to fields in metadata"))
        if node.get("type") not in ("string", "boolean", "integer"):
            why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are "
            errors.append(invalid(place, text, f"{why}allowed."))
        if text in seen:
            errors.append(FieldError(place, "Duplicate value", f'Duplicate value: "{text}"'))
        seen.add(text)
    if len(seen) > MOST_SELECTABLE:
        why = f"Too many: {len(seen)}: must have at most {MOST_SELECTABLE} items"
        errors.append(FieldError(path, "Too many", why))
    return errors


def _schemas(crd: Obj | None) -> list[Any]:
    versions = ((crd or {}).get("spec") or {}).get("versions") or ()
    return [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]


def _schema_errors(versions: list[Obj], before: list[Any]) -> list[FieldError]:
    """What is wrong with schemas. When all are the same, it is told once; rules that were there before are not judged again."""
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    same = bool(schemas) and all(schema == schemas[0] for schema in schemas)
    errors: list[FieldError] = []
    for index, schema in enumerate(schemas[:1] if same else schemas):
        path = "spec.validation.openAPIV3Schema" if same else f"spec.versions[{index}].schema.openAPIV3Schema"
        if schema is None:
            errors.append(required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required"))
            continue
        found = structural_errors(schema, path)
        if schema.get("type", "object") != "object":
            found.append(invalid(f"{path}.type", schema["type"], "must be object at the root"))
        found = found or default_errors(schema, path)
        if not found and schema not in before:
            found = rule_errors(schema, path)
        errors += found
    return errors


def status(crd: Obj, now: str, used: UsedNames) -> Obj:
    """The status of a CRD: accepted and established at once, unless its names clash with those that are ``used`` by others."""
    spec = crd["spec"]
    old = {c["type"]: c for c in (crd.get("status") or {}).get("conditions") or ()}
    accepted, reason, message = _accepted_names(spec["names"], (crd.get("status") or {}).get("acceptedNames") or {}, used)

    def entry(kind: str, good: bool, reason: str, message: str) -> Obj:
        status = "True" if good else "False"
        moved = old[kind]["lastTransitionTime"] if kind in old and old[kind]["status"] == status else now
        return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": moved}

    conditions = [entry("NamesAccepted", not reason, reason or "NoConflicts", message or "no conflicts found")]
    if not reason or old.get("Established", {}).get("status") == "True":
        conditions.append(entry("Established", True, "InitialNamesAccepted", "the initial names have been accepted"))
    else:
        conditions.append(entry("Established", False, "NotAccepted", "not all names are accepted"))
    conditions += [condition for kind, condition in old.items() if kind not in ("NamesAccepted", "Established")]
    stored = (crd.get("status") or {}).get("storedVersions") or []
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    return {
        "conditions": conditions,
        "acceptedNames": accepted,
        "storedVersions": stored if storage in stored else [*stored, storage],
    }


@dataclass(frozen=True, slots=True)
class UsedNames:
    """Names in a group that belong to others: of resources, and of kinds and their lists."""

    resources: frozenset[str]
    kinds: frozenset[str]


def used_names(crd: Obj, others: Iterable[Obj], builtin: Iterable[ResourceInfo]) -> UsedNames:
    """The names that are used beside those of a CRD: accepted ones of other CRDs of its group, and those of built-in kinds."""
    group, own = crd["spec"]["group"], crd["metadata"]["name"]
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other["spec"]["group"] != group or other["metadata"]["name"] == own:
            continue
        names = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {names.get("plural", ""), names.get("singular", ""), *(names.get("shortNames") or ())}
        kinds |= {names.get("kind", ""), names.get("listKind", "")}
    for info in builtin:
        if info.group == group and not info.custom:
            resources |= {info.plural, info.singular, *info.short_names}
            kinds |= {info.kind, info.list_kind}
    return UsedNames(frozenset(resources - {""}), frozenset(kinds - {""}))


def _accepted_names(wanted: Obj, accepted: Obj, used: UsedNames) -> tuple[Obj, str, str]:
    """The names that a CRD has from now on; why it does not have all that it wants: a reason and a message."""
    names = {"plural": "", "kind": "", **accepted}
    reason = message = ""

    def settle(name: str, others: frozenset[str], conflict: str) -> None:
        nonlocal reason, message
        if name not in wanted:
            names.pop(name, None)
        elif wanted[name] != accepted.get(name) and wanted[name] in others:
            reason, message = conflict, f'"{wanted[name]}" is already in use'
        else:
            names[name] = wanted[name]

    settle("plural", used.resources, "PluralConflict")
    settle("singular", used.resources, "SingularConflict")
    short = wanted.get("shortNames") or []
    clashing = [name for name in short if name not in (accepted.get("shortNames") or ()) and name in used.resources]
    if clashing:
        shown = [f'"{name}" is already in use' for name in clashing]
        reason, message = "ShortNamesConflict", shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
    elif short:
        names["shortNames"] = short
    else:
        names.pop("shortNames", None)
    settle("kind", used.kinds, "KindConflict")
    settle("listKind", used.kinds, "ListKindConflict")
    if wanted.get("categories"):
        names["categories"] = wanted["categories"]
    else:
        names.pop("categories", None)
    return names, reason, message


def waits_for_names(crd: Obj) -> bool:
    """Whether a CRD does not have all names that it wants."""
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "NamesAccepted" and condition["status"] != "True" for condition in conditions)


def established(crd: Obj) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def is_going(crd: Stored | None) -> bool:
    """Whether the CRD of a resource is being deleted; one that is served without a CRD never is."""
    return crd is not None and "deletionTimestamp" in crd.object["metadata"]


def terminating(status: Obj, now: str) -> Obj:
    """The status of a CRD that is being deleted."""
    conditions = [condition for condition in status.get("conditions") or () if condition["type"] != "Terminating"]
    conditions.append(
        {
            "type": "Terminating",
            "status": "True",
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
            "lastTransitionTime": now,
        }
    )
    return {**status, "conditions": conditions}
