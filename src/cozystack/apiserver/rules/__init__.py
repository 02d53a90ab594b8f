"""Rules for single objects that no schema holds: names, metadata, what a kind demands, and what may not change any more.

The words are those of Kubernetes: people search for them.
"""

from __future__ import annotations

import re

from cozystack.apiserver.resources import ResourceInfo
from cozystack.apiserver.rules.changes import change_errors, deletion_mark_errors, immutable_errors
from cozystack.apiserver.rules.metadata import metadata_errors
from cozystack.apiserver.rules.names import name_errors
from cozystack.apiserver.rules.specs import Obj, spec_errors
from cozystack.apiserver.rules.warnings import warnings_of
from cozystack.apiserver.schema import FieldError

_ITEM = re.compile(r"\[\d+\]$")
# Of these, what must not change is looked at first.
_CHANGES_FIRST = frozenset((("", "ConfigMap"), ("", "Secret"), ("", "Service"), ("apps", "DaemonSet")))


def builtin_errors(info: ResourceInfo, old: Obj | None, new: Obj, faults: list[FieldError]) -> list[FieldError]:
    """What is wrong with an object of a built-in kind, beside its metadata; ``faults`` are those that its schema finds.

    A rule that is about a field knows it better than the schema does.
    """
    specs = spec_errors(new)
    changes = immutable_errors(info, old, new) if old is not None else []
    found = [*changes, *specs] if (info.group, info.kind) in _CHANGES_FIRST else [*specs, *changes]
    if not faults:
        return found
    known = {fault.path for fault in specs}
    return [*found, *(fault for fault in faults if fault.path not in known and _ITEM.sub("", fault.path) not in known)]


__all__ = [
    "builtin_errors",
    "change_errors",
    "deletion_mark_errors",
    "metadata_errors",
    "name_errors",
    "warnings_of",
]
