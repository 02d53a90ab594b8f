"""What belongs to a workload: it adopts what its selector matches and nobody controls, and lets go of what no longer does."""

from __future__ import annotations

from collections.abc import Iterable

from cozystack.apiserver.admission.matching import selector_accepts
from cozystack.sandbox.workloads.actions import (
    Action,
    Obj,
    changed_metadata,
    controller_uid,
    is_deleting,
    oldest_first,
    owner,
)


def claimed(parent: Obj, candidates: Iterable[Obj]) -> tuple[list[Obj], list[Action]]:
    """Those of ``candidates`` (of the namespace of ``parent``) that it controls, oldest first, and the changes of owners."""
    uid, selector = parent["metadata"]["uid"], parent["spec"]["selector"]
    mine: list[Obj] = []
    actions: list[Action] = []
    for item in candidates:
        controller, matches = controller_uid(item), selector_accepts(selector, item["metadata"].get("labels") or {})
        if controller == uid:
            if matches or is_deleting(parent):
                mine.append(item)
            else:
                others = [each for each in item["metadata"]["ownerReferences"] if each["uid"] != uid]
                actions.append(changed_metadata(item, ownerReferences=others or None))
        elif not controller and matches and not is_deleting(parent) and not is_deleting(item):
            owners = [*item["metadata"].get("ownerReferences", ()), owner(parent)]
            actions.append(changed_metadata(item, ownerReferences=owners))
            mine.append(item)
    return oldest_first(mine), actions
