"""Admission plug-ins: what a cluster that is set up as usual does with a write before it is stored.

They know the objects of the server and nobody else, so they never wait. Some change an object before it is judged; others judge
what it has become. Order and words are those of kube-apiserver.

===============  ===============================================================================
``write``        what a plug-in sees of a write
``pods``         accounts, priorities, tolerations and runtime classes of Pods
``podsecurity``  the levels that labels of a namespace ask for
``limits``       LimitRanges
``quotas``       ResourceQuotas
``volumes``      default classes, and finalizers that keep what is used
===============  ===============================================================================
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from cozystack.apiserver import errors
from cozystack.apiserver.plugins import limits, pods, podsecurity, quotas, volumes
from cozystack.apiserver.plugins.write import Obj, Write
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.storage import Storage

Plugin = Callable[[Write], None]
"""Looks at a write, may change its object, and raises ``ApiError`` when it does not admit it."""

_IMMORTAL: Final = frozenset(("default", "kube-system", "kube-public"))
_CHANGING: Final[dict[tuple[str, str], tuple[Plugin, ...]]] = {
    ("", "Pod"): (limits.default, pods.give_account, pods.give_priority, pods.give_tolerations, pods.give_runtime),
    ("", "PersistentVolumeClaim"): (volumes.give_class, volumes.protect),
    ("", "PersistentVolume"): (volumes.protect,),
    ("storage.k8s.io", "VolumeAttributesClass"): (volumes.protect,),
    ("networking.k8s.io", "Ingress"): (volumes.give_ingress_class,),
}
_TEMPLATED: Final = (
    ("", "PodTemplate"),
    ("", "ReplicationController"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
)
_JUDGING: Final[dict[tuple[str, str], tuple[Plugin, ...]]] = {
    ("", "Namespace"): (podsecurity.judge_namespace,),
    ("", "Pod"): (limits.judge, podsecurity.judge_pod, pods.judge_runtime),
    ("", "PersistentVolumeClaim"): (limits.judge, volumes.judge_size),
    ("scheduling.k8s.io", "PriorityClass"): (pods.judge_priority_class,),
    **dict.fromkeys(_TEMPLATED, (podsecurity.judge_template,)),
}


class Plugins:
    """See the module. ``rng`` chooses names that nobody remembers."""

    def __init__(self, storage: Storage, rng: random.Random) -> None:
        self._storage = storage
        self._random = rng

    def change(self, info: ResourceInfo, obj: Obj, old: Obj | None) -> None:
        """Let plug-ins change an object that is about to be written, in place; raises ``ApiError``."""
        plugins = _CHANGING.get((info.group, info.kind))
        if plugins is not None:
            write = Write(self._storage, info, obj["metadata"].get("namespace", ""), obj, old, random=self._random)
            for plugin in plugins:
                plugin(write)

    def judge(
        self,
        info: ResourceInfo,
        obj: Obj,
        old: Obj | None,
        *,
        subresource: str = "",
        warnings: list[str],
        annotations: dict[str, str],
    ) -> None:
        """Raises ``ApiError`` when a plug-in does not admit an object. What they say goes to ``warnings``, and to the
        ``annotations`` of the audit log."""
        plugins = _JUDGING.get((info.group, info.kind), ())
        namespace = obj["metadata"].get("namespace", "")
        limited = info.namespaced and self._storage.objects(quotas.QUOTAS, namespace)
        if plugins or limited:
            write = Write(self._storage, info, namespace, obj, old, subresource, warnings, annotations)
            for plugin in plugins:
                plugin(write)
            if limited:
                quotas.judge(write)

    def delete(self, info: ResourceInfo, name: str) -> None:
        """Raises ``ApiError`` when that may never be deleted."""
        if info.group == "" and info.kind == "Namespace" and name in _IMMORTAL:
            raise errors.forbidden("namespaces", "", name, "this namespace may not be deleted")


__all__ = ["Plugins", "Write"]
