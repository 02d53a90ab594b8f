"""Names that other programs rely on: labels, annotations, field managers, object names, and the rules names must obey.

The constants are the wire contract (specification, operator 1.3 and 11); the checks are those of Kubernetes, Helm and Flux.
"""

from __future__ import annotations

import re
from typing import Final

GROUP: Final = "cozystack.io"
SYSTEM_NAMESPACE: Final = "cozy-system"
FLUX_NAMESPACE: Final = "cozy-fluxcd"
VALUES_SECRET: Final = "cozystack-values"
VALUES_KEY: Final = "values.yaml"
PLATFORM_SOURCE: Final = "cozystack-platform"
PLATFORM_PACKAGE: Final = "cozystack.cozystack-platform"
DEFAULT_VARIANT: Final = "default"

# Labels
PACKAGE_LABEL: Final = "cozystack.io/package"
PRIVILEGED_LABEL: Final = "cozystack.io/privileged"
PACKAGE_SOURCE_LABEL: Final = "cozystack.io/packagesource"
SYSTEM_LABEL: Final = "cozystack.io/system"
POD_SECURITY_LABEL: Final = "pod-security.kubernetes.io/enforce"
NO_DELETE_LABEL: Final = "platform.cozystack.io/no-delete"

# Annotations
SKIP_VALUES_ANNOTATION: Final = "operator.cozystack.io/skip-cozystack-values"
VALUES_FILES_ANNOTATION: Final = "cozyhr.cozystack.io/values-files"
RESOURCE_POLICY_ANNOTATION: Final = "helm.sh/resource-policy"
REQUESTED_AT_ANNOTATION: Final = "reconcile.fluxcd.io/requestedAt"
RECOVERY_ATTEMPTS_ANNOTATION: Final = "cozystack.io/source-watcher-recovery-attempts"
RECOVERY_LAST_ANNOTATION: Final = "cozystack.io/source-watcher-last-recovery-at"
# What this implementation adds lives under one prefix, so that another operator can tell it apart.
OWN_PREFIX: Final = "operator.cozystack.io/"
PAUSED_ANNOTATION: Final = "operator.cozystack.io/paused"
ALLOW_MOVE_ANNOTATION: Final = "operator.cozystack.io/allow-move"
REPLICATED_ANNOTATION: Final = "operator.cozystack.io/replicated-from"
PACKAGE_FINALIZER: Final = "operator.cozystack.io/ordered-deletion"

# Field managers
OPERATOR_MANAGER: Final = "cozystack-operator"
PACKAGE_SOURCE_MANAGER: Final = "cozystack-packagesource-controller"
PACKAGE_MANAGER: Final = "cozystack-package-controller"

TENANT_PREFIX: Final = "tenant-"

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_ARTIFACT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SOURCE_ALIAS = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?")

DNS_LABEL_MAX: Final = 63
DNS_SUBDOMAIN_MAX: Final = 253
HELM_RELEASE_MAX: Final = 53
"""Helm keeps ten characters for the suffix of its storage objects."""


def is_dns_label(name: str) -> bool:
    """A namespace, for one: at most 63 of ``[a-z0-9-]``, not starting or ending with a dash."""
    return len(name) <= DNS_LABEL_MAX and _DNS_LABEL.fullmatch(name) is not None


def is_dns_subdomain(name: str) -> bool:
    """The name of most objects: labels joined by dots, at most 253 characters."""
    return len(name) <= DNS_SUBDOMAIN_MAX and _DNS_SUBDOMAIN.fullmatch(name) is not None


def is_release_name(name: str) -> bool:
    """A Helm release: a DNS subdomain of at most 53 characters."""
    return len(name) <= HELM_RELEASE_MAX and _DNS_SUBDOMAIN.fullmatch(name) is not None


def is_artifact_name(name: str) -> bool:
    """``ArtifactGenerator.spec.artifacts[].name`` (specification, operator 3.5)."""
    return len(name) <= DNS_SUBDOMAIN_MAX and _ARTIFACT_NAME.fullmatch(name) is not None


def is_source_alias(name: str) -> bool:
    """``ArtifactGenerator.spec.sources[].alias`` (specification, operator 3.5): no dots, at most 63 characters."""
    return len(name) <= DNS_LABEL_MAX and _SOURCE_ALIAS.fullmatch(name) is not None


def is_label_value(value: str) -> bool:
    return not value or (len(value) <= DNS_LABEL_MAX and _LABEL_VALUE.fullmatch(value) is not None)


def artifact_name(source: str, variant: str, component: str) -> str:
    """The name of a component's artifact; each dot becomes a dash (specification, operator 3.4).

    >>> artifact_name("acme.db", "ha.v2", "db.operator")
    'acme-db-ha-v2-db-operator'
    """
    return f"{source}-{variant}-{component}".replace(".", "-")
