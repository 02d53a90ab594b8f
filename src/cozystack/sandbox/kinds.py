"""The built-in resources that the sandbox's stand-ins work on, as plain JSON values."""

from __future__ import annotations

from typing import Any, Final

from cozystack.api.resources import Resource, untyped

PODS: Final = untyped("", "v1", "Pod", "pods")
SERVICES: Final = untyped("", "v1", "Service", "services")
SERVICE_ACCOUNTS: Final = untyped("", "v1", "ServiceAccount", "serviceaccounts")
CLAIMS: Final = untyped("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
VOLUMES: Final = untyped("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False)
NODES: Final = untyped("", "v1", "Node", "nodes", namespaced=False)
DEPLOYMENTS: Final = untyped("apps", "v1", "Deployment", "deployments")
REPLICA_SETS: Final = untyped("apps", "v1", "ReplicaSet", "replicasets")
STATEFUL_SETS: Final = untyped("apps", "v1", "StatefulSet", "statefulsets")
DAEMON_SETS: Final = untyped("apps", "v1", "DaemonSet", "daemonsets")
REVISIONS: Final = untyped("apps", "v1", "ControllerRevision", "controllerrevisions")
JOBS: Final = untyped("batch", "v1", "Job", "jobs")
CRON_JOBS: Final = untyped("batch", "v1", "CronJob", "cronjobs")
ENDPOINTS: Final = untyped("", "v1", "Endpoints", "endpoints")
SLICES: Final = untyped("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
STORAGE_CLASSES: Final = untyped("storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False)
BUDGETS: Final = untyped("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
API_SERVICES: Final = untyped("apiregistration.k8s.io", "v1", "APIService", "apiservices", namespaced=False)

BY_KIND: Final[dict[str, Resource[dict[str, Any]]]] = {
    resource.kind: resource
    for resource in (
        PODS,
        SERVICES,
        CLAIMS,
        VOLUMES,
        NODES,
        DEPLOYMENTS,
        REPLICA_SETS,
        STATEFUL_SETS,
        DAEMON_SETS,
        REVISIONS,
        JOBS,
        CRON_JOBS,
        ENDPOINTS,
        SLICES,
        STORAGE_CLASSES,
        BUDGETS,
        API_SERVICES,
    )
}
