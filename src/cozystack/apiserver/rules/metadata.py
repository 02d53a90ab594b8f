"""Labels, annotations, owners and finalizers of any object."""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver.rules.faults import invalid
from cozystack.apiserver.rules.names import qualified_faults, value_faults
from cozystack.apiserver.schema import FieldError
from cozystack.apiserver.schema.check import required

Obj = dict[str, Any]

_MOST_ANNOTATIONS: Final = 256 * 1024
_STANDARD_FINALIZERS: Final = frozenset(("kubernetes", "orphan", "foregroundDeletion"))
# Built-in kinds want finalizers with a prefix; custom resources may have any.
_STRICT_GROUPS: Final = frozenset(
    (
        "",
        "admissionregistration.k8s.io",
        "apps",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    )
)


def metadata_errors(obj: Obj) -> list[FieldError]:
    """What is wrong with the metadata of an object, but for its name."""
    metadata = obj["metadata"]
    errors: list[FieldError] = []
    labels = metadata.get("labels")
    if labels:
        for key, value in labels.items():
            errors += [invalid("metadata.labels", key, fault) for fault in qualified_faults(key)]
            errors += [invalid("metadata.labels", value, fault) for fault in value_faults(value)]
    annotations = metadata.get("annotations")
    if annotations:
        errors += _annotation_errors(annotations)
    owners = metadata.get("ownerReferences")
    if owners:
        errors += _owner_errors(owners)
    finalizers = metadata.get("finalizers")
    if finalizers:
        errors += _finalizer_errors(obj, finalizers)
    return errors


def _annotation_errors(annotations: Obj) -> list[FieldError]:
    errors = []
    size = 0
    for key, value in annotations.items():
        # Annotations of old have capitals in their prefix.
        errors += [invalid("metadata.annotations", key, fault) for fault in qualified_faults(key.lower())]
        size += len(key) + len(value)
    if size > _MOST_ANNOTATIONS:
        why = f"Too long: may not be more than {_MOST_ANNOTATIONS} bytes"
        errors.append(FieldError("metadata.annotations", "Too long", why))
    return errors


def _owner_errors(owners: list[Obj]) -> list[FieldError]:
    """An owner has a version, a kind, a name and a uid; one at most is the controller."""
    path = "metadata.ownerReferences"
    errors: list[FieldError] = []
    controller = ""
    for index, owner in enumerate(owners):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                errors.append(required(f"{path}[{index}].{name}", "must not be empty"))
        version = owner.get("apiVersion") or ""
        if version.count("/") > 1:
            errors.append(invalid(f"{path}[{index}].apiVersion", version, "must be <group>/<version> or <version>"))
        if (version, owner.get("kind")) == ("v1", "Event"):
            errors.append(invalid(f"{path}[{index}]", owner, "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            this = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if controller:
                both = f'Found "true" in references for {controller} and {this}'
                errors.append(invalid(path, owners, f"Only one reference can have Controller set to true. {both}"))
            else:
                controller = this
    return errors


def _finalizer_errors(obj: Obj, finalizers: list[str]) -> list[FieldError]:
    path = "metadata.finalizers"
    errors = [invalid(path, finalizer, fault) for finalizer in finalizers for fault in qualified_faults(finalizer)]
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        errors.append(invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"))
    group = obj["apiVersion"].rpartition("/")[0]
    if group in _STRICT_GROUPS:
        for index, finalizer in enumerate(finalizers):
            if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
                why = "name is neither a standard finalizer name nor is it fully qualified"
                errors.append(invalid(f"{path}[{index}]", finalizer, why))
    return errors
