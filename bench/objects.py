"""Objects to measure with: a platform of any size whose shape is that of a real one, always the same for the same size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

import msgspec

from cozystack.api import names
from cozystack.api.cozystack import (
    API_VERSION,
    Component,
    ComponentOverride,
    Install,
    Package,
    PackageSource,
    PackageSourceSpec,
    PackageSpec,
    SourceRef,
    Variant,
)
from cozystack.api.flux import (
    HELM_API,
    Artifact,
    ExternalArtifact,
    ExternalArtifactSpec,
    HelmRelease,
    HelmReleaseStatus,
    HistoryEntry,
    OCIRef,
    OCIRepository,
    OCIRepositorySpec,
    SourceStatus,
    TypedRef,
)
from cozystack.api.meta import JSON, Condition, ObjectMeta
from cozystack.planner import APPLIED_ANNOTATION

NOW = "2026-01-01T00:00:00Z"
SHA = "0123456789abcdef" * 4
NAMESPACES = 100
"""Namespaces over which namespaced objects are spread."""
HUBS = 20
"""Packages at the bottom (network, certificates, monitoring) that everybody else depends on one of."""

_REF = SourceRef(kind="OCIRepository", name="charts", namespace=names.SYSTEM_NAMESPACE)


def source_json(number: int) -> dict[str, JSON]:
    """A PackageSource as somebody applies it: 4 KB in the server's storage, nearly all of it ``spec``."""
    components = [
        {
            "name": f"component-{position}",
            "path": f"system/example-{number}/component-{position}",
            "libraries": ["library"],
            "valuesFiles": ["values.yaml", "values-example.yaml"],
            "install": {
                "namespace": f"example-{number}",
                "releaseName": f"example-{number}-{position}",
                "dependsOn": [f"component-{position - 1}"] if position else [],
            },
        }
        for position in range(6)
    ]
    variants = [
        {
            "name": name,
            "dependsOn": [package_name(max(0, number - step)) for step in (1, 7)],
            "libraries": [{"name": "library", "path": "library/example"}],
            "components": components,
        }
        for name in ("default", "small")
    ]
    return {
        "apiVersion": API_VERSION,
        "kind": "PackageSource",
        "metadata": {"name": package_name(number), "labels": {"app.kubernetes.io/managed-by": "Helm"}},
        "spec": {"sourceRef": msgspec.to_builtins(_REF), "variants": variants},
    }


def release_json(number: int, *, owner: str) -> dict[str, JSON]:
    """A HelmRelease as the operator applies it, owned by the Package with the uid ``owner``.

    With ``release_status`` it is 4 KB in the server's storage, a third of it ``managedFields``.
    """
    return {
        "apiVersion": HELM_API,
        "kind": "HelmRelease",
        "metadata": {
            "name": f"release-{number}",
            "namespace": f"ns-{number % NAMESPACES}",
            "labels": {names.PACKAGE_LABEL: package_name(0)},
            "annotations": {APPLIED_ANNOTATION: f"{number:016x}"},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "Package",
                    "name": package_name(0),
                    "uid": owner,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "chartRef": {"kind": "ExternalArtifact", "name": f"artifact-{number}", "namespace": names.SYSTEM_NAMESPACE},
            "interval": "5m0s",
            "maxHistory": 5,
            "install": {"timeout": "10m0s", "strategy": {"name": "RetryOnFailure", "retryInterval": "30s"}},
            "upgrade": {
                "timeout": "10m0s",
                "strategy": {"name": "RetryOnFailure", "retryInterval": "30s"},
                "crds": "CreateReplace",
            },
            "valuesFrom": [{"kind": "Secret", "name": names.VALUES_SECRET, "valuesKey": names.VALUES_KEY}],
            "values": {
                "replicas": 2,
                "storage": {"size": f"{number}Gi", "class": "local"},
                "resources": {"cpu": "1", "memory": "1Gi"},
            },
            "dependsOn": [{"name": f"release-{max(0, number - step)}", "namespace": "ns-0"} for step in (1, 7, 30)],
        },
    }


def release_status(number: int) -> dict[str, JSON]:
    """What helm-controller says of ``release_json(number)`` after its third revision."""
    release, chart = f"ns-{number % NAMESPACES}/release-{number}.v3", f"example@1.0.0+{SHA[:12]}"
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": "UpgradeSucceeded",
            "message": f"Helm upgrade succeeded for release {release} with chart {chart}",
            "lastTransitionTime": NOW,
            "observedGeneration": 1,
        }
        for kind in ("Ready", "Released")
    ]
    history = [
        {
            "name": f"release-{number}",
            "namespace": f"ns-{number % NAMESPACES}",
            "version": version,
            "status": "deployed" if version == 3 else "superseded",
            "digest": f"sha256:{SHA}",
            "configDigest": f"sha256:{SHA}",
            "chartName": "example",
            "chartVersion": f"1.0.0+{SHA[:12]}",
            "firstDeployed": NOW,
            "lastDeployed": NOW,
        }
        for version in (3, 2)
    ]
    return {
        "apiVersion": HELM_API,
        "kind": "HelmRelease",
        "metadata": {"name": f"release-{number}", "namespace": f"ns-{number % NAMESPACES}"},
        "status": {
            "observedGeneration": 1,
            "conditions": conditions,
            "history": history,
            "lastAttemptedGeneration": 1,
            "lastAttemptedRevision": f"1.0.0+{SHA[:12]}",
            "lastAttemptedRevisionDigest": f"sha256:{SHA}",
            "lastAttemptedConfigDigest": f"sha256:{SHA}",
            "lastAttemptedReleaseAction": "upgrade",
            "storageNamespace": f"ns-{number % NAMESPACES}",
        },
    }


def config_map(number: int, *, text: str = "x" * 512) -> dict[str, JSON]:
    """An object of a built-in kind, 1 KB in the server's storage."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"object-{number}", "namespace": "default", "labels": {"app.kubernetes.io/name": "bench"}},
        "data": {"text": text, "number": str(number)},
    }


def deployment(number: int) -> dict[str, JSON]:
    """A Deployment as charts have them: 5 KB of JSON, most of it in lists whose items have keys."""
    labels: JSON = {"app.kubernetes.io/name": "example", "app.kubernetes.io/instance": f"object-{number}"}
    probe: dict[str, JSON] = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10, "failureThreshold": 3}
    containers: list[JSON] = [
        {
            "name": name,
            "image": f"registry.example.org/example/{name}:v1.2.3@sha256:{SHA}",
            "args": [f"--option-{position}=value-{position}" for position in range(10)],
            "env": [{"name": f"SETTING_{position}", "value": f"what setting {position} is"} for position in range(20)],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
            "livenessProbe": probe,
            "readinessProbe": {**probe, "initialDelaySeconds": 5},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": f"volume-{position}", "mountPath": f"/data/{position}"} for position in range(4)],
        }
        for name in ("server", "metrics")
    ]
    volumes: list[JSON] = [
        {"name": f"volume-{position}", "configMap": {"name": f"settings-{position}"}} for position in range(4)
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"object-{number}", "namespace": "default", "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": {"checksum/settings": SHA}},
                "spec": {"serviceAccountName": "example", "containers": containers, "volumes": volumes},
            },
        },
    }


def otherwise(value: JSON, random: Random) -> bytes:
    """The same JSON in other bytes: keys in another order, and another indentation."""
    return json.dumps(_shuffled(value, random), indent=random.randrange(5)).encode()


def _shuffled(value: JSON, random: Random) -> JSON:
    if isinstance(value, dict):
        names = list(value)
        random.shuffle(names)
        return {name: _shuffled(value[name], random) for name in names}
    return [_shuffled(item, random) for item in value] if isinstance(value, list) else value


def platform(count: int) -> Iterator[PackageSource | Package | OCIRepository]:
    """``count`` Packages with their sources, one and a half releases each.

    A Package depends on up to two that come not long before it, and on one of the hubs, so the graph is deep (a hundred waves
    for ten thousand) and some have hundreds of dependents.
    """
    random = Random(count)
    yield OCIRepository(
        metadata=_meta("charts", names.SYSTEM_NAMESPACE),
        spec=OCIRepositorySpec(url="oci://charts.example.org/packages", interval="5m0s", ref=OCIRef(tag="v1.0.0")),
        status=SourceStatus(
            observed_generation=1, conditions=(_condition("Ready", "Succeeded"),), artifact=_artifact("charts")
        ),
    )
    for number in range(count):
        name = package_name(number)
        depends_on = {package_name(random.randrange(max(0, number - 400), number)) for _ in range(min(2, number))}
        if number >= HUBS:
            depends_on.add(package_name(random.randrange(HUBS)))
        components = tuple(_component(number, position) for position in range(1 + number % 2))
        yield PackageSource(
            metadata=_meta(name),
            spec=PackageSourceSpec(
                source_ref=_REF,
                variants=(
                    Variant(name="default", depends_on=tuple(sorted(depends_on)), components=components),
                    Variant(name="small", components=components[:1]),
                ),
            ),
        )
        yield Package(metadata=_meta(name), spec=PackageSpec(components=values(number, "10Gi") if number % 10 == 0 else {}))


def package_name(number: int) -> str:
    return f"example.package-{number}"


def values(number: int, size: str) -> dict[str, ComponentOverride]:
    """What Package ``number`` sets for its first component."""
    return {f"c-{number}-0": ComponentOverride(values={"replicas": 2, "storage": {"size": size, "class": "local"}})}


def installed(desired: HelmRelease, *, ready: bool = True) -> HelmRelease:
    """``desired`` as Flux has it when the release runs, or when its upgrade failed."""
    conditions = (_condition("Ready", "InstallSucceeded"), _condition("Released", "InstallSucceeded"))
    if not ready:
        conditions = (_condition("Ready", "UpgradeFailed", "False"), _condition("Released", "UpgradeFailed", "False"))
    entry = HistoryEntry(
        name=desired.metadata.name,
        namespace=desired.metadata.namespace,
        version=1,
        status="deployed" if ready else "failed",
        chart_version=f"1.0.0+{SHA[:12]}",
    )
    return msgspec.structs.replace(
        desired,
        metadata=msgspec.structs.replace(desired.metadata, uid=f"uid-{desired.metadata.name}", generation=1),
        status=HelmReleaseStatus(
            observed_generation=1,
            conditions=conditions,
            history=(entry,),
            last_attempted_generation=1,
            last_attempted_revision_digest=f"sha256:{SHA}",
        ),
    )


def external_artifact(name: str, source: str) -> ExternalArtifact:
    """The chart of a component, built by the generator of ``source``."""
    return ExternalArtifact(
        metadata=_meta(name, names.SYSTEM_NAMESPACE),
        spec=ExternalArtifactSpec(source_ref=TypedRef("ArtifactGenerator", source, names.SYSTEM_NAMESPACE)),
        status=SourceStatus(observed_generation=1, conditions=(_condition("Ready", "Succeeded"),), artifact=_artifact(name)),
    )


def _component(number: int, position: int) -> Component:
    name = f"c-{number}-{position}"
    siblings = (f"c-{number}-{position - 1}",) if position else ()
    return Component(
        name=name, path=f"system/{name}", install=Install(namespace=f"ns-{number % NAMESPACES}", depends_on=siblings)
    )


def _meta(name: str, namespace: str = "") -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace, uid=f"uid-{name}", resource_version="1", generation=1)


def _artifact(name: str) -> Artifact:
    return Artifact(url=f"http://artifacts.example.org/{name}", revision=f"latest@sha256:{SHA}", digest=f"sha256:{SHA}")


def _condition(kind: str, reason: str, status: str = "True") -> Condition:
    return Condition(kind, status, reason, "", NOW, 1)
