"""The kinds of Flux that we write and read: sources, ArtifactGenerator, ExternalArtifact, HelmRelease.

Fields that none of our programs reads or writes are not declared (schemas: Flux 2.9).
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType, field

from cozystack.api.cozystack import HealthCheckExpr
from cozystack.api.meta import JSON, Condition, Model, Object, Value

SOURCE_API = "source.toolkit.fluxcd.io/v1"
GENERATOR_API = "source.extensions.fluxcd.io/v1beta1"
HELM_API = "helm.toolkit.fluxcd.io/v2"


class LocalRef(Value, frozen=True):
    name: str


class Artifact(Value, frozen=True):
    """``status.artifact`` of every source: where its content is served, and its digest."""

    url: str
    revision: str
    path: str = ""
    digest: str = ""
    last_update_time: str = ""
    size: int = 0
    metadata: dict[str, str] = {}


class OCIRef(Value, frozen=True):
    digest: str = ""
    semver: str = ""
    semver_filter: str = ""
    tag: str = ""


class GitRef(Value, frozen=True):
    branch: str = ""
    tag: str = ""
    semver: str = ""
    name: str = ""
    commit: str = ""


class SourceStatus(Model):
    """Status of OCIRepository, GitRepository and ExternalArtifact."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    artifact: Artifact | None = None
    last_handled_reconcile_at: str = ""


class OCILayerSelector(Value, frozen=True):
    media_type: str = ""
    operation: str = ""


class OCIRepositorySpec(Model):
    url: str
    interval: str
    ref: OCIRef | None = None
    secret_ref: LocalRef | None = None
    insecure: bool = False
    suspend: bool = False
    layer_selector: OCILayerSelector | None = None
    provider: str = ""
    timeout: str = ""


class OCIRepository(Object, kw_only=True):
    spec: OCIRepositorySpec
    status: SourceStatus = field(default_factory=SourceStatus)


class GitRepositorySpec(Model):
    url: str
    interval: str
    ref: GitRef | None = None
    secret_ref: LocalRef | None = None
    suspend: bool = False
    timeout: str = ""


class GitRepository(Object, kw_only=True):
    spec: GitRepositorySpec
    status: SourceStatus = field(default_factory=SourceStatus)


class GeneratorSource(Value, frozen=True):
    alias: str
    kind: str
    name: str
    namespace: str = ""


class Copy(Value, frozen=True):
    """One copy operation, ``from`` an aliased source ``to`` the artifact."""

    from_: str = field(name="from")
    to: str
    strategy: str = ""
    exclude: tuple[str, ...] = ()


class OutputArtifact(Value, frozen=True):
    name: str
    copy: tuple[Copy, ...]
    revision: str = ""
    origin_revision: str = ""


class InventoryEntry(Value, frozen=True):
    """One artifact that the generator made."""

    name: str
    namespace: str
    digest: str = ""
    filename: str = ""


class ArtifactGeneratorSpec(Model):
    sources: tuple[GeneratorSource, ...]
    artifacts: tuple[OutputArtifact, ...]


class ArtifactGeneratorStatus(Model):
    conditions: tuple[Condition, ...] = ()
    inventory: tuple[InventoryEntry, ...] = ()
    observed_sources_digest: str = ""
    last_handled_reconcile_at: str = ""


class ArtifactGenerator(Object, kw_only=True):
    spec: ArtifactGeneratorSpec
    status: ArtifactGeneratorStatus = field(default_factory=ArtifactGeneratorStatus)


class TypedRef(Value, frozen=True):
    kind: str
    name: str
    namespace: str = ""
    api_version: str = ""


class ExternalArtifactSpec(Model):
    source_ref: TypedRef | None = None


class ExternalArtifact(Object, kw_only=True):
    spec: ExternalArtifactSpec = field(default_factory=ExternalArtifactSpec)
    status: SourceStatus = field(default_factory=SourceStatus)


class Strategy(Value, frozen=True):
    name: str
    retry_interval: str = ""


class InstallAction(Value, frozen=True):
    timeout: str = ""
    strategy: Strategy | None = None
    crds: str = ""
    create_namespace: bool = False
    disable_wait: bool = False
    disable_hooks: bool = False
    replace: bool = False


class UpgradeAction(Value, frozen=True):
    timeout: str = ""
    strategy: Strategy | None = None
    crds: str = ""
    disable_wait: bool = False
    disable_hooks: bool = False
    force: bool = False
    preserve_values: bool = False


class WaitStrategy(Value, frozen=True):
    name: str


class ValuesFrom(Value, frozen=True):
    kind: str
    name: str
    values_key: str = ""
    target_path: str = ""
    optional: bool = False


class DependencyRef(Value, frozen=True, order=True):
    name: str
    namespace: str = ""
    ready_expr: str = ""


class HelmReleaseSpec(Model):
    """``HelmRelease.spec``: every field that we write, and those that the stand-in obeys."""

    interval: str
    chart_ref: TypedRef | None = None
    release_name: str = ""
    target_namespace: str = ""
    storage_namespace: str = ""
    timeout: str = ""
    suspend: bool = False
    max_history: int | UnsetType = UNSET
    install: InstallAction | None = None
    upgrade: UpgradeAction | None = None
    wait_strategy: WaitStrategy | None = None
    health_check_exprs: tuple[HealthCheckExpr, ...] = ()
    values_from: tuple[ValuesFrom, ...] = ()
    values: JSON | UnsetType = UNSET
    depends_on: tuple[DependencyRef, ...] = ()
    service_account_name: str = ""


class HistoryEntry(Value, frozen=True):
    """One entry of ``status.history``, newest first."""

    name: str = ""
    namespace: str = ""
    version: int = 0
    status: str = ""
    digest: str = ""
    chart_name: str = ""
    chart_version: str = ""
    app_version: str = ""
    config_digest: str = ""
    first_deployed: str = ""
    last_deployed: str = ""
    deleted: str = ""
    oci_digest: str = field(default="", name="ociDigest")


class HelmReleaseStatus(Model):
    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    last_attempted_generation: int = 0
    last_attempted_revision: str = ""
    last_attempted_revision_digest: str = ""
    last_attempted_config_digest: str = ""
    last_attempted_release_action: str = ""
    last_handled_reconcile_at: str = ""
    last_handled_force_at: str = ""
    last_handled_reset_at: str = ""
    storage_namespace: str = ""
    helm_chart: str = ""
    observed_post_renderers_digest: str = ""
    install_failures: int = 0
    upgrade_failures: int = 0
    failures: int = 0


class HelmRelease(Object, kw_only=True):
    spec: HelmReleaseSpec
    status: HelmReleaseStatus = field(default_factory=HelmReleaseStatus)


def values_of(spec: HelmReleaseSpec) -> dict[str, Any]:
    """``spec.values`` as a map; absent and null are empty."""
    return spec.values if isinstance(spec.values, dict) else {}
