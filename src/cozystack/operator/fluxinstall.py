"""The Flux that the operator installs: CRDs, accounts, one Deployment with the controllers, and their Service.

Pure: settings in, objects out. Versions are those of Flux 2.9 (decision D11); ports, flags and names follow the specification,
operator 6.2, so that the Deployment of the original is updated in place and not doubled.
"""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from functools import cache
from typing import Final

from cozystack.api.meta import JSON
from cozystack.api.names import FLUX_NAMESPACE, POD_SECURITY_LABEL

FLUX_VERSION: Final = "v2.9.0"
DEPLOYMENT_NAME: Final = "flux"


@dataclass(frozen=True, slots=True)
class Controller:
    """One container of the Deployment. Ports by name; the metrics and health ports also become flags."""

    name: str
    version: str
    ports: tuple[tuple[str, int], ...]
    arguments: tuple[str, ...]
    cpu_request: str = "100m"


_ADVERTISED = "flux.$(RUNTIME_NAMESPACE).svc"
CONTROLLERS: Final = (
    Controller(
        "source-controller",
        "v1.9.5",
        (("http-sc", 9790), ("http-prom-sc", 9791), ("healthz-sc", 9792)),
        (
            "--storage-addr=:9790",
            "--storage-path=/data",
            f"--storage-adv-addr={_ADVERTISED}",
            "--concurrent=5",
            "--requeue-dependency=30s",
            "--watch-label-selector=!sharding.fluxcd.io/key",
            "--helm-cache-max-size=10",
            "--helm-cache-ttl=60m",
            "--helm-cache-purge-interval=5m",
        ),
    ),
    Controller(
        "helm-controller",
        "v1.6.4",
        (("http-prom-hc", 9795), ("healthz-hc", 9796)),
        (
            "--watch-label-selector=!sharding.fluxcd.io/key",
            "--concurrent=5",
            "--requeue-dependency=30s",
            "--feature-gates=ExternalArtifact=true",
        ),
    ),
    Controller(
        "source-watcher",
        "v2.2.2",
        (("http-sw", 9691), ("http-prom-sw", 9692), ("healthz-sw", 9693)),
        (
            "--storage-addr=:9691",
            "--storage-path=/data",
            f"--storage-adv-addr={_ADVERTISED}",
            "--concurrent=20",
        ),
        cpu_request="500m",
    ),
)
_LABELS: Final[dict[str, JSON]] = {
    "app.kubernetes.io/name": "flux",
    "app.kubernetes.io/part-of": "flux",
}
_VERSIONED: Final[dict[str, JSON]] = {**_LABELS, "app.kubernetes.io/version": FLUX_VERSION}
_ANNOTATIONS: Final[dict[str, JSON]] = {"app.kubernetes.io/role": "cluster-admin"}
TOLERATIONS: Final = (
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.cilium.io/agent-not-ready",
    "node.cloudprovider.kubernetes.io/uninitialized",
)
_API_GROUPS: Final = (
    "source.toolkit.fluxcd.io",
    "source.extensions.fluxcd.io",
    "helm.toolkit.fluxcd.io",
)


def flux_crds() -> list[dict[str, JSON]]:
    """Every CRD of Flux that is installed, by file name."""
    return [_metadata(crd) for crd in _embedded_crds()]


def flux_objects(*, registry: str, api_host: str = "", api_port: str = "") -> list[dict[str, JSON]]:
    """Namespace first, then accounts, Service and Deployment, without the CRDs.

    ``registry`` is what the images are pulled from, without a trailing slash. ``api_host`` and ``api_port`` are where the
    API server is reached before there is a network for Services; the Deployment runs on the host network and gets them as
    environment.
    """
    return [
        _namespace(),
        _account(),
        *_roles(),
        _quota(),
        _service(),
        _deployment(registry=registry.rstrip("/"), api_host=api_host, api_port=api_port),
    ]


@cache
def _embedded_crds() -> tuple[dict[str, JSON], ...]:
    folder = importlib.resources.files("cozystack.operator") / "manifests"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return tuple(json.loads(file.read_text()) for file in files)


def _metadata(crd: dict[str, JSON]) -> dict[str, JSON]:
    return {
        **crd,
        "metadata": {**crd["metadata"], "labels": dict(_VERSIONED), "annotations": dict(_ANNOTATIONS)},
    }


def _object(
    api_version: str, kind: str, name: str, *, namespaced: bool = True, labels: dict[str, JSON] | None = None, **content: JSON
) -> dict[str, JSON]:
    metadata: dict[str, JSON] = {"name": name}
    if namespaced:
        metadata["namespace"] = FLUX_NAMESPACE
    metadata |= {"labels": {**_VERSIONED, **(labels or {})}, "annotations": dict(_ANNOTATIONS)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def _namespace() -> dict[str, JSON]:
    return _object("v1", "Namespace", FLUX_NAMESPACE, namespaced=False, labels={POD_SECURITY_LABEL: "privileged"})


def _account() -> dict[str, JSON]:
    return _object("v1", "ServiceAccount", "flux")


def _roles() -> list[dict[str, JSON]]:
    aggregated = {f"rbac.authorization.k8s.io/aggregate-to-{role}": "true" for role in ("admin", "edit", "view")}
    return [
        _object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            "flux-view",
            namespaced=False,
            labels=aggregated,
            rules=[{"apiGroups": list(_API_GROUPS), "resources": ["*"], "verbs": ["get", "list", "watch"]}],
        ),
        _object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            "flux",
            namespaced=False,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            subjects=[{"kind": "ServiceAccount", "name": "flux", "namespace": FLUX_NAMESPACE}],
        ),
    ]


def _quota() -> dict[str, JSON]:
    return _object(
        "v1",
        "ResourceQuota",
        "flux",
        spec={
            # As the server writes it: what differs would be applied at every start.
            "hard": {"pods": "1k"},
            "scopeSelector": {
                "matchExpressions": [
                    {
                        "scopeName": "PriorityClass",
                        "operator": "In",
                        "values": ["system-node-critical", "system-cluster-critical"],
                    }
                ]
            },
        },
    )


def _service() -> dict[str, JSON]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "flux", "namespace": FLUX_NAMESPACE, "labels": dict(_LABELS)},
        "spec": {
            "type": "ClusterIP",
            "selector": {"app.kubernetes.io/name": "flux"},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http-sc"}],
        },
    }


def _deployment(*, registry: str, api_host: str, api_port: str) -> dict[str, JSON]:
    endpoint = [
        {"name": name, "value": value}
        for name, value in (("KUBERNETES_SERVICE_HOST", api_host), ("KUBERNETES_SERVICE_PORT", api_port))
        if value
    ]
    return _object(
        "apps/v1",
        "Deployment",
        DEPLOYMENT_NAME,
        spec={
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app.kubernetes.io/name": "flux"}},
            "template": {
                "metadata": {
                    "labels": {"app.kubernetes.io/name": "flux"},
                    "annotations": {
                        "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
                        "prometheus.io/port": "9791",
                        "prometheus.io/scrape": "true",
                    },
                },
                "spec": {
                    "serviceAccountName": "flux",
                    "hostNetwork": True,
                    "priorityClassName": "system-cluster-critical",
                    "terminationGracePeriodSeconds": 120,
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "securityContext": {"fsGroup": 1337},
                    "affinity": {
                        "podAntiAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": [
                                {
                                    "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "flux"}},
                                    "topologyKey": "kubernetes.io/hostname",
                                }
                            ]
                        }
                    },
                    "tolerations": [{"key": key, "operator": "Exists"} for key in TOLERATIONS],
                    "containers": [_container(controller, registry, endpoint) for controller in CONTROLLERS],
                    "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
                },
            },
        },
    )


def _container(controller: Controller, registry: str, endpoint: list[dict[str, JSON]]) -> dict[str, JSON]:
    metrics, health = controller.ports[-2:]
    health_probe = {"httpGet": {"path": "/readyz", "port": health[0]}}
    return {
        "name": controller.name,
        "image": f"{registry}/{controller.name}:{controller.version}",
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--watch-all-namespaces",
            "--log-level=info",
            "--log-encoding=json",
            "--enable-leader-election=false",
            f"--metrics-addr=:{metrics[1]}",
            f"--health-addr=:{health[1]}",
            *controller.arguments,
        ],
        "env": [
            {"name": "SOURCE_CONTROLLER_LOCALHOST", "value": "localhost:9790"},
            {"name": "SOURCE_WATCHER_LOCALHOST", "value": "localhost:9691"},
            # References are atomic: with the server's defaults left out they would always seem to differ.
            {"name": "RUNTIME_NAMESPACE", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}},
            {
                "name": "GOMEMLIMIT",
                "valueFrom": {
                    "resourceFieldRef": {"containerName": controller.name, "resource": "limits.memory", "divisor": "0"}
                },
            },
            {"name": "TUF_ROOT", "value": "/tmp/.sigstore"},  # noqa: S108 - a path in the container
            {"name": "NO_PROXY", "value": ".svc"},
            *endpoint,
        ],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in controller.ports],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": health[0]}},
        "readinessProbe": health_probe,
        "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": controller.cpu_request, "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
