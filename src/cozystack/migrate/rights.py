"""Give the rights of a runner up, once there is nothing left to do with them (packages-M7).

The chart grants them by hooks before an upgrade. A hook after it cannot take them away: it would name objects of the same
release a second time, and Flux, which passes hooks through its post-renderer with everything else, refuses that. So the runner
does it: its bindings are made to belong to its roles, then the roles are deleted, and the garbage collector takes the bindings.
"""

from __future__ import annotations

from cozystack.api.meta import Key
from cozystack.kube import Client
from cozystack.planner.teardown import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES

_PAIRS = ((ROLES, ROLE_BINDINGS), (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS))


async def give_up_rights(client: Client, name: str, *, namespace: str) -> None:
    """Roles and bindings of that name go; raises ``KubeError``. Those of the cluster go last: they carry the right to it."""
    uids = {}
    for role, binding in _PAIRS:
        key = Key(namespace if role.namespaced else "", name)
        found = await client.get(role, key)
        uids[role] = found["metadata"]["uid"]
        owner = {"apiVersion": role.api_version, "kind": role.kind, "name": name, "uid": uids[role]}
        await client.patch(binding, key, {"metadata": {"ownerReferences": [owner]}})
    for role, uid in uids.items():
        await client.delete(role, Key(namespace if role.namespaced else "", name), uid=uid)
