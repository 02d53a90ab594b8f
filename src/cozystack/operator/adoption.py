"""What an earlier object of a name has left behind, adopted by the one that is there now.

After a restore from a backup, or when a Package was deleted as an orphan maker and made again, objects name an owner by a uid
that does not exist any more. Applying our reference would add a second controller, which the API server refuses; and an owner
that does not exist is what the garbage collector deletes an object for.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cozystack.api.meta import Object
from cozystack.api.resources import Resource
from cozystack.kube import Client


async def replace_stale_owner(
    client: Client, resource: Resource[Any], live: Object | None, desired: Object, *, manager: str
) -> bool:
    """Put the owner that ``desired`` has in the place of an earlier one of its name; whether there was one.

    References of others stay. Raises ``Conflict`` when the object has changed since ``live`` was read.
    """
    if live is None:
        return False
    owners = live.metadata.owner_references
    (ours,) = desired.metadata.owner_references
    kept = [each for each in owners if (each.kind, each.name, each.controller) != (ours.kind, ours.name, True)]
    if len(kept) == len(owners) or ours in owners:
        return False
    references = msgspec.to_builtins([*kept, ours])
    metadata = {"resourceVersion": live.metadata.resource_version, "ownerReferences": references}
    await client.patch(resource, live.key, {"metadata": metadata}, manager=manager)
    return True
