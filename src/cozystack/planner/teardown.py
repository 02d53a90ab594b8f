"""What goes when a whole platform goes, and in which order (specification, packages 9).

Packages go in layers, whoever needs something before what it needs; the platform's own Package, whose chart brings all
PackageSources, goes after them. Then what nobody owns, the operator, and what was asked for besides.

Everything here is known by name or by a label of ours, so that a teardown that was interrupted can be begun again at any point.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from cozystack.api import names
from cozystack.api.core import Namespace
from cozystack.api.flux import GitRepository, OCIRepository
from cozystack.api.meta import Key
from cozystack.api.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    GIT_REPOSITORIES,
    LEASES,
    NAMESPACES,
    OCI_REPOSITORIES,
    SECRETS,
    Resource,
    untyped,
)
from cozystack.planner.catalogue import Catalogue
from cozystack.planner.closure import Deletion, plan_deletion
from cozystack.planner.releases import owner_name

PLATFORM_RELEASE: Final = Key(names.SYSTEM_NAMESPACE, names.PLATFORM_SOURCE)
"""The release of the platform's own chart."""
OPERATOR_LEASE: Final = Key(names.SYSTEM_NAMESPACE, "cozystack-operator.cozystack.io")
NEVER: Final = frozenset(("default", "kube-node-lease", "kube-public", "kube-system"))
"""Namespaces of Kubernetes itself, though packages may have been installed there."""

_RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLES = untyped(_RBAC, "v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = untyped(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False)
ROLES = untyped(_RBAC, "v1", "Role", "roles")
ROLE_BINDINGS = untyped(_RBAC, "v1", "RoleBinding", "rolebindings")
SERVICE_ACCOUNTS = untyped("", "v1", "ServiceAccount", "serviceaccounts")
SERVICES = untyped("", "v1", "Service", "services")
QUOTAS = untyped("", "v1", "ResourceQuota", "resourcequotas")
JOBS = untyped("batch", "v1", "Job", "jobs")
_ADMISSION = "admissionregistration.k8s.io"
WEBHOOKS = untyped(_ADMISSION, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", namespaced=False)
POLICIES = untyped(_ADMISSION, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False)
POLICY_BINDINGS = untyped(
    _ADMISSION, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", namespaced=False
)

Named = tuple[Resource, Key]  # type: ignore[type-arg]


def _in_system(resource: Resource, *found: str) -> tuple[Named, ...]:  # type: ignore[type-arg]
    return tuple((resource, Key(names.SYSTEM_NAMESPACE if resource.namespaced else "", name)) for name in found)


LEFT_BY_PLATFORM: Final[tuple[Named, ...]] = (
    *_in_system(POLICY_BINDINGS, "cozystack-no-delete-guardrail"),
    *_in_system(POLICIES, "cozystack-no-delete-guardrail"),
    *_in_system(OCI_REPOSITORIES, "cozystack-packages", names.PLATFORM_SOURCE),
    *_in_system(GIT_REPOSITORIES, "cozystack-packages", names.PLATFORM_SOURCE),
    *_in_system(JOBS, "cozystack-migrations", "cozystack-migration-hook", "cozystack-prune"),
    *(
        named
        for hook in ("cozystack-migrations", "cozystack-migration-hook", "cozystack-prune")
        for resource in (CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, SERVICE_ACCOUNTS)
        for named in _in_system(resource, hook)
    ),
    *_in_system(LEASES, "cozystack-migrations"),
    *_in_system(CONFIG_MAPS, "cozystack-migrations", "cozystack-version"),
)
"""What the platform's release keeps, or what a hook of it may have left. The version goes: nothing of that version is here."""

OPERATOR: Final[tuple[Named, ...]] = (
    *_in_system(DEPLOYMENTS, "cozystack-operator"),
    *_in_system(WEBHOOKS, "cozystack-operator-webhook"),
    *_in_system(SERVICES, "cozystack-operator-metrics", "cozystack-operator-webhook"),
    *_in_system(SECRETS, "cozystack-operator-webhook"),
    *_in_system(CONFIG_MAPS, "cozystack-operator-installed"),
    (LEASES, OPERATOR_LEASE),
    *_in_system(JOBS, "cozystack-hand-back"),
    (JOBS, Key("kube-system", "cozy-system-labeler")),
    *_in_system(ROLE_BINDINGS, "cozystack-operator"),
    *_in_system(ROLES, "cozystack-operator"),
    *_in_system(CLUSTER_ROLE_BINDINGS, "cozystack-operator", "cozystack", "cozystack-hand-back", "cozy-system-labeler"),
    *_in_system(CLUSTER_ROLES, "cozystack-packages-admin", "cozystack-packages-edit", "cozystack-packages-view"),
    *_in_system(CLUSTER_ROLES, "cozystack-operator", "cozystack-metrics-reader", "cozystack-hand-back", "cozy-system-labeler"),
    (SERVICE_ACCOUNTS, Key("kube-system", "cozy-system-labeler")),
    *_in_system(SERVICE_ACCOUNTS, "cozystack-hand-back", "cozystack"),
)
"""What the installer brings, the operator first; and the binding that the original's installer makes."""

_FLUX = names.FLUX_NAMESPACE
FLUX: Final[tuple[Named, ...]] = (
    (DEPLOYMENTS, Key(_FLUX, "flux")),
    (SERVICES, Key(_FLUX, "flux")),
    (QUOTAS, Key(_FLUX, "flux")),
    (CLUSTER_ROLE_BINDINGS, Key("", "flux")),
    (CLUSTER_ROLES, Key("", "flux-view")),
    (SERVICE_ACCOUNTS, Key(_FLUX, "flux")),
    (NAMESPACES, Key("", _FLUX)),
)
FLUX_GROUPS: Final = ("helm.toolkit.fluxcd.io", "source.extensions.fluxcd.io", "source.toolkit.fluxcd.io")
OWN_CRDS: Final[tuple[Named, ...]] = tuple(
    (CUSTOM_RESOURCE_DEFINITIONS, Key("", f"{plural}.{names.GROUP}")) for plural in ("packages", "packagesources")
)


class Teardown(msgspec.Struct, frozen=True, kw_only=True):
    """``layers`` in their order, without the platform. ``suspended``: releases that would leave their objects behind.

    ``foreign`` are releases that no Package made: they stay, and lose the charts that came from here. ``repositories`` are
    sources of others; ``volumes`` are claims in ``namespaces``, that is, data.
    """

    layers: tuple[tuple[Deletion, ...], ...] = ()
    platform: Deletion | None = None
    suspended: tuple[Key, ...] = ()
    foreign: tuple[Key, ...] = ()
    repositories: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    volumes: tuple[Key, ...] = ()

    @property
    def packages(self) -> tuple[Deletion, ...]:
        return tuple(deletion for layer in self.layers for deletion in layer)


def plan_teardown(
    view: Catalogue,
    *,
    namespaces: Iterable[Namespace] = (),
    repositories: Iterable[OCIRepository | GitRepository] = (),
    volumes: Iterable[Key] = (),
) -> Teardown:
    """``namespaces`` of the cluster, those of the platform are picked; ``volumes`` are all claims."""
    found = plan_deletion(view, sorted(name for name in view.packages if name != names.PLATFORM_PACKAGE))
    alone = plan_deletion(view, [names.PLATFORM_PACKAGE]) if names.PLATFORM_PACKAGE in view.packages else None
    platform = next((each for each in alone.deletions if each.name == names.PLATFORM_PACKAGE), None) if alone else None
    owned = {key for name in view.packages for key in view.releases_of(name)}
    ours = system_namespaces(namespaces)
    known = {key for resource, key in LEFT_BY_PLATFORM if resource in (OCI_REPOSITORIES, GIT_REPOSITORIES)}
    releases = view.releases
    return Teardown(
        layers=tuple(layer for layer in _without_platform(found.layers) if layer),
        platform=platform,
        suspended=tuple(sorted(key for key, release in releases.items() if release.spec.suspend and owner_name(release))),
        foreign=tuple(sorted(key for key, release in releases.items() if key not in owned and not owner_name(release))),
        repositories=tuple(sorted(f"{type(each).__name__} {each.key}" for each in repositories if each.key not in known)),
        sources=tuple(sorted(view.sources)),
        namespaces=ours,
        volumes=tuple(sorted(key for key in volumes if key.namespace in ours)),
    )


def system_namespaces(namespaces: Iterable[Namespace]) -> tuple[str, ...]:
    """Those that the operator made for packages, and its own; never those of Kubernetes."""
    labelled = (each.metadata.name for each in namespaces if each.metadata.labels.get(names.SYSTEM_LABEL) == "true")
    return tuple(sorted(name for name in labelled if name not in NEVER))


def _without_platform(layers: Iterable[tuple[Deletion, ...]]) -> Iterable[tuple[Deletion, ...]]:
    for layer in layers:
        yield tuple(deletion for deletion in layer if deletion.name != names.PLATFORM_PACKAGE)
