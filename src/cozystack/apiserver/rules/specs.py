"""What single built-in kinds demand of an object, beyond its schema: the faults that people make, and that controllers rely on.

Not all that Kubernetes checks: what only a kubelet or the driver of a volume would trip over is let pass.
"""

from __future__ import annotations

from typing import Any

from cozystack.apiserver.rules import networks, others, workloads
from cozystack.apiserver.schema import FieldError

Obj = dict[str, Any]

_BY_KIND = {**workloads.BY_KIND, **networks.BY_KIND, **others.BY_KIND}


def spec_errors(obj: Obj) -> list[FieldError]:
    """What is wrong with an object of a built-in kind that has the form of its types."""
    function = _BY_KIND.get((obj["apiVersion"], obj["kind"]))
    return list(function(obj)) if function is not None else []
