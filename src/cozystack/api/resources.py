"""Resources that our programs talk about: where each kind is served and which type holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cozystack.api import core, cozystack, flux

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """One resource of the API: its place in the URL space and the type of its objects (``dict`` for untyped)."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    type: type[T]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of the collection, or of one object, or of a subresource of it."""
        parts = ["", "apis", self.group, self.version] if self.group else ["", "api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


def untyped(group: str, version: str, kind: str, plural: str, *, namespaced: bool = True) -> Resource[dict[str, Any]]:
    """A resource whose objects are kept as plain JSON values."""
    return Resource(group, version, kind, plural, namespaced, dict[str, Any])


PACKAGES = Resource("cozystack.io", "v1alpha1", "Package", "packages", False, cozystack.Package)
PACKAGE_SOURCES = Resource("cozystack.io", "v1alpha1", "PackageSource", "packagesources", False, cozystack.PackageSource)

HELM_RELEASES = Resource("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases", True, flux.HelmRelease)
ARTIFACT_GENERATORS = Resource(
    "source.extensions.fluxcd.io",
    "v1beta1",
    "ArtifactGenerator",
    "artifactgenerators",
    True,
    flux.ArtifactGenerator,
)
EXTERNAL_ARTIFACTS = Resource(
    "source.toolkit.fluxcd.io", "v1", "ExternalArtifact", "externalartifacts", True, flux.ExternalArtifact
)
OCI_REPOSITORIES = Resource("source.toolkit.fluxcd.io", "v1", "OCIRepository", "ocirepositories", True, flux.OCIRepository)
GIT_REPOSITORIES = Resource("source.toolkit.fluxcd.io", "v1", "GitRepository", "gitrepositories", True, flux.GitRepository)

NAMESPACES = Resource("", "v1", "Namespace", "namespaces", False, core.Namespace)
SECRETS = Resource("", "v1", "Secret", "secrets", True, core.Secret)
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", True, core.ConfigMap)
EVENTS = Resource("", "v1", "Event", "events", True, core.Event)
LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", True, core.Lease)
DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", True, core.Deployment)
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    False,
    core.CustomResourceDefinition,
)
