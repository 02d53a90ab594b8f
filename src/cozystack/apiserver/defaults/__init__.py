"""What the API server fills in on built-in kinds, as Kubernetes' own defaulting does.

Schemas tell the defaults that never depend on anything (``golang.writing`` fills them in); the others are written here, kind by
kind. Every function gets an object that has the form of its types and may be changed freely.

=============  ==========================================================
``pods``       Pods, and the Pods that templates describe
``workloads``  what runs Pods
``networks``   Services, endpoints, policies of networks
``others``     everything else
=============  ==========================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cozystack.apiserver.defaults import networks, others, pods, workloads

Obj = dict[str, Any]

_BY_KIND: dict[tuple[str, str], Callable[[Obj], None]] = {
    ("", "Pod"): pods.pod,
    **workloads.BY_KIND,
    **networks.BY_KIND,
    **others.BY_KIND,
}


def default(group: str, kind: str, obj: Obj) -> None:
    """Fill in the defaults of a built-in object, in place."""
    function = _BY_KIND.get((group, kind))
    if function is not None:
        function(obj)
