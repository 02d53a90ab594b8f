"""Roles that are made of others: a ClusterRole with an ``aggregationRule`` has the rules of every role that it selects.

``settle`` brings them up to date; it costs nothing when no ClusterRole has changed since.
"""

from __future__ import annotations

from typing import Any, Final

from cozystack.apiserver.admission.matching import selector_accepts
from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.objects import Objects, WriteOptions
from cozystack.apiserver.rbac.authorizer import CLUSTER_ROLES, GROUP
from cozystack.apiserver.storage import Stored

Obj = dict[str, Any]

_MANAGER: Final = "clusterrole-aggregation-controller"


class Aggregation:
    """See the module."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._storage = objects.storage
        self._subscription = self._storage.subscribe(CLUSTER_ROLES)
        self._fresh = True

    def settle(self) -> None:
        """Bring every such role up to date, those included that are made of roles made of others."""
        for _ in range(len(self._storage.objects(CLUSTER_ROLES)) + 1):
            if self._subscription.closed:
                self._subscription = self._storage.subscribe(CLUSTER_ROLES)
            elif not self._subscription.drain() and not self._fresh:
                return
            self._fresh = False
            for role in self._storage.objects(CLUSTER_ROLES):
                self._gather(role)

    def close(self) -> None:
        """Follow no more."""
        self._subscription.close()

    def _gather(self, role: Stored) -> None:
        selectors = (role.object.get("aggregationRule") or {}).get("clusterRoleSelectors")
        if not selectors or "deletionTimestamp" in role.object["metadata"]:
            return
        rules: list[Obj] = []
        for selector in selectors:
            for other in self._storage.objects(CLUSTER_ROLES):
                if other.name == role.name or not selector_accepts(selector, other.object["metadata"].get("labels") or {}):
                    continue
                rules += [rule for rule in other.object.get("rules") or () if rule not in rules]
        if rules == (role.object.get("rules") or []):
            return
        info = self._objects.resource(GROUP, "v1", "clusterroles")
        wanted = {"metadata": {"name": role.name}, "rules": rules}
        try:
            self._objects.apply(info, "", role.name, wanted, WriteOptions(manager=_MANAGER, force=True))
        except ApiError:
            return  # the role cannot be written as it is now: whoever changes it makes us look again
