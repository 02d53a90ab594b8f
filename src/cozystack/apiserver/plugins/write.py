"""What a plug-in sees of a write."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from cozystack.apiserver import errors
from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.storage import Storage

Obj = dict[str, Any]


@dataclass(slots=True)
class Write:
    """A write of ``obj``, in place of ``old`` or of nothing.

    ``warnings``, and ``annotations`` for the audit log, are filled by those who look at it."""

    storage: Storage
    info: ResourceInfo
    namespace: str
    obj: Obj
    old: Obj | None
    subresource: str = ""
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    random: random.Random = field(default_factory=random.Random)

    @property
    def is_new(self) -> bool:
        return self.old is None

    @property
    def name(self) -> str:
        return str(self.obj["metadata"].get("name", ""))

    def forbidden(self, why: str) -> ApiError:
        return errors.forbidden(self.info.plural, self.info.group, self.name, why)

    def found(self, resource: str, name: str, *, everywhere: bool = False) -> Obj | None:
        """An object in the namespace of the write, or of the cluster when it is ``everywhere``."""
        stored = self.storage.get(resource, "" if everywhere else self.namespace, name)
        return stored.object if stored is not None else None
