"""HelmReleases as they should be (specification, operator 4.7, 4.8), and how the live ones differ.

Each desired release carries a digest of itself in an annotation. A live release with that digest was written from the same
input: then only what we set counts, and what others added to it stays. With another digest, or none (the original wrote it),
every field that we manage counts, so that what we no longer set is taken away. The order of ``dependsOn`` never counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from cozystack.api import names
from cozystack.api.cozystack import API_VERSION, Package
from cozystack.api.flux import (
    HELM_API,
    DependencyRef,
    HelmRelease,
    HelmReleaseSpec,
    InstallAction,
    Strategy,
    TypedRef,
    UpgradeAction,
    ValuesFrom,
    WaitStrategy,
)
from cozystack.api.meta import Key, Object, ObjectMeta, OwnerReference
from cozystack.planner.plan import Action
from cozystack.planner.selection import Installed, Selection, siblings
from cozystack.planner.settings import Settings

APPLIED_ANNOTATION = names.OWN_PREFIX + "applied"
"""Digest of the object as we applied it last."""

_MANAGED = (
    "chart_ref",
    "interval",
    "max_history",
    "install",
    "upgrade",
    "wait_strategy",
    "health_check_exprs",
    "values_from",
    "values",
    "depends_on",
)
_FOREIGN = ("release_name", "target_namespace", "storage_namespace", "timeout", "service_account_name")

O = TypeVar("O", bound=Object)  # noqa: E741


def desired_release(
    package: Package, selection: Selection, installed: Installed, foreign: Iterable[Key], settings: Settings
) -> HelmRelease:
    """The release of one component; ``foreign`` are the releases of all Packages that are depended on."""
    install, component = installed.install, installed.component
    name = package.metadata.name
    labels = {names.PACKAGE_LABEL: name}
    if install.privileged:
        labels[names.PRIVILEGED_LABEL] = "true"
    annotations = {}
    if component.values_files:
        annotations[names.VALUES_FILES_ANNOTATION] = ",".join(component.values_files)
    wait = install.wait_strategy or ("poller" if install.health_check_exprs else "")
    dependencies = dict.fromkeys([*(sibling.key for sibling in siblings(selection, installed)), *foreign])
    dependencies.pop(installed.key, None)
    return with_digest(
        HelmRelease(
            api_version=HELM_API,
            kind="HelmRelease",
            metadata=ObjectMeta(
                name=installed.key.name,
                namespace=installed.key.namespace,
                labels=labels,
                annotations=annotations,
                owner_references=(OwnerReference(API_VERSION, "Package", name, package.metadata.uid, controller=True),),
            ),
            spec=HelmReleaseSpec(
                chart_ref=TypedRef("ExternalArtifact", installed.artifact, names.SYSTEM_NAMESPACE),
                interval=settings.interval,
                max_history=settings.max_history,
                install=_install_action(settings),
                upgrade=_upgrade_action(settings, install.upgrade_crds),
                wait_strategy=WaitStrategy(wait) if wait else None,
                health_check_exprs=install.health_check_exprs,
                values_from=_values_from(settings) if reads_values(selection) else (),
                values=_values(package, component.name),
                depends_on=tuple(DependencyRef(key.name, key.namespace) for key in dependencies),
            ),
        )
    )


def owner_name(release: HelmRelease) -> str:
    """The Package that owns a release, whatever its UID was; empty when there is none."""
    owner = release.metadata.controller
    return owner.name if owner is not None and owner.kind == "Package" else ""


def belongs_to(release: HelmRelease, name: str) -> bool:
    """Whether Package ``name`` may write ``release``: it owns it, or it carries its label and nobody owns it (D3)."""
    if release.metadata.controller is not None:
        return owner_name(release) == name
    return release.metadata.labels.get(names.PACKAGE_LABEL) == name


def reads_values(selection: Selection) -> bool:
    """Whether the releases read the values Secret: the annotation of the PackageSource decides, by exactly ``"true"``."""
    return selection.source.metadata.annotations.get(names.SKIP_VALUES_ANNOTATION) != "true"


def with_digest(desired: O) -> O:
    """``desired`` with its digest as an annotation; changes the object that was passed."""
    digest = hashlib.blake2b(msgspec.json.encode(desired, order="deterministic"), digest_size=8).hexdigest()
    desired.metadata.annotations = {**desired.metadata.annotations, APPLIED_ANNOTATION: digest}
    return desired


def payload(desired: Object) -> dict[str, Any]:
    """``desired`` as it is applied: JSON values without a status."""
    value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(desired))
    value.pop("status", None)
    return value


def release_changes(desired: HelmRelease, live: HelmRelease | None) -> tuple[Action, tuple[str, ...]]:
    """What has to be done to ``live``, and the fields because of which."""
    if live is None:
        return "create", ()
    same = written_from(desired, live)
    fields = tuple(
        f"spec.{_wire_name(field)}"
        for field in _MANAGED
        if _differs(field, getattr(desired.spec, field), getattr(live.spec, field), same)
    )
    if fields:
        return "update", fields
    fields = metadata_changes(desired, live)
    return ("metadata" if fields else "none"), fields


def foreign_fields(desired: HelmRelease, live: HelmRelease) -> tuple[str, ...]:
    """Fields that others set on a release that we wrote; they are kept."""
    if not written_from(desired, live):
        return ()
    added = [field for field in _FOREIGN if getattr(live.spec, field)]
    for field in _MANAGED:
        wanted, found = getattr(desired.spec, field), getattr(live.spec, field)
        if wanted != found and not _differs(field, wanted, found, True) and field != "depends_on":
            added.append(field)
    return tuple(f"spec.{_wire_name(field)}" for field in added)


def written_from(desired: Object, live: Object) -> bool:
    """Whether we wrote ``live`` from the same input as ``desired``."""
    digest = desired.metadata.annotations.get(APPLIED_ANNOTATION)
    return digest is not None and live.metadata.annotations.get(APPLIED_ANNOTATION) == digest


def metadata_changes(desired: Object, live: Object) -> tuple[str, ...]:
    """The labels, annotations and owners that ``live`` lacks or has otherwise."""
    fields = [
        f"metadata.labels[{key}]" for key, value in desired.metadata.labels.items() if live.metadata.labels.get(key) != value
    ]
    fields += [
        f"metadata.annotations[{key}]"
        for key, value in desired.metadata.annotations.items()
        if live.metadata.annotations.get(key) != value
    ]
    if any(owner not in live.metadata.owner_references for owner in desired.metadata.owner_references):
        fields.append("metadata.ownerReferences")
    return tuple(fields)


def _differs(field: str, desired: Any, live: Any, same: bool) -> bool:
    if desired == live:
        return False
    if field == "depends_on":
        return set(desired) != set(live) and not (same and not desired)
    return not (same and _covers(desired, live))


def _covers(desired: Any, live: Any) -> bool:
    """Whether all that ``desired`` sets stands in ``live``; maps may hold more, lists not."""
    if desired == live or desired is None or desired is UNSET:
        return True
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(key in live and _covers(value, live[key]) for key, value in desired.items())
    if isinstance(desired, msgspec.Struct):
        return type(live) is type(desired) and all(
            not (value := getattr(desired, field)) or _covers(value, getattr(live, field))
            for field in desired.__struct_fields__
        )
    return isinstance(desired, tuple) and not desired


def _wire_name(field: str) -> str:
    head, *rest = field.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _values(package: Package, component: str) -> Any:
    """The values that the Package sets; null is as good as none."""
    values = package.override(component).values
    return UNSET if values is None else values


@lru_cache(maxsize=16)
def _install_action(settings: Settings) -> InstallAction:
    return InstallAction(timeout=settings.install_timeout, strategy=Strategy("RetryOnFailure", settings.retry_interval))


@lru_cache(maxsize=64)
def _upgrade_action(settings: Settings, crds: str) -> UpgradeAction:
    strategy = Strategy("RetryOnFailure", settings.retry_interval)
    return UpgradeAction(timeout=settings.upgrade_timeout, strategy=strategy, crds=crds)


@lru_cache(maxsize=16)
def _values_from(settings: Settings) -> tuple[ValuesFrom, ...]:
    return (ValuesFrom("Secret", settings.values_secret),)
