"""Take away what earlier platforms left behind, and say which of their settings are not read any more.

The original's hook may leave a binding to cluster-admin when it fails; a ConfigMap and a Secret have had no reader for several
releases. Only the binding that its hook made is deleted: one of that name with another role is somebody's own.
"""

from __future__ import annotations

from cozystack.api.resources import CONFIG_MAPS, SECRETS, untyped
from cozystack.migrate.access import Cluster, reads, writes
from cozystack.migrate.changes import Plan, delete

NUMBER = 56
NAME = "remove-leftovers"
WAY_BACK = "An older release makes again what it needs."

BINDINGS = untyped("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False)
HOOK = "cozystack-migration-hook"
SETTINGS = "cozystack"
SCHEDULING = "cozystack-scheduling"
MIRRORS = "patch-containerd"

READS = (
    reads(BINDINGS, HOOK),
    reads(CONFIG_MAPS, SETTINGS, SCHEDULING, own_namespace=True),
    reads(SECRETS, MIRRORS, own_namespace=True),
)
WRITES = (
    writes(BINDINGS, "delete", names=[HOOK]),
    writes(CONFIG_MAPS, "delete", names=[SCHEDULING], own_namespace=True),
    writes(SECRETS, "delete", names=[MIRRORS], own_namespace=True),
)


async def plan(cluster: Cluster) -> Plan:
    found = Plan()
    binding = await cluster.find(BINDINGS, HOOK)
    if binding is not None and binding["roleRef"]["name"] == "cluster-admin":
        found.changes.append(delete(BINDINGS, binding, "an earlier hook left it, and it grants everything"))
    scheduling = await cluster.find(CONFIG_MAPS, SCHEDULING)
    if scheduling is not None:
        found.changes.append(delete(CONFIG_MAPS, scheduling, "nothing reads it"))
    mirrors = await cluster.find(SECRETS, MIRRORS)
    if mirrors is not None:
        found.changes.append(delete(SECRETS, mirrors, "nothing reads it"))
    settings = await cluster.find(CONFIG_MAPS, SETTINGS)
    if settings is not None:
        keys = ", ".join(sorted(settings.get("data") or {})) or "nothing"
        found.left.append(
            f"ConfigMap cozy-system/{SETTINGS} is not read any more. It holds {keys}: "
            "move that into Package cozystack.cozystack-platform, then delete it."
        )
    return found
